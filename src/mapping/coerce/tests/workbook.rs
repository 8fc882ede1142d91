//! The rows of cells.md for what workbooks hold besides text.

use super::*;

fn serial(serial: f64) -> Cell<'static> {
    Cell::DateSerial {
        serial,
        system: DateSystem::Y1900,
    }
}

fn serial_1904(serial: f64) -> Cell<'static> {
    Cell::DateSerial {
        serial,
        system: DateSystem::Y1904,
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn general_numbers() {
    let text = |text| Ok(Value::Text(text));
    let decimal = |text| Ok(Value::Decimal(text));
    check(
        &cells(),
        &[
            (
                Cell::Number(13_800_138_000.0),
                ColumnType::Text,
                text("13800138000"),
            ),
            (Cell::Number(42.0), ColumnType::Varchar(Some(5)), text("42")),
            (
                Cell::Number(123_456.0),
                ColumnType::Varchar(Some(5)),
                Err(TooLong),
            ),
            (Cell::Number(0.1 + 0.2), ColumnType::Text, text("0.3")),
            (Cell::Number(-0.0), ColumnType::Text, text("0")),
            (Cell::Number(0.075), ColumnType::Text, text("0.075")),
            (Cell::Number(1e-7), ColumnType::Text, text("0.0000001")),
            (
                Cell::Number(999_999_999_999_999.0),
                ColumnType::Text,
                text("999999999999999"),
            ),
            (Cell::Number(1e15), ColumnType::Text, Err(PrecisionLoss)),
            (Cell::Number(-1e15), ColumnType::Text, Err(PrecisionLoss)),
            (
                Cell::Number(f64::INFINITY),
                ColumnType::Text,
                Err(OutOfRange),
            ),
            (Cell::Number(f64::NAN), ColumnType::Float8, Err(OutOfRange)),
            (Cell::Number(42.0), ColumnType::Int2, Ok(Value::Int(42))),
            (
                Cell::Number(4.35 * 100.0),
                ColumnType::Int2,
                Ok(Value::Int(435)),
            ),
            (Cell::Number(42.5), ColumnType::Int2, Err(TypeMismatch)),
            (Cell::Number(40_000.0), ColumnType::Int2, Err(OutOfRange)),
            (Cell::Number(1e19), ColumnType::Int8, Err(OutOfRange)),
            (
                Cell::Number(9.223_372_036_854_776e18),
                ColumnType::Int8,
                Err(OutOfRange),
            ),
            (
                Cell::Number(1e18),
                ColumnType::Int8,
                Ok(Value::Int(1_000_000_000_000_000_000)),
            ),
            (
                Cell::Number(9_007_199_254_740_992.0),
                ColumnType::Int8,
                Err(PrecisionLoss),
            ),
            (
                Cell::Number(9_007_199_254_740_992.0),
                ColumnType::Int4,
                Err(OutOfRange),
            ),
            (
                Cell::Number(0.1 + 0.2),
                ColumnType::Numeric(None),
                decimal("0.3"),
            ),
            (
                Cell::Number(1e20),
                ColumnType::Numeric(None),
                decimal("100000000000000000000"),
            ),
            (
                Cell::Number(9_007_199_254_740_992.0),
                ColumnType::Numeric(None),
                Err(PrecisionLoss),
            ),
            (Cell::Number(1.5), numeric(10, 2), decimal("1.5")),
            (Cell::Number(1.125), numeric(10, 2), Err(PrecisionLoss)),
            (Cell::Number(1e9), numeric(10, 2), Err(OutOfRange)),
            (
                Cell::Number(0.1 + 0.2),
                ColumnType::Float8,
                Ok(Value::Float(0.3)),
            ),
            (
                Cell::Number(0.1),
                ColumnType::Float4,
                Ok(Value::Float(f64::from(0.1f32))),
            ),
            (Cell::Number(1e39), ColumnType::Float4, Err(OutOfRange)),
            (Cell::Number(1.0), ColumnType::Bool, Ok(Value::Bool(true))),
            (Cell::Number(0.0), ColumnType::Bool, Ok(Value::Bool(false))),
            (Cell::Number(2.0), ColumnType::Bool, Err(TypeMismatch)),
            (Cell::Number(45_000.0), ColumnType::Date, Err(TypeMismatch)),
            (Cell::Number(0.5), ColumnType::Time, Err(TypeMismatch)),
            (
                Cell::Number(45_000.0),
                ColumnType::Timestamp,
                Err(TypeMismatch),
            ),
            (
                Cell::Number(45_000.0),
                ColumnType::TimestampTz,
                Err(TypeMismatch),
            ),
            (Cell::Number(42.0), colours(), text("42")),
            (Cell::Number(43.0), colours(), Err(InvalidEnum)),
            (Cell::Number(1.0), ColumnType::Uuid, Err(TypeMismatch)),
            (Cell::Number(1.0), ColumnType::Json, Err(TypeMismatch)),
            (Cell::Number(1.0), ColumnType::Jsonb, Err(TypeMismatch)),
            (Cell::Number(10.0), ColumnType::Bytea, Err(TypeMismatch)),
            (Cell::Number(12.5), ColumnType::Other, text("12.5")),
        ],
    );
}

#[test]
fn numbers_in_a_format_of_zeros() {
    let zip = Cell::ZerosNumber {
        value: 1234.0,
        shown: "01234",
    };
    let one = Cell::ZerosNumber {
        value: 1.0,
        shown: "001",
    };
    check(
        &cells(),
        &[
            (zip, ColumnType::Text, Ok(Value::Text("01234"))),
            (zip, ColumnType::Varchar(Some(5)), Ok(Value::Text("01234"))),
            (zip, ColumnType::Char(3), Err(TooLong)),
            (zip, ColumnType::Int4, Ok(Value::Int(1234))),
            (zip, numeric(10, 2), Ok(Value::Decimal("1234"))),
            (zip, ColumnType::Float8, Ok(Value::Float(1234.0))),
            (one, ColumnType::Bool, Ok(Value::Bool(true))),
            (zip, ColumnType::Date, Err(TypeMismatch)),
            (zip, ColumnType::Time, Err(TypeMismatch)),
            (zip, ColumnType::Timestamp, Err(TypeMismatch)),
            (zip, ColumnType::Uuid, Err(TypeMismatch)),
            (zip, colours(), Err(TypeMismatch)),
            (zip, ColumnType::Json, Err(TypeMismatch)),
            (zip, ColumnType::Other, Ok(Value::Text("01234"))),
        ],
    );
}

#[test]
fn booleans() {
    let yes = Cell::Bool(true);
    check(
        &cells(),
        &[
            (yes, ColumnType::Text, Ok(Value::Text("true"))),
            (
                Cell::Bool(false),
                ColumnType::Varchar(Some(5)),
                Ok(Value::Text("false")),
            ),
            (yes, ColumnType::Char(3), Err(TooLong)),
            (yes, ColumnType::Int4, Err(TypeMismatch)),
            (yes, ColumnType::Numeric(None), Err(TypeMismatch)),
            (yes, ColumnType::Float8, Err(TypeMismatch)),
            (yes, ColumnType::Bool, Ok(Value::Bool(true))),
            (yes, ColumnType::Date, Err(TypeMismatch)),
            (yes, ColumnType::Time, Err(TypeMismatch)),
            (yes, ColumnType::TimestampTz, Err(TypeMismatch)),
            (yes, ColumnType::Uuid, Err(TypeMismatch)),
            (yes, ColumnType::Json, Err(TypeMismatch)),
            (yes, ColumnType::Other, Ok(Value::Text("true"))),
        ],
    );
}

#[test]
fn date_serials() {
    let text = |text| Ok(Value::Text(text));
    let noon = serial(45_351.5);
    let leap = day(2024, 2, 29);
    check(
        &cells(),
        &[
            (serial(45_351.0), ColumnType::Text, text("2024-02-29")),
            (noon, ColumnType::Text, text("2024-02-29T12:00:00")),
            (
                serial(45_351.000_002_893_52),
                ColumnType::Text,
                text("2024-02-29T00:00:00.25"),
            ),
            (serial(0.437_5), ColumnType::Text, text("10:30:00")),
            (serial(60.0), ColumnType::Text, text("1900-02-29")),
            (serial(0.0), ColumnType::Text, text("00:00:00")),
            (serial(-1.0), ColumnType::Text, text("1899-12-30")),
            (serial(2_958_466.0), ColumnType::Text, text("+10000-01-01")),
            (serial(1e300), ColumnType::Varchar(Some(5)), Err(TooLong)),
            (serial(45_351.0), ColumnType::Varchar(Some(5)), Err(TooLong)),
            (noon, ColumnType::Int4, Err(TypeMismatch)),
            (noon, ColumnType::Numeric(None), Err(TypeMismatch)),
            (noon, ColumnType::Float8, Err(TypeMismatch)),
            (noon, ColumnType::Bool, Err(TypeMismatch)),
            (noon, ColumnType::Uuid, Err(TypeMismatch)),
            (noon, colours(), Err(TypeMismatch)),
            (noon, ColumnType::Json, Err(TypeMismatch)),
            (serial(45_351.0), ColumnType::Date, date(leap)),
            (serial(45_350.999_999_999), ColumnType::Date, date(leap)),
            (noon, ColumnType::Date, Err(PrecisionLoss)),
            (serial(1.0), ColumnType::Date, date(day(1900, 1, 1))),
            (serial(59.0), ColumnType::Date, date(day(1900, 2, 28))),
            (serial(61.0), ColumnType::Date, date(day(1900, 3, 1))),
            (
                serial(2_958_465.0),
                ColumnType::Date,
                date(day(9999, 12, 31)),
            ),
            (noon, ColumnType::Time, time(12, 0, 0)),
            (serial(0.75), ColumnType::Time, time(18, 0, 0)),
            (serial(0.0), ColumnType::Time, time(0, 0, 0)),
            (serial(-0.5), ColumnType::Time, Err(OutOfRange)),
            (noon, ColumnType::Timestamp, moment(leap, 12, 0, 0)),
            (
                serial(45_351.437_512_345),
                ColumnType::Timestamp,
                moment(leap, 10, 30, 1_067_000),
            ),
            (noon, ColumnType::TimestampTz, Err(AmbiguousValue)),
        ],
    );
    let in_utc = Settings {
        time_zone: Some(TimeZone::UTC),
        ..cells()
    };
    check(
        &in_utc,
        &[(noon, ColumnType::TimestampTz, moment(leap, 12, 0, 0))],
    );
}

#[test]
fn serials_that_are_no_dates_are_out_of_range() {
    for value in [
        0.0,
        0.5,
        60.0,
        60.5,
        -1.0,
        -0.5,
        2_958_466.0,
        1e300,
        f64::NAN,
    ] {
        for ty in [
            ColumnType::Date,
            ColumnType::Timestamp,
            ColumnType::TimestampTz,
        ] {
            let got = coerce(&target(ty.clone()), serial(value), &cells());
            assert_eq!(got, Err(OutOfRange), "{value} in {ty:?}");
        }
    }
}

#[test]
fn serials_of_1904_workbooks() {
    check(
        &cells(),
        &[
            (serial_1904(0.0), ColumnType::Date, date(day(1904, 1, 1))),
            (serial_1904(60.0), ColumnType::Date, date(day(1904, 3, 1))),
            (
                serial_1904(43_889.0),
                ColumnType::Date,
                date(day(2024, 2, 29)),
            ),
            (
                serial_1904(43_889.0),
                ColumnType::Text,
                Ok(Value::Text("2024-02-29")),
            ),
            (
                serial_1904(0.5),
                ColumnType::Text,
                Ok(Value::Text("12:00:00")),
            ),
            (
                serial_1904(2_957_003.0),
                ColumnType::Date,
                date(day(9999, 12, 31)),
            ),
            (serial_1904(2_957_004.0), ColumnType::Date, Err(OutOfRange)),
            (serial_1904(-1.0), ColumnType::Date, Err(OutOfRange)),
        ],
    );
}

#[test]
fn durations_and_iso_dates() {
    let leap = day(2024, 2, 29);
    let text = |text| Ok(Value::Text(text));
    let iso = Cell::IsoDateTime;
    check(
        &cells(),
        &[
            (Cell::Duration(1.5), ColumnType::Text, text("36:00:00")),
            (Cell::Duration(-0.5), ColumnType::Other, text("-12:00:00")),
            (Cell::Duration(0.437_5), ColumnType::Time, time(10, 30, 0)),
            (Cell::Duration(1.0), ColumnType::Time, time(24, 0, 0)),
            (Cell::Duration(1.5), ColumnType::Time, Err(OutOfRange)),
            (Cell::Duration(1.5), ColumnType::Float8, Err(TypeMismatch)),
            (Cell::Duration(1.5), ColumnType::Date, Err(TypeMismatch)),
            (iso("2024-02-29"), ColumnType::Date, date(leap)),
            (
                iso("2024-02-29T00:00:00"),
                ColumnType::Text,
                text("2024-02-29"),
            ),
            (
                iso("2024-02-29T10:30:00.250000000"),
                ColumnType::Text,
                text("2024-02-29T10:30:00.25"),
            ),
            (
                iso("2024-02-29T10:30:00"),
                ColumnType::Timestamp,
                moment(leap, 10, 30, 0),
            ),
            (
                iso("2024-02-29T10:30:00"),
                ColumnType::Date,
                Err(PrecisionLoss),
            ),
            (
                iso("2024-02-29T10:30:00"),
                ColumnType::Time,
                time(10, 30, 0),
            ),
            (iso("2024-02-29"), ColumnType::Int4, Err(TypeMismatch)),
            (iso("PT10H30M00S"), ColumnType::Time, time(10, 30, 0)),
            (iso("PT10H30M00.25S"), ColumnType::Text, text("10:30:00.25")),
            (iso("P1DT12H"), ColumnType::Text, text("36:00:00")),
            (iso("PT"), ColumnType::Time, Err(TypeMismatch)),
            (iso("P"), ColumnType::Time, Err(TypeMismatch)),
            (iso("P1Y"), ColumnType::Time, Err(TypeMismatch)),
        ],
    );
}
