use super::{date, date_time, survives_affinity, time, timestamp};
use crate::model::table::ColumnType;

#[test]
fn decimals_that_numeric_affinity_would_cut_are_found() {
    let table = [
        ("0", true),
        ("0.00", true),
        ("-1234.50", true),
        ("9223372036854775807", true),
        ("-9223372036854775808", true),
        ("9223372036854775808", false),
        ("100000000000000000000", true),
        ("123456789012345.6", false),
        ("12345678901234.5", true),
        ("0.000000000000001", true),
        ("12345678901234567.0", false),
        ("NaN", true),
        ("-Infinity", true),
    ];
    for (text, survives) in table {
        assert_eq!(survives_affinity(text), survives, "{text}");
    }
    assert!(!survives_affinity(&format!("1{}", "0".repeat(400))));
    assert!(!survives_affinity(&format!("0.{}1", "0".repeat(400))));
}

#[test]
fn dates_have_four_digits_of_year() {
    let table = [
        (0, Some("1970-01-01")),
        (-1, Some("1969-12-31")),
        (19_782, Some("2024-02-29")),
        (-719_528, Some("0000-01-01")),
        (-719_529, None),
        (2_932_896, Some("9999-12-31")),
        (2_932_897, None),
        (i32::MIN, None),
        (i32::MAX, None),
    ];
    for (days, expected) in table {
        assert_eq!(
            date(days).map(|it| it.to_string()).as_deref(),
            expected,
            "{days}"
        );
    }
}

#[test]
fn times_have_six_digits_of_second() {
    assert_eq!(time(0), "00:00:00.000000");
    assert_eq!(time(86_399_000_001), "23:59:59.000001");
    assert_eq!(time(86_400_000_000), "24:00:00.000000");
    let plain = ColumnType::Timestamp;
    let before_1970 = timestamp(-1, &plain);
    assert_eq!(before_1970.as_deref(), Some("1969-12-31 23:59:59.999999"));
    let zoned = timestamp(1_706_745_599_000_000, &ColumnType::TimestampTz);
    assert_eq!(zoned.as_deref(), Some("2024-01-31 23:59:59.000000Z"));
    assert_eq!(date_time(i64::MAX), None);
    assert_eq!(date_time(i64::MIN), None);
}
