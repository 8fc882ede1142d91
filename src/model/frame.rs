//! Rows as read, packed end to end: what decoders and row imports hand to the mapping.
//!
//! In: cells, through [`FrameBuilder`], or bytes from another process, through
//! [`Frame::parse`], which trusts nothing. Out: [`FrameRow`]s and their [`Cell`]s, borrowed.
//! Bounded by whoever fills it: a builder reports its size and its maker cuts frames at
//! [`FRAME_BYTES_TARGET`].
//!
//! ```text
//! frame = row*
//! row   = u32 length of what follows | u64 ordinal | u64 row number | u32 sheet length, sheet
//!         | u32 cells | cell*                                   (all little-endian)
//! cell  = u8 tag | payload: nothing, 8 or 12 bytes, or u32 length + bytes, by tag
//! ```
//!
//! A row's cells have one encoding only, so equal cells mean equal bytes: [`FrameRow::hash`]
//! relies on it.

use std::str;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::model::cell::{Cell, DateSystem};

/// Makers of frames start a new one once this many bytes are reached.
pub const FRAME_BYTES_TARGET: usize = 64 * 1024;

/// Rows packed end to end; well-formed by construction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    bytes: Vec<u8>,
    n_rows: usize,
}

/// Bytes that are not a frame.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("malformed frame at byte {at}: {what}")]
pub struct FrameError {
    /// Offset into the frame.
    pub at: usize,
    /// What was expected there.
    pub what: &'static str,
}

/// One row of a frame.
#[derive(Debug, Clone, Copy)]
pub struct FrameRow<'a> {
    /// Position in the import, 0-based; see the words in the design.
    pub ordinal: u64,
    /// What a person is told: the spreadsheet's row, the CSV's physical line, the caller's own
    /// number.
    pub row_number: u64,
    /// The caller's name for where the row came from (row imports); empty for files, where the
    /// sheet is the import's.
    pub sheet: &'a str,
    n_cells: usize,
    cells: &'a [u8],
    /// Where the row starts in its frame, for [`Frame::row_at`].
    pub start: usize,
}

/// Fills a [`Frame`] row by row: `begin_row`, `push` for every cell, `end_row`.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    bytes: Vec<u8>,
    n_rows: usize,
    open: Option<OpenRow>,
}

#[derive(Debug)]
struct OpenRow {
    start: usize,
    n_cells_at: usize,
    n_cells: u32,
}

// One tag a kind of cell. Values are part of the pipe's protocol and of stored hashes.
const EMPTY: u8 = 0;
const TEXT: u8 = 1;
const INVALID_TEXT: u8 = 2;
const NUMBER: u8 = 3;
const ZEROS_NUMBER: u8 = 4;
const FALSE: u8 = 5;
const TRUE: u8 = 6;
const DATE_SERIAL_1900: u8 = 7;
const DATE_SERIAL_1904: u8 = 8;
const DURATION: u8 = 9;
const ISO_DATE_TIME: u8 = 10;
const ERROR: u8 = 11;
const FORMULA_WITHOUT_VALUE: u8 = 12;
const NULL: u8 = 20;
const UNSET: u8 = 21;
const INT: u8 = 22;
const DOUBLE: u8 = 23;
const BYTES: u8 = 24;
const DECIMAL: u8 = 25;
const DATE: u8 = 26;
const TIME: u8 = 27;
const TIMESTAMP: u8 = 28;

// === impl Frame ===

impl Frame {
    /// Takes bytes from another process and checks every length, tag and text in them.
    pub fn parse(bytes: Vec<u8>) -> Result<Frame, FrameError> {
        let mut n_rows = 0;
        let mut cursor = Cursor {
            bytes: &bytes,
            at: 0,
        };
        while cursor.at < bytes.len() {
            let row_length = cursor.length("a row's length")?;
            let end = cursor.at + row_length;
            let row = cursor.row_header(end)?;
            let mut cells = Cursor {
                bytes: &bytes[..end],
                at: end - row.cells.len(),
            };
            for _ in 0..row.n_cells {
                cells.cell()?;
            }
            if cells.at != end {
                return Err(FrameError {
                    at: cells.at,
                    what: "the end of the row",
                });
            }
            cursor.at = end;
            n_rows += 1;
        }
        Ok(Frame { bytes, n_rows })
    }

    /// The packed form, as [`Frame::parse`] takes it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Rows in the frame.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The rows in the order in which they were pushed.
    pub fn rows(&self) -> impl Iterator<Item = FrameRow<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at == self.bytes.len() {
                return None;
            }
            let row = self.row_at(at);
            at += 4 + read_u32(&self.bytes, at);
            Some(row)
        })
    }

    /// The row that starts at byte `start`, a value of [`FrameRow::start`] of this very frame.
    pub fn row_at(&self, start: usize) -> FrameRow<'_> {
        let end = start + 4 + read_u32(&self.bytes, start);
        let mut cursor = Cursor {
            bytes: &self.bytes,
            at: start + 4,
        };
        let mut row = cursor
            .row_header(end)
            .expect("a frame is well-formed by construction");
        row.start = start;
        row
    }
}

// === impl FrameRow ===

impl<'a> FrameRow<'a> {
    /// Cells in the row, trailing empty ones included if the source had them.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// The row's cells from the left.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        let mut cursor = Cursor {
            bytes: self.cells,
            at: 0,
        };
        (0..self.n_cells).map(move |_| {
            cursor
                .cell()
                .expect("a frame is well-formed by construction")
        })
    }

    /// A hash of ordinal and cells. Hashes of the rows of a range are summed (wrapping), so that
    /// ranges can be folded and split; row number and sheet are not part of it.
    pub fn hash(&self) -> u128 {
        xxh3_128_with_seed(self.cells, self.ordinal)
    }

    /// Bytes that the row takes up in its frame.
    pub fn n_bytes(&self) -> usize {
        self.cells.len() + self.sheet.len() + 28
    }
}

// === impl FrameBuilder ===

impl FrameBuilder {
    /// An empty builder.
    pub fn new() -> FrameBuilder {
        FrameBuilder::default()
    }

    /// Opens a row.
    ///
    /// # Panics
    /// If a row is open.
    pub fn begin_row(&mut self, ordinal: u64, row_number: u64, sheet: &str) {
        assert!(self.open.is_none(), "begin_row while a row is open");
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&ordinal.to_le_bytes());
        self.bytes.extend_from_slice(&row_number.to_le_bytes());
        self.push_slice(sheet.as_bytes());
        let n_cells_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.open = Some(OpenRow {
            start,
            n_cells_at,
            n_cells: 0,
        });
    }

    /// Adds a cell to the open row.
    ///
    /// # Panics
    /// If no row is open, or if a text or byte string is 4 GiB or longer.
    pub fn push(&mut self, cell: Cell<'_>) {
        let open = self.open.as_mut().expect("push outside of a row");
        open.n_cells += 1;
        match cell {
            Cell::Empty => self.bytes.push(EMPTY),
            Cell::Text(text) => self.push_tagged(TEXT, text.as_bytes()),
            Cell::InvalidText(text) => self.push_tagged(INVALID_TEXT, text.as_bytes()),
            Cell::Number(value) => self.push_f64(NUMBER, value),
            Cell::ZerosNumber { value, shown } => {
                self.push_f64(ZEROS_NUMBER, value);
                self.push_slice(shown.as_bytes());
            }
            Cell::Bool(false) => self.bytes.push(FALSE),
            Cell::Bool(true) => self.bytes.push(TRUE),
            Cell::DateSerial {
                serial,
                system: DateSystem::Y1900,
            } => {
                self.push_f64(DATE_SERIAL_1900, serial);
            }
            Cell::DateSerial {
                serial,
                system: DateSystem::Y1904,
            } => {
                self.push_f64(DATE_SERIAL_1904, serial);
            }
            Cell::Duration(days) => self.push_f64(DURATION, days),
            Cell::IsoDateTime(text) => self.push_tagged(ISO_DATE_TIME, text.as_bytes()),
            Cell::Error(text) => self.push_tagged(ERROR, text.as_bytes()),
            Cell::FormulaWithoutValue => self.bytes.push(FORMULA_WITHOUT_VALUE),
            Cell::Null => self.bytes.push(NULL),
            Cell::Unset => self.bytes.push(UNSET),
            Cell::Int(value) => {
                self.bytes.push(INT);
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
            Cell::Double(value) => self.push_f64(DOUBLE, value),
            Cell::Bytes(bytes) => self.push_tagged(BYTES, bytes),
            Cell::Decimal(text) => self.push_tagged(DECIMAL, text.as_bytes()),
            Cell::Date(text) => self.push_tagged(DATE, text.as_bytes()),
            Cell::Time(text) => self.push_tagged(TIME, text.as_bytes()),
            Cell::Timestamp { seconds, nanos } => {
                self.bytes.push(TIMESTAMP);
                self.bytes.extend_from_slice(&seconds.to_le_bytes());
                self.bytes.extend_from_slice(&nanos.to_le_bytes());
            }
        }
    }

    /// Cells pushed into the open row so far.
    pub fn n_cells_in_row(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.n_cells as usize)
    }

    /// Closes the open row.
    ///
    /// # Panics
    /// If no row is open, or if the row is 4 GiB or longer.
    pub fn end_row(&mut self) {
        let open = self.open.take().expect("end_row outside of a row");
        let row_length = u32::try_from(self.bytes.len() - open.start - 4).expect("row below 4 GiB");
        self.bytes[open.start..open.start + 4].copy_from_slice(&row_length.to_le_bytes());
        self.bytes[open.n_cells_at..open.n_cells_at + 4]
            .copy_from_slice(&open.n_cells.to_le_bytes());
        self.n_rows += 1;
    }

    /// Takes the open row back, as if `begin_row` had not been called.
    pub fn discard_row(&mut self) {
        if let Some(open) = self.open.take() {
            self.bytes.truncate(open.start);
        }
    }

    /// Bytes so far, an open row included.
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Closed rows so far.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Whether no row has been closed.
    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// The closed rows as a frame; the builder is empty afterwards.
    ///
    /// # Panics
    /// If a row is open.
    pub fn take(&mut self) -> Frame {
        assert!(self.open.is_none(), "take while a row is open");
        let capacity = self.bytes.len();
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(capacity));
        Frame {
            bytes,
            n_rows: std::mem::take(&mut self.n_rows),
        }
    }

    /// The closed rows as a frame; an open row stays in the builder.
    pub fn take_closed(&mut self) -> Frame {
        let Some(open) = self.open.as_mut() else {
            return self.take();
        };
        let rest = self.bytes.split_off(open.start);
        open.n_cells_at -= open.start;
        open.start = 0;
        Frame {
            bytes: std::mem::replace(&mut self.bytes, rest),
            n_rows: std::mem::take(&mut self.n_rows),
        }
    }

    fn push_f64(&mut self, tag: u8, value: f64) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    fn push_tagged(&mut self, tag: u8, slice: &[u8]) {
        self.bytes.push(tag);
        self.push_slice(slice);
    }

    fn push_slice(&mut self, slice: &[u8]) {
        let length = u32::try_from(slice.len()).expect("cell below 4 GiB");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(slice);
    }
}

// === impl Cursor ===

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn row_header(&mut self, end: usize) -> Result<FrameRow<'a>, FrameError> {
        let start = self.at - 4;
        let mut inner = Cursor {
            bytes: &self.bytes[..end],
            at: self.at,
        };
        let ordinal = u64::from_le_bytes(inner.array("an ordinal")?);
        let row_number = u64::from_le_bytes(inner.array("a row number")?);
        let sheet = inner.text()?;
        let n_cells = u32::from_le_bytes(inner.array("a number of cells")?) as usize;
        let cells = &inner.bytes[inner.at..end];
        Ok(FrameRow {
            ordinal,
            row_number,
            sheet,
            n_cells,
            cells,
            start,
        })
    }

    fn cell(&mut self) -> Result<Cell<'a>, FrameError> {
        let [tag] = self.array("a cell's tag")?;
        Ok(match tag {
            EMPTY => Cell::Empty,
            TEXT => Cell::Text(self.text()?),
            INVALID_TEXT => Cell::InvalidText(self.text()?),
            NUMBER => Cell::Number(self.f64()?),
            ZEROS_NUMBER => Cell::ZerosNumber {
                value: self.f64()?,
                shown: self.text()?,
            },
            FALSE => Cell::Bool(false),
            TRUE => Cell::Bool(true),
            DATE_SERIAL_1900 => Cell::DateSerial {
                serial: self.f64()?,
                system: DateSystem::Y1900,
            },
            DATE_SERIAL_1904 => Cell::DateSerial {
                serial: self.f64()?,
                system: DateSystem::Y1904,
            },
            DURATION => Cell::Duration(self.f64()?),
            ISO_DATE_TIME => Cell::IsoDateTime(self.text()?),
            ERROR => Cell::Error(self.text()?),
            FORMULA_WITHOUT_VALUE => Cell::FormulaWithoutValue,
            NULL => Cell::Null,
            UNSET => Cell::Unset,
            INT => Cell::Int(i64::from_le_bytes(self.array("an integer")?)),
            DOUBLE => Cell::Double(self.f64()?),
            BYTES => Cell::Bytes(self.slice()?),
            DECIMAL => Cell::Decimal(self.text()?),
            DATE => Cell::Date(self.text()?),
            TIME => Cell::Time(self.text()?),
            TIMESTAMP => Cell::Timestamp {
                seconds: i64::from_le_bytes(self.array("seconds")?),
                nanos: i32::from_le_bytes(self.array("nanoseconds")?),
            },
            _ => {
                return Err(FrameError {
                    at: self.at - 1,
                    what: "a known tag",
                });
            }
        })
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FrameError> {
        let Some(chunk) = self.bytes[self.at..].first_chunk() else {
            return Err(FrameError { at: self.at, what });
        };
        self.at += N;
        Ok(*chunk)
    }

    fn f64(&mut self) -> Result<f64, FrameError> {
        Ok(f64::from_bits(u64::from_le_bytes(self.array("a double")?)))
    }

    fn length(&mut self, what: &'static str) -> Result<usize, FrameError> {
        let at = self.at;
        let length = u32::from_le_bytes(self.array(what)?) as usize;
        if length > self.bytes.len() - self.at {
            return Err(FrameError { at, what });
        }
        Ok(length)
    }

    fn slice(&mut self) -> Result<&'a [u8], FrameError> {
        let length = self.length("a cell's length")?;
        let slice = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(slice)
    }

    fn text(&mut self) -> Result<&'a str, FrameError> {
        let at = self.at;
        str::from_utf8(self.slice()?).map_err(|_| FrameError { at, what: "UTF-8" })
    }
}

fn read_u32(bytes: &[u8], at: usize) -> usize {
    let chunk = bytes[at..]
        .first_chunk()
        .expect("a frame is well-formed by construction");
    u32::from_le_bytes(*chunk) as usize
}

#[cfg(test)]
mod tests;
