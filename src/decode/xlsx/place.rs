//! References of cells and rows: `B12`, `12`.
//!
//! In: bytes. Out: 0-based places on a sheet; nothing else passes. No state.

use crate::decode::sheet::cells::{COLUMNS_OF_SHEET, ROWS_OF_SHEET};

/// The 0-based row of `12`; `None` beyond row 1048576 and for anything that is no number.
pub(crate) fn row_index(number: &[u8]) -> Option<u32> {
    if number.is_empty() || number.len() > 7 {
        return None;
    }
    let mut row: u32 = 0;
    for byte in number {
        if !byte.is_ascii_digit() {
            return None;
        }
        row = row * 10 + u32::from(byte - b'0');
    }
    (1..=ROWS_OF_SHEET).contains(&row).then(|| row - 1)
}

/// The 0-based row and column of `B12`; `None` beyond XFD1048576 and for anything else.
pub(crate) fn cell_place(reference: &[u8]) -> Option<(u32, u32)> {
    let mut column: u32 = 0;
    let mut n_letters = 0;
    for byte in reference.iter().take(3) {
        if !byte.is_ascii_alphabetic() {
            break;
        }
        column = column * 26 + u32::from(byte.to_ascii_uppercase() - b'A') + 1;
        n_letters += 1;
    }
    let row = row_index(&reference[n_letters..])?;
    (1..=COLUMNS_OF_SHEET)
        .contains(&column)
        .then(|| (row, column - 1))
}

/// The number of rows of `A1:B12`, for progress only; `None` for anything else.
pub(crate) fn n_rows_of(dimension: &[u8]) -> Option<u64> {
    let last = dimension.rsplit(|byte| *byte == b':').next()?;
    let (row, _) = cell_place(last)?;
    Some(u64::from(row) + 1)
}

#[cfg(test)]
mod tests;
