//! The first paragraph of cells.md: values of row imports are taken as sent.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn values_are_bound_as_sent() {
    let text = |text| Ok(Value::Text(text));
    let stamp = Cell::Timestamp {
        seconds: 1_709_201_106,
        nanos: 123_456_000,
    };
    let micros = Ok(Value::Timestamp(1_709_201_106_123_456));
    check(
        &cells().exact(),
        &[
            (Cell::Bool(true), ColumnType::Bool, Ok(Value::Bool(true))),
            (Cell::Bool(true), ColumnType::Text, Err(TypeMismatch)),
            (Cell::Bool(true), ColumnType::Int4, Err(TypeMismatch)),
            (
                Cell::Int(-32_768),
                ColumnType::Int2,
                Ok(Value::Int(-32_768)),
            ),
            (Cell::Int(32_768), ColumnType::Int2, Err(OutOfRange)),
            (Cell::Int(i64::MAX), ColumnType::Int4, Err(OutOfRange)),
            (
                Cell::Int(i64::MIN),
                ColumnType::Int8,
                Ok(Value::Int(i64::MIN)),
            ),
            (
                Cell::Int(-7),
                ColumnType::Numeric(None),
                Ok(Value::Decimal("-7")),
            ),
            (Cell::Int(123_456_789), numeric(10, 2), Err(OutOfRange)),
            (
                Cell::Int(1 << 53),
                ColumnType::Float8,
                Ok(Value::Float(9_007_199_254_740_992.0)),
            ),
            (
                Cell::Int((1 << 53) + 1),
                ColumnType::Float8,
                Err(PrecisionLoss),
            ),
            (
                Cell::Int(i64::MIN),
                ColumnType::Float4,
                Ok(Value::Float(-9_223_372_036_854_775_808.0)),
            ),
            (
                Cell::Int((1 << 24) + 1),
                ColumnType::Float4,
                Err(PrecisionLoss),
            ),
            (Cell::Int(1), ColumnType::Text, Err(TypeMismatch)),
            (Cell::Int(1), ColumnType::Bool, Err(TypeMismatch)),
            (Cell::Int(1), ColumnType::Other, text("1")),
            (Cell::Double(0.5), ColumnType::Float4, Ok(Value::Float(0.5))),
            (Cell::Double(0.1), ColumnType::Float4, Err(PrecisionLoss)),
            (Cell::Double(1e39), ColumnType::Float4, Err(OutOfRange)),
            (
                Cell::Double(f64::INFINITY),
                ColumnType::Float4,
                Ok(Value::Float(f64::INFINITY)),
            ),
            (
                Cell::Double(f64::NAN),
                ColumnType::Float4,
                Ok(Value::Float(f64::NAN)),
            ),
            (Cell::Double(1.0), ColumnType::Int4, Err(TypeMismatch)),
            (
                Cell::Double(1.0),
                ColumnType::Numeric(None),
                Err(TypeMismatch),
            ),
            (
                Cell::Decimal("1.10"),
                ColumnType::Numeric(None),
                Ok(Value::Decimal("1.10")),
            ),
            (Cell::Decimal("1.105"), numeric(10, 2), Err(PrecisionLoss)),
            (
                Cell::Decimal(" 1"),
                ColumnType::Numeric(None),
                Err(TypeMismatch),
            ),
            (Cell::Decimal("42.0"), ColumnType::Int4, Ok(Value::Int(42))),
            (Cell::Decimal("1.10"), ColumnType::Text, text("1.10")),
            (Cell::Text("  "), ColumnType::Text, text("  ")),
            (Cell::Text(""), ColumnType::Text, text("")),
            (Cell::Text(""), ColumnType::Int4, Err(TypeMismatch)),
            (Cell::Text("a\0"), ColumnType::Text, Err(InvalidText)),
            (Cell::Text("42"), ColumnType::Int4, Ok(Value::Int(42))),
            (Cell::Text(" 42"), ColumnType::Int4, Err(TypeMismatch)),
            (Cell::Text("red"), colours(), text("red")),
            (Cell::Text("{}"), ColumnType::Jsonb, text("{}")),
            (Cell::Text("00"), ColumnType::Bytea, Ok(Value::Bytes(&[0]))),
            (
                Cell::Bytes(&[0, 255]),
                ColumnType::Bytea,
                Ok(Value::Bytes(&[0, 255])),
            ),
            (Cell::Bytes(b"abc"), ColumnType::Text, Err(TypeMismatch)),
            (
                Cell::Date("2024-02-29"),
                ColumnType::Date,
                date(day(2024, 2, 29)),
            ),
            (
                Cell::Date("29/02/2024"),
                ColumnType::Date,
                Err(AmbiguousValue),
            ),
            (
                Cell::Date("2024-02-29"),
                ColumnType::Timestamp,
                moment(day(2024, 2, 29), 0, 0, 0),
            ),
            (
                Cell::Time("10:30:00.000001"),
                ColumnType::Time,
                time(10, 30, 1),
            ),
            (stamp, ColumnType::TimestampTz, micros),
            (stamp, ColumnType::Timestamp, micros),
            (
                stamp,
                ColumnType::Other,
                text("2024-02-29T10:05:06.123456Z"),
            ),
            (stamp, ColumnType::Date, Err(TypeMismatch)),
            (stamp, ColumnType::Text, Err(TypeMismatch)),
            (
                Cell::Timestamp {
                    seconds: -1,
                    nanos: 999_999_600,
                },
                ColumnType::Timestamp,
                Ok(Value::Timestamp(0)),
            ),
            (
                Cell::Timestamp {
                    seconds: 0,
                    nanos: -1,
                },
                ColumnType::Timestamp,
                Err(OutOfRange),
            ),
            (
                Cell::Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                },
                ColumnType::Timestamp,
                Err(OutOfRange),
            ),
            (Cell::Null, ColumnType::Int4, Ok(Value::Null)),
            (Cell::Unset, ColumnType::Int4, Ok(Value::Unset)),
        ],
    );
}

#[test]
fn doubles_keep_every_bit() {
    for bits in [0, 1 << 63, 1, 0x7ff8_0000_0000_beef, 0xfff8_0000_0000_0001] {
        let mut scratch = Scratch::default();
        let target = target(ColumnType::Float8);
        let cell = Cell::Double(f64::from_bits(bits));
        match target.coerce(cell, &cells().exact(), &mut scratch) {
            Ok(Value::Float(value)) => assert_eq!(value.to_bits(), bits),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_value_left_out_needs_a_default_or_null() {
    let required = Target {
        nullable: false,
        ..target(ColumnType::Int4)
    };
    let with_default = Target {
        has_default: true,
        ..required.clone()
    };
    let exact = cells().exact();
    assert_eq!(coerce(&required, Cell::Null, &exact), Err(RequiredMissing));
    assert_eq!(coerce(&required, Cell::Unset, &exact), Err(RequiredMissing));
    assert_eq!(
        coerce(&with_default, Cell::Null, &exact),
        Err(RequiredMissing)
    );
    assert_eq!(
        coerce(&with_default, Cell::Unset, &exact),
        Ok("Unset".to_owned())
    );
}
