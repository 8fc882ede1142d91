use super::*;
use crate::model::import::FileFormat;

fn header(names: &[&str]) -> SourceHeader {
    SourceHeader {
        format: FileFormat::Csv,
        sheet: String::new(),
        is_hidden: false,
        header_row: 1,
        names: names.iter().map(|&name| name.to_owned()).collect(),
        has_header: true,
        first_data_row_number: 2,
        n_rows_hint: None,
    }
}

fn frame(rows: &[&[Cell<'_>]]) -> Frame {
    let mut builder = FrameBuilder::new();
    for (ordinal, row) in (0..).zip(rows) {
        builder.begin_row(ordinal, ordinal + 2, "");
        row.iter().for_each(|cell| builder.push(*cell));
        builder.end_row();
    }
    builder.take()
}

const OURS: [&str; 2] = ["rowlift_row_number", "rowlift_errors"];

#[test]
fn rows_are_as_they_were_before_the_export() {
    let mut header = header(&["'=name", "note", OURS[0], OURS[1]]);
    let returned = Returned::recognise(&mut header).unwrap();
    assert_eq!(header.names[..2], ["=name", "note"]);
    let read = returned.rows(&frame(&[
        &[
            Cell::Text("'+49 30"),
            Cell::Number(1.0),
            Cell::Text("7"),
            Cell::Text("A7 TOO_LONG: x"),
        ],
        &[
            Cell::Text("a\u{fffd}"),
            Cell::Text("''=b"),
            Cell::Text("8"),
            Cell::Text("A8 INVALID_TEXT: x"),
        ],
        &[Cell::Text("a\u{fffd}"), Cell::Empty, Cell::Text("9")],
        // An error value that nobody has replaced; without such an error it is a text.
        &[
            Cell::Text("#N/A"),
            Cell::Text("#1"),
            Cell::Text("9"),
            Cell::Text("A9 CELL_ERROR: x"),
        ],
        &[
            Cell::Text("#N/A"),
            Cell::Empty,
            Cell::Text("9"),
            Cell::Text("B9 TOO_LONG: x"),
        ],
        // What somebody wrote beside ours is not ours.
        &[
            Cell::Text("a"),
            Cell::Empty,
            Cell::Text("10"),
            Cell::Empty,
            Cell::Text("note"),
        ],
        // Somebody emptied the row.
        &[
            Cell::Empty,
            Cell::Text(""),
            Cell::Text("11"),
            Cell::Text("x"),
        ],
    ]));
    let expected = frame(&[
        &[Cell::Text("+49 30"), Cell::Number(1.0)],
        &[Cell::InvalidText("a\u{fffd}"), Cell::Text("'=b")],
        &[Cell::Text("a\u{fffd}")],
        &[Cell::Error("#N/A"), Cell::Text("#1")],
        &[Cell::Text("#N/A")],
        &[
            Cell::Text("a"),
            Cell::Empty,
            Cell::Empty,
            Cell::Empty,
            Cell::Text("note"),
        ],
        &[],
    ]);
    assert_eq!(read, expected);
}

#[test]
fn columns_of_ours_that_are_asked_for_are_read() {
    let mut header = header(&["a", OURS[0], OURS[1]]);
    let mut returned = Returned::recognise(&mut header).unwrap();
    returned.leave_out(&[2]);
    let read = returned.rows(&frame(&[&[
        Cell::Text("a"),
        Cell::Text("7"),
        Cell::Text("x"),
    ]]));
    assert_eq!(read, frame(&[&[Cell::Text("a"), Cell::Text("7")]]));
}

#[test]
fn other_files_are_left_alone() {
    for names in [&["a", "b"][..], &["'=a", OURS[1]]] {
        let mut header = header(names);
        assert!(Returned::recognise(&mut header).is_none());
        assert_eq!(header.names, names);
    }
    let mut without = SourceHeader {
        has_header: false,
        ..header(&OURS)
    };
    assert!(Returned::recognise(&mut without).is_none());
}
