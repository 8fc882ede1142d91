//! xlsx and xlsm: every cell in one pass, by a reader of our own.
//!
//! In: the file. Out: cells in the order of the sheet, through the rows of a [`Job`]. Values,
//! number formats, formulas without a value and errors are read in one pass over the sheet's part;
//! the shared strings are read by a second thread at the same time. Bounded by
//! [`Limits`](crate::decode::limits::Limits), all of them counted while reading; a fault names the
//! part and the place. Cancelled by killing the process, or by an error of the sink.
//!
//! ```text
//! file ─▶ directory ─▶ workbook ─┬─▶ part ─▶ scanner ─▶ sheet ─▶ values ─▶ rows ─▶ Sink
//!                                │                        ▲
//!                                └─▶ part ─▶ scanner ─▶ strings (thread)
//! ```

use crate::decode::error::DecodeError;
use crate::decode::sheet::cells::Values;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::{Job, broken, corrupt, count};
use crate::decode::xlsx::sheet::{Context, Sheet};
use crate::decode::xlsx::workbook::Workbook;
use crate::model::import::FileFormat;

mod directory;
mod part;
mod place;
mod relations;
mod rich;
mod scanner;
mod sheet;
mod strings;
mod styles;
mod tag;
mod text;
mod value;
mod workbook;

#[cfg(test)]
mod fixture;

/// Reads the sheets that `job` wants.
pub(crate) fn read(file: &SharedFile, job: &mut Job<'_>) -> Result<(), DecodeError> {
    let mut workbook = Workbook::open(file, job.limits())?;
    let n_bytes = workbook.strings.beyond_memory();
    if n_bytes > 0
        && let Some(room) = job.spill_room(n_bytes)?
    {
        workbook.strings.spill_to(room);
    }
    let sheets = workbook.sheets();
    job.read_sheets(FileFormat::Xlsx, &sheets, |job, index| {
        let sheet = Sheet::open(workbook.open_sheet(index)?)?;
        let limits = job.limits();
        let context = Context {
            styles: &workbook.styles,
            strings: &mut workbook.strings,
            values: Values::new(limits, workbook.is_1904),
            limits,
        };
        let mut rows = job.rows(FileFormat::Xlsx, &sheets[index].name, sheet.n_rows_hint);
        sheet.read(context, &mut rows)?;
        rows.finish()
    })?;
    if job.wants_everything() {
        workbook.strings.finish()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
