//! Round trips, and the promises of `model::value` for whatever comes in.

use jiff::civil;
use proptest::prelude::*;

use super::*;
use crate::mapping::coerce::calendar::{DAYS_MAX, DAYS_MIN, days_of};
use crate::model::serial::{DAY_MICROS, date_of};

/// What a value has to be in a column of this type.
fn assert_kept(value: Value<'_>, ty: &ColumnType) {
    let what = format!("{value:?} in {ty:?}");
    match (value, ty) {
        (Value::Unset | Value::Null, _)
        | (Value::Bool(_), ColumnType::Bool)
        | (Value::Int(_), ColumnType::Int8)
        | (Value::Float(_), ColumnType::Float8)
        | (Value::Bytes(_), ColumnType::Bytea)
        | (Value::Uuid(_), ColumnType::Uuid) => {}
        (Value::Int(value), ColumnType::Int2) => assert!(i16::try_from(value).is_ok(), "{what}"),
        (Value::Int(value), ColumnType::Int4) => assert!(i32::try_from(value).is_ok(), "{what}"),
        (Value::Float(value), ColumnType::Float4) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whether it truncates is asked"
            )]
            let same = f64::from(value as f32).to_bits() == value.to_bits();
            assert!(value.is_nan() || same, "{what}");
        }
        (Value::Decimal(text), ColumnType::Numeric(bounds)) => assert_decimal(text, *bounds),
        (Value::Text(text), ty) => {
            assert!(!text.contains('\0'), "{what}");
            let n_chars = text.chars().count();
            match ty {
                ColumnType::Text | ColumnType::Varchar(None) | ColumnType::Other => {}
                ColumnType::Varchar(Some(max)) | ColumnType::Char(max) => {
                    assert!(n_chars <= usize::try_from(*max).unwrap(), "{what}");
                }
                ColumnType::Enum(labels) => {
                    assert!(labels.iter().any(|label| label == text), "{what}");
                }
                ColumnType::Json | ColumnType::Jsonb => {
                    serde_json::from_str::<serde::de::IgnoredAny>(text).expect(&what);
                }
                _ => panic!("{what}"),
            }
        }
        (Value::Date(days), ColumnType::Date) => {
            assert!((DAYS_MIN..=DAYS_MAX).contains(&i64::from(days)), "{what}");
        }
        (Value::Time(micros), ColumnType::Time) => {
            assert!((0..=DAY_MICROS).contains(&micros), "{what}");
        }
        (Value::Timestamp(micros), ColumnType::Timestamp | ColumnType::TimestampTz) => {
            let days = micros.div_euclid(DAY_MICROS);
            assert!((DAYS_MIN..=DAYS_MAX).contains(&days), "{what}");
        }
        _ => panic!("{what}"),
    }
}

fn assert_decimal(text: &str, bounds: Option<NumericBounds>) {
    if matches!(text, "NaN" | "Infinity" | "-Infinity") {
        assert!(bounds.is_none() || text == "NaN", "{text}");
        return;
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    for digits in [whole, fraction] {
        assert!(
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()),
            "{text}"
        );
    }
    assert!(whole == "0" || !whole.starts_with('0'), "{text}");
    let is_zero = unsigned.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    assert!(!(is_zero && unsigned.len() < text.len()), "{text}");
    let Some(NumericBounds { precision, scale }) = bounds else {
        return;
    };
    let decimals = unsigned
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    assert!(decimals <= usize::try_from(scale.max(0)).unwrap(), "{text}");
    // As an integer of units of the scale it has at most so many digits.
    let mut digits = format!("{whole}{fraction:0<20}");
    digits.truncate(usize::try_from(i32::try_from(whole.len()).unwrap() + scale).unwrap_or(0));
    let significant = digits.trim_start_matches('0').len();
    assert!(
        significant <= usize::try_from(precision).unwrap(),
        "{text} in {bounds:?}"
    );
    if scale < 0 && !is_zero {
        let zeros = usize::try_from(-scale).unwrap();
        assert!(whole.ends_with(&"0".repeat(zeros)), "{text}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,12}",
        "[ +-]?[0-9]{0,12}[.,]?[0-9]{0,6}([eE][+-]?[0-9]{1,5})?",
        "[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}([T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,9})?)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?",
        "[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,9})?)?",
        "-?P([0-9]{1,3}D)?(T([0-9]{1,3}H)?([0-9]{1,3}M)?([0-9.]{1,6}S)?)?",
        "(\\\\x)?[0-9a-fA-F]{0,32}",
        "[\\[{\"]{0,3}(\\\\u[0-9a-d]{4}|[a-z0-9:,]){0,6}[\"}\\]]{0,3}",
        "(red|green|true|no|NaN|inf|-Infinity|null|\u{a0}|\0| ){0,2}",
    ]
}

#[derive(Debug, Clone)]
enum Kind {
    Text,
    Invalid,
    Number,
    Zeros,
    Serial1900,
    Serial1904,
    Duration,
    Iso,
    Int,
    Double,
    Bytes,
    Decimal,
    Date,
    Time,
    Timestamp,
}

fn any_kind() -> impl Strategy<Value = Kind> {
    use Kind::{
        Bytes, Date, Decimal, Double, Duration, Int, Invalid, Iso, Number, Serial1900, Serial1904,
        Text, Time, Timestamp, Zeros,
    };
    prop::sample::select(vec![
        Text, Text, Text, Invalid, Number, Zeros, Serial1900, Serial1904, Duration, Iso, Int,
        Double, Bytes, Decimal, Date, Time, Timestamp,
    ])
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -1e6..3e6f64,
        (-1_000_000i64..1_000_000).prop_map(|value| value as f64),
        any::<i64>().prop_map(|value| value as f64),
        any::<u64>().prop_map(f64::from_bits),
    ]
}

fn cell<'a>(kind: &Kind, text: &'a str, number: f64, int: i64, nanos: i32) -> Cell<'a> {
    let serial = |system| Cell::DateSerial {
        serial: number,
        system,
    };
    match kind {
        Kind::Text => Cell::Text(text),
        Kind::Invalid => Cell::InvalidText(text),
        Kind::Number => Cell::Number(number),
        Kind::Zeros => Cell::ZerosNumber {
            value: number,
            shown: text,
        },
        Kind::Serial1900 => serial(DateSystem::Y1900),
        Kind::Serial1904 => serial(DateSystem::Y1904),
        Kind::Duration => Cell::Duration(number),
        Kind::Iso => Cell::IsoDateTime(text),
        Kind::Int => Cell::Int(int),
        Kind::Double => Cell::Double(number),
        Kind::Bytes => Cell::Bytes(text.as_bytes()),
        Kind::Decimal => Cell::Decimal(text),
        Kind::Date => Cell::Date(text),
        Kind::Time => Cell::Time(text),
        Kind::Timestamp => Cell::Timestamp {
            seconds: int,
            nanos,
        },
    }
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (0..3usize, 0..4usize, 0..3usize, any::<bool>()).prop_map(|(separator, order, zone, exact)| {
        Settings {
            mode: if exact {
                CellMode::Exact
            } else {
                CellMode::Cells
            },
            null_tokens: vec!["null".to_owned()],
            time_zone: match zone {
                0 => None,
                1 => Some(TimeZone::UTC),
                _ => Some(TimeZone::get("America/New_York").unwrap()),
            },
            decimal_separator: [
                None,
                Some(DecimalSeparator::Point),
                Some(DecimalSeparator::Comma),
            ][separator],
            date_order: [
                None,
                Some(DateOrder::Dmy),
                Some(DateOrder::Mdy),
                Some(DateOrder::Ymd),
            ][order],
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_comes_in_the_promises_of_a_value_are_kept(
        kind in any_kind(),
        text in any_text(),
        number in any_number(),
        int in any::<i64>(),
        nanos in any::<i32>(),
        settings in any_settings(),
    ) {
        let cell = cell(&kind, &text, number, int, nanos);
        for ty in all_types() {
            let target = target(ty);
            let mut scratch = Scratch::default();
            if let Ok(value) = target.coerce(settings.read(cell), &settings, &mut scratch) {
                assert_kept(value, &target.ty);
            }
        }
    }

    #[test]
    fn every_integer_comes_back(value in any::<i64>()) {
        let text = value.to_string();
        let expected = Ok(format!("{:?}", Value::Int(value)));
        let int8 = target(ColumnType::Int8);
        prop_assert_eq!(coerce(&int8, Cell::Text(&text), &cells()), expected.clone());
        prop_assert_eq!(coerce(&int8, Cell::Int(value), &cells().exact()), expected);
        let numeric = target(ColumnType::Numeric(None));
        let expected = Ok(format!("{:?}", Value::Decimal(&text)));
        prop_assert_eq!(coerce(&numeric, Cell::Int(value), &cells().exact()), expected);
    }

    #[test]
    fn every_decimal_comes_back(digits in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?") {
        let is_zero = digits.bytes().all(|byte| matches!(byte, b'0' | b'.' | b'-'));
        prop_assume!(!(is_zero && digits.starts_with('-')));
        let numeric = target(ColumnType::Numeric(None));
        let expected = Ok(format!("{:?}", Value::Decimal(&digits)));
        prop_assert_eq!(coerce(&numeric, Cell::Text(&digits), &cells()), expected.clone());
        prop_assert_eq!(coerce(&numeric, Cell::Decimal(&digits), &cells().exact()), expected);
    }

    #[test]
    fn an_exponent_moves_the_point(digits in "[1-9][0-9]{0,17}", exponent in -40i32..40) {
        let text = format!("{digits}e{exponent}");
        let numeric = target(ColumnType::Numeric(None));
        let moved = coerce(&numeric, Cell::Text(&text), &cells()).unwrap();
        let moved = moved.trim_start_matches("Decimal(\"").trim_end_matches("\")");
        let bits = |text: &str| text.parse::<f64>().unwrap().to_bits();
        prop_assert_eq!(bits(moved), bits(&text));
    }

    #[test]
    fn every_double_in_text_comes_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let float8 = target(ColumnType::Float8);
        let expected = Ok(format!("{:?}", Value::Float(value)));
        prop_assert_eq!(coerce(&float8, Cell::Text(&format!("{value:e}")), &cells()), expected.clone());
        prop_assert_eq!(coerce(&float8, Cell::Double(value), &cells().exact()), expected);
    }

    #[test]
    fn numbers_are_rounded_to_15_digits(value in any_number()) {
        prop_assume!(value.is_finite());
        let float8 = target(ColumnType::Float8);
        let expected = Value::Float(crate::model::cell::round_to_15_digits(value));
        prop_assert_eq!(
            coerce(&float8, Cell::Number(value), &cells()),
            Ok(format!("{expected:?}"))
        );
    }

    #[test]
    fn every_date_comes_back(days in DAYS_MIN..=DAYS_MAX) {
        let (year, month, day) = date_of(days);
        let reference = civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(days))
            .unwrap();
        prop_assert_eq!(year, i64::from(reference.year()));
        prop_assert_eq!(month, u32::try_from(reference.month()).unwrap());
        prop_assert_eq!(day, u32::try_from(reference.day()).unwrap());
        prop_assert_eq!(days_of(u32::try_from(year).unwrap(), month, day), Some(days));
        let text = reference.to_string();
        let expected = date(days).map(|value| format!("{value:?}"));
        let date = target(ColumnType::Date);
        prop_assert_eq!(coerce(&date, Cell::Text(&text), &cells()), expected.clone());
        prop_assert_eq!(coerce(&date, Cell::Date(&text), &cells().exact()), expected);
    }

    #[test]
    fn every_timestamp_comes_back(micros in -62_135_596_800_000_000i64..253_402_200_000_000_000) {
        let timestamp = jiff::Timestamp::from_microsecond(micros).unwrap();
        let text = timestamp.to_string();
        let expected = Ok(format!("{:?}", Value::Timestamp(micros)));
        let sent = Cell::Timestamp {
            seconds: micros.div_euclid(1_000_000),
            nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap(),
        };
        for ty in [ColumnType::Timestamp, ColumnType::TimestampTz] {
            let target = target(ty);
            prop_assert_eq!(coerce(&target, Cell::Text(&text), &cells()), expected.clone());
            prop_assert_eq!(coerce(&target, sent, &cells().exact()), expected.clone());
        }
    }

    #[test]
    fn a_serial_is_the_text_that_it_shows(millis in 61 * 86_400_000i64..2_958_466 * 86_400_000) {
        let serial = Cell::DateSerial {
            serial: millis as f64 / 86_400_000.0,
            system: DateSystem::Y1900,
        };
        let shown = coerce(&target(ColumnType::Text), serial, &cells()).unwrap();
        let shown = shown.trim_start_matches("Text(\"").trim_end_matches("\")").to_owned();
        let timestamp = target(ColumnType::Timestamp);
        let of_serial = coerce(&timestamp, serial, &cells());
        prop_assert!(of_serial.is_ok());
        prop_assert_eq!(coerce(&timestamp, Cell::Text(&shown), &cells()), of_serial);
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        for ty in all_types() {
            let _ = coerce(&target(ty), Cell::Text(&text), &cells());
        }
    }
}
