//! Values that a caller sends typed: bound as sent, or refused.
//!
//! In: whole numbers, doubles, booleans, bytes and timestamps of row imports. Out: the same
//! value in the column's type. Nothing is rounded to make it fit: a double goes into a float4
//! only if a float4 holds it exactly, a whole number into a float only if the float does.
//! Timestamps go into timestamptz, and into timestamp in UTC, to the nearest microsecond, which
//! is what both keep. Types that only the database can read get the value as text.

use std::fmt::Write;

use crate::mapping::coerce::calendar::checked_micros;
use crate::mapping::coerce::number::{integer, nearest_float4};
use crate::mapping::coerce::{Fault, Scratch, Target, decimal};
use crate::model::serial::{DAY_MICROS, SECOND_MICROS, write_date, write_time};
use crate::model::table::ColumnType;
use crate::model::value::Value;

/// A boolean as sent.
pub(super) fn from_bool(target: &Target, value: bool) -> Result<Value<'static>, Fault> {
    match target.ty {
        ColumnType::Bool => Ok(Value::Bool(value)),
        ColumnType::Other => Ok(Value::Text(if value { "true" } else { "false" })),
        _ => Err(Fault::mismatch("is a boolean")),
    }
}

/// A whole number as sent.
pub(super) fn from_int<'v>(
    target: &Target,
    value: i64,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    match &target.ty {
        ty @ (ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8) => integer(ty, value),
        ColumnType::Numeric(bounds) => {
            let digits = write_int(value, &mut scratch.plain);
            decimal::from_text(digits, *bounds, &mut scratch.text).map(Value::Decimal)
        }
        ColumnType::Float8 => whole_float(value, f64::MANTISSA_DIGITS),
        ColumnType::Float4 => whole_float(value, f32::MANTISSA_DIGITS),
        ColumnType::Other => Ok(Value::Text(write_int(value, &mut scratch.text))),
        _ => Err(Fault::mismatch("is a whole number")),
    }
}

/// The digits of a whole number.
pub(super) fn write_int(value: i64, text: &mut String) -> &str {
    text.clear();
    write!(text, "{value}").expect("writing to a string");
    text
}

/// A whole number as a float, if its bits from the highest to the lowest fit the mantissa.
fn whole_float(value: i64, mantissa_bits: u32) -> Result<Value<'static>, Fault> {
    let magnitude = value.unsigned_abs();
    let n_bits = u64::BITS - magnitude.leading_zeros();
    if n_bits.saturating_sub(magnitude.trailing_zeros()) > mantissa_bits {
        return Err(Fault::precision_loss(
            "has more digits than the float keeps",
        ));
    }
    Ok(Value::Float(value as f64))
}

/// A double as sent, bit for bit.
pub(super) fn from_double<'v>(
    target: &Target,
    value: f64,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    match target.ty {
        ColumnType::Float8 => Ok(Value::Float(value)),
        ColumnType::Float4 if value.is_nan() => Ok(Value::Float(value)),
        ColumnType::Float4 => {
            let nearest = nearest_float4(value)?;
            if nearest == Value::Float(value) {
                Ok(nearest)
            } else {
                Err(Fault::precision_loss(
                    "has more digits than a 32-bit float keeps",
                ))
            }
        }
        ColumnType::Other => {
            scratch.text.clear();
            write!(scratch.text, "{value}").expect("writing to a string");
            Ok(Value::Text(&scratch.text))
        }
        _ => Err(Fault::mismatch("is a double")),
    }
}

/// Bytes as sent.
pub(super) fn from_bytes<'v>(target: &Target, bytes: &'v [u8]) -> Result<Value<'v>, Fault> {
    match target.ty {
        ColumnType::Bytea => Ok(Value::Bytes(bytes)),
        _ => Err(Fault::mismatch("is bytes")),
    }
}

/// A point in time as sent.
pub(super) fn from_timestamp<'v>(
    target: &Target,
    seconds: i64,
    nanos: i32,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    let takes = matches!(
        target.ty,
        ColumnType::Timestamp | ColumnType::TimestampTz | ColumnType::Other
    );
    if !takes {
        return Err(Fault::mismatch("is a timestamp"));
    }
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(Fault::out_of_range("has nanoseconds beyond a second"));
    }
    let micros = seconds
        .saturating_mul(SECOND_MICROS)
        .saturating_add(i64::from(nanos + 500) / 1000);
    let micros = checked_micros(micros)?;
    if target.ty != ColumnType::Other {
        return Ok(Value::Timestamp(micros));
    }
    let text = &mut scratch.text;
    text.clear();
    write_date(micros.div_euclid(DAY_MICROS), text);
    text.push('T');
    write_time(micros.rem_euclid(DAY_MICROS), text);
    text.push('Z');
    Ok(Value::Text(text))
}
