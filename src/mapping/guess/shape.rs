//! What a cell looks like, whatever format it comes from: a CSV has nothing but texts.

use crate::model::cell::Cell;

/// Texts of more characters are no words.
const WORD_CHARS_MAX: usize = 60;

/// What a cell looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// No content.
    Empty,
    /// A short text of letters.
    Word,
    /// A short text of letters with three digits or more, such as `AB-1001`.
    Code,
    /// A long text, or one of several lines.
    Long,
    /// A number.
    Number,
    /// A date or a time.
    Date,
    /// Yes or no.
    Bool,
    /// An e-mail address.
    Email,
    /// An address of the web.
    Url,
    /// A telephone number, written as such.
    Phone,
}

/// What `cell` looks like.
pub fn shape(cell: Cell<'_>) -> Shape {
    match cell {
        Cell::Empty | Cell::Null | Cell::Unset => Shape::Empty,
        Cell::Text(text) | Cell::InvalidText(text) => of_text(text.trim()),
        Cell::Number(_)
        | Cell::ZerosNumber { .. }
        | Cell::Int(_)
        | Cell::Double(_)
        | Cell::Decimal(_)
        | Cell::Bytes(_)
        // What stands for a value that was to be computed.
        | Cell::FormulaWithoutValue
        | Cell::Error(_) => Shape::Number,
        Cell::Bool(_) => Shape::Bool,
        Cell::DateSerial { .. }
        | Cell::Duration(_)
        | Cell::IsoDateTime(_)
        | Cell::Date(_)
        | Cell::Time(_)
        | Cell::Timestamp { .. } => Shape::Date,
    }
}

fn of_text(text: &str) -> Shape {
    if text.is_empty() {
        return Shape::Empty;
    }
    let n_chars = text.chars().take(WORD_CHARS_MAX + 1).count();
    if is_url(text) {
        return Shape::Url;
    }
    if text.contains('\n') || n_chars > WORD_CHARS_MAX {
        // Headers are broken into lines too, but short.
        let is_short = n_chars <= WORD_CHARS_MAX && text.lines().count() <= 2;
        return if is_short { Shape::Word } else { Shape::Long };
    }
    if is_email(text) {
        return Shape::Email;
    }
    let n_digits = text.chars().filter(char::is_ascii_digit).count();
    let has_letters = text.chars().any(char::is_alphabetic);
    if n_digits == 0 {
        let lower = text.to_lowercase();
        let is_bool = matches!(lower.as_str(), "true" | "false" | "yes" | "no");
        return if is_bool { Shape::Bool } else { Shape::Word };
    }
    if has_letters {
        return if n_digits > 2 {
            of_letters_and_digits(text)
        } else {
            Shape::Word
        };
    }
    if is_date(text) {
        Shape::Date
    } else if n_digits >= 7 && text.contains(['+', '(', ' ', '/', '-']) {
        Shape::Phone
    } else {
        Shape::Number
    }
}

/// `2024-02-29T13:45:30Z`, or a code.
fn of_letters_and_digits(text: &str) -> Shape {
    let date = text.get(..10).is_some_and(is_date);
    if date { Shape::Date } else { Shape::Code }
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && host.contains('.')
            && !host.contains('@')
            && !text.contains(char::is_whitespace)
    })
}

fn is_url(text: &str) -> bool {
    let is_plain = !text.contains(char::is_whitespace);
    is_plain
        && ["http://", "https://", "www."]
            .iter()
            .any(|it| text.starts_with(it))
}

/// Three numbers, the year among them, or a time.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let is_time = |text: &str| {
        let parts: Vec<&str> = text.split(':').collect();
        (2..=3).contains(&parts.len())
            && parts[..2]
                .iter()
                .all(|part| (1..=2).contains(&part.len()) && is_digits(part))
    };
    if is_time(text) {
        return true;
    }
    ['-', '/', '.'].iter().any(|separator| {
        let parts: Vec<&str> = date.split(*separator).collect();
        parts.len() == 3
            && parts.iter().all(|part| is_digits(part) && part.len() <= 4)
            && (parts[0].len() == 4 || matches!(parts[2].len(), 2 | 4))
            && parts[1].len() <= 2
    }) && time.is_none_or(|time| is_time(time.trim_end_matches('Z')))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
