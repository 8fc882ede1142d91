//! The cell that nearly every cell is: `<c r="B12" s="3" t="s"><v>7</v></c>`.
//!
//! In: bytes that begin where a tag may begin. Out: what the cell says, if it is of this form to
//! the letter, white space before it apart; anything else is left to the tags, which cost some
//! times as much a cell. No state.

use crate::decode::sheet::cells::{COLUMNS_OF_SHEET, ROWS_OF_SHEET};
use crate::decode::xlsx::text;
use crate::decode::xlsx::value::CellType;

/// A usual cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsualCell<'b> {
    /// 0-based.
    pub(crate) row: u32,
    /// 0-based.
    pub(crate) column: u32,
    /// Its cell format.
    pub(crate) style: u32,
    /// The type of its value.
    pub(crate) cell_type: CellType,
    /// What stands in its `<v>`, free of markup and escapes; empty if there is none.
    pub(crate) value: &'b [u8],
    /// Bytes up to the cell's end.
    pub(crate) n_bytes: usize,
}

/// The cell that `bytes` begin with, if it is a usual one and all of it is there.
pub(crate) fn cell(bytes: &[u8]) -> Option<UsualCell<'_>> {
    let rest = bytes.trim_ascii_start().strip_prefix(b"<c r=\"")?;
    let (column, rest) = letters(rest)?;
    let (row, rest) = digits(rest)?;
    let mut rest = rest.strip_prefix(b"\"")?;
    if !(1..=COLUMNS_OF_SHEET).contains(&column) || !(1..=ROWS_OF_SHEET).contains(&row) {
        return None;
    }
    let mut style = None;
    let mut cell_type = None;
    loop {
        if let Some(after) = rest.strip_prefix(b" s=\"")
            && style.is_none()
        {
            let (number, after) = digits(after)?;
            style = Some(number);
            rest = after.strip_prefix(b"\"")?;
        } else if let Some(after) = rest.strip_prefix(b" t=\"")
            && cell_type.is_none()
        {
            let length = after.iter().take(8).position(|byte| *byte == b'"')?;
            cell_type = Some(CellType::of(&after[..length])?);
            rest = &after[length + 1..];
        } else {
            break;
        }
    }
    let cell_type = cell_type.unwrap_or(CellType::Untyped);
    let (value, rest) = match rest.strip_prefix(b"/>") {
        Some(rest) => (&rest[..0], rest),
        None => value(rest, cell_type)?,
    };
    Some(UsualCell {
        row: row - 1,
        column: column - 1,
        style: style.unwrap_or_default(),
        cell_type,
        value,
        n_bytes: bytes.len() - rest.len(),
    })
}

/// What stands in `><v>..</v></c>`, and what follows.
fn value(bytes: &[u8], cell_type: CellType) -> Option<(&[u8], &[u8])> {
    let value = bytes.strip_prefix(b"><v>")?;
    let length = match cell_type {
        CellType::SharedString | CellType::Number | CellType::Untyped => {
            value.iter().take(32).position(|byte| *byte == b'<')?
        }
        _ => memchr::memchr(b'<', value)?,
    };
    let (value, rest) = value.split_at(length);
    let rest = rest.strip_prefix(b"</v></c>")?;
    let is_plain = match cell_type {
        CellType::SharedString => true,
        CellType::FormulaText => {
            memchr::memchr2(b'&', b'\r', value).is_none() && !text::may_be_escaped(value)
        }
        _ => memchr::memchr2(b'&', b'\r', value).is_none(),
    };
    // What an empty value says depends on what else is in the cell.
    let is_told =
        cell_type == CellType::FormulaText || value.first().is_some_and(u8::is_ascii_graphic);
    (is_plain && is_told && length > 0 && cell_type != CellType::InlineText)
        .then_some((value, rest))
}

/// One to three capital letters as a 1-based column, and what follows.
fn letters(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut column = 0;
    let mut n_letters = 0;
    for byte in bytes.iter().take(4) {
        if !byte.is_ascii_uppercase() {
            break;
        }
        column = column * 26 + u32::from(byte - b'A') + 1;
        n_letters += 1;
    }
    (n_letters <= 3).then(|| (column, &bytes[n_letters..]))
}

/// One to seven digits as a number, and what follows.
fn digits(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0;
    let mut n_digits = 0;
    for byte in bytes.iter().take(8) {
        if !byte.is_ascii_digit() {
            break;
        }
        number = number * 10 + u32::from(byte - b'0');
        n_digits += 1;
    }
    (1..=7)
        .contains(&n_digits)
        .then(|| (number, &bytes[n_digits..]))
}

#[cfg(test)]
mod tests;
