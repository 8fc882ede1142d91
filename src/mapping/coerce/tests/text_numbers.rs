//! The row of cells.md for text: numbers.

use super::*;

#[test]
fn text_in_integer_columns() {
    let ok = |value| Ok(Value::Int(value));
    check_text(
        &cells(),
        &ColumnType::Int4,
        &[
            ("42", ok(42)),
            (" +42 ", ok(42)),
            ("-0042", ok(-42)),
            ("42.0", ok(42)),
            ("-42.000", ok(-42)),
            ("42.5", Err(TypeMismatch)),
            ("1e3", Err(TypeMismatch)),
            ("1,234", Err(AmbiguousValue)),
            ("one, two", Err(TypeMismatch)),
            ("4 2", Err(TypeMismatch)),
            ("٤٢", Err(TypeMismatch)),
            ("0x2a", Err(TypeMismatch)),
            (".", Err(TypeMismatch)),
            ("--1", Err(TypeMismatch)),
        ],
    );
    check_text(
        &cells(),
        &ColumnType::Int2,
        &[
            ("32767", ok(32767)),
            ("32768", Err(OutOfRange)),
            ("-32768", ok(-32768)),
            ("-32769", Err(OutOfRange)),
        ],
    );
    check_text(
        &cells(),
        &ColumnType::Int4,
        &[
            ("2147483647", ok(2_147_483_647)),
            ("2147483648", Err(OutOfRange)),
        ],
    );
    check_text(
        &cells(),
        &ColumnType::Int8,
        &[
            ("9007199254740993", ok(9_007_199_254_740_993)),
            ("9223372036854775807", ok(i64::MAX)),
            ("-9223372036854775808.0", ok(i64::MIN)),
            ("9223372036854775808", Err(OutOfRange)),
            ("99999999999999999999", Err(OutOfRange)),
            ("000000000000000000000000000007", ok(7)),
        ],
    );
}

#[test]
fn text_in_numeric_columns() {
    let ok = |text| Ok(Value::Decimal(text));
    let wide = "9".repeat(131_073);
    let deep = format!("0.{}1", "0".repeat(16_383));
    check_text(
        &cells(),
        &ColumnType::Numeric(None),
        &[
            ("1234.50", ok("1234.50")),
            ("+01234.50", ok("1234.50")),
            ("-0.00", ok("0.00")),
            ("-0", ok("0")),
            (".5", ok("0.5")),
            ("-5.", ok("-5")),
            ("1.5e3", ok("1500")),
            ("15E-3", ok("0.015")),
            ("1e-7", ok("0.0000001")),
            ("0e999999999999999999999", ok("0")),
            ("1e999999999", Err(OutOfRange)),
            ("1e-999999999", Err(PrecisionLoss)),
            (&wide, Err(OutOfRange)),
            (&deep, Err(PrecisionLoss)),
            ("nan", ok("NaN")),
            ("-inf", ok("-Infinity")),
            ("Infinity", ok("Infinity")),
        ],
    );
    check_text(
        &cells(),
        &numeric(10, 2),
        &[("NaN", ok("NaN")), ("inf", Err(OutOfRange))],
    );
    check_text(
        &cells(),
        &ColumnType::Numeric(None),
        &[
            ("1,234", Err(AmbiguousValue)),
            ("1,234.50", Err(AmbiguousValue)),
            ("1,2,3", Err(TypeMismatch)),
            ("$5", Err(TypeMismatch)),
            ("7.5%", Err(TypeMismatch)),
            ("1e", Err(TypeMismatch)),
            ("e5", Err(TypeMismatch)),
        ],
    );
    check_text(
        &cells(),
        &numeric(10, 2),
        &[
            ("12345678.90", ok("12345678.90")),
            ("123456789", Err(OutOfRange)),
            ("1.234", Err(PrecisionLoss)),
            ("1.2300", ok("1.23")),
            ("1.2", ok("1.2")),
        ],
    );
    check_text(
        &cells(),
        &numeric(10, 0),
        &[("1.5", Err(PrecisionLoss)), ("1.0", ok("1"))],
    );
    check_text(
        &cells(),
        &numeric(5, -2),
        &[
            ("1234500", ok("1234500")),
            ("12345e3", Err(OutOfRange)),
            ("1234550", Err(PrecisionLoss)),
            ("0", ok("0")),
        ],
    );
    check_text(
        &cells(),
        &numeric(2, 4),
        &[
            ("0.0012", ok("0.0012")),
            ("0.0123", Err(OutOfRange)),
            ("0.00123", Err(PrecisionLoss)),
        ],
    );
}

#[test]
fn text_in_float_columns() {
    let ok = |value| Ok(Value::Float(value));
    check_text(
        &cells(),
        &ColumnType::Float8,
        &[
            ("1234.50", ok(1234.5)),
            ("1e-3", ok(0.001)),
            ("-0", ok(-0.0)),
            ("NaN", ok(f64::NAN)),
            ("-Infinity", ok(f64::NEG_INFINITY)),
            ("1e400", Err(OutOfRange)),
            ("1e-400", Err(OutOfRange)),
            ("0e-400", ok(0.0)),
        ],
    );
    check_text(
        &cells(),
        &ColumnType::Float4,
        &[
            ("0.1", ok(f64::from(0.1f32))),
            ("1e39", Err(OutOfRange)),
            ("1e-50", Err(OutOfRange)),
        ],
    );
    check_text(
        &cells(),
        &ColumnType::Float8,
        &[
            ("1,5", Err(AmbiguousValue)),
            ("abc", Err(TypeMismatch)),
            ("nano", Err(TypeMismatch)),
        ],
    );
}

#[test]
fn a_declared_decimal_separator_allows_grouping() {
    let point = Settings {
        decimal_separator: Some(DecimalSeparator::Point),
        ..cells()
    };
    let comma = Settings {
        decimal_separator: Some(DecimalSeparator::Comma),
        ..cells()
    };
    let ok = |text| Ok(Value::Decimal(text));
    check_text(
        &point,
        &ColumnType::Numeric(None),
        &[
            ("1,234.50", ok("1234.50")),
            ("-1,234,567", ok("-1234567")),
            ("1234.5", ok("1234.5")),
            ("1,23", Err(TypeMismatch)),
            (",123", Err(TypeMismatch)),
            ("1234,567", Err(TypeMismatch)),
            ("1.234,50", Err(TypeMismatch)),
        ],
    );
    check_text(
        &point,
        &ColumnType::Int2,
        &[("1,234", Ok(Value::Int(1234)))],
    );
    check_text(
        &comma,
        &ColumnType::Numeric(None),
        &[
            ("1.234,50", ok("1234.50")),
            ("1234,5", ok("1234.5")),
            ("1.234", ok("1234")),
            ("1234.5", Err(TypeMismatch)),
            ("1,234,567", Err(TypeMismatch)),
        ],
    );
    check_text(&comma, &ColumnType::Int2, &[("12,0", Ok(Value::Int(12)))]);
    check_text(
        &comma,
        &ColumnType::Float8,
        &[("0,5", Ok(Value::Float(0.5)))],
    );
}
