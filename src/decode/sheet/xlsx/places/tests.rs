use super::{Place, Places, row_index, split_reference};
use crate::decode::error::DecodeError;

fn places(sheet_data: &str) -> Result<Vec<Place>, DecodeError> {
    let xml = format!("<worksheet><dimension ref=\"A1\"/>{sheet_data}</worksheet>");
    let mut places = Places::new(xml.as_bytes(), "sheet1.xml")?;
    let mut found = Vec::new();
    while let Some(place) = places.next()? {
        found.push(place);
    }
    Ok(found)
}

fn rows(content: &str) -> Result<Vec<Place>, DecodeError> {
    places(&format!("<sheetData>{content}</sheetData>"))
}

#[test]
fn references_are_read_up_to_the_last_cell_of_a_sheet() {
    let cases: [(&str, Option<(u32, u32)>); 14] = [
        ("A1", Some((0, 0))),
        ("b12", Some((1, 11))),
        ("XFD1048576", Some((16_383, 1_048_575))),
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
    ];
    for (text, wanted) in cases {
        assert_eq!(split_reference(text.as_bytes()), wanted, "{text}");
    }
    assert_eq!(row_index(b"1048576"), Some(1_048_575));
    for text in ["0", "-1", "2000000000", "1048577", "", "1.5", " 1"] {
        assert_eq!(row_index(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn cells_without_references_follow_the_one_before() {
    let found = rows(
        "<row><c/><c><v>1</v></c></row><row r=\"5\"><c r=\"C5\"/><c/></row><row/><row><c/></row>",
    )
    .unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|place| (place.row, place.column, place.is_implicit))
        .collect();
    assert_eq!(
        found,
        [
            (0, 0, true),
            (0, 1, true),
            (4, 2, false),
            (4, 3, true),
            (6, 0, true)
        ]
    );
}

#[test]
fn formulas_without_a_value_are_told_from_empty_cells() {
    let cases = [
        ("<c r=\"A1\"/>", false),
        ("<c r=\"A1\" s=\"3\"></c>", false),
        ("<c r=\"A1\"><v>1</v></c>", false),
        ("<c r=\"A1\"><f>B1</f><v>1</v></c>", false),
        ("<c r=\"A1\"><f>B1</f></c>", true),
        ("<c r=\"A1\"><f>B1</f><v></v></c>", true),
        ("<c r=\"A1\"><f>B1</f><v/></c>", true),
        ("<c r=\"A1\"><f t=\"shared\" si=\"4000000000\"/></c>", true),
        ("<x:c r=\"A1\"><x:f><![CDATA[<v>1</v>]]></x:f></x:c>", true),
        // The empty text is a value.
        ("<c r=\"A1\" t=\"str\"><f>\"\"</f><v></v></c>", false),
        ("<c r=\"A1\" t=\"str\"><f>\"\"</f><v/></c>", false),
        ("<c r=\"A1\" t=\"str\"><f>\"\"</f></c>", true),
        ("<c r=\"A1\" t=\"inlineStr\"><is><t>a</t></is></c>", false),
    ];
    for (cell, wanted) in cases {
        let found = rows(&format!("<row r=\"1\">{cell}</row>")).unwrap();
        assert_eq!(found[0].is_formula_without_value, wanted, "{cell}");
    }
}

#[test]
fn an_empty_sheet_has_no_cells() {
    assert_eq!(
        places("<sheetData/><extLst><c r=\"A1\"/></extLst>").unwrap(),
        []
    );
    assert_eq!(rows("").unwrap(), []);
}

#[test]
fn what_calamine_would_misread_is_refused() {
    let cases = [
        ("<row r=\"2\"/><row r=\"1\"/>", "out of order"),
        ("<row r=\"2\"/><row r=\"2\"/>", "out of order"),
        ("<row r=\"-1\"/>", "row number"),
        ("<row r=\"0\"/>", "row number"),
        ("<row r=\"2000000000\"/>", "row number"),
        ("<row r=\"1048576\"/><row/>", "beyond 1048576"),
        (
            "<row r=\"1\"><c r=\"B1\"/><c r=\"A1\"/></row>",
            "out of order",
        ),
        (
            "<row r=\"1\"><c r=\"B1\"/><c r=\"B1\"/></row>",
            "out of order",
        ),
        ("<row r=\"1\"><c r=\"A7\"/></row>", "stands in row"),
        ("<row r=\"1\"><c r=\"XFE1\"/></row>", "cell reference"),
        ("<row r=\"1\"><c r=\"XFD1\"/><c/></row>", "beyond column"),
        ("<row r=\"1\"><c r=\"\"/></row>", "cell reference"),
        ("<c r=\"A1\"/>", "outside of a row"),
        ("<row r=\"1\"><row r=\"2\"/></row>", "inside a row"),
        ("<row><c t=\"s\"><v>x</v></c></row>", "no number"),
        ("<row><c t=\"s\"><v> 1</v></c></row>", "no number"),
        (
            "<row><c t=\"s\"><v>99999999999999999999</v></c></row>",
            "no number",
        ),
        ("<row><c><v>1&#48;</v></c></row>", "no number"),
        ("<row><c><v>1<!-- -->0</v></c></row>", "markup inside"),
        ("<row><c><v><![CDATA[1]]></v></c></row>", "markup inside"),
        ("<row><c><v>1<b/></v></c></row>", "markup inside"),
        ("<row><c><v>1</v><f>A1</f></c></row>", "behind its value"),
        ("<row><c><v>1</v><v>2</v></c></row>", "two values"),
        ("<row><c><x/></c></row>", "unknown content"),
        ("<row><c><c/></c></row>", "unknown content"),
        ("<!DOCTYPE x>", "document type"),
    ];
    for (content, wanted) in cases {
        let error = rows(content).unwrap_err();
        assert!(error.to_string().contains(wanted), "{content}: {error}");
    }
    let mut cut = Places::new(&b"<sheetData><row><c/>"[..], "part").unwrap();
    cut.next().unwrap();
    assert!(cut.next().is_err());
    assert!(Places::new(&b"<worksheet/>"[..], "part").is_err());
}
