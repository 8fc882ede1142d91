//! xlsx and xlsm, one cell at a time.
//!
//! In: the file. Out: cells in the order of the sheet. Two readers go through the sheet's part
//! in step: [`places`] says where a cell stands and whether it is a formula without a value,
//! calamine's cell reader says what is in it. calamine keeps the shared strings in memory, which
//! the process's address space bounds; nothing else grows with the sheet.

use std::mem::ManuallyDrop;

use calamine::{DataRef, Reader, Xlsx, XlsxError};

use crate::decode::error::DecodeError;
use crate::decode::sheet::cells::{Values, error_text};
use crate::decode::sheet::choice::listed;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::formats::NumberKind;
use crate::decode::sheet::package::Package;
use crate::decode::sheet::rows::{Outcome, Rows};
use crate::decode::sheet::xlsx::places::{Place, Places};
use crate::decode::sheet::{Job, broken, corrupt};
use crate::model::cell::Cell;
use crate::model::import::FileFormat;

mod places;

/// Reads the sheet that `job` wants.
pub(crate) fn read(file: &SharedFile, job: &mut Job<'_>) -> Result<(), DecodeError> {
    let mut package = Package::open(file)?;
    let paths = package.xlsx_sheet_paths()?;
    // The process ends with the job: freeing millions of strings one by one would delay that.
    let mut workbook = ManuallyDrop::new(Xlsx::new(file.reader()).map_err(error)?);
    let sheets = listed(workbook.sheets_metadata());
    if paths.len() != sheets.len() {
        return Err(corrupt("the list of sheets is ambiguous"));
    }
    job.read_sheets(FileFormat::Xlsx, &sheets, |job, index| {
        let name = sheets[index].name.as_str();
        read_sheet(&mut workbook, name, &mut package, &paths[index], job)
    })
}

fn read_sheet(
    workbook: &mut Xlsx<SharedFile>,
    name: &str,
    package: &mut Package,
    path: &str,
    job: &mut Job<'_>,
) -> Result<Outcome, DecodeError> {
    let part = package
        .part(path)?
        .ok_or_else(|| broken(path, "is missing"))?;
    let mut places = Places::new(part, path)?;
    let mut values = Values::new(job.limits, workbook.has_1904_epoch());
    let mut cells = workbook.worksheet_cells_reader(name).map_err(error)?;
    let kinds: Vec<NumberKind> = cells.styles().iter().map(kind_of).collect();
    let n_rows_hint = u64::from(cells.dimensions().end.0) + 1;
    let mut rows = job.rows(FileFormat::Xlsx, name, Some(n_rows_hint));
    // The row in which calamine has lost count of cells without a reference.
    let mut lost_row = None;
    while let Some(place) = places.next()? {
        if rows.is_full() {
            return rows.finish();
        }
        let (cell, style) = match cells.next_cell_with_style_id() {
            Ok(Some(cell)) => cell,
            Ok(None) => return Err(broken(path, "ends early")),
            // The reader goes on behind the value; the place is known here.
            Err(XlsxError::CellError(text)) => {
                lost_row = Some(place.row);
                let text = text.trim();
                rows.cell(place.row, place.column, Cell::Error(text))?;
                continue;
            }
            Err(broken) => return Err(error(broken)),
        };
        let agrees = cell.get_position() == (place.row, place.column)
            || (place.is_implicit && lost_row == Some(place.row));
        if !agrees {
            return Err(broken(path, "cell references are ambiguous"));
        }
        take(
            &mut rows,
            &mut values,
            place,
            cell.get_value(),
            kinds.get(style),
        )?;
    }
    match cells.next_cell_with_style_id() {
        Ok(None) => rows.finish(),
        _ => Err(broken(path, "has cells behind its end")),
    }
}

fn take(
    rows: &mut Rows<'_>,
    values: &mut Values,
    place: Place,
    value: &DataRef<'_>,
    kind: Option<&NumberKind>,
) -> Result<(), DecodeError> {
    let kind = kind.unwrap_or(&NumberKind::Plain);
    let cell = match value {
        DataRef::Empty if place.is_formula_without_value => Cell::FormulaWithoutValue,
        DataRef::Empty => Cell::Empty,
        DataRef::SharedString(text) => values.text(text)?,
        DataRef::String(text) => values.text(text)?,
        DataRef::Float(value) => values.number(*value, kind),
        // calamine's own opinion of the format does not count, only its value.
        DataRef::DateTime(value) => values.number(value.as_f64(), kind),
        DataRef::Int(value) => values.number(whole(*value), kind),
        DataRef::Bool(value) => Cell::Bool(*value),
        DataRef::Error(error) => Cell::Error(error_text(error)),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Cell::IsoDateTime(text),
    };
    rows.cell(place.row, place.column, cell)
}

fn kind_of(style: &calamine::Style) -> NumberKind {
    style
        .number_format
        .as_ref()
        .map_or(NumberKind::Plain, |format| {
            NumberKind::of(&format.format_code, format.format_id)
        })
}

/// The reader never yields whole numbers that a double cannot hold: it parses doubles.
#[expect(clippy::cast_possible_truncation, reason = "checked by the comparison")]
fn whole(value: i64) -> f64 {
    let double = value as f64;
    debug_assert_eq!(double as i64, value, "xlsx numbers are doubles");
    double
}

/// calamine's complaint as an error of the file.
pub(crate) fn error(error: XlsxError) -> DecodeError {
    match error {
        XlsxError::Password => DecodeError::Encrypted {
            how: "the workbook is encrypted".to_owned(),
        },
        error => broken("workbook", &error),
    }
}
