//! From records to the header and frames of rows.
//!
//! In: what the tokenizer finds. Out: [`Decoded`], the header first. Holds the frame that is not
//! full and the record that is not complete, at most `csv_row_bytes_max`.

use crate::decode::csv::Output;
use crate::decode::csv::tokenizer::{RawCell, Records};
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::{Decoded, HeaderRow, SourceHeader, returned};
use crate::model::cell::Cell;
use crate::model::frame::{FRAME_BYTES_TARGET, FrameBuilder};
use crate::model::import::FileFormat;

/// Fills frames.
#[derive(Debug)]
pub(super) struct Rows {
    stage: Stage,
    /// Any row may turn out to be the header.
    may_be_header: bool,
    /// As it was asked for; 0: none.
    header_row: u32,
    builder: FrameBuilder,
    columns_max: u64,
    row_bytes_max: usize,
    /// Records so far, the header and those before it included, blank lines too.
    n_records: u64,
    /// Where the current record starts.
    line: u64,
    /// Of the next row.
    ordinal: u64,
    /// Bytes of the current record's cells.
    row_bytes: usize,
    /// Whether the current record has a cell that is not empty.
    has_content: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the header, which is this many records away.
    Before(u32),
    /// The current or next record is the header.
    Header,
    Data,
}

/// [`Rows`] together with where they go.
pub(super) struct RecordSink<'a, 'b> {
    pub(super) rows: &'a mut Rows,
    pub(super) out: &'a mut Output<'b>,
}

// === impl Rows ===

impl Rows {
    /// At the start of a file.
    pub(super) fn new(header: HeaderRow, limits: &Limits) -> Rows {
        let stage = match header {
            HeaderRow::Absent | HeaderRow::Any | HeaderRow::Row(0) => Stage::Data,
            HeaderRow::Row(1) => Stage::Header,
            HeaderRow::Row(row) => Stage::Before(row - 1),
        };
        let header_row = match header {
            HeaderRow::Absent | HeaderRow::Any => 0,
            HeaderRow::Row(row) => row,
        };
        Rows {
            stage,
            may_be_header: header == HeaderRow::Any,
            header_row,
            builder: FrameBuilder::new(),
            columns_max: limits.columns_max,
            row_bytes_max: usize::try_from(limits.csv_row_bytes_max).unwrap_or(usize::MAX),
            n_records: 0,
            line: 1,
            ordinal: 0,
            row_bytes: 0,
            has_content: false,
        }
    }

    /// Reading begins: without a header in the file, what stands for it is known.
    pub(super) fn begin(&mut self, out: &mut Output<'_>) {
        if self.stage == Stage::Data {
            out(header(Vec::new(), 0, 1));
        }
    }

    /// Hands out the complete rows.
    pub(super) fn flush(&mut self, out: &mut Output<'_>) {
        if !self.builder.is_empty() {
            out(Decoded::Rows(self.builder.take_closed()));
        }
    }

    /// The file is complete.
    pub(super) fn finish(&mut self, out: &mut Output<'_>) -> Result<(), DecodeError> {
        let row = match self.stage {
            Stage::Data => {
                self.flush(out);
                return Ok(());
            }
            Stage::Header => self.n_records + 1,
            Stage::Before(n_left) => self.n_records + u64::from(n_left) + 1,
        };
        let why = match self.n_records {
            0 => "the file is empty".to_owned(),
            n_records => format!("the file has {n_records} rows"),
        };
        let row = u32::try_from(row).expect("as it was given");
        Err(DecodeError::NoHeader { row, why })
    }

    fn begin_record(&mut self, line: u64) {
        self.line = line;
        self.row_bytes = 0;
        self.has_content = false;
        if !matches!(self.stage, Stage::Before(_)) {
            self.builder.begin_row(self.ordinal, line, "");
        }
    }

    fn push(&mut self, cell: RawCell<'_>) -> Result<(), DecodeError> {
        if self.n_records == 0 && self.stage != Stage::Header && !self.may_be_header {
            check_first(cell)?;
        }
        if matches!(self.stage, Stage::Before(_)) {
            return Ok(());
        }
        let n_bytes = match cell {
            RawCell::Text(text) => text.len(),
            RawCell::Bytes(bytes) => bytes.len(),
        };
        self.row_bytes += n_bytes;
        let n_cells = self.builder.n_cells_in_row() as u64 + 1;
        if n_cells > self.columns_max || self.row_bytes > self.row_bytes_max {
            return Err(self.too_large(n_cells));
        }
        self.has_content |= n_bytes > 0;
        match cell {
            RawCell::Text("") | RawCell::Bytes([]) => self.builder.push(Cell::Empty),
            RawCell::Text(text) => self.builder.push(Cell::Text(text)),
            RawCell::Bytes(bytes) => match str::from_utf8(bytes) {
                Ok(text) if !bytes.contains(&0) => self.builder.push(Cell::Text(text)),
                _ => {
                    let text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
                    self.builder.push(Cell::InvalidText(&text));
                }
            },
        }
        Ok(())
    }

    #[cold]
    fn too_large(&self, n_cells: u64) -> DecodeError {
        let (name, value, bound) = if n_cells > self.columns_max {
            ("columns_max", n_cells, self.columns_max)
        } else {
            let value = self.row_bytes as u64;
            ("csv_row_bytes_max", value, self.row_bytes_max as u64)
        };
        let place = format!("in the record that starts on line {}", self.line);
        DecodeError::limit_at(name, value, bound, place)
    }

    fn end_record(&mut self, next_line: u64, out: &mut Output<'_>) -> Result<(), DecodeError> {
        self.n_records += 1;
        match self.stage {
            Stage::Before(1) => self.stage = Stage::Header,
            Stage::Before(n_left) => self.stage = Stage::Before(n_left - 1),
            Stage::Header => {
                if !self.has_content {
                    let row = u32::try_from(self.n_records).expect("as it was given");
                    let why = "the row is blank".to_owned();
                    return Err(DecodeError::NoHeader { row, why });
                }
                self.builder.end_row();
                let frame = self.builder.take();
                let names = frame.rows().flat_map(|row| row.cells());
                let names = names.map(|cell| cell.to_string()).collect();
                out(header(names, self.header_row, next_line));
                self.stage = Stage::Data;
            }
            Stage::Data => {
                self.ordinal += 1;
                if !self.has_content {
                    self.builder.discard_row();
                    return Ok(());
                }
                self.builder.end_row();
                if self.builder.n_bytes() >= FRAME_BYTES_TARGET {
                    out(Decoded::Rows(self.builder.take()));
                }
            }
        }
        Ok(())
    }
}

// === impl RecordSink ===

impl Records for RecordSink<'_, '_> {
    fn begin(&mut self, line: u64) {
        self.rows.begin_record(line);
    }

    fn cell(&mut self, cell: RawCell<'_>) -> Result<(), DecodeError> {
        self.rows.push(cell)
    }

    fn end(&mut self, next_line: u64) -> Result<(), DecodeError> {
        self.rows.end_record(next_line, self.out)
    }
}

/// A cell of the first record, which is not the header.
fn check_first(cell: RawCell<'_>) -> Result<(), DecodeError> {
    let text = match cell {
        RawCell::Text(text) => Some(text),
        RawCell::Bytes(bytes) => str::from_utf8(bytes).ok(),
    };
    if text.is_some_and(|text| returned::is_misplaced(Cell::Text(text))) {
        let what = returned::MISPLACED.to_owned();
        return Err(DecodeError::InvalidOption { what });
    }
    Ok(())
}

fn header(names: Vec<String>, header_row: u32, first_data_row_number: u64) -> Decoded {
    Decoded::Header(SourceHeader {
        format: FileFormat::Csv,
        sheet: String::new(),
        is_hidden: false,
        header_row,
        names,
        has_header: header_row > 0,
        first_data_row_number,
        n_rows_hint: None,
    })
}
