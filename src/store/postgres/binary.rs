//! Values in PostgreSQL's binary form: for COPY and for parameters of INSERT.
//!
//! In: a [`Value`] and its column's type. Out: bytes appended to a buffer, as the type's receive
//! function reads them; a domain's are its base type's, an enum's are its label. Pure.

use crate::model::table::ColumnType;
use crate::model::value::Value;

use super::text::nearest_f32;

/// 2000-01-01, from which PostgreSQL counts, in days since 1970-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 10_957 * 86_400 * 1_000_000;

/// Signs of a numeric.
const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_NAN: u16 = 0xC000;
const NUMERIC_INFINITY: u16 = 0xD000;
const NUMERIC_NEGATIVE_INFINITY: u16 = 0xF000;

/// Decimal digits in one base-10000 digit of a numeric.
const DIGITS_PER_GROUP: usize = 4;

/// Appends the value's bytes without a length; `false`, with nothing appended, for NULL and for
/// values left unset.
///
/// # Panics
/// If the value is not of the form that [`Value`] promises for the type.
pub(super) fn append(out: &mut Vec<u8>, ty: &ColumnType, value: Value<'_>) -> bool {
    match (ty, value) {
        (_, Value::Unset | Value::Default | Value::Null) => return false,
        (_, Value::Bool(value)) => out.push(u8::from(value)),
        (ColumnType::Int2, Value::Int(value)) => {
            let value = i16::try_from(value).expect("the mapping checks an int2's range");
            out.extend_from_slice(&value.to_be_bytes());
        }
        (ColumnType::Int4, Value::Int(value)) => {
            let value = i32::try_from(value).expect("the mapping checks an int4's range");
            out.extend_from_slice(&value.to_be_bytes());
        }
        (_, Value::Int(value)) => out.extend_from_slice(&value.to_be_bytes()),
        (ColumnType::Float4, Value::Float(value)) => {
            out.extend_from_slice(&nearest_f32(value).to_be_bytes());
        }
        (_, Value::Float(value)) => out.extend_from_slice(&value.to_be_bytes()),
        (_, Value::Decimal(text)) => append_numeric(out, text),
        (ColumnType::Jsonb, Value::Text(text)) => {
            out.push(1);
            out.extend_from_slice(text.as_bytes());
        }
        (_, Value::Text(text)) => out.extend_from_slice(text.as_bytes()),
        (_, Value::Bytes(bytes)) => out.extend_from_slice(bytes),
        (_, Value::Uuid(uuid)) => out.extend_from_slice(&uuid),
        (_, Value::Date(days)) => {
            // The ends of the range mean infinity: a day that far off stays out of range instead.
            let days = days.saturating_sub(EPOCH_DAYS).max(i32::MIN + 1);
            out.extend_from_slice(&days.to_be_bytes());
        }
        (_, Value::Time(micros)) => out.extend_from_slice(&micros.to_be_bytes()),
        (_, Value::Timestamp(micros)) => {
            let micros = micros.saturating_sub(EPOCH_MICROS).max(i64::MIN + 1);
            out.extend_from_slice(&micros.to_be_bytes());
        }
    }
    true
}

/// Appends one field of a binary COPY: its length, then its bytes.
pub(super) fn append_field(out: &mut Vec<u8>, ty: &ColumnType, value: Value<'_>) {
    let start = out.len();
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    if append(out, ty, value) {
        let length = i32::try_from(out.len() - start - 4).expect("a value is below 1 GiB");
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// A numeric: number of base-10000 digits, weight of the first one, sign, digits after the point,
/// then the base-10000 digits without zeros at either end.
fn append_numeric(out: &mut Vec<u8>, text: &str) {
    let special = match text {
        "NaN" => Some(NUMERIC_NAN),
        "Infinity" => Some(NUMERIC_INFINITY),
        "-Infinity" => Some(NUMERIC_NEGATIVE_INFINITY),
        _ => None,
    };
    if let Some(sign) = special {
        append_numeric_header(out, 0, 0, sign, 0);
        return;
    }
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups: Vec<i16> = Vec::with_capacity(digits.len() / DIGITS_PER_GROUP + 2);
    let first_length = match whole.len() % DIGITS_PER_GROUP {
        0 => DIGITS_PER_GROUP.min(whole.len()),
        partial => partial,
    };
    let (first, rest) = whole.as_bytes().split_at(first_length);
    for group in std::iter::once(first).chain(rest.chunks(DIGITS_PER_GROUP)) {
        if !group.is_empty() {
            groups.push(group_value(group));
        }
    }
    let mut weight = i32::try_from(groups.len()).expect("bounded by the text") - 1;
    for group in fraction.as_bytes().chunks(DIGITS_PER_GROUP) {
        let padding = (group.len()..DIGITS_PER_GROUP).fold(1, |factor, _| factor * 10);
        groups.push(group_value(group) * padding);
    }
    let n_leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..n_leading);
    weight -= i32::try_from(n_leading).expect("bounded by the text");
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let sign = if negative && !groups.is_empty() {
        NUMERIC_NEGATIVE
    } else {
        0
    };
    append_numeric_header(out, groups.len(), weight, sign, fraction.len());
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// A number beyond what the header holds is beyond numeric as well: the header is then one that the
/// server refuses, never one that it reads as another number.
fn append_numeric_header(out: &mut Vec<u8>, n_groups: usize, weight: i32, sign: u16, scale: usize) {
    let fits = (
        u16::try_from(n_groups),
        i16::try_from(weight),
        u16::try_from(scale),
    );
    let (n_groups, weight, scale) = match fits {
        (Ok(n_groups), Ok(weight), Ok(scale)) => (n_groups, weight, scale),
        _ => (u16::MAX, i16::MAX, u16::MAX),
    };
    out.extend_from_slice(&n_groups.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
}

/// Up to four decimal digits as a number.
fn group_value(digits: &[u8]) -> i16 {
    digits
        .iter()
        .fold(0_i16, |value, digit| value * 10 + i16::from(digit - b'0'))
}

#[cfg(test)]
mod tests;
