use super::{cell_place, n_rows_of, row_index};

#[test]
fn references_are_read_up_to_the_last_cell_of_a_sheet() {
    let cases: [(&str, Option<(u32, u32)>); 17] = [
        ("A1", Some((0, 0))),
        ("b12", Some((11, 1))),
        ("Z3", Some((2, 25))),
        ("AA3", Some((2, 26))),
        ("XFD1048576", Some((1_048_575, 16_383))),
        ("XFE1", None),
        ("A1048577", None),
        ("AAAA1", None),
        ("A0", None),
        ("A", None),
        ("1", None),
        ("", None),
        ("A-1", None),
        ("$A$1", None),
        ("A16777217", None),
        ("A1B", None),
        ("Ä1", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(cell_place(text.as_bytes()), wanted, "{text}");
    }
    assert_eq!(row_index(b"1048576"), Some(1_048_575));
    for text in ["0", "-1", "2000000000", "1048577", "", "1.5", " 1", "+1"] {
        assert_eq!(row_index(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_dimension_is_a_hint_and_no_more() {
    let cases = [
        ("A1:B12", Some(12)),
        ("A1", Some(1)),
        ("A1:XFD1048576", Some(1_048_576)),
        ("B9:A2", Some(2)),
        ("", None),
        ("garbage", None),
        ("A1:B99999999", None),
        (":", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(n_rows_of(text.as_bytes()), wanted, "{text}");
    }
}
