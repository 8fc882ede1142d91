//! Files made to do harm: each costs its own child only, and says which limit it met.

use rowlift::decode::error::{DeathCause, DecodeError};
use rowlift::decode::limits::Limits;

use super::package::Package;
use super::{decode, decode_with, lines, request};

const MANIFEST: &str = "<manifest:manifest/>";

fn ods(content: &str) -> Vec<u8> {
    let mut package = Package::new("");
    package.set("mimetype", "application/vnd.oasis.opendocument.spreadsheet");
    package.set("META-INF/manifest.xml", MANIFEST);
    package.set("content.xml", content);
    package.bytes()
}

fn small_memory() -> Limits {
    Limits {
        child_address_space_bytes: 192 << 20,
        ..Limits::default()
    }
}

fn is_memory_limit(error: &DecodeError) -> bool {
    matches!(
        error,
        DecodeError::DecoderDied {
            cause: DeathCause::MemoryLimit { .. }
        }
    )
}

#[test]
fn a_huge_count_of_shared_strings_takes_no_memory() {
    for count in ["100000000000", "18446744073709551615"] {
        let mut package = Package::new(r#"<row r="1"><c r="A1" t="s"><v>0</v></c></row>"#);
        package.set_strings(count, &["name"]);
        let sheet = decode_with(&package.bytes(), &request(), &small_memory()).unwrap();
        assert_eq!(sheet.header.names, ["name"], "{count}");
    }
}

#[test]
fn the_two_corners_of_a_sheet_are_two_rows() {
    let package = Package::new(
        r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>"#,
    );
    let request = rowlift::decode::protocol::WorkbookRequest {
        header: rowlift::decode::HeaderRow::Absent,
        ..request()
    };
    let sheet = decode_with(&package.bytes(), &request, &small_memory()).unwrap();
    let numbers: Vec<_> = sheet
        .rows
        .iter()
        .map(|row| (row.ordinal, row.number, row.cells.len()))
        .collect();
    assert_eq!(numbers, [(0, 1, 1), (1_048_575, 1_048_576, 16_384)]);
    assert_eq!(sheet.rows[1].cells[16_383], "number:2");
}

#[test]
fn references_that_no_sheet_has_are_corrupt() {
    for cell in [
        r#"<c r="XFE2"/>"#,
        r#"<c r="A1048577"/>"#,
        r#"<c r="A16777217"/>"#,
        r#"<c r="ZZZZZZZZZZ2"/>"#,
        r#"<c r="A99999999999"/>"#,
        r#"<c r="A3"/>"#,
        r#"<c r="A2"/><c r="A2"/>"#,
        r#"<c t="e"><v>#SPILL!</v><v>1</v></c>"#,
    ] {
        let package = Package::new(&format!(
            r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="2">{cell}</row>"#
        ));
        let error = decode(&package.bytes()).unwrap_err();
        assert!(
            matches!(error, DecodeError::CorruptFile { .. }),
            "{cell}: {error}"
        );
    }
}

#[test]
fn shared_formulas_with_huge_numbers_cost_nothing() {
    let package = Package::new(
        r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="2"><c r="A2"><f t="shared" si="4000000000" ref="A2:A3">B2</f><v>5</v></c></row>
        <row r="3"><c r="A3"><f t="shared" si="4000000000"/></c></row>"#,
    );
    let sheet = decode_with(&package.bytes(), &request(), &small_memory()).unwrap();
    assert_eq!(lines(&sheet), ["number:5", "formula"]);
}

#[test]
fn a_document_type_is_refused() {
    let mut package = Package::new(r#"<row r="1"><c r="A1"><v>1</v></c></row>"#);
    package.edit(
        "xl/worksheets/sheet1.xml",
        "<worksheet>",
        "<!DOCTYPE w [<!ENTITY a \"b\">]><worksheet>",
    );
    let error = decode(&package.bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::CorruptFile { .. }), "{error}");
}

#[test]
fn a_tag_or_text_without_end_meets_its_limit() {
    let attributes = "a=\"b\" ".repeat(400_000);
    let long = "x".repeat(40_000);
    for (row, limit) in [
        (format!("<c {attributes}/>"), "markup_bytes_max"),
        (
            format!("<c t=\"inlineStr\"><is><t>{long}</t></is></c>"),
            "cell_chars_max",
        ),
        (
            format!("<c t=\"str\"><v>{}</v></c>", long.repeat(40)),
            "markup_bytes_max",
        ),
    ] {
        let package = Package::new(&format!(
            r#"<row r="1"><c r="A1"><v>1</v></c></row><row>{row}</row>"#
        ));
        let limits = Limits {
            inflate_ratio_max: u64::MAX,
            ..Limits::default()
        };
        let error = decode_with(&package.bytes(), &request(), &limits).unwrap_err();
        assert!(error.to_string().contains(limit), "{error}");
    }
}

#[test]
fn a_million_nested_elements_overflow_no_stack() {
    let nested = "<a>".repeat(1_000_000);
    let package = Package::new(&format!("<row r=\"1\"><c r=\"A1\"><is>{nested}"));
    let error = decode(&package.bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::CorruptFile { .. }), "{error}");
}

#[test]
fn an_ods_that_makes_calamine_spin_meets_its_cpu_limit() {
    let limits = Limits {
        child_cpu_seconds_min: 1,
        ..Limits::default()
    };
    let bytes = ods("<office:body><table:table table:name=\"A\">");
    let error = decode_with(&bytes, &request(), &limits).unwrap_err();
    assert_eq!(
        error,
        DecodeError::DecoderDied {
            cause: DeathCause::CpuLimit { seconds: 1 }
        }
    );
}

#[test]
fn an_ods_of_two_billion_spaces_meets_its_memory_limit() {
    let bytes = ods(
        r#"<office:body><table:table table:name="A"><table:table-row><table:table-cell office:value-type="string"><text:p><text:s text:c="2000000000"/></text:p></table:table-cell></table:table-row></table:table></office:body>"#,
    );
    let error = decode_with(&bytes, &request(), &small_memory()).unwrap_err();
    assert!(is_memory_limit(&error), "{error}");
}

#[test]
fn ods_errors_are_told_from_texts_that_look_like_them() {
    let cell = |formula: &str, text: &str| {
        format!(
            r#"<table:table-cell {formula} office:value-type="string" calcext:value-type="string"><text:p>{text}</text:p></table:table-cell>"#
        )
    };
    let bytes = ods(&format!(
        r#"<office:body><table:table table:name="A"><table:table-row>{}</table:table-row><table:table-row>{}{}{}<table:table-cell table:formula="of:=1"/></table:table-row></table:table></office:body>"#,
        cell("", "name"),
        cell("", "#DIV/0!"),
        cell("table:formula=\"of:=1/0\"", "#DIV/0!"),
        cell("table:formula=\"of:=X\"", "Err:508"),
    ));
    let sheet = decode(&bytes).unwrap();
    assert_eq!(lines(&sheet), ["text:#DIV/0!|error:#DIV/0!|error:Err:508"]);
}

#[test]
fn an_xls_of_huge_dimensions_is_refused_or_killed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rows.xls");
    let mut bytes = std::fs::read(path).unwrap();
    // Every DIMENSIONS record: type 0x0200, 14 bytes.
    let places: Vec<usize> = bytes
        .windows(4)
        .enumerate()
        .filter_map(|(at, window)| (window == [0x00, 0x02, 0x0e, 0x00]).then_some(at + 4))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + 12].copy_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0xff, 0xff]);
    }
    let error = decode(&bytes).unwrap_err();
    assert!(
        is_memory_limit(&error) || matches!(error, DecodeError::CorruptFile { .. }),
        "{error}"
    );
}

#[test]
fn a_flipped_byte_of_any_format_never_passes_the_child() {
    for extension in ["xlsx", "xlsb", "xls", "ods"] {
        let path = format!(
            "{}/tests/fixtures/rows.{extension}",
            env!("CARGO_MANIFEST_DIR")
        );
        let bytes = std::fs::read(path).unwrap();
        let limits = Limits {
            child_cpu_seconds_min: 1,
            ..small_memory()
        };
        for at in (0..bytes.len()).step_by(bytes.len() / 16) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x55;
            // Whatever it is now: rows or an error that names it, and this process goes on.
            if let Err(error) = decode_with(&flipped, &request(), &limits) {
                let is_ours = matches!(
                    error,
                    DecodeError::DecoderDied {
                        cause: DeathCause::Protocol { .. } | DeathCause::Exit { .. }
                    } | DecodeError::Io { .. }
                );
                assert!(!is_ours, "{extension} at {at}: {error}");
            }
        }
    }
}
