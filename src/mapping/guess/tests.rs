use super::{Known, Shape, header_row, shape};
use crate::model::cell::{Cell, DateSystem};
use crate::model::frame::{Frame, FrameBuilder};

/// Rows of texts, as a CSV has them; blank ones have ordinals only.
fn frame(rows: &[&str]) -> Frame {
    let mut builder = FrameBuilder::new();
    for (ordinal, row) in (0..).zip(rows) {
        if row.split('|').all(str::is_empty) {
            continue;
        }
        builder.begin_row(ordinal, ordinal + 1, "");
        for text in row.split('|') {
            builder.push(match text {
                "" => Cell::Empty,
                text => Cell::Text(text),
            });
        }
        builder.end_row();
    }
    builder.take()
}

#[track_caller]
fn assert_header(rows: &[&str], wanted: Option<u64>) {
    let frame = frame(rows);
    let rows: Vec<_> = frame.rows().collect();
    assert_eq!(header_row(&rows, &Known::new(None)), wanted);
}

#[test]
fn the_first_row_is_the_header_of_a_plain_table() {
    assert_header(&["name|age|city", "Ann|30|Oslo", "Bo|41|Bonn"], Some(0));
    // Of nothing but words that nobody knows, too.
    assert_header(&["aa|bb", "cc|dd", "ee|ff"], Some(0));
    assert_header(&["name", "Ann", "Bo"], Some(0));
    assert_header(&["name|age"], Some(0));
    assert_header(&["xx|2021|2022|2023", "aa|1.5|2|3", "bb|9|8|7"], Some(0));
    assert_header(
        &["Region|2021|2022", "North|11.5|12", "South|9|8.75"],
        Some(0),
    );
}

#[test]
fn titles_and_blank_rows_precede_a_header() {
    let rows = [
        "Customers of the north",
        "As of|2024-03-01",
        "",
        "name|phone|city|country",
        "Ann|+49 30 1234567|Berlin|Germany",
        "Bo|+47 22 334455|Oslo|Norway",
    ];
    assert_header(&rows, Some(3));
    assert_header(&["Price list 2024", "xx|yy|zz", "a|1|2", "b|3|4"], Some(1));
}

#[test]
fn of_two_header_rows_the_one_that_names_more_is_taken() {
    let grouped = [
        "|Contact||Address|",
        "Name|Phone|Email|City|Country",
        "Ann|+49 30 1234567|ann@example.org|Berlin|Germany",
        "Bo|+47 22 334455|bo@example.org|Oslo|Norway",
    ];
    assert_header(&grouped, Some(1));
    let merged_down = [
        "Name|Contact||Address|",
        "|Phone|Email|City|Country",
        "Ann|+49 30 1234567|ann@example.org|Berlin|Germany",
        "Bo|+47 22 334455|bo@example.org|Oslo|Norway",
    ];
    assert_header(&merged_down, Some(1));
    let units = [
        "Item|Price|Weight",
        "|EUR|kg",
        "Nut|0.5|0.01",
        "Bolt|1.5|0.02",
    ];
    assert_header(&units, Some(0));
}

#[test]
fn a_first_row_like_those_below_is_no_header() {
    assert_header(
        &["1|Ann|2024-01-01", "2|Bo|2024-01-02", "3|Cy|2024-01-03"],
        None,
    );
    assert_header(
        &["Ann|ann@x.org|30", "Bo|bo@x.org|31", "Cy|cy@x.org|32"],
        None,
    );
    assert_header(&["1|2", "3|4"], None);
    assert_header(&["Ann|Shop|1234|a@x.org", "Bo|Bar|5678|b@x.org"], None);
    assert_header(&["12"], None);
    assert_header(&[], None);
}

#[test]
fn cells_are_what_they_look_like() {
    let cases = [
        ("Oslo", Shape::Word),
        ("Street\nand number", Shape::Word),
        ("AB-1001", Shape::Code),
        ("Address 1", Shape::Word),
        ("-1,234.50", Shape::Number),
        ("12 %", Shape::Number),
        ("2024-02-29", Shape::Date),
        ("29.2.2024 13:45", Shape::Date),
        ("2024-02-29T13:45:30Z", Shape::Date),
        ("9:30", Shape::Date),
        ("1.2.3.4", Shape::Number),
        ("TRUE", Shape::Bool),
        ("a@b.org", Shape::Email),
        ("a@b", Shape::Word),
        ("www.example.org", Shape::Url),
        ("https://example.org/2024", Shape::Url),
        ("+49 (30) 123 45-67", Shape::Phone),
        (" ", Shape::Empty),
    ];
    for (text, wanted) in cases {
        assert_eq!(shape(Cell::Text(text)), wanted, "{text}");
    }
    let long = "word ".repeat(20);
    assert_eq!(shape(Cell::Text(&long)), Shape::Long);
    let system = DateSystem::Y1900;
    assert_eq!(
        shape(Cell::DateSerial {
            serial: 1.0,
            system
        }),
        Shape::Date
    );
}
