use super::Workbook;
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::sheet::file::SharedFile;
use crate::decode::xlsx::fixture::{Package, file};

fn open(package: &Package) -> Result<Workbook, DecodeError> {
    let limits = Limits::default();
    let file = SharedFile::new(file(&package.bytes())).unwrap();
    Workbook::open(&file, &limits)
}

fn sheets(package: &Package) -> Vec<(String, bool, bool)> {
    let sheets = open(package).unwrap().sheets();
    let sheets = sheets.into_iter();
    sheets
        .map(|sheet| (sheet.name, sheet.is_hidden, sheet.holds_cells))
        .collect()
}

#[test]
fn sheets_come_in_the_order_of_the_list() {
    let mut package = Package::with_sheets(&[
        ("b &amp; c", "visible", ""),
        ("a", "hidden", ""),
        ("ü", "veryHidden", ""),
        ("chart", "visible", ""),
    ]);
    package.edit(
        "xl/_rels/workbook.xml.rels",
        "worksheet\" Target=\"worksheets/sheet4.xml",
        "chartsheet\" Target=\"/xl/worksheets/sheet4.xml",
    );
    let wanted = [
        ("b & c", false, true),
        ("a", true, true),
        ("ü", true, true),
        ("chart", false, false),
    ];
    let wanted = wanted.map(|(name, hidden, cells)| (name.to_owned(), hidden, cells));
    assert_eq!(sheets(&package), wanted);
    let workbook = open(&package).unwrap();
    assert_eq!(
        workbook.open_sheet(1).unwrap().part(),
        "xl/worksheets/sheet2.xml"
    );
    assert!(!workbook.is_1904);
}

#[test]
fn properties_of_extensions_do_not_count() {
    let mut package = Package::new("");
    package.edit(
        "xl/workbook.xml",
        "<workbookPr/>",
        "<workbookPr date1904=\"true\"></workbookPr>",
    );
    package.edit(
        "xl/workbook.xml",
        "</workbook>",
        "<extLst><ext><x:workbookPr date1904=\"0\"/><sheet name=\"no\"/></ext></extLst></workbook>",
    );
    assert!(open(&package).unwrap().is_1904);
    assert_eq!(sheets(&package).len(), 1);
}

#[test]
fn a_workbook_may_stand_anywhere_in_the_file() {
    let mut package = Package::new("");
    for (from, to) in [
        ("xl/workbook.xml", "Book.xml"),
        ("xl/_rels/workbook.xml.rels", "_rels/Book.xml.rels"),
        ("xl/worksheets/sheet1.xml", "WORKSHEETS/Sheet1.xml"),
    ] {
        package.rename(from, to);
    }
    package.edit("_rels/.rels", "xl/workbook.xml", "/book.xml");
    assert_eq!(sheets(&package).len(), 1);
    open(&package).unwrap().open_sheet(0).unwrap();
}

#[test]
fn what_is_missing_or_ambiguous_is_named() {
    let mut cases: Vec<(Package, &str)> = Vec::new();
    let mut case = |change: fn(&mut Package), wanted| {
        let mut package = Package::new("");
        change(&mut package);
        cases.push((package, wanted));
    };
    case(
        |package| package.remove("_rels/.rels"),
        "_rels/.rels: is missing",
    );
    case(
        |package| package.remove("xl/workbook.xml"),
        "xl/workbook.xml: is missing",
    );
    case(
        |package| package.remove("xl/_rels/workbook.xml.rels"),
        "does not exist",
    );
    case(
        |package| package.edit("_rels/.rels", "officeDocument\"", "x\""),
        "names no workbook",
    );
    case(
        |package| package.edit("_rels/.rels", "xl/", "../xl/"),
        "leads out of the file",
    );
    case(
        |package| package.edit("xl/workbook.xml", " r:id=\"rId1\"", ""),
        "without name or part",
    );
    case(
        |package| package.edit("xl/workbook.xml", "visible", "shy"),
        "of the state 'shy'",
    );
    case(
        |package| package.edit("xl/workbook.xml", "workbook>", "worksheet>"),
        "has no workbook",
    );
    case(
        |package| package.set("xl/workbook.xml", "<workbook>"),
        "ends inside an element",
    );
    for (package, wanted) in cases {
        let error = open(&package).unwrap_err();
        assert!(matches!(error, DecodeError::CorruptFile { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    let mut package = Package::new("");
    package.remove("xl/worksheets/sheet1.xml");
    let error = open(&package).unwrap().open_sheet(0).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("xl/worksheets/sheet1.xml: is missing"),
        "{error}"
    );
}

#[test]
fn a_list_of_sheets_has_a_bound() {
    let mut package = Package::new("");
    let long = format!(
        "<workbook><sheets/><!--{}--></workbook>",
        "x".repeat(17 << 20)
    );
    package.set("xl/workbook.xml", &long);
    let error = open(&package).unwrap_err().to_string();
    assert!(error.contains("small_part_bytes_max"), "{error}");
}
