use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::xlsx::fixture::{Package, all_rows, decode, decode_with};

/// The rows of a sheet with this data, as text; the shared strings are "one" and "two".
fn rows(data: &str) -> Result<Vec<String>, DecodeError> {
    let mut package = Package::new(data);
    package.set_strings(&["one", "two"]);
    Ok(decode(&package.bytes())?.lines())
}

fn cells(content: &str) -> String {
    let mut rows = rows(&format!("<row r=\"1\">{content}</row>")).unwrap();
    assert_eq!(rows.len(), 1, "{content}");
    rows.remove(0)
}

#[test]
fn values_of_every_type_are_read() {
    let cases = [
        ("<c r=\"A1\"><v>1.5</v></c>", "number:1.5"),
        ("<c r=\"A1\" t=\"n\"><v>-0</v></c>", "number:-0"),
        ("<c r=\"A1\"><v>1e400</v></c>", "number:inf"),
        ("<c r=\"A1\"><v> 12 </v></c>", "number:12"),
        ("<c r=\"A1\" t=\"n\"><v>1&#48;</v></c>", "number:10"),
        ("<c r=\"A1\"><v>1<!-- -->2</v></c>", "number:12"),
        ("<c r=\"A1\"><v><![CDATA[7]]></v></c>", "number:7"),
        ("<c r=\"A1\"><v>a &lt; b</v></c>", "text:a < b"),
        ("<c r=\"A1\" t=\"s\"><v>1</v></c>", "text:two"),
        ("<c t='s' r='A1'><v>0</v></c>", "text:one"),
        ("<x:c r=\"A1\" t=\"s\"><x:v>0</x:v></x:c>", "text:one"),
        (
            "<c r=\"A1\" t=\"str\"><f>A2&amp;\"x\"</f><v> a &amp; b_x000D_</v></c>",
            "text: a & b\r",
        ),
        (
            "<c r=\"A1\" t=\"inlineStr\"><is><t> a </t></is></c>",
            "text:a",
        ),
        (
            "<c r=\"A1\" t=\"inlineStr\"><is><r><t>a</t></r><r><t>b</t></r></is></c>",
            "text:ab",
        ),
        ("<c r=\"A1\"><is><t>a</t></is></c>", "text:a"),
        // Said twice; and where only the value says it, it is not lost.
        (
            "<c r=\"A1\" t=\"inlineStr\"><v>a</v><is><t>a</t></is></c>",
            "text:a",
        ),
        ("<c r=\"A1\" t=\"inlineStr\"><v>a_x0041_</v></c>", "text:aA"),
        ("<c r=\"A1\" t=\"b\"><v>1</v></c>", "bool:true"),
        ("<c r=\"A1\" t=\"b\"><v> FALSE </v></c>", "bool:false"),
        ("<c r=\"A1\" t=\"e\"><v>#N/A</v></c>", "error:#N/A"),
        (
            "<c r=\"A1\" t=\"e\"><f>X</f><v> #SPILL! </v></c>",
            "error:#SPILL!",
        ),
        (
            "<c r=\"A1\" t=\"d\"><v>2024-02-29T12:00</v></c>",
            "iso:2024-02-29T12:00",
        ),
        ("<c r=\"A1\" s=\"1\"><v>45351</v></c>", "serial:45351:Y1900"),
        ("<c r=\"A1\" s=\"2\"><v>1.25</v></c>", "duration:1.25"),
        ("<c r=\"A1\" s=\"3\"><v>5551234</v></c>", "zeros:555-1234"),
        ("<c r=\"A1\" s=\"4\"><v>0.075</v></c>", "number:0.075"),
        (
            "<c r=\"A1\" s=\"5\" t=\"n\"><v>60</v></c>",
            "serial:60:Y1900",
        ),
        ("<c r=\"A1\" s=\"99\"><v>7</v></c>", "number:7"),
        ("<c r=\"A1\" s=\"1\" t=\"s\"><v>0</v></c>", "text:one"),
        ("<c r=\"A1\"><f>B1</f><v>1</v></c>", "number:1"),
        ("<c r=\"A1\"><v>1</v><f>B1</f></c>", "number:1"),
        (
            "<c r=\"A1\"><v>1</v><extLst><v>2</v></extLst></c>",
            "number:1",
        ),
        (
            "<c r=\"A1\" t=\"inlineStr\"><is><t>a_x0000_b</t></is></c>",
            "invalid:a\u{fffd}b",
        ),
        (
            "<c r=\"A1\" t=\"str\"><v>a&#xD800;b</v></c>",
            "invalid:a\u{fffd}b",
        ),
        (
            "<c r=\"A1\" t=\"inlineStr\"><is><t>_xD83D_</t></is></c>",
            "invalid:\u{fffd}",
        ),
    ];
    for (content, wanted) in cases {
        assert_eq!(cells(content), wanted, "{content}");
    }
}

#[test]
fn formulas_without_a_value_are_told_from_empty_cells() {
    let cases = [
        ("<c r=\"A1\"/>", ""),
        ("<c r=\"A1\" s=\"3\"></c>", ""),
        ("<c r=\"A1\"><v></v></c>", ""),
        ("<c r=\"A1\" t=\"s\"><v/></c>", ""),
        ("<c r=\"A1\" t=\"b\"><v> </v></c>", ""),
        ("<c r=\"A1\"><f>B1</f></c>", "formula"),
        ("<c r=\"A1\"><f>B1</f><v></v></c>", "formula"),
        ("<c r=\"A1\"><f>B1</f><v/></c>", "formula"),
        (
            "<c r=\"A1\"><f t=\"shared\" si=\"4000000000\"/></c>",
            "formula",
        ),
        (
            "<x:c r=\"A1\"><x:f><![CDATA[<v>1</v>]]></x:f></x:c>",
            "formula",
        ),
        // The empty text is a value.
        ("<c r=\"A1\" t=\"str\"><f>\"\"</f><v></v></c>", ""),
        ("<c r=\"A1\" t=\"str\"><f>\"\"</f><v/></c>", ""),
        ("<c r=\"A1\" t=\"str\"><f>\"\"</f></c>", "formula"),
    ];
    for (content, wanted) in cases {
        let found = cells(&format!("{content}<c r=\"B1\"><v>1</v></c>"));
        assert_eq!(found, format!("{wanted}|number:1"), "{content}");
    }
}

#[test]
fn cells_and_rows_without_references_follow_those_before() {
    let package = Package::new(
        "<row><c><v>1</v></c><c/><c><v>2</v></c></row>\n<row r=\"5\" spans=\"1:9\"> <c r=\"C5\"><v>3</v></c><c><v>4</v></c></row>\
         <row/><row hidden='1'><c><v>5</v></c></row><row r='9'/><extLst><c/></extLst>",
    );
    let taken = decode(&package.bytes()).unwrap();
    let rows: Vec<_> = taken
        .rows
        .iter()
        .map(|(row, cells)| (*row, cells.join("|")))
        .collect();
    let wanted = [
        (0, "number:1||number:2"),
        (4, "||number:3|number:4"),
        (6, "number:5"),
    ];
    assert_eq!(rows, wanted.map(|(row, cells)| (row, cells.to_owned())));
    assert_eq!(
        taken.header.unwrap().n_rows_hint,
        Some(1),
        "the dimension says so"
    );
}

#[test]
fn an_empty_sheet_has_no_rows() {
    for data in [
        "",
        "<row r=\"1\"/>",
        "<row r=\"7\"><c r=\"A7\" s=\"1\"/></row>",
    ] {
        assert_eq!(rows(data).unwrap(), Vec::<String>::new(), "{data}");
    }
    let mut package = Package::new("");
    package.edit(
        "xl/worksheets/sheet1.xml",
        "<sheetData></sheetData>",
        "<sheetData/><extLst><c r=\"A1\"/></extLst>",
    );
    assert_eq!(
        decode(&package.bytes()).unwrap().lines(),
        Vec::<String>::new()
    );
}

/// Each of these data is corrupt, and the complaint says so.
fn assert_refused(cases: &[(&str, &str)]) {
    for (data, wanted) in cases {
        let error = rows(data).unwrap_err();
        assert!(
            matches!(error, DecodeError::CorruptFile { .. }),
            "{data}: {error}"
        );
        let error = error.to_string();
        assert!(error.contains(wanted), "{data}: {error}");
        assert!(error.contains("xl/worksheets/sheet1.xml: "), "{error}");
    }
}

#[test]
fn what_is_out_of_place_is_refused() {
    let cases = [
        ("<row r=\"2\"/><row r=\"1\"/>", "row 1 is out of order"),
        ("<row r=\"2\"/><row r=\"2\"/>", "row 2 is out of order"),
        ("<row r=\"-1\"/>", "row number"),
        ("<row r=\"0\"/>", "row number"),
        ("<row r=\"2000000000\"/>", "row number"),
        ("<row r=\"1048576\"/><row/>", "beyond 1048576"),
        (
            "<row r=\"1\"><c r=\"B1\"/><c r=\"A1\"/></row>",
            "cells of row 1 are out of order",
        ),
        (
            "<row r=\"1\"><c r=\"B1\"/><c r=\"B1\"/></row>",
            "cells of row 1 are out of order",
        ),
        (
            "<row r=\"1\"><c r=\"A7\"/></row>",
            "a cell of row 7 stands in row 1",
        ),
        ("<row r=\"1\"><c r=\"XFE1\"/></row>", "cell reference"),
        ("<row r=\"1\"><c r=\"A16777217\"/></row>", "cell reference"),
        ("<row r=\"1\"><c r=\"XFD1\"/><c/></row>", "beyond column"),
        ("<row r=\"1\"><c r=\"\"/></row>", "cell reference"),
        ("<c r=\"A1\"/>", "outside of a row"),
        ("<row r=\"1\"><row r=\"2\"/></row>", "inside a row"),
        ("<row r=\"1\" r=\"2\"/>", "malformed tag"),
        ("<row><c s=\"x\"/></row>", "style"),
        ("<row><c s=\"-1\"/></row>", "style"),
        ("<row><c s=\"9999999999\"/></row>", "style"),
        ("<row><c t=\"x\"/></row>", "unknown type"),
    ];
    assert_refused(&cases);
}

#[test]
fn values_that_are_none_are_refused() {
    let cases = [
        (
            "<row><c t=\"s\"><v>x</v></c></row>",
            "cell A1 has the value 'x', which is no number of a string",
        ),
        (
            "<row r=\"3\"><c r=\"B3\" t=\"s\"><v>x</v></c></row>",
            "cell B3 has the value 'x'",
        ),
        (
            "<row><c t=\"s\"><v> 1</v></c></row>",
            "no number of a string",
        ),
        (
            "<row><c t=\"s\"><v>-1</v></c></row>",
            "no number of a string",
        ),
        (
            "<row><c t=\"s\"><v>99999999999999999999</v></c></row>",
            "no number of a string",
        ),
        (
            "<row><c r=\"A1\" t=\"s\"><v>2</v></c></row>",
            "cell A1 refers to string 2 of xl/sharedStrings.xml, which has 2",
        ),
        (
            "<row><c t=\"s\"><v>4294967296</v></c></row>",
            "refers to string 4294967296",
        ),
        ("<row><c t=\"n\"><v>x</v></c></row>", "no number"),
        ("<row><c t=\"b\"><v>2</v></c></row>", "neither 0 nor 1"),
        ("<row><c><v>1<b/></v></c></row>", "markup inside a value"),
        ("<row><c><v>1</v><v>2</v></c></row>", "two values"),
        (
            "<row><c t=\"e\"><v>#SPILL!</v><v>1</v></c></row>",
            "two values",
        ),
        ("<row><c><v>1</v><is><t>2</t></is></c></row>", "two values"),
        ("<row><c><x/></c></row>", "cell A1 has unknown content"),
        ("<row><c><c/></c></row>", "unknown content"),
        (
            "<row><mc:AlternateContent><c/></mc:AlternateContent></row>",
            "unknown element",
        ),
        ("<!DOCTYPE x>", "document type"),
        ("<row><c><v>&lol;</v></c></row>", "unknown entity"),
        ("<row>", "end tag without"),
    ];
    assert_refused(&cases);
}

#[test]
fn missing_parts_of_a_sheet_are_told() {
    let none = Package::new("<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c></row>");
    let error = decode(&none.bytes()).unwrap_err().to_string();
    assert!(error.contains("the file has none"), "{error}");
    let mut chart = Package::new("");
    chart.set(
        "xl/worksheets/sheet1.xml",
        "<chartsheet><sheetData/></chartsheet>",
    );
    assert!(
        decode(&chart.bytes())
            .unwrap_err()
            .to_string()
            .contains("has no worksheet")
    );
    chart.set("xl/worksheets/sheet1.xml", "<worksheet/>");
    assert!(
        decode(&chart.bytes())
            .unwrap_err()
            .to_string()
            .contains("has no sheetData")
    );
}

#[test]
fn broken_strings_are_told_although_no_cell_needs_them() {
    let mut package = Package::new("<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c></row>");
    package.set(
        "xl/sharedStrings.xml",
        "<sst><si><t>one</t></si><si><t>two</t></sst>",
    );
    let error = decode(&package.bytes()).unwrap_err().to_string();
    assert!(error.contains("xl/sharedStrings.xml"), "{error}");
}

#[test]
fn cells_and_sheets_meet_their_limits() {
    let limit = |data: &str, limits: Limits| {
        let mut package = Package::new(data);
        package.set_strings(&["long", "longer"]);
        let error = decode_with(&package.bytes(), &all_rows(), &limits).unwrap_err();
        let DecodeError::Limit { limit, .. } = error else {
            panic!("{data}: {error}");
        };
        limit.into_owned()
    };
    let chars = |n| Limits {
        cell_chars_max: n,
        ..Limits::default()
    };
    let five = "<row><c t=\"s\"><v>0</v></c><c t=\"s\"><v>1</v></c></row>";
    assert_eq!(limit(five, chars(5)), "cell_chars_max");
    assert_eq!(
        limit("<row><c t=\"str\"><v>123456</v></c></row>", chars(5)),
        "cell_chars_max"
    );
    let inline = "<row><c t=\"inlineStr\"><is><t>123456</t></is></c></row>";
    assert_eq!(limit(inline, chars(5)), "cell_chars_max");
    let columns = Limits {
        columns_max: 2,
        ..Limits::default()
    };
    assert_eq!(
        limit("<row><c r=\"C1\"><v>1</v></c></row>", columns),
        "columns_max"
    );
    let n_rows = Limits {
        sheet_rows_max: 2,
        ..Limits::default()
    };
    assert_eq!(
        limit("<row r=\"3\"><c><v>1</v></c></row>", n_rows),
        "sheet_rows_max"
    );
    let nested = format!("<row><c><is>{}", "<a>".repeat(100));
    // Unknown elements end it before they are deep.
    assert!(
        rows(&nested)
            .unwrap_err()
            .to_string()
            .contains("unknown content")
    );
    let nested = format!("<row><c><f>{}", "<a>".repeat(1_000_000));
    assert_eq!(limit(&nested, Limits::default()), "xml_depth_max");
}
