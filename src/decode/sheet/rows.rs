//! Cells in the order of a sheet, assembled to a header and frames of rows.
//!
//! In: cells with their places, from the top left, row by row. Out: one [`SourceHeader`], then
//! [`Frame`]s, through a [`Sink`]. Bounded: a frame is cut at [`FRAME_BYTES_TARGET`], a row at
//! [`ROW_BYTES_MAX`], a row's cells at `columns_max`, a header at [`HEADER_BYTES_MAX`], a survey at its
//! own bounds.

use std::path::PathBuf;

use crate::decode::error::{DecodeError, shown};
use crate::decode::limits::Limits;
use crate::decode::protocol::ROW_BYTES_MAX;
use crate::decode::sheet::{corrupt, count};
use crate::decode::survey::{SHEET_BYTES_MAX, SheetEntry, SurveyRequest};
use crate::decode::{HeaderRow, SourceHeader, returned};
use crate::model::cell::Cell;
use crate::model::frame::{FRAME_BYTES_TARGET, Frame, FrameBuilder};
use crate::model::import::FileFormat;

/// A header's names together, bytes: in a message each takes six times as many at most, and some.
const HEADER_BYTES_MAX: usize = 8 << 20;

/// Takes what a sheet yields: the header once, then its rows.
pub(crate) trait Sink {
    /// Takes the header.
    fn header(&mut self, header: SourceHeader) -> Result<(), DecodeError>;
    /// Takes rows.
    fn rows(&mut self, frame: Frame) -> Result<(), DecodeError>;
    /// Takes the sheet whose first rows were handed on; surveys only.
    fn sheet(&mut self, entry: SheetEntry) -> Result<(), DecodeError>;
    /// Room for a file of at most `n_bytes`; `None`: there is none. To be asked for once, before
    /// anything is handed on.
    fn spill_room(&mut self, n_bytes: u64) -> Result<Option<SpillRoom>, DecodeError>;
}

/// Room for an unnamed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpillRoom {
    /// Where it is made.
    pub(crate) dir: PathBuf,
    /// What it has at most, bytes.
    pub(crate) n_bytes: u64,
}

/// The sheet that rows come from.
#[derive(Debug, Clone)]
pub(crate) struct SheetInfo {
    /// The format of its file.
    pub(crate) format: FileFormat,
    /// Its name.
    pub(crate) name: String,
    /// Whether the program hides it.
    pub(crate) is_hidden: bool,
    /// Rows that the file says it has.
    pub(crate) n_rows_hint: Option<u64>,
}

/// Assembles the rows of one sheet.
pub(crate) struct Rows<'s> {
    sink: &'s mut dyn Sink,
    sheet: SheetInfo,
    columns_max: u64,
    row_number_max: u64,
    header: HeaderRow,
    /// 0-based row of the header; `None` where there is none or it has been handed on.
    header_index: Option<u32>,
    /// 0-based.
    first_data_row: u32,
    /// 0-based; data in rows above is passed over.
    first_kept_row: u32,
    /// What a survey still wants; `None`: everything.
    wanted: Option<Wanted>,
    names: Vec<String>,
    /// Of all of them.
    names_bytes: usize,
    builder: FrameBuilder,
    /// The place of the last cell.
    last: Option<(u32, u32)>,
    /// 0-based number of the row that is open in the builder.
    open_row: Option<u32>,
    /// Where it starts there, bytes.
    row_start: usize,
    has_content: bool,
    is_header_sent: bool,
}

/// What a survey still wants of a sheet.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    n_rows: u32,
    n_bytes: usize,
    is_full: bool,
}

/// What a sheet turned out to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No cell has content; nothing was handed on.
    NoContent,
    /// Header and rows were handed on.
    Read,
}

// === impl Rows ===

impl<'s> Rows<'s> {
    /// Rows of `sheet`, handed to `sink`.
    pub(crate) fn new(
        sink: &'s mut dyn Sink,
        sheet: SheetInfo,
        header: HeaderRow,
        limits: &Limits,
    ) -> Rows<'s> {
        let (header_index, first_data_row) = match header {
            HeaderRow::Absent | HeaderRow::Any => (None, 0),
            // Row numbers start at 1; 0 is refused with the request.
            HeaderRow::Row(number) => (Some(number.saturating_sub(1)), number),
        };
        Rows {
            sink,
            sheet,
            columns_max: limits.columns_max,
            row_number_max: limits.sheet_rows_max,
            header,
            header_index,
            first_data_row,
            first_kept_row: first_data_row,
            wanted: None,
            names: Vec::new(),
            names_bytes: 0,
            builder: FrameBuilder::new(),
            last: None,
            open_row: None,
            row_start: 0,
            has_content: false,
            is_header_sent: false,
        }
    }

    /// The first rows of `sheet`, as far as `request` wants them.
    pub(crate) fn survey(
        sink: &'s mut dyn Sink,
        sheet: SheetInfo,
        request: &SurveyRequest,
        limits: &Limits,
    ) -> Rows<'s> {
        let wanted = Wanted {
            n_rows: request.n_rows,
            n_bytes: SHEET_BYTES_MAX,
            is_full: false,
        };
        Rows {
            first_kept_row: request.first_row.saturating_sub(1),
            wanted: Some(wanted),
            ..Rows::new(sink, sheet, HeaderRow::Any, limits)
        }
    }

    /// Whether what follows is not wanted any more.
    pub(crate) fn is_full(&self) -> bool {
        self.wanted.is_some_and(|wanted| wanted.is_full)
    }

    /// Takes the cell at a 0-based place, which must be behind the last one.
    pub(crate) fn cell(
        &mut self,
        row: u32,
        column: u32,
        cell: Cell<'_>,
    ) -> Result<(), DecodeError> {
        if self.last.is_some_and(|last| (row, column) <= last) {
            return Err(corrupt(format!(
                "sheet \"{}\": cells of row {} are out of order or twice",
                shown(&self.sheet.name),
                u64::from(row) + 1
            )));
        }
        self.last = Some((row, column));
        if cell.is_vacant() || self.is_full() {
            return Ok(());
        }
        let may_be_header = matches!(self.header, HeaderRow::Row(1) | HeaderRow::Any);
        if row == 0 && !may_be_header && returned::is_misplaced(cell) {
            let what = returned::MISPLACED.to_owned();
            return Err(DecodeError::InvalidOption { what });
        }
        self.has_content = true;
        if self.open_row != Some(row) {
            self.turn_to(row)?;
            if self.is_full() {
                return Ok(());
            }
        }
        if u64::from(column) >= self.columns_max {
            return Err(DecodeError::limit(
                "columns_max",
                u64::from(column) + 1,
                self.columns_max,
            ));
        }
        if row >= self.first_kept_row {
            let column = usize::try_from(column).expect("a column fits");
            for _ in self.builder.n_cells_in_row()..column {
                self.builder.push(Cell::Empty);
            }
            self.builder.push(cell);
            self.check_row_bytes()?;
        } else if self.header_index == Some(row) {
            self.name(column, cell)?;
        }
        Ok(())
    }

    /// Takes a cell of the header.
    fn name(&mut self, column: u32, cell: Cell<'_>) -> Result<(), DecodeError> {
        let name = cell.to_string();
        self.names_bytes += name.len();
        if self.names_bytes > HEADER_BYTES_MAX {
            return Err(DecodeError::limit(
                "header_bytes_max",
                count(self.names_bytes),
                count(HEADER_BYTES_MAX),
            ));
        }
        let column = usize::try_from(column).expect("a column fits");
        self.names.resize(column, String::new());
        self.names.push(name);
        Ok(())
    }

    /// Hands on what is left.
    pub(crate) fn finish(mut self) -> Result<Outcome, DecodeError> {
        if !self.has_content {
            return Ok(Outcome::NoContent);
        }
        if !self.is_header_sent {
            self.send_header()?;
        }
        self.close_row()?;
        if !self.builder.is_empty() {
            self.sink.rows(self.builder.take())?;
        }
        Ok(Outcome::Read)
    }

    /// Hands on the header of a sheet without any content: no names, no rows.
    pub(crate) fn finish_without_content(mut self) -> Result<(), DecodeError> {
        self.send_header()
    }

    /// Ends the open row and begins `row`.
    fn turn_to(&mut self, row: u32) -> Result<(), DecodeError> {
        if u64::from(row) >= self.row_number_max {
            return Err(DecodeError::limit(
                "sheet_rows_max",
                u64::from(row) + 1,
                self.row_number_max,
            ));
        }
        self.close_row()?;
        if row >= self.first_kept_row
            && let Some(wanted) = &mut self.wanted
        {
            if wanted.n_rows == 0 || wanted.n_bytes == 0 {
                wanted.is_full = true;
                return Ok(());
            }
            wanted.n_rows -= 1;
        }
        self.open_row = Some(row);
        if row < self.first_kept_row {
            return Ok(());
        }
        if !self.is_header_sent {
            self.send_header()?;
        }
        let ordinal = u64::from(row - self.first_data_row);
        self.row_start = self.builder.n_bytes();
        self.builder.begin_row(ordinal, u64::from(row) + 1, "");
        Ok(())
    }

    fn close_row(&mut self) -> Result<(), DecodeError> {
        let Some(row) = self.open_row.take() else {
            return Ok(());
        };
        if row < self.first_kept_row {
            return Ok(());
        }
        self.builder.end_row();
        if let Some(wanted) = &mut self.wanted {
            let n_bytes = self.builder.n_bytes() - self.row_start;
            wanted.n_bytes = wanted.n_bytes.saturating_sub(n_bytes);
        }
        if self.builder.n_bytes() >= FRAME_BYTES_TARGET {
            self.sink.rows(self.builder.take())?;
        }
        Ok(())
    }

    /// A frame holds less than its target before its last row.
    fn check_row_bytes(&self) -> Result<(), DecodeError> {
        let n_bytes = self.builder.n_bytes();
        if n_bytes <= FRAME_BYTES_TARGET + ROW_BYTES_MAX {
            return Ok(());
        }
        Err(DecodeError::limit(
            "row_bytes_max",
            count(n_bytes),
            count(ROW_BYTES_MAX),
        ))
    }

    fn send_header(&mut self) -> Result<(), DecodeError> {
        let header_row = match self.header {
            HeaderRow::Absent | HeaderRow::Any => 0,
            HeaderRow::Row(number) => {
                if self.names.is_empty() {
                    return Err(DecodeError::NoHeader {
                        row: number,
                        why: if self.has_content {
                            "the row is blank".to_owned()
                        } else {
                            "no visible sheet holds data".to_owned()
                        },
                    });
                }
                number
            }
        };
        self.is_header_sent = true;
        self.sink.header(SourceHeader {
            format: self.sheet.format,
            sheet: self.sheet.name.clone(),
            is_hidden: self.sheet.is_hidden,
            header_row,
            names: std::mem::take(&mut self.names),
            has_header: header_row > 0,
            first_data_row_number: u64::from(self.first_data_row) + 1,
            n_rows_hint: self
                .sheet
                .n_rows_hint
                .map(|n_rows| n_rows.saturating_sub(u64::from(self.first_data_row))),
        })
    }
}

#[cfg(test)]
mod tests;
