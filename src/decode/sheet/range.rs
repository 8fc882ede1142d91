//! xls and ods, through calamine's ranges: a whole sheet in memory, which the process's address
//! space bounds.
//!
//! In: the file. Out: cells in the order of the sheet. calamine keeps of an xls number format
//! only what is a date, and of an ods format nothing: numbers with a format of zeros come out as
//! plain numbers from both, and a time of day in ods as a span of time. A formula of an ods file
//! that no program has computed looks to calamine like one whose result is the empty text, which
//! is what it is taken for.

use calamine::{Data, Ods, OdsError, Range, Reader, Xls, XlsError, Xlsx, XlsxError};

use crate::decode::error::DecodeError;
use crate::decode::sheet::cells::{Values, duration_days, error_text, is_error_text};
use crate::decode::sheet::choice::{SheetMeta, listed};
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::formats::NumberKind;
use crate::decode::sheet::rows::Rows;
use crate::decode::sheet::{Job, broken, corrupt, count, ole};
use crate::model::cell::Cell;
use crate::model::import::FileFormat;

/// A sheet's values and formulas, with their 0-based starts.
struct Grid {
    values: Range<Data>,
    formulas: Range<String>,
    /// What a formula is that has no value.
    formula_without_value: Cell<'static>,
}

/// Reads the sheet that `job` wants of an xls file.
pub(crate) fn read_xls(file: &SharedFile, job: &mut Job<'_>) -> Result<(), DecodeError> {
    ole::check_whole(file)?;
    let mut workbook = Xls::new(file.reader()).map_err(|error| xls_error(file, error))?;
    let sheets = listed(workbook.sheets_metadata());
    let values = Values::new(job.limits, workbook.has_1904_epoch());
    read_sheets(&sheets, FileFormat::Xls, values, job, |name| {
        Ok(Grid {
            values: workbook
                .worksheet_range(name)
                .map_err(|error| broken("workbook", &error))?,
            formulas: workbook
                .worksheet_formula(name)
                .map_err(|error| broken("workbook", &error))?,
            formula_without_value: Cell::FormulaWithoutValue,
        })
    })
}

/// Reads the sheet that `job` wants of an ods file.
pub(crate) fn read_ods(file: &SharedFile, job: &mut Job<'_>) -> Result<(), DecodeError> {
    let mut workbook: Ods<SharedFile> = Ods::new(file.reader()).map_err(ods_error)?;
    let sheets = listed(workbook.sheets_metadata());
    let values = Values::new(job.limits, false);
    read_sheets(&sheets, FileFormat::Ods, values, job, |name| {
        Ok(Grid {
            values: workbook.worksheet_range(name).map_err(ods_error)?,
            formulas: workbook.worksheet_formula(name).map_err(ods_error)?,
            // LibreOffice gives no value to a formula whose result is the empty text.
            formula_without_value: Cell::Empty,
        })
    })
}

fn read_sheets(
    sheets: &[SheetMeta],
    format: FileFormat,
    mut values: Values,
    job: &mut Job<'_>,
    mut open: impl FnMut(&str) -> Result<Grid, DecodeError>,
) -> Result<(), DecodeError> {
    job.read_sheets(format, sheets, |job, index| {
        let name = sheets[index].name.as_str();
        let grid = open(name)?;
        let n_rows_hint = grid.values.end().map(|(row, _)| u64::from(row) + 1);
        let mut rows = job.rows(format, name, n_rows_hint);
        read_grid(&grid, &mut values, &mut rows)?;
        rows.finish()
    })
}

fn read_grid(grid: &Grid, values: &mut Values, rows: &mut Rows<'_>) -> Result<(), DecodeError> {
    // Formulas without a value may stand outside of the values' range.
    let starts = [grid.values.start(), grid.formulas.start()];
    let ends = [grid.values.end(), grid.formulas.end()];
    let starts = || starts.iter().flatten();
    let ends = || ends.iter().flatten();
    let (Some(first_row), Some(last_row), Some(first_column), Some(last_column)) = (
        starts().map(|(row, _)| *row).min(),
        ends().map(|(row, _)| *row).max(),
        starts().map(|(_, column)| *column).min(),
        ends().map(|(_, column)| *column).max(),
    ) else {
        return Ok(());
    };
    for row in first_row..=last_row {
        if rows.is_full() {
            break;
        }
        for column in first_column..=last_column {
            let value = grid.values.get_value((row, column)).unwrap_or(&Data::Empty);
            let formula = || {
                let formula = grid.formulas.get_value((row, column));
                formula.is_some_and(|formula| !formula.is_empty())
            };
            let cell = match value {
                Data::Empty if formula() => grid.formula_without_value,
                Data::Empty => continue,
                // ods keeps the error of a formula as its text.
                Data::String(text) if is_error_text(text) && formula() => Cell::Error(text),
                Data::String(text) => values.text(text)?,
                Data::Float(value) => Cell::Number(*value),
                Data::Int(value) => {
                    // RK numbers have 30 bits.
                    let value =
                        i32::try_from(*value).map_err(|_| corrupt("a number is too large"))?;
                    Cell::Number(f64::from(value))
                }
                Data::Bool(value) => Cell::Bool(*value),
                Data::DateTime(value) if value.is_duration() => Cell::Duration(value.as_f64()),
                Data::DateTime(value) => values.number(value.as_f64(), &NumberKind::DateTime),
                Data::DateTimeIso(text) => Cell::IsoDateTime(text),
                Data::DurationIso(text) => {
                    duration_days(text).map_or(Cell::Text(text), Cell::Duration)
                }
                Data::Error(error) => Cell::Error(error_text(error)),
            };
            rows.cell(row, column, cell)?;
        }
    }
    Ok(())
}

/// OLE2 is the container of encrypted workbooks and of other documents as well.
fn xls_error(file: &SharedFile, error: XlsError) -> DecodeError {
    if matches!(error, XlsError::Password) {
        return DecodeError::Encrypted {
            how: "the workbook is encrypted".to_owned(),
        };
    }
    if matches!(Xlsx::new(file.reader()), Err(XlsxError::Password)) {
        return DecodeError::Encrypted {
            how: "the workbook is encrypted".to_owned(),
        };
    }
    let what = error.to_string();
    if what.contains("Cannot find Workbook stream") {
        return DecodeError::unsupported("the file is an OLE2 document without a workbook");
    }
    broken("workbook", &error)
}

fn ods_error(error: OdsError) -> DecodeError {
    match error {
        OdsError::Password => DecodeError::Encrypted {
            how: "the workbook is encrypted".to_owned(),
        },
        OdsError::CellLimitExceeded { requested, max } => {
            DecodeError::limit("sheet_cells_max", count(requested), count(max))
        }
        error => broken("workbook", &error),
    }
}
