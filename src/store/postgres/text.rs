//! Values as the database's input functions read them: for text COPY, for parameters of types
//! that have no binary form here, and for probes.
//!
//! In: a [`Value`] and its column's type. Out: text appended to a buffer. Pure.

use std::fmt::Write as _;

use crate::model::table::ColumnType;
use crate::model::value::Value;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Appends the value's text; `false`, with nothing appended, for NULL and for values left unset.
pub(super) fn append(out: &mut String, ty: &ColumnType, value: Value<'_>) -> bool {
    match value {
        Value::Unset | Value::Default | Value::Null => return false,
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Int(value) => format(out, format_args!("{value}")),
        Value::Float(value) => append_float(out, ty, value),
        Value::Decimal(text) | Value::Text(text) => out.push_str(text),
        Value::Bytes(bytes) => {
            out.push_str("\\x");
            append_hex(out, bytes);
        }
        Value::Uuid(uuid) => format(out, format_args!("{}", uuid::Uuid::from_bytes(uuid))),
        Value::Date(days) => append_date(out, i64::from(days), ""),
        Value::Time(micros) => append_time(out, micros),
        Value::Timestamp(micros) => {
            let mut rest = String::from(" ");
            append_time(&mut rest, micros.rem_euclid(MICROS_PER_DAY));
            if *ty == ColumnType::TimestampTz {
                rest.push_str("+00");
            }
            append_date(out, micros.div_euclid(MICROS_PER_DAY), &rest);
        }
    }
    true
}

/// The value's text; `None` for NULL and for values left unset.
pub(super) fn render(ty: &ColumnType, value: Value<'_>) -> Option<String> {
    let mut text = String::new();
    append(&mut text, ty, value).then_some(text)
}

/// Two digits a byte.
pub(super) fn append_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn append_float(out: &mut String, ty: &ColumnType, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else if *ty == ColumnType::Float4 {
        // The shortest text that reads back as this f32; that of the f64 would be longer.
        format(out, format_args!("{:e}", nearest_f32(value)));
    } else {
        format(out, format_args!("{value:e}"));
    }
}

/// The f32 that a float4's value stands for.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float4's value is that of an f32 already"
)]
pub(super) fn nearest_f32(value: f64) -> f32 {
    value as f32
}

/// ISO 8601 with the year's sign spelled as the database does: `0044-03-15 BC`.
fn append_date(out: &mut String, days_since_1970: i64, time: &str) {
    let (year, month, day) = civil(days_since_1970);
    if year > 0 {
        format(out, format_args!("{year:04}-{month:02}-{day:02}{time}"));
    } else {
        let year = 1 - year;
        format(out, format_args!("{year:04}-{month:02}-{day:02}{time} BC"));
    }
}

fn append_time(out: &mut String, micros: i64) {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format(
        out,
        format_args!("{hours:02}:{minutes:02}:{:02}", seconds % 60),
    );
    if fraction != 0 {
        format(out, format_args!(".{fraction:06}"));
    }
}

/// Year, month and day of the proleptic Gregorian calendar, for any day an i32 of days can name
/// (Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn civil(days_since_1970: i64) -> (i64, i64, i64) {
    let shifted = days_since_1970 + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn format(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments)
        .expect("writing into a string cannot fail");
}

#[cfg(test)]
mod tests;
