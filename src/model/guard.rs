//! The guard against formulas in files that spreadsheet programs open.
//!
//! In: a cell's text. Out: the text as an export has it, and back. A text that a program could take
//! for a formula gets a `'` in front. So does one that begins with such a mark already, so that
//! taking one off always gives the text as it was. Plain numbers such as -5 and +49 are harmless.

use std::borrow::Cow;

/// What goes in front.
const GUARD: char = '\'';

/// `text` for CSV: guarded if it could be taken for a formula.
pub fn guarded(text: &str) -> Cow<'_, str> {
    if is_formula(text.trim_start_matches(GUARD)) && !is_plain_number(text) {
        Cow::Owned(format!("{GUARD}{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// `text` for a workbook, whose cells are strings and need no guard: guarded only if
/// [`unguarded`] would otherwise take something off. So a file may be saved in the other format
/// on its way back.
pub fn guarded_string(text: &str) -> Cow<'_, str> {
    if text.starts_with(GUARD) {
        guarded(text)
    } else {
        Cow::Borrowed(text)
    }
}

/// The text as it was before either.
pub fn unguarded(text: &str) -> &str {
    match text.strip_prefix(GUARD) {
        Some(rest) if is_formula(rest.trim_start_matches(GUARD)) => rest,
        _ => text,
    }
}

/// Whether a program may take the text for a formula, by its first character. The wide forms are
/// the same as the narrow ones to programs that are set to an East Asian language.
pub fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

/// A sign, digits, and at most one decimal separator among them.
fn is_plain_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(['+', '-']) else {
        return false;
    };
    let (whole, fraction) = digits.split_once(['.', ',']).unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    is_digits(whole) && is_digits(fraction)
}

#[cfg(test)]
mod tests;
