//! The row of cells.md for text: text, booleans, UUIDs, enums, JSON and bytes.

use super::*;

#[test]
fn text_in_text_columns() {
    let ok = |text| Ok(Value::Text(text));
    check_text(
        &cells(),
        &ColumnType::Text,
        &[
            ("  a b\u{a0}", ok("a b")),
            ("\u{3000}東京\u{3000}", ok("東京")),
            ("\ttab\n", ok("\ttab\n")),
            ("007", ok("007")),
            ("a\0b", Err(InvalidText)),
        ],
    );
    check_text(
        &cells(),
        &ColumnType::Varchar(Some(5)),
        &[
            ("12345", ok("12345")),
            ("東京東京東", ok("東京東京東")),
            ("123456", Err(TooLong)),
            ("東京東京東京", Err(TooLong)),
        ],
    );
    check_text(&cells(), &ColumnType::Char(3), &[("abcd", Err(TooLong))]);
    check_text(
        &cells(),
        &ColumnType::Varchar(None),
        &[("abcd", ok("abcd"))],
    );
    check_text(
        &cells(),
        &ColumnType::Other,
        &[(" 1 day ", ok("1 day")), ("a\0", Err(InvalidText))],
    );
    check_text(&cells(), &ColumnType::Array, &[("a", Err(TypeMismatch))]);
}

#[test]
fn text_in_boolean_columns() {
    for (words, value) in [
        (["true", "TRUE", "yes", "Y", "t", "1"], true),
        (["false", "False", "NO", "n", "F", "0"], false),
    ] {
        for word in words {
            let got = coerce(&target(ColumnType::Bool), Cell::Text(word), &cells());
            assert_eq!(got, Ok(format!("Bool({value})")), "{word}");
        }
    }
    for word in ["on", "off", "2", "yess", "wahr", "01"] {
        let got = coerce(&target(ColumnType::Bool), Cell::Text(word), &cells());
        assert_eq!(got, Err(TypeMismatch), "{word}");
    }
}

#[test]
fn text_in_uuid_enum_json_and_bytea_columns() {
    let uuid = Ok(Value::Uuid(
        *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef",
    ));
    let text = |text| Ok(Value::Text(text));
    let deep = "[".repeat(100_000);
    let nested = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    check_text(
        &cells(),
        &ColumnType::Uuid,
        &[
            ("01234567-89AB-cdef-0123-456789abcdef", uuid),
            ("0123456789abcdef0123456789abcdef", uuid),
            ("{01234567-89ab-cdef-0123-456789abcdef}", uuid),
            ("01234567-89ab-cdef-0123-456789abcde", Err(TypeMismatch)),
        ],
    );
    check_text(
        &cells(),
        &colours(),
        &[(" red ", text("red")), ("Red", Err(InvalidEnum))],
    );
    check_text(
        &cells(),
        &ColumnType::Json,
        &[
            (" {\"a\": [1, null]} ", text("{\"a\": [1, null]}")),
            ("{\"a\": }", Err(TypeMismatch)),
            ("1 2", Err(TypeMismatch)),
            ("NaN", Err(TypeMismatch)),
            (&deep, Err(TypeMismatch)),
        ],
    );
    check_text(&cells(), &ColumnType::Jsonb, &[(&nested, text(&nested))]);
    check_text(
        &cells(),
        &ColumnType::Json,
        &[(r#""\u0000""#, text(r#""\u0000""#))],
    );
    check_text(
        &cells(),
        &ColumnType::Jsonb,
        &[
            (r#""\u0000""#, Err(InvalidText)),
            (r#""\\u0000""#, text(r#""\\u0000""#)),
            (r#""\ud83d\ude00\n""#, text(r#""\ud83d\ude00\n""#)),
            (r#""\ud83d""#, Err(TypeMismatch)),
            (r#""\ud83d\n""#, Err(TypeMismatch)),
            (r#""\ude00""#, Err(TypeMismatch)),
            ("1e400", text("1e400")),
        ],
    );
    check_text(
        &cells(),
        &ColumnType::Bytea,
        &[
            ("\\xDEADbeef", Ok(Value::Bytes(&[0xde, 0xad, 0xbe, 0xef]))),
            ("00ff", Ok(Value::Bytes(&[0, 255]))),
            ("\\x", Ok(Value::Bytes(&[]))),
            ("abc", Err(TypeMismatch)),
            ("zz", Err(TypeMismatch)),
            ("0é", Err(TypeMismatch)),
        ],
    );
}
