//! A workbook's sheet as rows: the only user of calamine, inside the decoder's child process.
//!
//! In: a seekable file and a [`WorkbookRequest`]. Out: a header and frames, through a [`Sink`].
//! Bounded by [`Limits`] where it counts, and by the limits that the process has set itself
//! where calamine allocates or spins; a panic of calamine is caught in
//! [`worker`](crate::decode::worker). Cancelled by killing the process.
//!
//! ```text
//! file ─▶ container ─┬─ zip: package ─┬─ xlsx: places ∥ calamine's cells ─┬─▶ values ─▶ rows ─▶ Sink
//!                    │                ├─ xlsb: records ───────────────────┤
//!                    │                └─ ods: calamine's range ───────────┤
//!                    └─ OLE2 ─────────── xls: calamine's range ───────────┘
//! ```

use std::fmt;
use std::fs::File;

use crate::decode::HeaderRow;
use crate::decode::error::{DecodeError, shown};
use crate::decode::limits::Limits;
use crate::decode::protocol::WorkbookRequest;
use crate::decode::sheet::container::Container;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::rows::{Rows, SheetInfo, Sink};
use crate::model::import::FileFormat;

mod cells;
mod choice;
mod container;
mod file;
mod formats;
mod ole;
mod package;
mod range;
pub(crate) mod rows;
mod tags;
mod xlsb;
mod xlsx;

/// Decodes the workbook in `file` into `sink`.
pub(crate) fn decode(
    file: File,
    request: &WorkbookRequest,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), DecodeError> {
    if request.header == HeaderRow::Row(0) {
        return Err(DecodeError::NoHeader {
            row: 0,
            why: "rows are counted from 1".to_owned(),
        });
    }
    let file = SharedFile::new(file).map_err(|error| DecodeError::io("open the spool", &error))?;
    let container = Container::of(&file)?;
    let format = container.format();
    if let Some(declared) = request.format
        && declared != format
    {
        return Err(DecodeError::unsupported(format!(
            "the file is {format:?}, not {declared:?} as declared"
        )));
    }
    let mut job = Job {
        request,
        limits,
        sink,
    };
    match container {
        Container::Xlsx => xlsx::read(&file, &mut job),
        Container::Xlsb => xlsb::read(&file, &mut job),
        Container::Ods => range::read_ods(&file, &mut job),
        Container::Xls => range::read_xls(&file, &mut job),
    }
}

/// What every format needs to read its sheets.
pub(crate) struct Job<'j> {
    request: &'j WorkbookRequest,
    limits: &'j Limits,
    sink: &'j mut dyn Sink,
}

// === impl Job ===

impl Job<'_> {
    fn rows(&mut self, format: FileFormat, name: &str, n_rows_hint: Option<u64>) -> Rows<'_> {
        let sheet = SheetInfo {
            format,
            name: name.to_owned(),
            n_rows_hint,
        };
        Rows::new(self.sink, sheet, self.request.header, self.limits)
    }

    /// Ends a workbook in whose sheets, the last of them `name`, nothing was found.
    fn finish_empty(&mut self, format: FileFormat, name: &str) -> Result<(), DecodeError> {
        self.rows(format, name, None).finish_without_content()
    }
}

/// A broken file; texts from the file are [`shown`] by the caller.
fn corrupt(what: impl Into<String>) -> DecodeError {
    DecodeError::corrupt(what)
}

/// A broken part of a file, by the complaint about it.
fn broken(part: &str, complaint: impl fmt::Display) -> DecodeError {
    // The complaint may quote the file.
    let complaint = complaint.to_string().replace('"', "'");
    corrupt(format!("{}: {}", shown(part), shown(&complaint)))
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
