//! What a number format makes of a number: a date, a span of time, a code of fixed width.
//!
//! In: a format code as the workbook stores it (`yyyy\-mm\-dd`, `[h]:mm`, `000-0000`). Out: a
//! [`NumberKind`], decided once a style. Only the section for positive numbers decides, which is
//! what spreadsheet programs do when they tell dates from numbers.

use crate::decode::sheet::cells::is_whole;

/// What cells of a style are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum NumberKind {
    /// A number; percent, currency, fractions and thousands included.
    #[default]
    Plain,
    /// A date, a time of day or both.
    DateTime,
    /// Elapsed time: `[h]:mm`.
    Duration,
    /// Zeros and literals only: `00000`, `000-0000`.
    Zeros(ZerosFormat),
}

/// A format of zeros and literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZerosFormat {
    pieces: Vec<Piece>,
    n_digits: usize,
    /// Whether zero has a section of its own.
    excludes_zero: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Digit,
    Literal(char),
}

/// One element of a format code.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// Escaped or quoted.
    Literal(char),
    /// The content of `[..]`.
    Bracket(String),
    /// A fill or padding character; never shown as itself.
    Layout,
    /// Any other character.
    Code(char),
    /// `;`
    Section,
}

/// Numbers from here on have more digits than a double can tell.
const EXACT_MAX: f64 = 1e15;

// === impl NumberKind ===

impl NumberKind {
    /// The kind of a format code with its id; built-in ids without a code of their own in the
    /// file are the East Asian dates.
    pub(crate) fn of(code: &str, id: Option<u32>) -> NumberKind {
        match id {
            Some(27..=36 | 50..=58) if code.eq_ignore_ascii_case("general") => NumberKind::DateTime,
            _ => NumberKind::of_code(code),
        }
    }

    /// The kind of a built-in id, ECMA-376 part 1, 18.8.30.
    pub(crate) fn of_builtin(id: u32) -> NumberKind {
        match id {
            14..=22 | 27..=36 | 45 | 47 | 50..=58 => NumberKind::DateTime,
            46 => NumberKind::Duration,
            _ => NumberKind::Plain,
        }
    }

    /// The kind of a format code.
    pub(crate) fn of_code(code: &str) -> NumberKind {
        let tokens = tokens(code);
        let mut sections = tokens.split(|token| *token == Token::Section);
        let first = sections.next().unwrap_or_default();
        if let Some(kind) = time_kind(first) {
            return kind;
        }
        // A second section is for negative numbers, which have no zeros form here anyway.
        let excludes_zero = sections.nth(1).is_some();
        zeros(first, excludes_zero).map_or(NumberKind::Plain, NumberKind::Zeros)
    }
}

// === impl ZerosFormat ===

impl ZerosFormat {
    /// Writes `value` as it is shown into `shown`; `false` where the format does not show the
    /// whole value (fractions, negative numbers) and so the value has to stand for itself.
    pub(crate) fn show(&self, value: f64, shown: &mut String) -> bool {
        shown.clear();
        let zero_differs = value == 0.0 && self.excludes_zero;
        if !is_whole(value) || value.is_sign_negative() || value >= EXACT_MAX || zero_differs {
            return false;
        }
        let digits = format!("{value:.0}");
        let n_extra = digits.len().saturating_sub(self.n_digits);
        let n_missing = self.n_digits.saturating_sub(digits.len());
        let mut digits = digits.chars();
        let mut place = 0;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => shown.push(*literal),
                Piece::Digit => {
                    if place == 0 {
                        shown.extend(digits.by_ref().take(n_extra));
                    }
                    if place < n_missing {
                        shown.push('0');
                    } else {
                        shown.extend(digits.next());
                    }
                    place += 1;
                }
            }
        }
        true
    }
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = code.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => tokens.extend(chars.next().map(Token::Literal)),
            '_' | '*' => {
                chars.next();
                tokens.push(Token::Layout);
            }
            '"' => tokens.extend(chars.by_ref().take_while(|c| *c != '"').map(Token::Literal)),
            '[' => tokens.push(Token::Bracket(
                chars.by_ref().take_while(|c| *c != ']').collect(),
            )),
            ';' => tokens.push(Token::Section),
            c => tokens.push(Token::Code(c)),
        }
    }
    tokens
}

/// Dates, times and elapsed times; `None` for anything else.
fn time_kind(section: &[Token]) -> Option<NumberKind> {
    let is_elapsed = |content: &str| {
        let mut letters = content.chars().map(|c| c.to_ascii_lowercase());
        let first = letters.next();
        matches!(first, Some('h' | 'm' | 's')) && letters.all(|c| Some(c) == first)
    };
    if section
        .iter()
        .any(|token| matches!(token, Token::Bracket(content) if is_elapsed(content)))
    {
        return Some(NumberKind::Duration);
    }
    let codes = section.iter().filter_map(|token| match token {
        Token::Code(c) => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    let codes: String = codes.collect();
    // "General" may stand beside literals; its letters are no date.
    let codes = codes.replace("general", "");
    let is_date = codes.char_indices().any(|(at, c)| match c {
        'd' | 'm' | 'y' | 'h' | 's' | 'g' | 'b' => true,
        // The year of an era, unless it is the exponent of 0.00E+00.
        'e' => !matches!(codes.as_bytes().get(at + 1), Some(b'+' | b'-')),
        'a' => matches!(codes.as_bytes().get(at + 1), Some(b'/' | b'm')),
        _ => false,
    });
    is_date.then_some(NumberKind::DateTime)
}

/// A section of at least two zeros and literals. `0` alone is a whole number, whose value says
/// everything that its format shows.
fn zeros(section: &[Token], excludes_zero: bool) -> Option<ZerosFormat> {
    let mut pieces = Vec::with_capacity(section.len());
    for token in section {
        match token {
            Token::Code('0') => pieces.push(Piece::Digit),
            Token::Code(c @ ('-' | '+' | '(' | ')' | ' ' | ':')) | Token::Literal(c) => {
                pieces.push(Piece::Literal(*c));
            }
            Token::Layout => {}
            // A locale or a colour; a currency or a condition makes it a number.
            Token::Bracket(content)
                if !content.starts_with(['<', '>', '='])
                    && (!content.starts_with('$') || content.starts_with("$-")) => {}
            _ => return None,
        }
    }
    let n_digits = pieces
        .iter()
        .filter(|piece| **piece == Piece::Digit)
        .count();
    (n_digits >= 2).then_some(ZerosFormat {
        pieces,
        n_digits,
        excludes_zero,
    })
}

#[cfg(test)]
mod tests;
