//! Where the cells of an xlsx sheet stand, and what calamine does not say about them.
//!
//! In: the sheet's part, inflated a second time. Out: one [`Place`] for every `<c>`, in step
//! with calamine's cell reader. It exists because that reader trusts references (beyond
//! XFD1048576, out of order, overflowing), takes a shared string index that is no number for
//! string 0, drops a value that is followed by its formula, and does not tell a formula without
//! a value from an empty cell unless number formats are given up. All of that is refused or
//! told here. Nothing is kept but the current place.

use std::io::Read;

use crate::decode::error::DecodeError;
use crate::decode::sheet::cells::{COLUMNS_OF_SHEET, ROWS_OF_SHEET};
use crate::decode::sheet::tags::{TagKind, Tags};

mod usual;

/// One cell of the sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// 0-based.
    pub(crate) row: u32,
    /// 0-based.
    pub(crate) column: u32,
    /// Whether the cell has no reference and stands where the one before it ended.
    pub(crate) is_implicit: bool,
    /// Whether it is a formula that no program has computed.
    pub(crate) is_formula_without_value: bool,
}

/// Iterates over the cells of a sheet.
#[derive(Debug)]
pub(crate) struct Places<R> {
    tags: Tags<R>,
    /// The row that is open, or the one that follows the last.
    row: u32,
    is_row_open: bool,
    column: u32,
    is_done: bool,
}

/// What an attribute says about a place.
#[derive(Debug, Clone, Copy)]
enum Given<T> {
    /// It is missing.
    Nothing,
    /// It is no place of a sheet.
    Broken,
    /// This place.
    Is(T),
}

/// What a cell's `t` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellType {
    SharedString,
    FormulaText,
    InlineText,
    Other,
}

// === impl Places ===

impl<R: Read> Places<R> {
    /// Goes to the first cell of the sheet in `source`, which errors call `part`.
    pub(crate) fn new(source: R, part: &str) -> Result<Places<R>, DecodeError> {
        let mut tags = Tags::new(source, part);
        let is_done = loop {
            match tags.next()? {
                Some(tag) if tag.name == b"sheetData" && tag.kind != TagKind::End => {
                    break tag.kind == TagKind::Empty;
                }
                Some(_) => {}
                None => return Err(tags.corrupt("has no sheetData")),
            }
        };
        Ok(Places {
            tags,
            row: 0,
            is_row_open: false,
            column: 0,
            is_done,
        })
    }

    /// The next cell; `None` where the sheet's data end.
    pub(crate) fn next(&mut self) -> Result<Option<Place>, DecodeError> {
        if self.is_done {
            return Ok(None);
        }
        if let Some(usual) = usual::cell(self.tags.ahead()) {
            let reference = place_of(usual.reference(self.tags.ahead()));
            self.tags.consume(usual.n_bytes());
            return self.place(reference).map(Some);
        }
        loop {
            let Some(tag) = self.tags.next()? else {
                return Err(self.tags.corrupt("ends inside sheetData"));
            };
            match (tag.name, tag.kind) {
                (b"row", TagKind::Start | TagKind::Empty) => {
                    let is_empty = tag.kind == TagKind::Empty;
                    let number = tag.attribute(b"r").map_or(Given::Nothing, |number| {
                        row_index(number).map_or(Given::Broken, Given::Is)
                    });
                    self.open_row(number)?;
                    if is_empty {
                        self.close_row();
                    }
                }
                (b"row", TagKind::End) => self.close_row(),
                (b"c", TagKind::Start | TagKind::Empty) => {
                    let kind = tag.kind;
                    let mut reference = Given::Nothing;
                    let mut cell_type = CellType::Other;
                    for (name, value) in tag.attributes() {
                        match name {
                            b"r" => reference = place_of(value),
                            b"t" => cell_type = CellType::of(value),
                            _ => {}
                        }
                    }
                    let mut place = self.place(reference)?;
                    if kind == TagKind::Start {
                        place.is_formula_without_value = self.content(cell_type)?;
                    }
                    return Ok(Some(place));
                }
                (b"sheetData", TagKind::End) => {
                    self.is_done = true;
                    return Ok(None);
                }
                _ => {}
            }
        }
    }

    fn open_row(&mut self, number: Given<u32>) -> Result<(), DecodeError> {
        if self.is_row_open {
            return Err(self.tags.corrupt("has a row inside a row"));
        }
        match number {
            Given::Is(row) if row < self.row => {
                return Err(self
                    .tags
                    .corrupt(&format!("row {} is out of order", row + 1)));
            }
            Given::Is(row) => self.row = row,
            Given::Broken => return Err(self.tags.corrupt("has a row number that is none")),
            Given::Nothing if self.row >= ROWS_OF_SHEET => {
                return Err(self.tags.corrupt("has rows beyond 1048576"));
            }
            Given::Nothing => {}
        }
        self.is_row_open = true;
        self.column = 0;
        Ok(())
    }

    fn close_row(&mut self) {
        self.is_row_open = false;
        self.row += 1;
        self.column = 0;
    }

    fn place(&mut self, reference: Given<(u32, u32)>) -> Result<Place, DecodeError> {
        let row = self.row;
        let column = match reference {
            Given::Is((_, at_row)) if at_row != row => {
                return Err(self.tags.corrupt(&format!(
                    "a cell of row {} stands in row {}",
                    at_row + 1,
                    row + 1
                )));
            }
            Given::Is((column, _)) => column,
            Given::Broken => return Err(self.tags.corrupt("has a cell reference that is none")),
            Given::Nothing => self.column,
        };
        if !self.is_row_open {
            return Err(self.tags.corrupt("has a cell outside of a row"));
        }
        if column < self.column {
            return Err(self
                .tags
                .corrupt(&format!("cells of row {} are out of order", row + 1)));
        }
        if column >= COLUMNS_OF_SHEET {
            return Err(self.tags.corrupt("has cells beyond column XFD"));
        }
        self.column = column + 1;
        Ok(Place {
            row,
            column,
            is_implicit: matches!(reference, Given::Nothing),
            is_formula_without_value: false,
        })
    }

    /// Reads to the end of a cell; whether it is a formula without a value.
    fn content(&mut self, cell_type: CellType) -> Result<bool, DecodeError> {
        let mut has_formula = false;
        let mut has_value = false;
        let mut has_text = false;
        loop {
            let Some(tag) = self.tags.next()? else {
                return Err(self.tags.corrupt("ends inside a cell"));
            };
            match (tag.name, tag.kind) {
                (b"c", TagKind::End) => break,
                (b"f", kind) => {
                    if has_value || has_text {
                        return Err(self.tags.corrupt("has a formula behind its value"));
                    }
                    has_formula = true;
                    if kind == TagKind::Start {
                        self.tags.skip_element()?;
                    }
                }
                (b"is", TagKind::Start) => {
                    has_text = true;
                    self.tags.skip_element()?;
                }
                (b"v", TagKind::Start) => {
                    if has_value || has_text {
                        return Err(self.tags.corrupt("has two values in a cell"));
                    }
                    has_value = self.value(cell_type)?;
                }
                // `<v/>` is the empty text of a formula, or nothing.
                (b"v", TagKind::Empty) => has_value |= cell_type == CellType::FormulaText,
                (b"is", TagKind::Empty) => has_text = true,
                _ => {
                    return Err(self.tags.corrupt("has a cell with unknown content"));
                }
            }
        }
        Ok(has_formula && !has_value && !has_text)
    }

    /// Reads a `<v>`; whether it has a value.
    fn value(&mut self, cell_type: CellType) -> Result<bool, DecodeError> {
        let text = self.tags.text()?;
        let has_value = !text.is_empty() || cell_type == CellType::FormulaText;
        let is_odd = match cell_type {
            CellType::SharedString => {
                // calamine takes an index that it cannot read for 0.
                text.len() > 10 || !text.iter().all(u8::is_ascii_digit)
            }
            // calamine stops reading a number at the first character reference.
            CellType::Other => memchr::memchr(b'&', text).is_some(),
            CellType::FormulaText | CellType::InlineText => false,
        };
        if is_odd {
            return Err(self.tags.corrupt("has a cell whose value is no number"));
        }
        // A comment would do as well: calamine reads what is before it.
        let ends_here = self.tags.is_at_end_tag()?;
        match self.tags.next()? {
            Some(tag) if ends_here && tag.name == b"v" => Ok(has_value),
            _ => Err(self.tags.corrupt("has markup inside a value")),
        }
    }
}

// === impl CellType ===

impl CellType {
    fn of(value: &[u8]) -> CellType {
        match value {
            b"s" => CellType::SharedString,
            b"str" => CellType::FormulaText,
            b"inlineStr" | b"is" => CellType::InlineText,
            _ => CellType::Other,
        }
    }
}

fn place_of(reference: &[u8]) -> Given<(u32, u32)> {
    split_reference(reference).map_or(Given::Broken, Given::Is)
}

/// The 0-based row of `12`; `None` beyond row 1048576 and for anything that is no number.
fn row_index(number: &[u8]) -> Option<u32> {
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

/// The 0-based column and row of `B12`; `None` beyond XFD1048576 and for anything else.
fn split_reference(reference: &[u8]) -> Option<(u32, u32)> {
    let n_letters = reference
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    if !(1..=3).contains(&n_letters) {
        return None;
    }
    let (letters, digits) = reference.split_at(n_letters);
    let column = letters.iter().fold(0, |column, letter| {
        column * 26 + u32::from(letter.to_ascii_uppercase() - b'A') + 1
    });
    let row = row_index(digits)?;
    (column <= COLUMNS_OF_SHEET).then(|| (column - 1, row))
}

#[cfg(test)]
mod tests;
