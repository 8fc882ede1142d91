use proptest::prelude::*;

use super::*;

#[test]
fn formulas_are_guarded_and_numbers_are_not() {
    let cases = [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("＝1", "'＝1"),
        ("+49 30 1234", "'+49 30 1234"),
        ("'=1", "''=1"),
        ("-", "'-"),
        ("-1,234.5", "'-1,234.5"),
        ("-5", "-5"),
        ("+49", "+49"),
        ("-5.25", "-5.25"),
        ("-5,25", "-5,25"),
        ("'quoted'", "'quoted'"),
        ("a=b", "a=b"),
        ("", ""),
        ("'", "'"),
    ];
    for (text, expected) in cases {
        assert_eq!(guarded(text), expected, "{text:?}");
        assert_eq!(unguarded(expected), text, "{expected:?}");
    }
    assert_eq!(guarded_string("=1"), "=1");
    assert_eq!(guarded_string("'=1"), "''=1");
    assert_eq!(guarded_string("'a"), "'a");
}

proptest! {
    #[test]
    fn every_text_comes_back(text in "['=+@\t\r0-9.,＝a-]{0,8}") {
        let (written, string) = (guarded(&text), guarded_string(&text));
        prop_assert_eq!(unguarded(&written), text.as_str());
        prop_assert_eq!(unguarded(&string), text.as_str());
        prop_assert!(!is_formula(&written) || is_plain_number(&written), "{:?}", written);
    }
}
