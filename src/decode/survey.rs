//! The first rows of a file's sheets, for those who ask what is in it.
//!
//! In: what is wanted, and a file: a workbook's sheets come from the decoder's child
//! ([`Surveyor`](super::sandbox::Surveyor)), the rows of a CSV through a [`Sample`]. Out: a
//! [`Survey`]. Bounded: [`SurveyRequest::n_rows`] rows and [`SHEET_BYTES_MAX`] bytes of a sheet,
//! [`SURVEY_BYTES_MAX`] bytes of all sheets, beyond which sheets are listed and not looked into.

use serde::{Deserialize, Serialize};

use crate::model::frame::{FRAME_BYTES_TARGET, Frame, FrameBuilder};
use crate::model::import::FileFormat;

#[cfg(test)]
mod tests;

/// Rows of one sheet, bytes; the row that goes beyond is the last.
pub const SHEET_BYTES_MAX: usize = 1 << 20;

/// Rows of all sheets, bytes. The sheet that an import would read is looked into in any case.
pub const SURVEY_BYTES_MAX: usize = 8 << 20;

/// Sheets that are listed; a workbook with more is refused.
pub const SHEETS_MAX: usize = 4096;

/// What is wanted of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurveyRequest {
    /// `None`: decided by content, which has to agree with it otherwise.
    pub format: Option<FileFormat>,
    /// The only sheet to look into; empty: all.
    pub sheet: String,
    /// The first row that is wanted, from 1.
    pub first_row: u32,
    /// Rows with content that are wanted of each sheet.
    pub n_rows: u32,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// By content.
    pub format: FileFormat,
    /// In the file's order, charts left out.
    pub sheets: Vec<SurveyedSheet>,
}

/// A sheet and its first rows.
#[derive(Debug, Clone, PartialEq)]
pub struct SurveyedSheet {
    /// The sheet.
    pub entry: SheetEntry,
    /// Its first rows with content. A row's ordinal counts from the sheet's first row, in a CSV
    /// from its first record.
    pub rows: Vec<Frame>,
}

/// A sheet in the list of a workbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SheetEntry {
    /// The format of the workbook.
    pub format: FileFormat,
    /// Its name; empty for CSV.
    pub name: String,
    /// Whether the program hides it, in one way or another.
    pub is_hidden: bool,
    /// Whether it is the one that an import reads.
    pub is_read: bool,
}

/// The first rows of a source, as many as are wanted.
#[derive(Debug)]
pub struct Sample {
    first_ordinal: u64,
    rows_left: usize,
    bytes_left: usize,
    frames: Vec<Frame>,
}

// === impl Survey ===

impl Survey {
    /// The sheet that an import reads.
    pub fn read_sheet(&self) -> Option<&SurveyedSheet> {
        self.sheets.iter().find(|sheet| sheet.entry.is_read)
    }
}

// === impl Sample ===

impl Sample {
    /// No rows yet.
    pub fn new(request: &SurveyRequest) -> Sample {
        Sample {
            first_ordinal: u64::from(request.first_row.saturating_sub(1)),
            rows_left: usize::try_from(request.n_rows).unwrap_or(usize::MAX),
            bytes_left: SHEET_BYTES_MAX,
            frames: Vec::new(),
        }
    }

    /// Whether nothing more is wanted.
    pub fn is_full(&self) -> bool {
        self.rows_left == 0 || self.bytes_left == 0
    }

    /// Takes the rows of `frame` that are wanted.
    pub fn take(&mut self, frame: &Frame) {
        let mut builder = FrameBuilder::new();
        for row in frame.rows() {
            if self.is_full() {
                break;
            }
            if row.ordinal < self.first_ordinal {
                continue;
            }
            self.rows_left -= 1;
            self.bytes_left = self.bytes_left.saturating_sub(row.n_bytes());
            builder.begin_row(row.ordinal, row.row_number, row.sheet);
            for cell in row.cells() {
                builder.push(cell);
            }
            builder.end_row();
            if builder.n_bytes() >= FRAME_BYTES_TARGET {
                self.frames.push(builder.take());
            }
        }
        if !builder.is_empty() {
            self.frames.push(builder.take());
        }
    }

    /// The rows.
    pub fn into_rows(self) -> Vec<Frame> {
        self.frames
    }
}
