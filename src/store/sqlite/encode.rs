//! Values as SQLite stores them: the one place that says how.
//!
//! | value | stored as |
//! | --- | --- |
//! | bool | integer 0 or 1 |
//! | int | integer |
//! | float | real; NaN as the text `NaN`, since SQLite turns a NaN into NULL |
//! | numeric | the decimal text, which a column of numeric affinity makes an integer or a real: what would lose digits there is PRECISION_LOSS |
//! | text, enum, json, other | text; a type without text affinity (`MONEY`, `JSON`) makes numbers of texts that are numbers |
//! | bytes | blob |
//! | uuid | text, lowercase with hyphens |
//! | date | text `2024-01-31` |
//! | time | text `23:59:59.000000` |
//! | timestamp | text `2024-01-31 23:59:59.000000` |
//! | timestamptz | text `2024-01-31 23:59:59.000000Z` |
//!
//! Times have a fixed width, so they sort as text, and SQLite's date functions read them. Years
//! are 0000 to 9999; others are OUT_OF_RANGE.

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Span};
use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;

use crate::model::plan::WritePlan;
use crate::model::reject::{RowErrorCode, RowViolation};
use crate::model::table::ColumnType;
use crate::model::value::{Row, Value};

/// Significant decimal digits that survive in a column of numeric affinity.
const AFFINITY_DIGITS: usize = 15;
/// Magnitudes that a real holds with all of its digits.
const NORMAL_REALS: std::ops::Range<f64> = 1e-292..1e308;

/// Why SQLite could not give a row back as it is; looked at before the row is sent.
pub(super) fn unstorable(
    plan: &WritePlan,
    row: Row<'_>,
    columns: &[usize],
) -> Option<RowViolation> {
    columns.iter().find_map(|index| {
        let (code, sql_state, message) = match row.value(*index) {
            Value::Decimal(text) if !survives_affinity(text) => {
                let message = "more digits than a numeric column of SQLite keeps";
                (RowErrorCode::PrecisionLoss, "22003", message)
            }
            Value::Date(days) if date(days).is_none() => {
                let message = "year outside of 0000 to 9999";
                (RowErrorCode::OutOfRange, "22008", message)
            }
            Value::Timestamp(micros) if date_time(micros).is_none() => {
                let message = "year outside of 0000 to 9999";
                (RowErrorCode::OutOfRange, "22008", message)
            }
            _ => return None,
        };
        Some(RowViolation {
            code,
            constraint: String::new(),
            column: plan.column(*index).name.clone(),
            sql_state: sql_state.to_owned(),
            message: message.to_owned(),
        })
    })
}

/// Indexes of the planned columns whose values [`unstorable`] has to look at.
pub(super) fn columns_to_check(plan: &WritePlan) -> Vec<usize> {
    let types = [
        ColumnType::Date,
        ColumnType::Timestamp,
        ColumnType::TimestampTz,
    ];
    let is_checked = |index: &usize| {
        let ty = &plan.column(*index).ty;
        types.contains(ty) || matches!(ty, ColumnType::Numeric(_))
    };
    (0..plan.columns.len()).filter(is_checked).collect()
}

/// Adds a value to the parameters of a statement.
pub(super) fn bind<'q>(arguments: &mut SqliteArguments<'q>, value: Value<'q>, ty: &ColumnType) {
    let added = match value {
        Value::Unset | Value::Default | Value::Null => arguments.add(Option::<i64>::None),
        Value::Bool(value) => arguments.add(i64::from(value)),
        Value::Int(value) => arguments.add(value),
        Value::Float(value) if value.is_nan() => arguments.add("NaN"),
        Value::Float(value) => arguments.add(value),
        Value::Decimal(text) | Value::Text(text) => arguments.add(text),
        Value::Bytes(bytes) => arguments.add(bytes),
        Value::Uuid(bytes) => arguments.add(uuid::Uuid::from_bytes(bytes).to_string()),
        Value::Date(days) => arguments.add(date(days).map(|it| it.to_string())),
        Value::Time(micros) => arguments.add(time(micros)),
        Value::Timestamp(micros) => arguments.add(timestamp(micros, ty)),
    };
    added.expect("texts, numbers and blobs encode without fail");
}

/// Whether numeric affinity keeps a canonical decimal: SQLite makes an integer of it where it
/// can, else a double, of which it compares 15 digits.
fn survives_affinity(text: &str) -> bool {
    if text.parse::<i64>().is_ok() || !text.ends_with(|last: char| last.is_ascii_digit()) {
        // An integer, or NaN and the infinities, which stay text.
        return true;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    // Zeros at the end of an integer say how large it is, but are no digits to keep.
    let significant = digits.trim_matches('0');
    let magnitude = text.parse().map_or(f64::NAN, f64::abs);
    significant.is_empty()
        || (significant.len() <= AFFINITY_DIGITS && NORMAL_REALS.contains(&magnitude))
}

fn date(days: i32) -> Option<Date> {
    let epoch = Date::constant(1970, 1, 1);
    let date = epoch.checked_add(Span::new().try_days(days).ok()?).ok()?;
    (date.year() >= 0).then_some(date)
}

fn date_time(micros: i64) -> Option<DateTime> {
    let epoch = Date::constant(1970, 1, 1).to_datetime(Time::midnight());
    let at = epoch
        .checked_add(SignedDuration::from_micros(micros))
        .ok()?;
    (at.year() >= 0).then_some(at)
}

fn time(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{fraction:06}")
}

fn timestamp(micros: i64, ty: &ColumnType) -> Option<String> {
    let at = date_time(micros)?;
    let zone = if *ty == ColumnType::TimestampTz {
        "Z"
    } else {
        ""
    };
    let time = time(micros.rem_euclid(86_400_000_000));
    Some(format!("{} {time}{zone}", at.date()))
}

#[cfg(test)]
mod tests;
