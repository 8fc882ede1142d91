//! A cell's own value, where no column asks for a type: what decoding a file tells.
//!
//! In: cells and rows as read. Out: a [`Plain`] value, or a [`RejectedRow`] with every cell of a
//! row that has no value of its own. The same content of another format gives the same values as
//! far as the format tells (docs/CELLS.md).

use std::borrow::Cow;

use jiff::civil;

use crate::mapping::coerce::{Meaning, duration_meaning, fault_of, meaning};
use crate::mapping::describe::{Place, cell_error};
use crate::model::cell::Cell;
use crate::model::frame::FrameRow;
use crate::model::reject::{CellError, RejectedRow, SourceKind, cell_reference, raw_values};

#[cfg(test)]
mod tests;

/// A value by its own kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain<'a> {
    /// No content.
    Empty,
    /// TRUE or FALSE.
    Bool(bool),
    /// A number, as the file has it.
    Number(f64),
    /// Text as it stands in the file, a number as its format of zeros shows it, or a span of time
    /// that is no time of day, as `36:30:00`.
    Text(Cow<'a, str>),
    /// An ISO 8601 date.
    Date(String),
    /// An ISO 8601 time of day.
    Time(String),
    /// A date with a time of day, as a wall clock shows it: files know no zones.
    DateTime {
        /// Seconds since 1970-01-01T00:00:00 on that clock.
        seconds: i64,
        /// Nanoseconds of the second.
        nanos: i32,
    },
}

/// The cell's own value. One that has none ([`faulty_row`] tells) is its text.
pub fn plain(cell: Cell<'_>) -> Plain<'_> {
    match cell {
        Cell::Empty | Cell::Null | Cell::Unset | Cell::FormulaWithoutValue => Plain::Empty,
        Cell::Text(text) | Cell::InvalidText(text) | Cell::Error(text) => {
            Plain::Text(Cow::Borrowed(text))
        }
        Cell::ZerosNumber { shown, .. } => Plain::Text(Cow::Borrowed(shown)),
        Cell::Bool(value) => Plain::Bool(value),
        Cell::Number(value) => Plain::Number(value),
        Cell::DateSerial { serial, system } => match meaning(serial, system) {
            Meaning::Date(text) => Plain::Date(text),
            Meaning::Time(text) => Plain::Time(text),
            Meaning::DateTime(micros) => date_time(micros),
            Meaning::None => Plain::Number(serial),
        },
        Cell::Duration(days) => match duration_meaning(days) {
            Meaning::Time(text) => Plain::Time(text),
            _ => Plain::Text(Cow::Owned(cell.to_string())),
        },
        Cell::IsoDateTime(text) => iso(text),
        Cell::Int(_)
        | Cell::Double(_)
        | Cell::Bytes(_)
        | Cell::Decimal(_)
        | Cell::Date(_)
        | Cell::Time(_)
        | Cell::Timestamp { .. } => Plain::Text(Cow::Owned(cell.to_string())),
    }
}

/// The row with an error for each cell that has no value of its own: an error value, a formula
/// that was never computed, bytes that are no text. `None`: it has no such cell. `names` are the
/// header's cells.
pub fn faulty_row(row: FrameRow<'_>, sheet: &str, names: &[String]) -> Option<RejectedRow> {
    row.cells().find_map(fault_of)?;
    let errors: Vec<CellError> = row
        .cells()
        .enumerate()
        .filter_map(|(index, cell)| {
            let fault = fault_of(cell)?;
            let place = Place {
                column: "",
                ty: None,
                source_name: names.get(index).map_or("", String::as_str),
            };
            let reference = cell_reference(SourceKind::File, Some(index), row.row_number);
            Some(cell_error(place, reference, cell.to_string(), fault))
        })
        .collect();
    Some(RejectedRow {
        ordinal: row.ordinal,
        sheet: sheet.to_owned(),
        row_number: row.row_number,
        errors,
        raw_values: raw_values(row.cells()),
    })
}

/// Text that a format stores for a date, a time or both; anything else stays text.
fn iso(text: &str) -> Plain<'_> {
    // A date alone is also a date-time to the parser, and so would be one with an offset.
    if text.len() == "2024-02-29".len()
        && let Ok(date) = text.parse::<civil::Date>()
    {
        return Plain::Date(date.to_string());
    }
    if text.contains('T')
        && let Ok(moment) = text.parse::<civil::DateTime>()
    {
        let since = moment.duration_since(civil::date(1970, 1, 1).at(0, 0, 0, 0));
        let micros = i64::try_from(since.as_micros()).unwrap_or_default();
        if moment.time() == civil::Time::midnight() {
            return Plain::Date(moment.date().to_string());
        }
        return date_time(micros);
    }
    match text.parse::<civil::Time>() {
        Ok(time) if text.contains(':') && !text.contains('T') => Plain::Time(time.to_string()),
        _ => Plain::Text(Cow::Borrowed(text)),
    }
}

fn date_time(micros: i64) -> Plain<'static> {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000)).expect("below a million") * 1000;
    Plain::DateTime {
        seconds: micros.div_euclid(1_000_000),
        nanos,
    }
}
