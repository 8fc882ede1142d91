//! The type of a cell, and its value as written.
//!
//! In: the `t` of a cell and the content of its `<v>`. Out: a number, a flag, an index. No state.

/// What a cell's `t` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CellType {
    /// None is given: a number, or, for some programs, whatever it looks like.
    Untyped,
    /// `n`
    Number,
    /// `s`: an index of a shared string.
    SharedString,
    /// `str`: the text that a formula gave.
    FormulaText,
    /// `inlineStr`: the text stands in the cell.
    InlineText,
    /// `b`
    Bool,
    /// `e`
    Error,
    /// `d`: ISO 8601.
    Date,
}

// === impl CellType ===

impl CellType {
    /// The type; `None` for what is none.
    pub(crate) fn of(value: &[u8]) -> Option<CellType> {
        Some(match value {
            b"s" => CellType::SharedString,
            b"n" => CellType::Number,
            b"str" => CellType::FormulaText,
            b"inlineStr" | b"is" => CellType::InlineText,
            b"b" => CellType::Bool,
            b"e" => CellType::Error,
            b"d" => CellType::Date,
            _ => return None,
        })
    }
}

/// A number as programs write it; `None` for anything else.
pub(crate) fn number(text: &[u8]) -> Option<f64> {
    // Most numbers are whole and short; the others go through the library's parser.
    if (1..=15).contains(&text.len()) {
        let mut whole: u64 = 0;
        let is_whole = text.iter().all(|byte| {
            whole = whole * 10 + u64::from(byte.wrapping_sub(b'0'));
            byte.is_ascii_digit()
        });
        if is_whole {
            return Some(whole as f64);
        }
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An index or count of at most ten digits; `None` for anything else.
pub(crate) fn index(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        text.iter()
            .fold(0, |index, digit| index * 10 + u64::from(digit - b'0')),
    )
}

/// An XML Schema boolean, as calamine takes it; `None` for anything else.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        text if text.eq_ignore_ascii_case("true") => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
