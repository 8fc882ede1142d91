//! Text cells: already trimmed where they have to be.
//!
//! In: text. Out: a value of the column's type, borrowed from the cell wherever the cell spells
//! it as the value does.

use uuid::Uuid;

use crate::mapping::coerce::{Fault, Scratch, Settings, Target, date, decimal, json, number};
use crate::model::reject::RowErrorCode;
use crate::model::table::ColumnType;
use crate::model::value::Value;

/// What text becomes in the column.
#[inline]
pub(super) fn from_text<'v>(
    target: &'v Target,
    text: &'v str,
    settings: &Settings,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    match &target.ty {
        ColumnType::Text | ColumnType::Varchar(_) | ColumnType::Char(_) | ColumnType::Other => {
            target.fits(text)
        }
        ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8 => {
            let plain = number::plain(text, settings.decimal_separator, &mut scratch.plain)?;
            number::whole_from_text(&target.ty, plain)
        }
        ColumnType::Numeric(bounds) => {
            let plain = number::plain(text, settings.decimal_separator, &mut scratch.plain)?;
            decimal::from_text(plain, *bounds, &mut scratch.text).map(Value::Decimal)
        }
        ColumnType::Float4 | ColumnType::Float8 => {
            let plain = number::plain(text, settings.decimal_separator, &mut scratch.plain)?;
            number::float_from_text(&target.ty, plain)
        }
        ColumnType::Bool => bool_from_text(text),
        ColumnType::Date => date::date_from_text(target, text, settings),
        ColumnType::Time => date::time_from_text(target, text),
        ColumnType::Timestamp | ColumnType::TimestampTz => {
            date::timestamp_from_text(target, text, settings)
        }
        ColumnType::Uuid => match Uuid::try_parse(text) {
            Ok(uuid) => Ok(Value::Uuid(uuid.into_bytes())),
            Err(_) => Err(Fault::mismatch("is not a UUID")),
        },
        ColumnType::Json => json::check_json(text).map(|()| Value::Text(text)),
        ColumnType::Jsonb => json::check_jsonb(text).map(|()| Value::Text(text)),
        ColumnType::Bytea => bytes_from_hex(text, &mut scratch.bytes).map(Value::Bytes),
        ColumnType::Enum(labels) => label(labels, text).map(Value::Text),
        ColumnType::Array => Err(Fault::mismatch("cannot become an array")),
    }
}

/// The label of an enum that `text` is, letter for letter.
pub(super) fn label<'v>(labels: &'v [String], text: &str) -> Result<&'v str, Fault> {
    match labels.iter().find(|label| *label == text) {
        Some(label) => Ok(label),
        None => Err(Fault::new(
            RowErrorCode::InvalidEnum,
            "is not a value of the enum",
        )),
    }
}

fn bool_from_text(text: &str) -> Result<Value<'static>, Fault> {
    const TRUE: [&str; 5] = ["true", "t", "yes", "y", "1"];
    const FALSE: [&str; 5] = ["false", "f", "no", "n", "0"];
    let is_one_of = |words: [&str; 5]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(TRUE) {
        Ok(Value::Bool(true))
    } else if is_one_of(FALSE) {
        Ok(Value::Bool(false))
    } else {
        Err(Fault::mismatch(
            "is not a boolean: true, false, yes, no, y, n, t, f, 1 or 0",
        ))
    }
}

/// Pairs of hexadecimal digits, with or without `\x` in front.
fn bytes_from_hex<'v>(text: &str, bytes: &'v mut Vec<u8>) -> Result<&'v [u8], Fault> {
    let fault = Fault::mismatch("is not hexadecimal: pairs of digits, with or without \\x");
    let digits = text.strip_prefix("\\x").unwrap_or(text).as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(fault);
    }
    bytes.clear();
    for [high, low] in pairs {
        let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) else {
            return Err(fault);
        };
        bytes.push(high << 4 | low);
    }
    Ok(bytes)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}
