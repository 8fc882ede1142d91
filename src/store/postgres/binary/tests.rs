use super::{append, append_field};
use crate::model::table::ColumnType;
use crate::model::value::Value;

fn bytes(ty: &ColumnType, value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(append(&mut out, ty, value));
    out
}

/// Number of digits, weight, sign, scale, digits.
fn numeric(text: &str) -> (u16, i16, u16, u16, Vec<i16>) {
    let out = bytes(&ColumnType::Numeric(None), Value::Decimal(text));
    let word = |at: usize| u16::from_be_bytes([out[at], out[at + 1]]);
    let digits = out[8..]
        .chunks(2)
        .map(|pair| i16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    let weight = i16::from_be_bytes([out[2], out[3]]);
    (word(0), weight, word(4), word(6), digits)
}

#[test]
fn a_numeric_is_cut_into_groups_of_four_digits() {
    for (text, expected) in [
        ("0", (0, 0, 0, 0, vec![])),
        ("-0", (0, 0, 0, 0, vec![])),
        ("0.00", (0, 0, 0, 2, vec![])),
        ("1", (1, 0, 0, 0, vec![1])),
        ("-1", (1, 0, 0x4000, 0, vec![1])),
        ("1234", (1, 0, 0, 0, vec![1234])),
        ("12345", (2, 1, 0, 0, vec![1, 2345])),
        ("10000", (1, 1, 0, 0, vec![1])),
        ("100000000.0001", (4, 2, 0, 4, vec![1, 0, 0, 1])),
        ("0.5", (1, -1, 0, 1, vec![5000])),
        ("0.0001", (1, -1, 0, 4, vec![1])),
        ("0.00001", (1, -2, 0, 5, vec![1000])),
        ("1234.5", (2, 0, 0, 1, vec![1234, 5000])),
        ("1234.50", (2, 0, 0, 2, vec![1234, 5000])),
        ("NaN", (0, 0, 0xC000, 0, vec![])),
        ("Infinity", (0, 0, 0xD000, 0, vec![])),
        ("-Infinity", (0, 0, 0xF000, 0, vec![])),
    ] {
        assert_eq!(numeric(text), expected, "{text}");
    }
}

#[test]
fn a_number_beyond_the_wire_is_never_read_as_another() {
    let text = format!("1{}", "0".repeat(140_000));
    let (n_digits, weight, ..) = numeric(&text);
    assert_eq!((n_digits, weight), (u16::MAX, i16::MAX));
}

#[test]
fn dates_count_from_2000_and_never_become_infinity() {
    for (days, expected) in [
        (10_957, 0),
        (0, -10_957),
        (i32::MIN, i32::MIN + 1),
        (i32::MAX, i32::MAX - 10_957),
    ] {
        let out = bytes(&ColumnType::Date, Value::Date(days));
        assert_eq!(out, i32::to_be_bytes(expected), "{days}");
    }
    let out = bytes(&ColumnType::Timestamp, Value::Timestamp(i64::MIN));
    assert_eq!(out, (i64::MIN + 1).to_be_bytes());
}

#[test]
fn a_field_is_its_length_and_its_bytes_and_null_is_minus_one() {
    let mut out = Vec::new();
    append_field(&mut out, &ColumnType::Int2, Value::Int(258));
    append_field(&mut out, &ColumnType::Jsonb, Value::Text("{}"));
    append_field(&mut out, &ColumnType::Text, Value::Null);
    let expected = [
        &[0, 0, 0, 2, 1, 2][..],
        &[0, 0, 0, 3, 1, b'{', b'}'],
        &[255, 255, 255, 255],
    ];
    assert_eq!(out, expected.concat());
}
