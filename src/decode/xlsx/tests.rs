//! The reader as a whole, against calamine and against broken files.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::decode::HeaderRow;
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::protocol::WorkbookRequest;
use crate::decode::sheet;
use crate::decode::sheet::file::SharedFile;
use crate::decode::survey::SurveyRequest;
use crate::decode::xlsx::fixture::{
    Package, Roomy, Taken, all_rows, decode, decode_with, decode_with_calamine, file,
};

const FILES: [&str; 4] = [
    "examples/businesses.xlsx",
    "tests/fixtures/dates_1904.xlsx",
    "tests/fixtures/rows.xlsx",
    "tests/fixtures/uncomputed.xlsx",
];

fn stored(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What both readers make of it; the hint of the number of rows apart, which ours gives only
/// where the file does.
fn both(bytes: &[u8], request: &WorkbookRequest) -> (Taken, Taken) {
    let ours = decode_with(bytes, request, &Limits::default()).unwrap();
    let mut calamine = decode_with_calamine(bytes, request).unwrap();
    let hint = ours.header.as_ref().and_then(|header| header.n_rows_hint);
    if hint.is_none()
        && let Some(header) = &mut calamine.header
    {
        header.n_rows_hint = None;
    }
    (ours, calamine)
}

#[test]
fn stored_files_are_read_as_calamine_reads_them() {
    for path in FILES {
        let bytes = stored(path);
        for header in [HeaderRow::Absent, HeaderRow::Row(1)] {
            let request = WorkbookRequest {
                header,
                ..all_rows()
            };
            let (ours, calamine) = both(&bytes, &request);
            assert!(!ours.rows.is_empty(), "{path}");
            assert_eq!(ours, calamine, "{path}");
        }
    }
}

#[test]
fn a_workbook_of_many_formats_is_read_as_calamine_reads_it() {
    use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook};
    let mut workbook = Workbook::new();
    for (index, name) in ["first", "second sheet", "third"].iter().enumerate() {
        let sheet = workbook.add_worksheet();
        sheet.set_name(*name).unwrap();
        let formats = [
            "General",
            "0.00",
            "yyyy-mm-dd",
            "[h]:mm:ss",
            "00000",
            "0%",
            "h:mm AM/PM",
            "\"d\" 0",
            "dd/mm/yyyy;@",
            "[$-409]mmmm d, yyyy",
            "#,##0.00 €",
            "0.00E+00",
            "@",
        ];
        for (column, format) in (0_u16..).zip(formats) {
            let format = Format::new().set_num_format(format);
            for row in 0..20_u32 {
                let value = f64::from(row) * 1234.567 - 3.0;
                sheet
                    .write_number_with_format(row, column, value, &format)
                    .unwrap();
            }
        }
        for row in 0..3000_u32 {
            let text = format!("  row {row} & <{index}> \"ü\" _x000D_ \n line\u{a0}");
            sheet.write_string(row, 20, &text).unwrap();
            sheet
                .write_string(row, 21, ["yes", "no", ""][row as usize % 3])
                .unwrap();
            sheet.write_boolean(row, 22, row % 2 == 0).unwrap();
            sheet
                .write_formula(row, 23, Formula::new("=A1+1").set_result("12.5"))
                .unwrap();
            sheet
                .write_formula(row, 24, Formula::new("=\"a\"&B1").set_result("a&b"))
                .unwrap();
        }
        let date = ExcelDateTime::parse_from_str("2024-02-29 13:14:15").unwrap();
        let format = Format::new().set_num_format("yyyy-mm-dd hh:mm");
        sheet
            .write_datetime_with_format(4000, 0, &date, &format)
            .unwrap();
        sheet.write_string(1_048_575, 16_383, "last").unwrap();
    }
    let bytes = workbook.save_to_buffer().unwrap();
    for sheet in ["", "second sheet", "third"] {
        let request = WorkbookRequest {
            sheet: sheet.to_owned(),
            ..all_rows()
        };
        let (ours, calamine) = both(&bytes, &request);
        assert_eq!(ours.rows.len(), 3002);
        assert_eq!(ours, calamine, "{sheet}");
    }
}

#[test]
fn built_in_formats_are_those_of_calamine() {
    let mut formats = String::new();
    let mut data = String::new();
    for id in 0..200 {
        write!(formats, "<xf numFmtId=\"{id}\"/>").unwrap();
        write!(data, "<row><c s=\"{id}\"><v>1.5</v></c></row>").unwrap();
    }
    let mut package = Package::new(&data);
    package.set(
        "xl/styles.xml",
        &format!("<styleSheet><cellXfs>{formats}</cellXfs></styleSheet>"),
    );
    let (ours, calamine) = both(&package.bytes(), &all_rows());
    assert_eq!(ours, calamine);
}

#[test]
fn hidden_sheets_and_named_ones_are_chosen_as_before() {
    let row = "<row r=\"1\"><c r=\"A1\"><v>1</v></c></row>";
    let package = Package::with_sheets(&[
        ("empty", "visible", ""),
        ("a", "hidden", row),
        ("b", "visible", row),
    ]);
    for sheet in ["", "a", "b", "empty"] {
        let request = WorkbookRequest {
            sheet: sheet.to_owned(),
            ..all_rows()
        };
        let (ours, calamine) = both(&package.bytes(), &request);
        assert_eq!(ours, calamine, "{sheet}");
    }
    let request = WorkbookRequest {
        sheet: "c".to_owned(),
        ..all_rows()
    };
    let ours = decode_with(&package.bytes(), &request, &Limits::default()).unwrap_err();
    assert_eq!(
        ours,
        decode_with_calamine(&package.bytes(), &request).unwrap_err()
    );
}

#[test]
fn a_survey_looks_into_every_sheet_and_no_further_than_asked() {
    let mut data = String::new();
    for row in 1..=20_000 {
        write!(data, "<row><c t=\"s\"><v>{}</v></c></row>", row - 1).unwrap();
    }
    let mut package = Package::with_sheets(&[("a", "visible", &data), ("b", "hidden", &data)]);
    let strings: Vec<String> = (0..20_000).map(|number| format!("text {number}")).collect();
    package.set_strings(&strings.iter().map(String::as_str).collect::<Vec<_>>());
    // What is behind the rows that are wanted is not read.
    package.edit("xl/worksheets/sheet1.xml", "<v>19999</v>", "<v>x</v>");
    let request = SurveyRequest {
        format: None,
        sheet: String::new(),
        first_row: 1,
        n_rows: 3,
    };
    let survey = |read: fn(&SharedFile, &mut sheet::Job<'_>) -> Result<(), DecodeError>| {
        let mut taken = Taken::default();
        let file = SharedFile::new(file(&package.bytes())).unwrap();
        sheet::with_survey(&request, &Limits::default(), &mut taken, |job| {
            read(&file, job)
        })
        .unwrap();
        taken
    };
    let ours = survey(super::read);
    assert_eq!(ours.rows.len(), 6);
    assert_eq!(ours.sheets.len(), 2);
    let mut calamine = Taken::default();
    sheet::survey(
        file(&package.bytes()),
        &request,
        &Limits::default(),
        &mut calamine,
    )
    .unwrap();
    assert_eq!(ours, calamine);
}

#[test]
fn strings_in_any_order_and_in_a_file_are_the_same() {
    let n_strings = 30_000;
    let mut data = String::new();
    for row in 0..n_strings {
        let index = row * 7_919 % n_strings;
        write!(
            data,
            "<row><c t=\"s\"><v>{index}</v></c><c t=\"s\"><v>{row}</v></c></row>"
        )
        .unwrap();
    }
    let mut package = Package::new(&data);
    let strings: Vec<String> = (0..n_strings)
        .map(|number| format!("text {number}"))
        .collect();
    package.set_strings(&strings.iter().map(String::as_str).collect::<Vec<_>>());
    let bytes = package.bytes();
    let (ours, calamine) = both(&bytes, &all_rows());
    assert_eq!(ours, calamine);
    let dir = tempfile::tempdir().unwrap();
    let part_bytes = package.part("xl/sharedStrings.xml").len() as u64;
    for (memory_bytes_max, asked) in [
        (0, vec![part_bytes]),
        (50_000, vec![part_bytes - 50_000]),
        (part_bytes, Vec::new()),
    ] {
        let limits = Limits {
            shared_strings_memory_bytes_max: memory_bytes_max,
            ..Limits::default()
        };
        let mut roomy = Roomy {
            taken: Taken::default(),
            dir: dir.path().to_owned(),
            asked: Vec::new(),
        };
        let file = SharedFile::new(file(&bytes)).unwrap();
        sheet::with_job(&all_rows(), &limits, &mut roomy, |job| {
            super::read(&file, job)
        })
        .unwrap();
        assert_eq!(roomy.taken, ours);
        assert_eq!(roomy.asked, asked);
    }
}

#[test]
fn a_file_cut_anywhere_is_corrupt() {
    let bytes = small();
    for length in 1..bytes.len() {
        let error = decode(&bytes[..length]).unwrap_err();
        assert!(
            matches!(error, DecodeError::CorruptFile { .. }),
            "{length}: {error}"
        );
    }
}

#[test]
fn a_part_cut_anywhere_is_corrupt() {
    let whole = decode(&small()).unwrap();
    for path in [
        "xl/worksheets/sheet1.xml",
        "xl/sharedStrings.xml",
        "xl/styles.xml",
        "xl/workbook.xml",
    ] {
        let package = small_package();
        let content = package.part(path).to_vec();
        let end = content.len() - usize::from(content.ends_with(b"\n"));
        for length in 0..end {
            let mut cut = package.clone();
            cut.set_bytes(path, &content[..length]);
            match decode(&cut.bytes()) {
                Err(DecodeError::CorruptFile { .. }) => {}
                // Only what is behind the data may go without being missed.
                Ok(taken) => {
                    assert_eq!(taken, whole, "{path} cut at {length}");
                    let kept = &content[..length];
                    let ends = [&b"</sheetData>"[..], b"</sst>"];
                    assert!(
                        ends.iter()
                            .any(|end| memchr::memmem::find(kept, end).is_some()),
                        "{path} cut at {length}"
                    );
                }
                Err(error) => panic!("{path} cut at {length}: {error}"),
            }
        }
    }
}

#[test]
fn a_flipped_byte_never_passes_for_other_rows() {
    let bytes = small();
    let whole = decode(&bytes).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= [0x01, 0x20, 0x80, 0xff][at % 4];
        // A checksum is over every part that is read, so rows are the same or refused.
        if let Ok(taken) = decode(&flipped) {
            assert_eq!(taken, whole, "{at}");
        }
    }
}

fn small() -> Vec<u8> {
    small_package().bytes()
}

fn small_package() -> Package {
    let mut package = Package::new(
        "<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"B1\" t=\"s\"><v>1</v></c></row>\
         <row r=\"2\"><c r=\"A2\" s=\"1\"><v>45351.5</v></c><c r=\"B2\" t=\"str\"><f>A1</f><v>a &amp; b</v></c>\
         <c r=\"C2\" t=\"inlineStr\"><is><t xml:space=\"preserve\"> x </t></is></c><c r=\"D2\"><f>A2</f></c></row>",
    );
    package.set_strings(&["name", "<![CDATA[<w>]]>&amp;"]);
    package
}

/// A text with what is special in XML and in cells.
fn texts() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            Just("a"),
            Just("&amp;"),
            Just("&lt;"),
            Just("&#228;"),
            Just("&#x1F600;"),
            Just("ü"),
            Just("漢"),
            Just("<![CDATA[<&>]]>"),
            Just("\r\n"),
            Just("\n"),
            Just(" "),
            Just("\t"),
            Just("_x000D_"),
            Just("_x005F_"),
            Just("_"),
            Just("x0041_"),
            Just("\u{a0}"),
            Just("\""),
        ],
        0..8,
    )
    .prop_map(|pieces| pieces.concat())
}

/// A cell of a form that both readers understand; `{r}` stands for its reference.
fn cell() -> impl Strategy<Value = String> {
    let style = prop_oneof![
        Just(String::new()),
        (0_u32..8).prop_map(|style| format!(" s=\"{style}\""))
    ];
    let value = prop_oneof![
        (0_u32..6).prop_map(|index| format!(" t=\"s\"><v>{index}</v></c>")),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| format!("><v>{value}</v></c>")),
        (0_u32..100_000).prop_map(|value| format!(" t='n'><v>{value}</v></c>")),
        (0_u32..100_000).prop_map(|value| format!(" ><f>A1</f><v>{value}</v></c>")),
        texts().prop_map(|text| format!(
            " t=\"str\"><f>A1</f><v>{}</v></c>",
            text.replace("<![CDATA[<&>]]>", "")
        )),
        (texts(), any::<bool>()).prop_map(|(text, keeps)| {
            let space = if keeps { " xml:space=\"preserve\"" } else { "" };
            format!(" t=\"inlineStr\"><is><t{space}>{text}</t></is></c>")
        }),
        any::<bool>().prop_map(|value| format!(" t=\"b\"><v>{}</v></c>", u8::from(value))),
        prop_oneof![Just("#N/A"), Just("#SPILL!"), Just("#REF!")]
            .prop_map(|error| format!(" t=\"e\"><v>{error}</v></c>")),
        Just(" t=\"d\"><v>2024-01-02</v></c>".to_owned()),
        Just("/>".to_owned()),
        Just("></c>".to_owned()),
        Just("><f>A1</f></c>".to_owned()),
        Just(" t=\"str\"><f>A1</f><v/></c>".to_owned()),
    ];
    (style, value).prop_map(|(style, value)| format!("<c{{r}}{style}{value}"))
}

fn sheet_data() -> impl Strategy<Value = String> {
    let row = (
        0_u32..3,
        prop::collection::vec((0_u32..3, any::<bool>(), cell()), 0..6),
        any::<bool>(),
    );
    prop::collection::vec(row, 0..6).prop_map(|rows| {
        let mut data = String::new();
        let mut next_row = 1;
        for (gap, cells, spaced) in rows {
            let row = next_row + gap;
            next_row = row + 1;
            let space = if spaced { "\n  " } else { "" };
            write!(data, "{space}<row r=\"{row}\">").unwrap();
            let mut column = 0;
            for (gap, is_named, cell) in cells {
                let reference = if is_named || gap > 0 {
                    column += gap;
                    format!(
                        " r=\"{}{row}\"",
                        crate::model::cell::column_letters(column + 1)
                    )
                } else {
                    String::new()
                };
                column += 1;
                data.push_str(space);
                data.push_str(&cell.replace("{r}", &reference));
            }
            write!(data, "{space}</row>").unwrap();
        }
        data
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_sheets_are_read_as_calamine_reads_them(
        data in sheet_data(),
        strings in prop::collection::vec((texts(), any::<bool>()), 6),
    ) {
        let items: String = strings.iter().map(|(text, in_runs)| match in_runs {
            true => format!("<si><r><t>{text}</t></r><r><rPr/><t xml:space=\"preserve\">{text}</t></r><rPh><t>no</t></rPh></si>"),
            false => format!("<si><t>{text}</t></si>"),
        }).collect();
        let mut package = Package::new(&data);
        package.set("xl/sharedStrings.xml", &format!("<sst>{items}</sst>"));
        let (ours, calamine) = both(&package.bytes(), &all_rows());
        prop_assert_eq!(ours, calamine);
    }

    #[test]
    fn random_bytes_in_a_part_never_panic(
        at in 0_usize..400,
        junk in prop::collection::vec(prop::sample::select(&b"<>/=\"'& rsct!-[]?0A\xff\0"[..]), 1..12),
    ) {
        for path in ["xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml", "_rels/.rels"] {
            let mut package = small_package();
            let mut content = package.part(path).to_vec();
            let at = at % content.len();
            content.splice(at..(at + junk.len()).min(content.len()), junk.iter().copied());
            package.set_bytes(path, &content);
            if let Err(error) = decode(&package.bytes()) {
                let is_files_fault = matches!(
                    error,
                    DecodeError::CorruptFile { .. } | DecodeError::Limit { .. } | DecodeError::NoHeader { .. } | DecodeError::SheetNotFound { .. }
                );
                prop_assert!(is_files_fault, "{}", error);
            }
        }
    }
}
