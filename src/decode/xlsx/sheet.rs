//! The cells of one sheet, in one pass over its part.
//!
//! In: a scanner of the part, styles and shared strings. Out: cells with their places, to [`Rows`].
//! Cells may lack references: they stand behind the one before. What is out of order, twice,
//! beyond XFD1048576 or refers to nothing is refused, with the cell's name. Bounded by what it
//! reads with; nothing is kept but the current cell. Cancelled by an error of [`Rows`].

use crate::decode::error::{DecodeError, shown};
use crate::decode::limits::Limits;
use crate::decode::sheet::cells::{COLUMNS_OF_SHEET, ROWS_OF_SHEET, Values};
use crate::decode::sheet::rows::Rows;
use crate::decode::xlsx::place::{cell_place, n_rows_of, row_index};
use crate::decode::xlsx::rich::RichText;
use crate::decode::xlsx::scanner::Scanner;
use crate::decode::xlsx::styles::Styles;
use crate::decode::xlsx::tag::{Tag, TagKind};
use crate::decode::xlsx::value::{self, CellType};
use crate::decode::xlsx::workbook::LazyStrings;
use crate::decode::xlsx::{broken, text};
use crate::model::cell::{Cell, column_letters};

mod usual;

/// A sheet whose data come next.
#[derive(Debug)]
pub(crate) struct Sheet {
    scanner: Scanner,
    /// Rows that the part says it has, for progress only.
    pub(crate) n_rows_hint: Option<u64>,
    is_empty: bool,
}

/// What cells are made of besides their own part.
#[derive(Debug)]
pub(crate) struct Context<'c> {
    /// What numbers are.
    pub(crate) styles: &'c Styles,
    /// The shared strings.
    pub(crate) strings: &'c mut LazyStrings,
    /// Makes cells of values.
    pub(crate) values: Values,
    /// Bounds on what a cell holds.
    pub(crate) limits: &'c Limits,
}

/// Reads the data of a sheet.
struct Cells<'c, 's> {
    scanner: Scanner,
    part: String,
    context: Context<'c>,
    rows: &'c mut Rows<'s>,
    cursor: Cursor,
    rich: RichText,
    content: Content,
}

/// Where the next cell stands if it has no reference.
#[derive(Debug, Default)]
struct Cursor {
    /// The row that is open, or the one that follows the last. 0-based.
    row: u32,
    is_row_open: bool,
    /// 0-based.
    column: u32,
}

/// What tags say about a cell.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// 0-based.
    column: u32,
    style: u32,
    cell_type: CellType,
}

/// What is in a cell; the texts are kept for their memory.
#[derive(Debug, Default)]
struct Content {
    has_formula: bool,
    has_value: bool,
    value: String,
    has_text: bool,
    text: String,
}

// === impl Sheet ===

impl Sheet {
    /// Reads up to the data.
    pub(crate) fn open(mut scanner: Scanner) -> Result<Sheet, DecodeError> {
        match scanner.next()? {
            Some(tag) if tag.opens(b"worksheet") => {}
            _ => return Err(scanner.corrupt("has no worksheet")),
        }
        let mut n_rows_hint = None;
        loop {
            let Some(tag) = scanner.next()? else {
                return Err(scanner.corrupt("has no sheetData"));
            };
            match (tag.name, tag.kind) {
                (b"sheetData", TagKind::Start | TagKind::Empty) => {
                    let is_empty = tag.kind == TagKind::Empty;
                    return Ok(Sheet {
                        scanner,
                        n_rows_hint,
                        is_empty,
                    });
                }
                (b"dimension", TagKind::Start | TagKind::Empty) => {
                    let [reference] = tag.attributes([b"ref"])?;
                    n_rows_hint = reference.and_then(n_rows_of);
                    if tag.kind == TagKind::Start {
                        scanner.skip_element()?;
                    }
                }
                (_, TagKind::Start) => scanner.skip_element()?,
                (_, TagKind::Empty | TagKind::End) => {}
            }
        }
    }

    /// Hands all cells to `rows`, or as many as it wants; then the part is read to its end.
    pub(crate) fn read(self, context: Context<'_>, rows: &mut Rows<'_>) -> Result<(), DecodeError> {
        if self.is_empty {
            return self.scanner.skip_rest();
        }
        let mut cells = Cells {
            part: self.scanner.part().to_owned(),
            scanner: self.scanner,
            rich: RichText::new(context.limits.cell_chars_max),
            context,
            rows,
            cursor: Cursor::default(),
            content: Content::default(),
        };
        cells.read()?;
        if cells.rows.is_full() {
            return Ok(());
        }
        cells.scanner.skip_rest()
    }
}

// === impl Cells ===

impl Cells<'_, '_> {
    fn read(&mut self) -> Result<(), DecodeError> {
        loop {
            self.usual_cells()?;
            if self.rows.is_full() {
                return Ok(());
            }
            let Some(tag) = self.scanner.next()? else {
                return Err(self.scanner.corrupt("ends inside sheetData"));
            };
            let kind = tag.kind;
            match (tag.name, kind) {
                (b"row", TagKind::Start | TagKind::Empty) => {
                    self.cursor.open_row(&tag)?;
                    if kind == TagKind::Empty {
                        self.cursor.close_row();
                    }
                }
                (b"row", TagKind::End) => self.cursor.close_row(),
                (b"c", TagKind::Start | TagKind::Empty) => {
                    let head = self.cursor.open_cell(&tag)?;
                    self.content.clear();
                    if kind == TagKind::Start {
                        self.read_content(head)?;
                    }
                    self.take(head)?;
                }
                (b"sheetData", TagKind::End) => return Ok(()),
                (b"extLst", TagKind::Start) => self.scanner.skip_element()?,
                (b"extLst", TagKind::Empty) => {}
                _ => return Err(tag.corrupt("has an unknown element among the cells")),
            }
        }
    }

    /// Takes the usual cells that come next in the window.
    fn usual_cells(&mut self) -> Result<(), DecodeError> {
        while self.cursor.is_row_open && !self.rows.is_full() {
            let Some(cell) = usual::cell(self.scanner.ahead()) else {
                return Ok(());
            };
            let row = self.cursor.row;
            if cell.row != row || cell.column < self.cursor.column {
                // The other way leads to the complaint.
                return Ok(());
            }
            self.cursor.column = cell.column + 1;
            let head = Head {
                column: cell.column,
                style: cell.style,
                cell_type: cell.cell_type,
            };
            let place = Place {
                part: &self.part,
                row,
                head,
            };
            self.context.take(self.rows, place, cell.value)?;
            let n_bytes = cell.n_bytes;
            self.scanner.consume(n_bytes);
        }
        Ok(())
    }

    /// Reads to the end of a cell.
    fn read_content(&mut self, head: Head) -> Result<(), DecodeError> {
        let content = &mut self.content;
        loop {
            let Some(tag) = self.scanner.next()? else {
                return Err(self.scanner.corrupt("ends inside a cell"));
            };
            match (tag.name, tag.kind) {
                (b"c", TagKind::End) => return Ok(()),
                (b"f", kind) => {
                    content.has_formula = true;
                    if kind == TagKind::Start {
                        self.scanner.skip_element()?;
                    }
                }
                (b"v" | b"is", TagKind::Start | TagKind::Empty) => {
                    let is_value = tag.name == b"v";
                    let seen = if is_value {
                        &mut content.has_value
                    } else {
                        &mut content.has_text
                    };
                    if std::mem::replace(seen, true) {
                        return Err(tag.corrupt("has two values in a cell"));
                    }
                    match (is_value, tag.kind) {
                        (_, TagKind::Empty) => {}
                        (true, _) => read_value(&mut self.scanner, &mut content.value)?,
                        (false, _) => self.rich.read(&mut self.scanner, &mut content.text)?,
                    }
                }
                (b"extLst", TagKind::Start) => self.scanner.skip_element()?,
                (b"extLst", TagKind::Empty) => {}
                _ => {
                    let place = Place {
                        part: &self.part,
                        row: self.cursor.row,
                        head,
                    };
                    return Err(place.corrupt("has unknown content"));
                }
            }
        }
    }

    /// Makes a cell of its content.
    fn take(&mut self, head: Head) -> Result<(), DecodeError> {
        let place = Place {
            part: &self.part,
            row: self.cursor.row,
            head,
        };
        let content = &mut self.content;
        let is_inline = head.cell_type == CellType::InlineText;
        if content.has_text {
            // Some programs repeat an inline text as a value.
            if content.has_value && !is_inline {
                return Err(place.corrupt("has two values"));
            }
            let cell = self.context.values.text(&content.text)?;
            return self.rows.cell(place.row, head.column, cell);
        }
        let is_text = is_inline || head.cell_type == CellType::FormulaText;
        let is_vacant = !content.has_value || !is_text && content.value.trim_ascii().is_empty();
        if is_vacant {
            let cell = if content.has_formula {
                Cell::FormulaWithoutValue
            } else {
                Cell::Empty
            };
            return self.rows.cell(place.row, head.column, cell);
        }
        let value = if is_text && text::may_be_escaped(content.value.as_bytes()) {
            text::unescape(&content.value, &mut content.text);
            &content.text
        } else {
            &content.value
        };
        self.context.take(self.rows, place, value.as_bytes())
    }
}

/// Reads the `<v>` that was just opened, and consumes its end.
fn read_value(scanner: &mut Scanner, value: &mut String) -> Result<(), DecodeError> {
    scanner.text(value)?;
    match scanner.next()?.map(|tag| tag.kind) {
        Some(TagKind::End) => Ok(()),
        _ => Err(scanner.corrupt("has markup inside a value")),
    }
}

/// A cell, for those who complain about it.
#[derive(Debug, Clone, Copy)]
struct Place<'p> {
    part: &'p str,
    /// 0-based.
    row: u32,
    head: Head,
}

// === impl Place ===

impl Place<'_> {
    fn corrupt(&self, complaint: &str) -> DecodeError {
        let letters = column_letters(self.head.column + 1);
        broken(
            self.part,
            format!("cell {letters}{} {complaint}", self.row + 1),
        )
    }

    fn no_value(&self, value: &[u8], what: &str) -> DecodeError {
        let value = String::from_utf8_lossy(value);
        self.corrupt(&format!(
            "has the value '{}', which is {what}",
            shown(&value)
        ))
    }
}

// === impl Context ===

impl Context<'_> {
    /// Makes a cell of a value, which is free of references and escapes.
    fn take(
        &mut self,
        rows: &mut Rows<'_>,
        place: Place<'_>,
        value: &[u8],
    ) -> Result<(), DecodeError> {
        let Head {
            column,
            style,
            cell_type,
        } = place.head;
        let row = place.row;
        let is_text = matches!(cell_type, CellType::FormulaText | CellType::InlineText);
        if value.is_empty() && !is_text {
            return rows.cell(row, column, Cell::Empty);
        }
        match cell_type {
            CellType::SharedString => {
                let index = value::index(value)
                    .ok_or_else(|| place.no_value(value, "no number of a string"))?;
                let Some(strings) = self.strings.table()? else {
                    return Err(place.corrupt("refers to a string, and the file has none"));
                };
                let Some(text) = strings.get(index)? else {
                    let complaint = format!(
                        "refers to string {index} of {}, which has {}",
                        strings.part(),
                        strings.n_known()
                    );
                    return Err(place.corrupt(&complaint));
                };
                rows.cell(row, column, self.values.text(text)?)
            }
            CellType::Untyped | CellType::Number => {
                let number = value::number(value.trim_ascii());
                if let Some(number) = number {
                    let cell = self.values.number(number, self.styles.kind(style));
                    return rows.cell(row, column, cell);
                }
                if cell_type == CellType::Number {
                    return Err(place.no_value(value, "no number"));
                }
                // Some programs give no type to texts.
                rows.cell(row, column, self.values.text(utf8(place, value)?)?)
            }
            CellType::FormulaText | CellType::InlineText => {
                rows.cell(row, column, self.values.text(utf8(place, value)?)?)
            }
            CellType::Bool => {
                let flag = value::boolean(utf8(place, value)?.trim_ascii())
                    .ok_or_else(|| place.no_value(value, "neither 0 nor 1"))?;
                rows.cell(row, column, Cell::Bool(flag))
            }
            CellType::Error => {
                let error = utf8(place, value)?.trim_ascii();
                rows.cell(row, column, Cell::Error(error))
            }
            CellType::Date => rows.cell(row, column, Cell::IsoDateTime(utf8(place, value)?)),
        }
    }
}

fn utf8<'v>(place: Place<'_>, value: &'v [u8]) -> Result<&'v str, DecodeError> {
    std::str::from_utf8(value).map_err(|_| place.corrupt("has text that is not UTF-8"))
}

// === impl Content ===

impl Content {
    fn clear(&mut self) {
        self.has_formula = false;
        self.has_value = false;
        self.value.clear();
        self.has_text = false;
        self.text.clear();
    }
}

// === impl Cursor ===

impl Cursor {
    fn open_row(&mut self, tag: &Tag<'_>) -> Result<(), DecodeError> {
        if self.is_row_open {
            return Err(tag.corrupt("has a row inside a row"));
        }
        let [number] = tag.attributes([b"r"])?;
        if let Some(number) = number {
            let row =
                row_index(number).ok_or_else(|| tag.corrupt("has a row number that is none"))?;
            if row < self.row {
                return Err(tag.corrupt(&format!("row {} is out of order", row + 1)));
            }
            self.row = row;
        } else if self.row >= ROWS_OF_SHEET {
            return Err(tag.corrupt("has rows beyond 1048576"));
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

    fn open_cell(&mut self, tag: &Tag<'_>) -> Result<Head, DecodeError> {
        if !self.is_row_open {
            return Err(tag.corrupt("has a cell outside of a row"));
        }
        let [reference, style, cell_type] = tag.attributes([b"r", b"s", b"t"])?;
        let column = match reference {
            Some(reference) => {
                let (row, column) = cell_place(reference)
                    .ok_or_else(|| tag.corrupt("has a cell reference that is none"))?;
                if row != self.row {
                    let complaint =
                        format!("a cell of row {} stands in row {}", row + 1, self.row + 1);
                    return Err(tag.corrupt(&complaint));
                }
                column
            }
            None => self.column,
        };
        if column < self.column {
            let complaint = format!("cells of row {} are out of order", self.row + 1);
            return Err(tag.corrupt(&complaint));
        }
        if column >= COLUMNS_OF_SHEET {
            return Err(tag.corrupt("has cells beyond column XFD"));
        }
        self.column = column + 1;
        let style = match style {
            Some(style) => value::index(style)
                .and_then(|style| u32::try_from(style).ok())
                .ok_or_else(|| tag.corrupt("has a cell style that is no number"))?,
            None => 0,
        };
        let cell_type = match cell_type {
            Some(cell_type) => CellType::of(cell_type)
                .ok_or_else(|| tag.corrupt("has a cell of an unknown type"))?,
            None => CellType::Untyped,
        };
        Ok(Head {
            column,
            style,
            cell_type,
        })
    }
}

#[cfg(test)]
mod tests;
