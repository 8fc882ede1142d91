use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn our_columns_are_known_at_the_end_of_a_header_only() {
    let cases: [(&[&str], Option<Range<usize>>); 9] = [
        (&["a", "rowlift_row_number", "rowlift_errors"], Some(1..3)),
        (
            &["a", "rowlift_sheet", "rowlift_row_number", "rowlift_errors"],
            Some(1..4),
        ),
        (
            &["a", "", "rowlift_row_number", "rowlift_errors", "", " "],
            Some(2..4),
        ),
        (&["rowlift_row_number", "rowlift_errors"], Some(0..2)),
        (&["a", "rowlift_errors"], None),
        (&["rowlift_row_number", "rowlift_errors", "a"], None),
        (&["a", "rowlift_errors", "rowlift_row_number"], None),
        (&["a", "Rowlift_row_number", "rowlift_errors"], None),
        (&["", ""], None),
    ];
    for (header, expected) in cases {
        assert_eq!(own_columns(&names(header)), expected, "{header:?}");
    }
}
