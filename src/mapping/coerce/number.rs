//! Numbers: number cells into every column, and text into integers and floats.
//!
//! In: a double as the workbook holds it, or text. Out: values in range. Numbers of cells are
//! rounded to 15 significant digits, which is what a spreadsheet program shows; a whole number
//! whose digits that would change is refused instead, because it is an identifier more often
//! than a quantity.

use std::fmt::Write;

use crate::mapping::DecimalSeparator;
use crate::mapping::coerce::{Bound, Fault, Scratch, Target, decimal, text};
use crate::model::cell::{SIXTEEN_DIGITS, round_to_15_digits, whole_of};
use crate::model::table::ColumnType;
use crate::model::value::Value;

/// The digits of a number in text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) negative: bool,
    pub(super) whole: &'a str,
    pub(super) fraction: &'a str,
    pub(super) exponent: Option<i64>,
}

/// What a number cell becomes; `shown` is what a format of zeros makes of it.
pub(super) fn from_number<'v>(
    target: &'v Target,
    raw: f64,
    shown: Option<&'v str>,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    if !raw.is_finite() {
        return Err(Fault::out_of_range("is not a finite number"));
    }
    let value = rounded(raw, &mut scratch.plain);
    let ty = &target.ty;
    match (ty, shown) {
        _ if target.takes_shown_text() => match shown {
            Some(shown) => target.fits(shown),
            None => target.fits(digits_shown(value, &mut scratch.text)?),
        },
        (ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8, _) => {
            if value.fract() != 0.0 {
                return Err(Fault::mismatch("is not a whole number"));
            }
            let whole = whole_of(value).ok_or_else(|| out_of_integer_range(ty))?;
            let whole = integer(ty, whole)?;
            refuse_lost_digits(raw, value)?;
            Ok(whole)
        }
        (ColumnType::Numeric(bounds), _) => {
            refuse_lost_digits(raw, value)?;
            let plain = write_number(value, &mut scratch.plain);
            decimal::from_text(plain, *bounds, &mut scratch.text).map(Value::Decimal)
        }
        (ColumnType::Float8, _) => Ok(Value::Float(value)),
        (ColumnType::Float4, _) => nearest_float4(value),
        (ColumnType::Bool, _) => match whole_of(value) {
            Some(0) => Ok(Value::Bool(false)),
            Some(1) => Ok(Value::Bool(true)),
            _ => Err(Fault::mismatch("is a number other than 1 and 0")),
        },
        (ColumnType::Enum(labels), None) => {
            let digits = digits_shown(value, &mut scratch.text)?;
            text::label(labels, digits).map(Value::Text)
        }
        _ => Err(Fault::mismatch("is a number")),
    }
}

/// What a cell that holds TRUE or FALSE becomes.
pub(super) fn from_bool(target: &Target, value: bool) -> Result<Value<'static>, Fault> {
    match target.ty {
        ColumnType::Bool => Ok(Value::Bool(value)),
        _ if target.takes_shown_text() => target.fits(if value { "true" } else { "false" }),
        _ => Err(Fault::mismatch("is a boolean")),
    }
}

/// A value that is in range of an integer column.
pub(super) fn integer(ty: &ColumnType, value: i64) -> Result<Value<'static>, Fault> {
    let (min, max) = integer_range(ty);
    if (min..=max).contains(&value) {
        Ok(Value::Int(value))
    } else {
        Err(out_of_integer_range(ty))
    }
}

/// The fault of a number beyond an integer column's range.
fn out_of_integer_range(ty: &ColumnType) -> Fault {
    let (min, max) = integer_range(ty);
    Fault::out_of_range("is out of range").bounded(Bound::Whole { min, max })
}

fn integer_range(ty: &ColumnType) -> (i64, i64) {
    match ty {
        ColumnType::Int2 => (i16::MIN.into(), i16::MAX.into()),
        ColumnType::Int4 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

/// A float4's value: the nearest f32.
pub(super) fn nearest_float4(value: f64) -> Result<Value<'static>, Fault> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the nearest f32 is meant"
    )]
    let single = value as f32;
    if value.is_finite() && single.is_infinite() || single == 0.0 && value != 0.0 {
        return Err(Fault::out_of_range("is out of range of a 32-bit float"));
    }
    Ok(Value::Float(f64::from(single)))
}

fn refuse_lost_digits(raw: f64, rounded: f64) -> Result<(), Fault> {
    #[expect(
        clippy::float_cmp,
        reason = "whether rounding changed it at all is the question"
    )]
    if raw.abs() >= SIXTEEN_DIGITS && raw != rounded {
        return Err(Fault::precision_loss(
            "has more than the 15 digits that a spreadsheet keeps",
        ));
    }
    Ok(())
}

/// A number as text columns take it: no exponent, no `.0`.
fn digits_shown(value: f64, text: &mut String) -> Result<&str, Fault> {
    if value.abs() >= SIXTEEN_DIGITS {
        return Err(Fault::precision_loss(
            "has more than the 15 digits that a spreadsheet keeps: store it as text",
        ));
    }
    Ok(write_number(value, text))
}

/// The shortest digits that mean `value`, without exponent; zero has no sign.
pub(super) fn write_number(value: f64, text: &mut String) -> &str {
    text.clear();
    match whole_of(value) {
        // Digits of integers are several times faster to write.
        Some(whole) if value.abs() < SIXTEEN_DIGITS => write!(text, "{whole}"),
        _ => write!(text, "{value}"),
    }
    .expect("writing to a string");
    text
}

/// The value at 15 significant digits: at once where its shortest spelling has no more, which is
/// what a spreadsheet program writes, as a rule.
fn rounded(value: f64, spelling: &mut String) -> f64 {
    if value.fract() == 0.0 && value.abs() < SIXTEEN_DIGITS {
        return value;
    }
    spelling.clear();
    write!(spelling, "{value:e}").expect("writing to a string");
    let mantissa = spelling.bytes().take_while(|byte| *byte != b'e');
    if mantissa.filter(u8::is_ascii_digit).count() <= 15 {
        value
    } else {
        round_to_15_digits(value)
    }
}

// Text.

/// A number in text with `.` as its decimal separator and without grouping.
///
/// With a declared separator the other one groups digits by three; without one a comma is
/// AMBIGUOUS_VALUE where either reading makes a number of it.
#[inline]
pub(super) fn plain<'v>(
    text: &'v str,
    separator: Option<DecimalSeparator>,
    clean: &'v mut String,
) -> Result<&'v str, Fault> {
    match separator {
        None | Some(DecimalSeparator::Point) if !text.contains(',') => Ok(text),
        None => {
            let readings = [DecimalSeparator::Point, DecimalSeparator::Comma];
            let is_number = readings
                .into_iter()
                .any(|separator| ungroup(text, separator, clean) && parts(clean).is_some());
            if is_number {
                Err(Fault::ambiguous(
                    "has a comma, and no decimal separator is declared",
                ))
            } else {
                Err(Fault::mismatch("is not a number"))
            }
        }
        Some(separator) => {
            if ungroup(text, separator, clean) {
                Ok(clean)
            } else {
                Err(Fault::mismatch(
                    "is not a number with the declared decimal separator",
                ))
            }
        }
    }
}

/// Writes `text` without its grouping to `clean`; false if the groups are not of three digits.
fn ungroup(text: &str, separator: DecimalSeparator, clean: &mut String) -> bool {
    let (decimal, group) = match separator {
        DecimalSeparator::Point => ('.', ','),
        DecimalSeparator::Comma => (',', '.'),
    };
    let (whole, fraction) = match text.split_once(decimal) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    clean.clear();
    let unsigned = whole.trim_start_matches(['+', '-']);
    let mut groups = unsigned.split(group);
    let first = groups.next().unwrap_or_default();
    let mut n_groups = 1;
    clean.push_str(whole.strip_suffix(unsigned).unwrap_or_default());
    clean.push_str(first);
    for digits in groups {
        n_groups += 1;
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        clean.push_str(digits);
    }
    if n_groups > 1 && !(1..=3).contains(&first.len()) {
        return false;
    }
    if let Some(fraction) = fraction {
        if fraction.contains([',', '.']) {
            return false;
        }
        clean.push('.');
        clean.push_str(fraction);
    }
    true
}

/// Splits a number: a sign, digits with or without a point among them, an exponent.
pub(super) fn parts(text: &str) -> Option<Parts<'_>> {
    let (negative, unsigned) = split_sign(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(parse_exponent(exponent)?)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let n_digits = whole.len() + fraction.len();
    (n_digits > 0 && is_digits(whole) && is_digits(fraction)).then_some(Parts {
        negative,
        whole,
        fraction,
        exponent,
    })
}

/// An exponent; one beyond i32 is as good as the bound, because no column holds either.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let bound = i64::from(i32::MAX);
    let magnitude = digits.parse::<i64>().unwrap_or(bound).min(bound);
    Some(if text.starts_with('-') {
        -magnitude
    } else {
        magnitude
    })
}

/// Text into an integer column: digits and sign, with nothing but zeros after a point.
#[inline]
pub(super) fn whole_from_text(ty: &ColumnType, text: &str) -> Result<Value<'static>, Fault> {
    let fault = Fault::mismatch("is not a whole number");
    // std takes exactly digits and a sign, and tells overflow from the rest.
    if let Ok(value) = text.parse::<i64>() {
        return integer(ty, value);
    }
    let parts = parts(text).ok_or(fault)?;
    if parts.exponent.is_some() || parts.fraction.bytes().any(|digit| digit != b'0') {
        return Err(fault);
    }
    let mut value = 0i64;
    for digit in parts.whole.bytes().map(|byte| i64::from(byte - b'0')) {
        let digit = if parts.negative { -digit } else { digit };
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(digit))
            .ok_or_else(|| out_of_integer_range(ty))?;
    }
    integer(ty, value)
}

/// Text into a float column: the nearest double or single; `NaN`, `inf` and `infinity` in any
/// case and with a sign, as PostgreSQL reads them. What would overflow, or vanish into zero, is
/// OUT_OF_RANGE, also as there.
pub(super) fn float_from_text(ty: &ColumnType, text: &str) -> Result<Value<'static>, Fault> {
    let (negative, name) = split_sign(text);
    if name.eq_ignore_ascii_case("nan") {
        return Ok(Value::Float(f64::NAN));
    }
    if is_infinity(name) {
        let sign = if negative { -1.0 } else { 1.0 };
        return Ok(Value::Float(f64::INFINITY * sign));
    }
    let parts = parts(text).ok_or(Fault::mismatch("is not a number"))?;
    let fault = Fault::mismatch("is not a number");
    let value = match ty {
        ColumnType::Float4 => f64::from(text.parse::<f32>().map_err(|_| fault)?),
        _ => text.parse::<f64>().map_err(|_| fault)?,
    };
    let mut digits = parts.whole.bytes().chain(parts.fraction.bytes());
    if value.is_infinite() || value == 0.0 && digits.any(|digit| digit != b'0') {
        return Err(Fault::out_of_range(match ty {
            ColumnType::Float4 => "is out of range of a 32-bit float",
            _ => "is out of range of a 64-bit float",
        }));
    }
    Ok(Value::Float(value))
}

/// Whether text without its sign means infinity.
pub(super) fn is_infinity(text: &str) -> bool {
    text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("infinity")
}

/// Whether text is negative, and the rest of it.
pub(super) fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}
