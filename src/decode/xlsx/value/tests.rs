use proptest::prelude::*;

use super::{boolean, index, number};

#[test]
fn numbers_are_read_as_programs_write_them() {
    let cases = [
        ("0", 0.0),
        ("12", 12.0),
        ("007", 7.0),
        ("999999999999999", 999_999_999_999_999.0),
        ("9007199254740993", 9_007_199_254_740_992.0),
        ("99999999999999999999", 1e20),
        ("0.1", 0.1),
        ("-1.5E-3", -0.0015),
        ("1e400", f64::INFINITY),
        ("+5", 5.0),
    ];
    for (text, wanted) in cases {
        let value = number(text.as_bytes()).unwrap();
        assert_eq!(value.to_bits(), wanted.to_bits(), "{text}: {value}");
    }
    assert!(number(b"-0").unwrap().is_sign_negative());
    assert!(number(b"NaN").unwrap().is_nan());
    for text in [
        "", "a", "1,5", "1 2", "0x10", "1_000", "--1", "1e", ".", "١",
    ] {
        assert_eq!(number(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn indexes_have_digits_only() {
    assert_eq!(index(b"0"), Some(0));
    assert_eq!(index(b"9999999999"), Some(9_999_999_999));
    for text in ["", "-1", "+1", " 1", "1.0", "99999999999", "x"] {
        assert_eq!(index(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn booleans_are_those_of_xml_schema() {
    for (text, wanted) in [
        ("0", Some(false)),
        ("1", Some(true)),
        ("true", Some(true)),
        ("FALSE", Some(false)),
        ("2", None),
        ("", None),
        ("yes", None),
    ] {
        assert_eq!(boolean(text), wanted, "{text}");
    }
}

proptest! {
    #[test]
    fn whole_numbers_are_those_of_the_library(value in 0_u64..2_000_000_000_000_000_000) {
        let text = value.to_string();
        prop_assert_eq!(number(text.as_bytes()), text.parse().ok());
    }

    #[test]
    fn doubles_survive(value: f64) {
        prop_assume!(value.is_finite());
        for text in [format!("{value}"), format!("{value:e}")] {
            prop_assert_eq!(number(text.as_bytes()).map(f64::to_bits), Some(value.to_bits()));
        }
    }
}
