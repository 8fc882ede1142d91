use std::collections::BTreeMap;

use super::*;
use crate::disk::SpoolDir;
use crate::model::reject::RowErrorCode;

fn layout(names: &[&str], format: Option<FileFormat>) -> SourceLayout {
    SourceLayout {
        format,
        sheet: String::new(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        has_header: true,
    }
}

fn error(cell: &str, message: &str) -> CellError {
    CellError {
        code: RowErrorCode::TypeMismatch,
        column: "age".to_owned(),
        cell: cell.to_owned(),
        message: message.to_owned(),
        value: String::new(),
        constraint: String::new(),
        sql_state: String::new(),
        source_name: "Age".to_owned(),
        params: BTreeMap::new(),
    }
}

fn row(values: &[&str], errors: Vec<CellError>) -> RejectedRow {
    RejectedRow {
        ordinal: 0,
        sheet: "Q3".to_owned(),
        row_number: 7,
        errors,
        raw_values: values.iter().map(|&value| value.to_owned()).collect(),
    }
}

#[test]
fn our_columns_stand_behind_the_widest_row() {
    let wide = row(&["a", "b", "c", " \u{a0}", ""], Vec::new());
    assert_eq!(width(&wide), 3);
    assert_eq!(width(&row(&["", " "], Vec::new())), 0);
    let columns = Columns::new(&layout(&["A"], Some(FileFormat::Csv)), 3);
    let expected = ["A", "", "", "rowlift_row_number", "rowlift_errors"];
    assert_eq!(columns.names(), expected);
    let columns = Columns::new(&layout(&["A", "B"], Some(FileFormat::Csv)), 0);
    assert_eq!(columns.n_source(), 2);
    // Nothing that a person would see is lost where a row is wider than that.
    assert_eq!(
        columns
            .line(&row(&["a", "b", " "], Vec::new()))
            .unwrap()
            .values,
        ["a", "b"]
    );
}

#[test]
fn a_source_without_a_header_gets_names() {
    let layout = SourceLayout {
        has_header: false,
        ..layout(&["name", ""], Some(FileFormat::Xlsx))
    };
    let columns = Columns::new(&layout, 3);
    assert_eq!(columns.names()[..3], ["name", "column 2", "column 3"]);
}

#[test]
fn errors_are_told_and_their_cells_marked() {
    let columns = Columns::new(&layout(&["Name", "Age"], Some(FileFormat::Csv)), 30);
    let errors = vec![error("B7", "b"), error("AD7", "ad"), error("", "row")];
    let row = row(&["a"], errors);
    let line = columns.line(&row).unwrap();
    assert_eq!(line.marked, [1, 29]);
    let told = "B7 TYPE_MISMATCH: b; AD7 TYPE_MISMATCH: ad; age TYPE_MISMATCH: row";
    assert_eq!(line.own, ["7", told]);
    // Rows of a caller have no cells: their columns have names.
    let columns = Columns::new(&layout(&["Name", "Age"], None), 0);
    let row = RejectedRow {
        errors: vec![error("", "row")],
        ..row
    };
    let line = columns.line(&row).unwrap();
    assert_eq!(line.marked, [1]);
    assert_eq!(line.own, ["Q3", "7", "age TYPE_MISMATCH: row"]);
}

#[test]
fn errors_fit_a_cell() {
    let columns = Columns::new(&layout(&["a"], Some(FileFormat::Csv)), 0);
    let errors: Vec<CellError> = (0..1000).map(|_| error("A7", &"é".repeat(200))).collect();
    let row = row(&["a"], errors);
    let line = columns.line(&row).unwrap();
    let told = &line.own[1];
    assert!(told.len() <= ERRORS_BYTES_MAX + 20, "{}", told.len());
    assert!(told.ends_with(" more"), "{told}");
}

#[test]
fn values_that_are_no_longer_kept_are_an_error() {
    let columns = Columns::new(&layout(&["a"], Some(FileFormat::Csv)), 0);
    let row = row(&[], vec![error("A7", "b")]);
    let expired = ExportError::Expired { row_number: 7 };
    assert_eq!(columns.line(&row).unwrap_err(), expired);
    // A caller's row has all its columns, be they NULL.
    let columns = Columns::new(&layout(&["a"], None), 0);
    assert_eq!(columns.line(&row).unwrap_err(), expired);
}

#[test]
fn the_files_name_is_never_a_path() {
    let cases = [
        ("businesses.xlsx", "businesses-rejected-rows.csv"),
        ("../../etc/pass wd.csv", "pass wd-rejected-rows.csv"),
        ("C:\\x\\Ärger.2024.xls", "Ärger2024-rejected-rows.csv"),
        ("", "id-1-rejected-rows.csv"),
        (".xlsx", "id-1-rejected-rows.csv"),
        ("..", "id-1-rejected-rows.csv"),
        ("a\u{202e}\n\0b", "ab-rejected-rows.csv"),
    ];
    for (source, expected) in cases {
        assert_eq!(
            file_name(source, "id-1", FileFormat::Csv),
            expected,
            "{source:?}"
        );
    }
    let long = file_name(&"x".repeat(4096), "id-1", FileFormat::Xlsx);
    assert_eq!(long.len(), 64 + "-rejected-rows.xlsx".len());
}

fn xlsx_options(room: &SpoolDir) -> xlsx::Options {
    xlsx::Options {
        spool_dir: room.clone(),
        sheet: "Q3".to_owned(),
        workbook_bytes_max: 1 << 30,
        inflated_bytes_max: 1 << 30,
    }
}

fn writer(room: &SpoolDir, n_rows: usize) -> Result<xlsx::Writer, ExportError> {
    writer_of(["<&>\"'\u{1}\r\n", " = ", "ärger"], room, n_rows)
}

fn writer_of(
    values: [&str; 3],
    room: &SpoolDir,
    n_rows: usize,
) -> Result<xlsx::Writer, ExportError> {
    let columns = Columns::new(&layout(&["A", "B", "C"], Some(FileFormat::Xlsx)), 0);
    let mut writer = xlsx::Writer::new(columns, xlsx_options(room))?;
    let row = row(&values, vec![error("B7", "wrong")]);
    for _ in 0..n_rows {
        writer.row(&row)?;
    }
    Ok(writer)
}

#[test]
fn a_workbook_takes_no_less_room_than_its_files_have_bytes() {
    let room = SpoolDir::new(tempfile::env::temp_dir(), None);
    // Texts that look like what the format escapes are escaped themselves.
    let escapes = "_x0041_".repeat(200);
    let overlapping = "_x005F_x0041_".repeat(200);
    let none = "\u{fffe}\u{ffff}".repeat(200);
    for values in [
        ["<&>\"'\u{1}\r\n", " = ", "ärger"],
        [&escapes, &overlapping, &none],
    ] {
        let writer = writer_of(values, &room, 2_000).unwrap();
        let for_rows = room.used_bytes();
        let file = writer.finish(&|| true).unwrap();
        let for_file = room.used_bytes();
        let mut archive = zip::ZipArchive::new(file).unwrap();
        let sheet = archive.by_name("xl/worksheets/sheet1.xml").unwrap().size();
        assert!(
            for_rows >= sheet && for_rows < sheet * 2,
            "{for_rows} for {sheet}"
        );
        let (file, reservation) = archive.into_inner().into_parts();
        assert_eq!(for_file, file.metadata().unwrap().len());
        drop(reservation);
        assert_eq!(room.used_bytes(), 0);
    }
}

#[test]
fn a_workbook_without_room_is_refused_and_leaves_none_taken() {
    const ROOM: u64 = 1 << 20;
    let room = SpoolDir::new(tempfile::env::temp_dir(), Some(ROOM));
    let unfinished = writer(&room, 100).unwrap();
    let for_rows = room.used_bytes();
    drop(unfinished);
    let full = ExportError::Full(Full::Now { limit: ROOM });
    let mut others = room.reservation();
    others.grow_to(ROOM - for_rows + 1).unwrap();
    assert_eq!(writer(&room, 100).unwrap_err(), full);
    // There is room for the rows, and not for the finished file.
    others.shrink_to(ROOM - for_rows);
    let complete = writer(&room, 100).unwrap();
    let error = complete.finish(&|| true).unwrap_err();
    assert_eq!(error, full);
    assert_eq!(Failure::from(error).reason, Reason::Overloaded);
    assert_eq!(room.used_bytes(), ROOM - for_rows);
}

#[test]
fn a_workbook_that_never_fits_beside_its_rows_is_told_so() {
    let unbounded = SpoolDir::new(tempfile::env::temp_dir(), None);
    let unfinished = writer(&unbounded, 100).unwrap();
    let for_rows = unbounded.used_bytes();
    drop(unfinished);
    let room = SpoolDir::new(tempfile::env::temp_dir(), Some(for_rows));
    let complete = writer(&room, 100).unwrap();
    let error = complete.finish(&|| true).unwrap_err();
    assert_eq!(Failure::from(error).reason, Reason::LimitExceeded);
    assert_eq!(room.used_bytes(), 0);
}
