//! A workbook's sheet as rows, or the first rows of all of its sheets, inside the decoder's child
//! process: the only user of calamine. xlsx has a [reader](crate::decode::xlsx) of its own, whose
//! tests still compare it with calamine's.
//!
//! In: a seekable file and a [`WorkbookRequest`], or a [`SurveyRequest`]. Out: a header and frames,
//! or frames and the sheets that they are of, through a [`Sink`].
//! Bounded by [`Limits`] where it counts, and by the limits that the process has set itself
//! where calamine allocates or spins; a panic of calamine is caught in
//! [`worker`](crate::decode::worker). Cancelled by killing the process.
//!
//! ```text
//! file ─▶ container ─┬─ zip ─┬─ xlsx: decode::xlsx ────────┬─▶ values ─▶ rows ─▶ Sink
//!                    │       ├─ xlsb: package ─▶ records ──┤
//!                    │       └─ ods: calamine's range ─────┤
//!                    └─ OLE2 ── xls: calamine's range ─────┘
//! ```

use std::cell::Cell;
use std::fmt;
use std::fs::File;

pub(in crate::decode) use cells::is_error_text;

use crate::decode::error::{DecodeError, shown};
use crate::decode::limits::Limits;
use crate::decode::protocol::WorkbookRequest;
use crate::decode::sheet::choice::SheetMeta;
use crate::decode::sheet::container::Container;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::rows::{Outcome, Rows, SheetInfo, Sink, SpillRoom};
use crate::decode::survey::{SHEETS_MAX, SURVEY_BYTES_MAX, SheetEntry, SurveyRequest};
use crate::decode::{HeaderRow, SourceHeader};
use crate::model::frame::Frame;
use crate::model::import::FileFormat;

pub(in crate::decode) mod cells;
pub(in crate::decode) mod choice;
mod container;
pub(in crate::decode) mod file;
pub(in crate::decode) mod formats;
mod ole;
mod package;
mod range;
pub(crate) mod rows;
mod tags;
mod xlsb;
#[cfg(test)]
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
    with_job(request, limits, sink, |job| read(file, request.format, job))
}

/// Decodes an xlsx with the reader that ours is tested against.
#[cfg(test)]
pub(in crate::decode) fn decode_with_calamine(
    file: File,
    request: &WorkbookRequest,
    sink: &mut dyn Sink,
) -> Result<(), DecodeError> {
    let file = SharedFile::new(file).map_err(|error| DecodeError::io("open the spool", &error))?;
    with_job(request, &Limits::default(), sink, |job| {
        xlsx::read(&file, job)
    })
}

/// What every format needs to decode one sheet into `sink`.
pub(in crate::decode) fn with_job<T>(
    request: &WorkbookRequest,
    limits: &Limits,
    sink: &mut dyn Sink,
    read: impl FnOnce(&mut Job<'_>) -> T,
) -> T {
    let mut job = Job {
        aim: Aim::Decode(request),
        limits,
        sink,
        is_hidden: false,
    };
    read(&mut job)
}

/// Hands the first rows of the workbook's sheets to `sink`, each sheet after its rows.
pub(crate) fn survey(
    file: File,
    request: &SurveyRequest,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), DecodeError> {
    with_survey(request, limits, sink, |job| read(file, request.format, job))
}

/// What every format needs to look into sheets.
pub(in crate::decode) fn with_survey<T>(
    request: &SurveyRequest,
    limits: &Limits,
    sink: &mut dyn Sink,
    read: impl FnOnce(&mut Job<'_>) -> T,
) -> T {
    let n_bytes = Cell::new(0);
    let mut sink = SurveySink {
        inner: sink,
        n_bytes: &n_bytes,
    };
    let mut job = Job {
        aim: Aim::Survey(request, &n_bytes),
        limits,
        sink: &mut sink,
        is_hidden: false,
    };
    read(&mut job)
}

fn read(file: File, declared: Option<FileFormat>, job: &mut Job<'_>) -> Result<(), DecodeError> {
    let file = SharedFile::new(file).map_err(|error| DecodeError::io("open the spool", &error))?;
    let container = Container::of(&file)?;
    let format = container.format();
    if let Some(declared) = declared
        && declared != format
    {
        return Err(DecodeError::unsupported(format!(
            "the file is {format:?}, not {declared:?} as declared"
        )));
    }
    match container {
        Container::Xlsx => crate::decode::xlsx::read(&file, job),
        Container::Xlsb => xlsb::read(&file, job),
        Container::Ods => range::read_ods(&file, job),
        Container::Xls => range::read_xls(&file, job),
    }
}

/// What every format needs to read its sheets.
pub(crate) struct Job<'j> {
    aim: Aim<'j>,
    limits: &'j Limits,
    sink: &'j mut dyn Sink,
    /// Whether the sheet that is being read is hidden.
    is_hidden: bool,
}

/// What the sheets are read for.
#[derive(Debug, Clone, Copy)]
enum Aim<'j> {
    /// All rows of one of them.
    Decode(&'j WorkbookRequest),
    /// The first rows of each; counts their bytes.
    Survey(&'j SurveyRequest, &'j Cell<usize>),
}

/// Passes rows and sheets on, and counts their bytes; a survey has no headers.
struct SurveySink<'s> {
    inner: &'s mut dyn Sink,
    n_bytes: &'s Cell<usize>,
}

// === impl Job ===

impl<'j> Job<'j> {
    /// The bounds on what is read.
    pub(in crate::decode) fn limits(&self) -> &'j Limits {
        self.limits
    }

    /// Whether a sheet is read to its end, and not looked into.
    pub(in crate::decode) fn wants_everything(&self) -> bool {
        matches!(self.aim, Aim::Decode(_))
    }

    /// Room on the disk for what does not fit memory, see [`Sink::spill_room`].
    pub(in crate::decode) fn spill_room(
        &mut self,
        n_bytes: u64,
    ) -> Result<Option<SpillRoom>, DecodeError> {
        self.sink.spill_room(n_bytes)
    }

    pub(in crate::decode) fn rows(
        &mut self,
        format: FileFormat,
        name: &str,
        n_rows_hint: Option<u64>,
    ) -> Rows<'_> {
        let sheet = SheetInfo {
            format,
            name: name.to_owned(),
            is_hidden: self.is_hidden,
            n_rows_hint,
        };
        match self.aim {
            Aim::Decode(request) => Rows::new(self.sink, sheet, request.header, self.limits),
            Aim::Survey(request, _) => Rows::survey(self.sink, sheet, request, self.limits),
        }
    }

    /// Reads those of `sheets` that are wanted, by their indexes.
    pub(in crate::decode) fn read_sheets(
        &mut self,
        format: FileFormat,
        sheets: &[SheetMeta],
        mut read: impl FnMut(&mut Job<'_>, usize) -> Result<Outcome, DecodeError>,
    ) -> Result<(), DecodeError> {
        let (request, n_bytes) = match self.aim {
            Aim::Survey(request, n_bytes) => (request, n_bytes),
            Aim::Decode(request) => {
                let mut last = "";
                for index in choice::candidates(sheets, &request.sheet)? {
                    self.is_hidden = sheets[index].is_hidden;
                    match read(self, index)? {
                        Outcome::Read => return Ok(()),
                        Outcome::NoContent => last = &sheets[index].name,
                    }
                }
                return self.rows(format, last, None).finish_without_content();
            }
        };
        if sheets.len() > SHEETS_MAX {
            return Err(DecodeError::limit(
                "sheets_max",
                count(sheets.len()),
                count(SHEETS_MAX),
            ));
        }
        let candidates = choice::candidates(sheets, &request.sheet)?;
        let is_named = !request.sheet.is_empty();
        let mut is_found = false;
        for (index, sheet) in choice::worksheets(sheets) {
            let may_be_read = !is_found && candidates.contains(&index);
            let is_wanted = may_be_read || !is_named && n_bytes.get() < SURVEY_BYTES_MAX;
            let has_content = is_wanted && read(self, index)? == Outcome::Read;
            let is_read = may_be_read && (has_content || is_named);
            is_found |= is_read;
            self.sink.sheet(SheetEntry {
                format,
                name: sheet.name.clone(),
                is_hidden: sheet.is_hidden,
                is_read,
            })?;
        }
        Ok(())
    }
}

// === impl SurveySink ===

impl Sink for SurveySink<'_> {
    fn header(&mut self, _header: SourceHeader) -> Result<(), DecodeError> {
        Ok(())
    }

    fn rows(&mut self, frame: Frame) -> Result<(), DecodeError> {
        self.n_bytes
            .set(self.n_bytes.get() + frame.as_bytes().len());
        self.inner.rows(frame)
    }

    fn sheet(&mut self, entry: SheetEntry) -> Result<(), DecodeError> {
        self.inner.sheet(entry)
    }

    fn spill_room(&mut self, n_bytes: u64) -> Result<Option<SpillRoom>, DecodeError> {
        self.inner.spill_room(n_bytes)
    }
}

/// A broken file; texts from the file are [`shown`] by the caller.
pub(in crate::decode) fn corrupt(what: impl Into<String>) -> DecodeError {
    DecodeError::corrupt(what)
}

/// A broken part of a file, by the complaint about it.
pub(in crate::decode) fn broken(part: &str, complaint: impl fmt::Display) -> DecodeError {
    // The complaint may quote the file.
    let complaint = complaint.to_string().replace('"', "'");
    corrupt(format!("{}: {}", shown(part), shown(&complaint)))
}

pub(in crate::decode) fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
