//! The cells of an xlsb sheet.
//!
//! In: the sheet's part as it inflates. Out: one [`BinaryCell`] at a time, in the order of the
//! sheet, blank ones left out. Nothing is kept but the current record; the order of rows and
//! columns is checked by whoever assembles them.

use std::io::Read;

use crate::decode::error::DecodeError;
use crate::decode::sheet::cells::{COLUMNS_OF_SHEET, ROWS_OF_SHEET, error_code_text};
use crate::decode::sheet::xlsb::records::{Fields, Records};

// Record types, MS-XLSB 2.3.2.
const ROW: u16 = 0x0000;
const CELL_BLANK: u16 = 0x0001;
const CELL_RK: u16 = 0x0002;
const CELL_ERROR: u16 = 0x0003;
const CELL_BOOL: u16 = 0x0004;
const CELL_REAL: u16 = 0x0005;
const CELL_TEXT: u16 = 0x0006;
const CELL_SHARED_TEXT: u16 = 0x0007;
const FORMULA_TEXT: u16 = 0x0008;
const FORMULA_NUMBER: u16 = 0x0009;
const FORMULA_BOOL: u16 = 0x000a;
const FORMULA_ERROR: u16 = 0x000b;
// Without a column: they stand behind the cell before them.
const SHORT_BLANK: u16 = 0x000c;
const SHORT_RK: u16 = 0x000d;
const SHORT_ERROR: u16 = 0x000e;
const SHORT_BOOL: u16 = 0x000f;
const SHORT_REAL: u16 = 0x0010;
const SHORT_TEXT: u16 = 0x0011;
const SHORT_SHARED_TEXT: u16 = 0x0012;
const CELL_RICH_TEXT: u16 = 0x003e;
const BEGIN_SHEET_DATA: u16 = 0x0091;
const END_SHEET_DATA: u16 = 0x0092;
const DIMENSION: u16 = 0x0094;

/// One cell of the sheet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BinaryCell<'r> {
    /// 0-based.
    pub(crate) row: u32,
    /// 0-based.
    pub(crate) column: u32,
    /// Index into the cell formats.
    pub(crate) style: usize,
    /// What it holds.
    pub(crate) value: BinaryValue<'r>,
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum BinaryValue<'r> {
    /// A number, whatever its format.
    Number(f64),
    /// TRUE or FALSE.
    Bool(bool),
    /// An error value.
    Error(&'static str),
    /// A text.
    Text(&'r str),
    /// Index of a shared string.
    Shared(u32),
}

/// Iterates over the cells of a sheet.
#[derive(Debug)]
pub(crate) struct BinaryCells<R> {
    records: Records<R>,
    n_rows_hint: Option<u64>,
    row: Option<u32>,
    next_column: u32,
    text: String,
}

// === impl BinaryCells ===

impl<R: Read> BinaryCells<R> {
    /// Goes to the first cell of the sheet in `source`, which errors call `part`.
    pub(crate) fn new(source: R, part: &str) -> Result<BinaryCells<R>, DecodeError> {
        let mut records = Records::new(source, part);
        let mut n_rows_hint = None;
        loop {
            match records.next(|kind| matches!(kind, BEGIN_SHEET_DATA | DIMENSION))? {
                Some((DIMENSION, mut fields)) => {
                    let last_row = fields.u32().and_then(|_| fields.u32());
                    n_rows_hint = last_row.map(|row| u64::from(row) + 1);
                }
                Some(_) => break,
                None => return Err(records.corrupt("has no sheet data")),
            }
        }
        Ok(BinaryCells {
            records,
            n_rows_hint,
            row: None,
            next_column: 0,
            text: String::new(),
        })
    }

    /// Rows that the sheet says it has.
    pub(crate) fn n_rows_hint(&self) -> Option<u64> {
        self.n_rows_hint
    }

    /// The next cell with content; `None` where the sheet's data end.
    pub(crate) fn next(&mut self) -> Result<Option<BinaryCell<'_>>, DecodeError> {
        let wants =
            |kind| kind <= SHORT_SHARED_TEXT || matches!(kind, CELL_RICH_TEXT | END_SHEET_DATA);
        loop {
            let Some((kind, mut fields)) = self.records.next(wants)? else {
                return Err(self.records.corrupt("ends inside the sheet data"));
            };
            match kind {
                END_SHEET_DATA => return Ok(None),
                ROW => {
                    let row = fields.u32().filter(|row| *row < ROWS_OF_SHEET);
                    match row {
                        Some(row) if self.row.is_none_or(|last| row > last) => self.row = Some(row),
                        Some(_) => return Err(self.records.corrupt("has rows out of order")),
                        None => return Err(self.records.corrupt("has rows beyond 1048576")),
                    }
                    self.next_column = 0;
                }
                _ => {
                    let place = place(kind, self.next_column, &mut fields);
                    let (Some(row), Some((column, style))) = (self.row, place) else {
                        return Err(self.records.corrupt("has a cell without a place"));
                    };
                    self.next_column = column + 1;
                    if matches!(kind, CELL_BLANK | SHORT_BLANK) {
                        continue;
                    }
                    self.text.clear();
                    let Some(value) = value(kind, &mut fields, &mut self.text) else {
                        return Err(self.records.corrupt("has a cell without a value"));
                    };
                    return Ok(Some(BinaryCell {
                        row,
                        column,
                        style,
                        value: value.with(&self.text),
                    }));
                }
            }
        }
    }
}

/// Column and style of a cell; `None` if the record is too short or the column beyond the sheet.
fn place(kind: u16, next_column: u32, fields: &mut Fields<'_>) -> Option<(u32, usize)> {
    let column = match kind {
        SHORT_BLANK..=SHORT_SHARED_TEXT => next_column,
        _ => fields.u32()?,
    };
    if column >= COLUMNS_OF_SHEET || column < next_column {
        return None;
    }
    // 24 bits of style, 8 bits of flags.
    let style = usize::try_from(fields.u32()? & 0x00ff_ffff).ok()?;
    Some((column, style))
}

/// What a cell holds; text goes to `text`. `None` if the record is too short.
fn value(kind: u16, fields: &mut Fields<'_>, text: &mut String) -> Option<BinaryValue<'static>> {
    Some(match kind {
        CELL_RK | SHORT_RK => BinaryValue::Number(rk_number(fields.u32()?)),
        CELL_REAL | SHORT_REAL | FORMULA_NUMBER => BinaryValue::Number(fields.f64()?),
        CELL_BOOL | SHORT_BOOL | FORMULA_BOOL => BinaryValue::Bool(fields.u8()? != 0),
        CELL_ERROR | SHORT_ERROR | FORMULA_ERROR => {
            BinaryValue::Error(error_code_text(fields.u8()?))
        }
        CELL_SHARED_TEXT | SHORT_SHARED_TEXT => BinaryValue::Shared(fields.u32()?),
        CELL_TEXT | SHORT_TEXT | FORMULA_TEXT => {
            fields.text(text)?;
            BinaryValue::Text("")
        }
        CELL_RICH_TEXT => {
            // What follows the text: its formatting, pronunciation.
            fields.u8()?;
            fields.text(text)?;
            BinaryValue::Text("")
        }
        _ => return None,
    })
}

/// MS-XLSB 2.5.122: 30 bits of an integer or of a double, and whether it is hundredths.
fn rk_number(rk: u32) -> f64 {
    let value = if rk & 2 == 0 {
        f64::from_bits(u64::from(rk & !3) << 32)
    } else {
        f64::from(rk.cast_signed() >> 2)
    };
    if rk & 1 == 0 { value } else { value / 100.0 }
}

// === impl BinaryValue ===

impl BinaryValue<'static> {
    /// The same with the text that was read.
    fn with(self, text: &str) -> BinaryValue<'_> {
        match self {
            BinaryValue::Text(_) => BinaryValue::Text(text),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
