//! The row of cells.md for text: dates, times and timestamps.

use super::*;

#[test]
fn text_in_date_columns() {
    let leap = || date(day(2024, 2, 29));
    check_text(
        &cells(),
        &ColumnType::Date,
        &[
            ("2024-02-29", leap()),
            ("20240229", leap()),
            ("2024-02-29 00:00:00", leap()),
            ("2024-02-29T00:00", leap()),
            ("2024-02-29 10:00", Err(PrecisionLoss)),
            ("2024-02-29T00:00Z", Err(PrecisionLoss)),
            ("2023-02-29", Err(TypeMismatch)),
            ("2024-13-01", Err(TypeMismatch)),
            ("0000-01-01", Err(TypeMismatch)),
            ("0001-01-01", date(-719_162)),
            ("9999-12-31", date(2_932_896)),
            ("1900-02-29", Err(TypeMismatch)),
            ("01/02/2024", Err(AmbiguousValue)),
            ("31/12/2024", Err(AmbiguousValue)),
            ("1.2.24", Err(AmbiguousValue)),
            ("2024-2-9", Err(AmbiguousValue)),
            ("yesterday", Err(TypeMismatch)),
            ("2024-02-29x", Err(TypeMismatch)),
            ("20240229010203", Err(TypeMismatch)),
            ("45351", Err(TypeMismatch)),
        ],
    );
}

#[test]
fn a_declared_order_decides_what_three_numbers_mean() {
    let order = |order| Settings {
        date_order: Some(order),
        ..cells()
    };
    let second = || date(day(2024, 2, 1));
    check_text(
        &order(DateOrder::Dmy),
        &ColumnType::Date,
        &[
            ("01/02/2024", second()),
            ("1.2.2024", second()),
            ("1-2-2024", second()),
            ("2024-02-01", second()),
            ("2024/02/01", Err(TypeMismatch)),
            ("01/13/2024", Err(TypeMismatch)),
            ("01/02/24", Err(AmbiguousValue)),
            ("01/02.2024", Err(TypeMismatch)),
        ],
    );
    check_text(
        &order(DateOrder::Dmy),
        &ColumnType::Timestamp,
        &[("1/2/2024 9:30", moment(day(2024, 2, 1), 9, 30, 0))],
    );
    check_text(
        &order(DateOrder::Mdy),
        &ColumnType::Date,
        &[("02/01/2024", second()), ("13/01/2024", Err(TypeMismatch))],
    );
    check_text(
        &order(DateOrder::Ymd),
        &ColumnType::Date,
        &[("2024/2/1", second()), ("01/02/2024", Err(TypeMismatch))],
    );
}

#[test]
fn a_declared_format_is_tried_first() {
    let with = |ty, format: &str| Target {
        format: format.to_owned(),
        ..target(ty)
    };
    let new_year = day(2024, 1, 2);
    let rows = [
        (ColumnType::Date, "%d/%m/%Y", "02/01/2024", date(new_year)),
        (ColumnType::Date, "%d/%m/%Y", "2024-01-02", date(new_year)),
        (
            ColumnType::Date,
            "%d/%m/%Y",
            "02/13/2024",
            Err(AmbiguousValue),
        ),
        (ColumnType::Date, "%d %b %y", "2 jan 24", date(new_year)),
        (ColumnType::Date, "%Y-%d-%m", "2024-02-01", date(new_year)),
        (
            ColumnType::Date,
            "%Y-%d-%m",
            "2024-02-13",
            Err(TypeMismatch),
        ),
        (
            ColumnType::Date,
            "%d/%m/%Y %H:%M",
            "02/01/2024 10:00",
            Err(PrecisionLoss),
        ),
        (ColumnType::Time, "%I:%M %p", "02:05 PM", time(14, 5, 0)),
        (ColumnType::Time, "%I:%M %p", "14:05", time(14, 5, 0)),
        (
            ColumnType::Timestamp,
            "%d/%m/%Y %H:%M",
            "02/01/2024 10:05",
            moment(new_year, 10, 5, 0),
        ),
        (
            ColumnType::Timestamp,
            "%d/%m/%Y",
            "02/01/2024",
            moment(new_year, 0, 0, 0),
        ),
        (
            ColumnType::TimestampTz,
            "%F %T %z",
            "2024-01-02 10:00:00 +0200",
            moment(new_year, 8, 0, 0),
        ),
        (ColumnType::TimestampTz, "%s", "0", moment(0, 0, 0, 0)),
    ];
    for (ty, format, text, expected) in rows {
        let expected = expected.map(|value| format!("{value:?}"));
        let got = coerce(&with(ty, format), Cell::Text(text), &cells());
        assert_eq!(got, expected, "{text} as {format}");
    }
}

#[test]
fn formats_are_checked_before_a_row_is_read() {
    use super::super::check_format;
    for (format, ty) in [
        ("%d/%m/%Y", ColumnType::Date),
        ("%j of %Y", ColumnType::Date),
        ("%I:%M %p", ColumnType::Time),
        ("%d.%m.%Y %H:%M:%S%.f", ColumnType::Timestamp),
        ("%s", ColumnType::TimestampTz),
    ] {
        assert_eq!(check_format(format, &ty), Ok(()), "{format}");
    }
    for (format, ty) in [
        ("%d/%m/%Y", ColumnType::Text),
        ("%d/%m", ColumnType::Date),
        ("%d/%m/%Y", ColumnType::Time),
        ("%!", ColumnType::Date),
        ("%Y-%m-%d %", ColumnType::Date),
        ("%F %T %Q", ColumnType::TimestampTz),
        ("%c", ColumnType::Timestamp),
    ] {
        assert!(check_format(format, &ty).is_err(), "{format}");
    }
}

#[test]
fn text_in_time_columns() {
    check_text(
        &cells(),
        &ColumnType::Time,
        &[
            ("09:30", time(9, 30, 0)),
            ("9:30", time(9, 30, 0)),
            ("23:59:59.5", time(23, 59, 59_500_000)),
            ("00:00:00.1234567", time(0, 0, 123_457)),
            ("23:59:60", time(24, 0, 0)),
            ("24:00:00", time(24, 0, 0)),
            ("24:00:01", Err(TypeMismatch)),
            ("25:00", Err(TypeMismatch)),
            ("12:60", Err(TypeMismatch)),
            ("12:30Z", Err(TypeMismatch)),
            ("12:30 PM", Err(TypeMismatch)),
            ("12", Err(TypeMismatch)),
            ("12:30:", Err(TypeMismatch)),
            ("12:30:00.", Err(TypeMismatch)),
        ],
    );
}

#[test]
fn text_in_timestamp_columns() {
    let leap = day(2024, 2, 29);
    check_text(
        &cells(),
        &ColumnType::Timestamp,
        &[
            ("2024-02-29T10:05:06.789", moment(leap, 10, 5, 6_789_000)),
            ("2024-02-29 10:05", moment(leap, 10, 5, 0)),
            ("2024-02-29", moment(leap, 0, 0, 0)),
            ("2024-02-29T24:00", moment(leap + 1, 0, 0, 0)),
            ("2024-02-29T10:05Z", moment(leap, 10, 5, 0)),
            ("2024-02-29T10:05+02:00", Err(AmbiguousValue)),
            ("9999-12-31T24:00", Err(OutOfRange)),
            ("2024-02-29T", Err(TypeMismatch)),
            ("2024-02-30 10:00", Err(TypeMismatch)),
        ],
    );
    check_text(
        &cells(),
        &ColumnType::TimestampTz,
        &[
            ("2024-02-29T10:05Z", moment(leap, 10, 5, 0)),
            ("2024-02-29 10:05 +05:30", moment(leap, 4, 35, 0)),
            ("2024-02-29T10:05-0800", moment(leap, 18, 5, 0)),
            ("2024-02-29T10:05+02", moment(leap, 8, 5, 0)),
            ("2024-02-29T10:05", Err(AmbiguousValue)),
            ("2024-02-29", Err(AmbiguousValue)),
            ("2024-02-29T10:05+16", Err(TypeMismatch)),
            ("2024-02-29T10:05 ", Err(AmbiguousValue)),
            ("9999-12-31T23:59-10:00", Err(OutOfRange)),
        ],
    );
}

#[test]
fn the_import_time_zone_places_clock_times() {
    let zurich = Settings {
        time_zone: Some(TimeZone::get("Europe/Zurich").unwrap()),
        ..cells()
    };
    check_text(
        &zurich,
        &ColumnType::TimestampTz,
        &[
            ("2024-01-15 10:00", moment(day(2024, 1, 15), 9, 0, 0)),
            ("2024-07-15 10:00", moment(day(2024, 7, 15), 8, 0, 0)),
            ("2024-07-15", moment(day(2024, 7, 14), 22, 0, 0)),
            ("2024-07-15 10:00Z", moment(day(2024, 7, 15), 10, 0, 0)),
            ("2024-03-31 02:30", Err(TypeMismatch)),
            ("2024-10-27 02:30", Err(AmbiguousValue)),
            ("2024-10-27 03:00", moment(day(2024, 10, 27), 2, 0, 0)),
        ],
    );
    check_text(
        &zurich,
        &ColumnType::Timestamp,
        &[("2024-07-15 10:00", moment(day(2024, 7, 15), 10, 0, 0))],
    );
}
