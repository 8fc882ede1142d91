//! xlsx files made in code: what cells, sheets and headers become.

use std::fmt::Write as _;

use rowlift::decode::error::DecodeError;
use rowlift::decode::limits::Limits;
use rowlift::decode::protocol::WorkbookRequest;
use rowlift::decode::{HeaderRow, SourceHeader};
use rowlift::model::import::FileFormat;

use super::package::Package;
use super::{decode, decode_with, lines, request};

const HEADER: &str = r#"<row r="1"><c r="A1" t="inlineStr"><is><t>name</t></is></c></row>"#;

fn text(reference: &str, text: &str) -> String {
    format!(r#"<c r="{reference}" t="inlineStr"><is><t>{text}</t></is></c>"#)
}

/// The one data row of a sheet with these cells.
fn row(cells: &str) -> String {
    let package = Package::new(&format!("{HEADER}<row r=\"2\">{cells}</row>"));
    let sheet = decode(&package.bytes()).unwrap();
    assert_eq!(sheet.rows.len(), 1);
    lines(&sheet).remove(0)
}

#[test]
fn number_formats_decide_what_numbers_are() {
    let cells = r#"<c r="A2"><v>1.5</v></c><c r="B2" s="1"><v>45351</v></c><c r="C2" s="2"><v>1.25</v></c>
        <c r="D2" s="3"><v>5551234</v></c><c r="E2" s="4"><v>0.075</v></c><c r="F2" s="5" t="n"><v>60</v></c>
        <c r="G2" s="99"><v>7</v></c><c r="H2" s="3"><v>0.5</v></c><c r="I2"><v>1e400</v></c>
        <c r="J2"><v>-0</v></c><c r="K2"><v>9007199254740993</v></c>"#;
    assert_eq!(
        row(cells),
        "number:1.5|serial:45351:Y1900|duration:1.25|zeros:555-1234|number:0.075|serial:60:Y1900\
         |number:7|number:0.5|number:inf|number:-0|number:9007199254740992"
    );
}

#[test]
fn values_of_every_type_are_read() {
    let cells = r#"<c r="A2" t="b"><v>1</v></c><c r="B2" t="b"><v>false</v></c><c r="C2" t="e"><v>#N/A</v></c>
        <c r="D2" t="str"><f>"a"</f><v>a &amp; b</v></c><c r="E2" t="d"><v>2024-02-29T12:00:00</v></c>
        <c r="F2" t="inlineStr"><is><r><t>ri</t></r><r><t xml:space="preserve">ch </t></r><rPh><t>no</t></rPh></is></c>
        <c r="G2"><f>A2</f></c><c r="H2" t="inlineStr"><is><t>a_x0000_b</t></is></c>"#;
    assert_eq!(
        row(cells),
        "bool:true|bool:false|error:#N/A|text:a & b|iso:2024-02-29T12:00:00|text:rich |formula\
         |invalid:a\u{fffd}b"
    );
}

#[test]
fn unknown_errors_stay_in_their_cells() {
    let cells = r#"<c r="A2"><v>1</v></c><c r="C2" t="e"><f>X</f><v>#SPILL!</v></c><c r="E2"><v>2</v></c>
        <c r="F2" t="e"><v>#CALC!</v></c><c r="G2" t="e"><v>#REF!</v></c>"#;
    assert_eq!(
        row(cells),
        "number:1||error:#SPILL!||number:2|error:#CALC!|error:#REF!"
    );
    // calamine loses count of cells without a reference behind an error that it does not know.
    let cells = r#"<c><v>1</v></c><c t="e"><v>#SPILL!</v></c><c><v>2</v></c>"#;
    assert_eq!(row(cells), "number:1|error:#SPILL!|number:2");
}

#[test]
fn shared_strings_are_found_by_their_number_only() {
    let data = r#"<row r="1"><c r="A1" t="s"><v>0</v></c></row><row r="2"><c r="A2" t="s"><v>INDEX</v></c></row>"#;
    let decode_index = |index: &str| {
        let mut package = Package::new(&data.replace("INDEX", index));
        package.set_strings("2", &["name", "Ann"]);
        decode(&package.bytes())
    };
    assert_eq!(lines(&decode_index("1").unwrap()), ["text:Ann"]);
    for index in ["2", "x", "-1", "1.0", " 1", "18446744073709551616"] {
        let error = decode_index(index).unwrap_err();
        assert!(
            matches!(error, DecodeError::CorruptFile { .. }),
            "{index}: {error}"
        );
    }
}

#[test]
fn a_part_of_another_name_and_prefix_is_found() {
    let mut package = Package::new("");
    let xml = r#"<x:worksheet><x:sheetData><x:row r="1"><x:c r="A1"><x:v>7</x:v></x:c></x:row></x:sheetData></x:worksheet>"#;
    package.set("xl/deep/Data.XML", xml);
    package.edit(
        "xl/_rels/workbook.xml.rels",
        "worksheets/sheet1.xml",
        "/xl/deep/data.xml",
    );
    let sheet = decode(&package.bytes()).unwrap();
    assert_eq!(sheet.header.names, ["7"]);
}

#[test]
fn the_first_visible_sheet_with_data_is_read() {
    let data = format!("<row r=\"1\">{}</row>", text("A1", "found"));
    let blank = r#"<row r="1"><c r="A1" s="1"/></row>"#;
    let sheets = [
        ("Hidden", "hidden", data.as_str()),
        ("Very", "veryHidden", &data),
        ("Blank", "visible", blank),
        ("Empty", "visible", ""),
        ("Data", "visible", &data),
        ("Later", "visible", &data),
    ];
    let sheet = decode(&Package::with_sheets(&sheets).bytes()).unwrap();
    assert_eq!(sheet.header.sheet, "Data");
    assert_eq!(sheet.header.names, ["found"]);
    assert_eq!(sheet.rows, []);
}

#[test]
fn chart_sheets_are_passed_over() {
    let data = format!("<row r=\"1\">{}</row>", text("A1", "found"));
    let sheets = [("Chart", "visible", ""), ("Data", "visible", data.as_str())];
    let mut package = Package::with_sheets(&sheets);
    package.edit(
        "xl/_rels/workbook.xml.rels",
        r#"/worksheet" Target="worksheets/sheet1.xml""#,
        r#"/chartsheet" Target="chartsheets/sheet1.xml""#,
    );
    package.set("xl/chartsheets/sheet1.xml", "<chartsheet/>");
    assert_eq!(decode(&package.bytes()).unwrap().header.sheet, "Data");
    let request = WorkbookRequest {
        sheet: "Chart".to_owned(),
        ..request()
    };
    let error = decode_with(&package.bytes(), &request, &Limits::default()).unwrap_err();
    let DecodeError::SheetNotFound { available, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(available, ["Data"]);
}

#[test]
fn a_workbook_without_any_cell_has_no_header() {
    let package = Package::with_sheets(&[
        ("A", "visible", ""),
        ("B", "visible", r#"<row r="1"><c r="A1"/></row>"#),
    ]);
    let error = decode(&package.bytes()).unwrap_err();
    assert!(
        matches!(error, DecodeError::NoHeader { row: 1, .. }),
        "{error}"
    );
    let absent = WorkbookRequest {
        header: HeaderRow::Absent,
        ..request()
    };
    let sheet = decode_with(&package.bytes(), &absent, &Limits::default()).unwrap();
    assert_eq!(sheet.rows, []);
    let error = decode(b"").unwrap_err();
    assert!(matches!(error, DecodeError::NoHeader { .. }), "{error}");
}

#[test]
fn the_header_stands_where_it_is_said_to() {
    let data = format!(
        r#"<row r="1">{}</row><row r="3">{}{}<c r="D3"><v>1.5</v></c><c r="E3" t="e"><v>#N/A</v></c></row>
        <row r="4">{}</row><row r="5"/><row r="7">{}</row>"#,
        text("A1", "title"),
        text("A3", " name "),
        text("C3", "age"),
        text("B4", "a"),
        text("A7", "b"),
    );
    let package = Package::new(&data);
    let decode_at = |header| {
        let request = WorkbookRequest {
            header,
            ..request()
        };
        decode_with(&package.bytes(), &request, &Limits::default())
    };
    let sheet = decode_at(HeaderRow::Row(3)).unwrap();
    let wanted = SourceHeader {
        format: FileFormat::Xlsx,
        sheet: "Sheet1".to_owned(),
        names: ["name", "", "age", "1.5", "#N/A"]
            .map(str::to_owned)
            .to_vec(),
        is_hidden: false,
        header_row: 3,
        has_header: true,
        first_data_row_number: 4,
        n_rows_hint: sheet.header.n_rows_hint,
    };
    assert_eq!(sheet.header, wanted);
    let numbers: Vec<_> = sheet
        .rows
        .iter()
        .map(|row| (row.ordinal, row.number))
        .collect();
    assert_eq!(numbers, [(0, 4), (3, 7)]);
    assert_eq!(lines(&sheet), ["|text:a", "text:b"]);

    let sheet = decode_at(HeaderRow::Absent).unwrap();
    assert_eq!(
        (sheet.header.first_data_row_number, sheet.rows.len()),
        (1, 4)
    );
    assert!(!sheet.header.has_header);
    for row in [0, 2, 8, u32::MAX] {
        let error = decode_at(HeaderRow::Row(row)).unwrap_err();
        assert!(matches!(error, DecodeError::NoHeader { .. }), "{error}");
    }
}

#[test]
fn two_sheets_of_one_name_are_refused() {
    let package = Package::with_sheets(&[("A", "visible", HEADER), ("A", "visible", HEADER)]);
    let error = decode(&package.bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::CorruptFile { .. }), "{error}");
}

#[test]
fn dimensions_are_a_hint_only() {
    let cases = [
        (r#"<dimension ref="A1:XFD1048576"/>"#, Some(1_048_575)),
        (r#"<dimension ref="A1:B3"/>"#, Some(2)),
        // Its second corner is looked at, and no other.
        (r#"<dimension ref="C7:A1"/>"#, Some(0)),
        ("", None),
    ];
    for (dimension, wanted) in cases {
        let mut package = Package::new(&format!("{HEADER}<row r=\"2\">{}</row>", text("A2", "a")));
        package.edit(
            "xl/worksheets/sheet1.xml",
            "<sheetData>",
            &format!("{dimension}<sheetData>"),
        );
        let sheet = decode(&package.bytes()).unwrap();
        assert_eq!(sheet.header.n_rows_hint, wanted, "{dimension}");
        assert_eq!(lines(&sheet), ["text:a"]);
    }
}

#[test]
fn a_workbook_without_content_types_is_told_by_its_folder() {
    let mut package = Package::new(HEADER);
    package.set("[Content_Types].xml", "<Types/>");
    assert_eq!(
        decode(&package.bytes()).unwrap().header.format,
        FileFormat::Xlsx
    );
}

#[test]
fn documents_that_are_no_workbooks_are_unsupported() {
    let mut document = Package::new("");
    document.edit(
        "[Content_Types].xml",
        "xl/workbook.xml",
        "word/document.xml",
    );
    document.edit("[Content_Types].xml", "spreadsheetml", "wordprocessingml");
    document.edit("_rels/.rels", "xl/workbook.xml", "word/document.xml");
    let mut embeds = Package::new(HEADER);
    embeds.edit(
        "[Content_Types].xml",
        "<Override",
        r#"<Default Extension="docx" ContentType="application/x-wordprocessingml"/><Override"#,
    );
    assert!(decode(&embeds.bytes()).is_ok());
    let mut text = Package::new("");
    text.set("mimetype", "application/vnd.oasis.opendocument.text");
    let mut zip = Package::new("");
    zip.set("_rels/.rels", "<Relationships/>");
    for bytes in [document.bytes(), text.bytes(), b"name,age\n".to_vec()] {
        let error = decode(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Unsupported { .. }), "{error}");
    }
    let error = decode(&zip.bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::CorruptFile { .. }), "{error}");
}

#[test]
fn ten_thousand_rows_arrive_in_order() {
    let mut data = HEADER.to_owned();
    for number in 2..=10_001 {
        write!(
            data,
            "<row r=\"{number}\"><c r=\"A{number}\"><v>{number}</v></c>{}</row>",
            text(&format!("C{number}"), "some text to fill a frame or two")
        )
        .unwrap();
    }
    let sheet = decode(&Package::new(&data).bytes()).unwrap();
    assert_eq!(sheet.rows.len(), 10_000);
    for (ordinal, row) in (0..).zip(&sheet.rows) {
        assert_eq!((row.ordinal, row.number), (ordinal, ordinal + 2));
        assert_eq!(row.cells[0], format!("number:{}", row.number));
    }
}
