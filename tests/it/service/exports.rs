//! Rejected rows as a file, fixed or not, and in again.

use futures::StreamExt;
use rowlift::model::reject::RejectedRow;
use rowlift::proto::{self, FileFormat};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::postgres::Database;
use crate::support::service::{Service, file_header, file_messages};

mod memory;
mod refusals;
mod sources;

const ITEMS: &str = "create table items (
    name text not null,
    age integer,
    born date,
    note text
)";

/// A file as it was exported.
struct File {
    format: FileFormat,
    name: String,
    data: Vec<u8>,
}

async fn export(service: &Service, id: &str, format: FileFormat) -> Result<File, Status> {
    let request = proto::ExportRejectedRowsRequest {
        import_id: id.to_owned(),
        format: format.into(),
        ..Default::default()
    };
    let mut client = service.client.clone();
    let mut parts = client.export_rejected_rows(request).await?.into_inner();
    let mut file: Option<File> = None;
    while let Some(part) = parts.next().await {
        let part = part?;
        assert!(part.data.len() <= 256 << 10);
        match &mut file {
            None => {
                file = Some(File {
                    format: part.format(),
                    name: part.file_name,
                    data: part.data.to_vec(),
                });
            }
            Some(file) => {
                assert_eq!(part.format(), FileFormat::Unspecified);
                file.data.extend_from_slice(&part.data);
            }
        }
    }
    Ok(file.expect("there is a first part"))
}

fn refusal(exported: Result<File, Status>) -> (Code, String) {
    let status = exported.err().expect("the export is refused");
    let info = status.get_details_error_info().unwrap();
    (status.code(), info.reason)
}

/// Imports a file into the items with the defaults; its counts: inserted, rejected.
async fn import(service: &Service, id: &str, data: &[u8]) -> (i64, i64) {
    import_as(service, file_header(id, "items"), data).await
}

async fn import_as(service: &Service, header: proto::ImportHeader, data: &[u8]) -> (i64, i64) {
    let ended = service.import(file_messages(header, data)).await;
    let stats = ended.stats();
    (stats.inserted_row_count, stats.rejected_row_count)
}

/// What the ledger has of the rejected rows.
async fn rejected(service: &Service, id: &str) -> Vec<RejectedRow> {
    let page = service.app.store().rejected_rows("", id, None, None, 1000);
    page.await.unwrap().unwrap().rows
}

/// A rejected row: its values, and letters and code of each error.
type Told<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>);

/// Values without blank cells at the end, and codes with the letters of their cells.
fn told(rows: &[RejectedRow]) -> Vec<Told<'_>> {
    rows.iter()
        .map(|row| {
            let mut values: Vec<&str> = row.raw_values.iter().map(String::as_str).collect();
            while values.last().is_some_and(|value| value.is_empty()) {
                values.pop();
            }
            let errors = row.errors.iter().map(|error| {
                let letters = error.cell.trim_end_matches(|it: char| it.is_ascii_digit());
                (letters, error.code.name())
            });
            (values, errors.collect())
        })
        .collect()
}

/// Values that a spreadsheet program, a CSV or XML could change on the way.
fn awkward() -> Vec<String> {
    let long: String = (0..32_767_u32)
        .map(|at| char::from_u32('a' as u32 + at * 7 % 26).unwrap())
        .collect();
    let values = [
        "=1+1",
        "'=1+1",
        "''=1+1",
        "+49 30 1234",
        "-5",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "＝1",
        "'quoted'",
        "a,b;c\td|e",
        "say \"hi\"",
        "a\r\nb\nc\rd",
        "_x0041_",
        "\u{1}\u{1f}",
        "\u{fffe}",
        "\u{1f600} e\u{301}",
        "<a href=\"x\">&amp;</a>",
        "http://example.com/x",
        "mailto:a@x",
        "007",
        "1e5",
        "TRUE",
        "2024-01-02",
        "#N/A",
        " x ",
    ];
    values
        .map(str::to_owned)
        .into_iter()
        .chain([long])
        .collect()
}

/// The items as a CSV in which every age is `age`.
fn items(age: &str) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["name", "age", "born", "note"])
        .unwrap();
    for (at, note) in awkward().iter().enumerate() {
        let record = [&format!("Name {at}"), age, "2000-02-29", note];
        writer.write_record(record).unwrap();
    }
    writer.into_inner().unwrap()
}

/// Notes in the table, as the file has them.
fn notes() -> Vec<Option<String>> {
    let trim = |note: &String| Some(note.trim_matches(' ').to_owned());
    awkward().iter().map(trim).collect()
}

async fn come_back_as_they_were(service: &Service) {
    let n_rows = i64::try_from(awkward().len()).unwrap();
    assert_eq!(import(service, "first", &items("x")).await, (0, n_rows));
    let first = rejected(service, "first").await;
    for (id, format) in [("by-csv", FileFormat::Csv), ("by-xlsx", FileFormat::Xlsx)] {
        let file = export(service, "first", format).await.unwrap();
        assert_eq!(file.format, format);
        assert_eq!(import(service, id, &file.data).await, (0, n_rows));
        let again = rejected(service, id).await;
        assert_eq!(told(&again), told(&first), "{id}");
        // The rows of an export can be exported themselves.
        let file = export(service, id, format).await.unwrap();
        let id = format!("{id}-again");
        assert_eq!(import(service, &id, &file.data).await, (0, n_rows));
        assert_eq!(told(&rejected(service, &id).await), told(&first), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_nobody_fixed_are_rejected_again() {
    let service = Service::sqlite(ITEMS).await;
    come_back_as_they_were(&service).await;
    service.stop().await;
    let database = Database::fresh().await;
    let service = Service::postgres(&database, |_| {}).await;
    database.execute(ITEMS).await;
    come_back_as_they_were(&service).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fixed_rows_are_in_as_the_source_had_them() {
    let service = Service::sqlite(ITEMS).await;
    import(&service, "first", &items("x")).await;
    let file = export(&service, "first", FileFormat::Csv).await.unwrap();
    let text = String::from_utf8(file.data).unwrap();
    let n_rows = awkward().len();
    let fixed = text.replace(",x,2000", ",7,2000");
    let counts = import(&service, "fixed", fixed.as_bytes()).await;
    assert_eq!(counts, (i64::try_from(n_rows).unwrap(), 0));
    let found = service
        .query_sqlite("select note from items order by rowid")
        .await;
    let found: Vec<Option<String>> = found.into_iter().map(|mut row| row.remove(0)).collect();
    assert_eq!(found, notes());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_is_safe_to_open_and_says_what_is_wrong() {
    let service = Service::sqlite(ITEMS).await;
    let data = "name,age,born,note\n\
        =cmd,x,2024-13-01,+1\n\
        Ann,1,2024-01-01,fine\n\
        Bo,-1e9999,,a,,beyond\n";
    assert_eq!(import(&service, "few", data.as_bytes()).await, (1, 2));
    let file = export(&service, "few", FileFormat::Unspecified).await;
    let file = file.unwrap();
    assert_eq!(file.format, FileFormat::Csv);
    assert_eq!(file.name, "few-rejected-rows.csv");
    let expected = "\u{feff}name,age,born,note,,,rowlift_row_number,rowlift_errors\r\n\
        '=cmd,x,2024-13-01,+1,,,2,\"B2 TYPE_MISMATCH: \"\"x\"\" is not a whole number; \
        C2 TYPE_MISMATCH: \"\"2024-13-01\"\" is a date or time that does not exist\"\r\n\
        Bo,'-1e9999,,a,,beyond,4,\"B4 TYPE_MISMATCH: \"\"-1e9999\"\" is not a whole number; \
        F4 EXTRA_CELLS: \"\"beyond\"\" stands in a column without a header\"\r\n";
    assert_eq!(String::from_utf8(file.data).unwrap(), expected);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbooks_export_marks_the_cells_that_are_wrong() {
    let service = Service::sqlite(ITEMS).await;
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet().set_name("People & co").unwrap();
    for (column, name) in (0..).zip(["name", "age", "born", "note"]) {
        sheet.write(0, column, name).unwrap();
    }
    sheet.write(1, 0, "Ann").unwrap();
    sheet.write(1, 1, 1.5).unwrap();
    sheet.write(2, 1, 7).unwrap();
    let data = workbook.save_to_buffer().unwrap();
    let header = proto::ImportHeader {
        source: Some(proto::import_header::Source::File(proto::FileSource {
            file_name: "../up/People.2024.xls".to_owned(),
            ..Default::default()
        })),
        ..file_header("book", "items")
    };
    assert_eq!(import_as(&service, header, &data).await, (0, 2));
    let file = export(&service, "book", FileFormat::Unspecified).await;
    let file = file.unwrap();
    assert_eq!(file.format, FileFormat::Xlsx);
    assert_eq!(file.name, "People2024-rejected-rows.xlsx");
    let sheet = part(&file.data, "xl/worksheets/sheet1.xml");
    let cells = cells(&sheet);
    let style = |place: &str| cells.iter().find(|(it, ..)| it == place).unwrap().1.clone();
    let (plain, marked) = (style("A2"), style("B2"));
    assert_ne!(plain, marked);
    let expected = [
        ("A2", &plain, "Ann"),
        ("B2", &marked, "1.5"),
        ("E2", &plain, "2"),
        (
            "F2",
            &plain,
            "B2 TYPE_MISMATCH: \"1.5\" is not a whole number",
        ),
        // Nothing is in it, which is what is wrong.
        ("A3", &marked, ""),
        ("B3", &plain, "7"),
        ("E3", &plain, "3"),
        (
            "F3",
            &plain,
            "A3 REQUIRED_MISSING: column \"name\" needs a value",
        ),
    ];
    let below_header = &cells[6..];
    for ((place, style, text), expected) in below_header.iter().zip(expected) {
        assert_eq!((place.as_str(), style, text.as_str()), expected);
    }
    assert_eq!(below_header.len(), expected.len());
    assert!(part(&file.data, "xl/workbook.xml").contains("People &amp; co"));
    assert!(!sheet.contains("<f>") && !sheet.contains("hyperlink"));
    // The sheet can be named as it was.
    let header = proto::ImportHeader {
        source: Some(proto::import_header::Source::File(proto::FileSource {
            sheet: "People & co".to_owned(),
            ..Default::default()
        })),
        ..file_header("book-again", "items")
    };
    assert_eq!(import_as(&service, header, &file.data).await, (0, 2));
    service.stop().await;
}

/// A part of a workbook.
fn part(data: &[u8], name: &str) -> String {
    use std::io::Read;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(data)).unwrap();
    let mut text = String::new();
    let mut part = archive.by_name(name).unwrap();
    part.read_to_string(&mut text).unwrap();
    text
}

/// Place, style and text of the cells of a sheet.
fn cells(sheet: &str) -> Vec<(String, String, String)> {
    let attribute = |cell: &str, name: &str| {
        let rest = cell.split_once(&format!(" {name}=\"")).unwrap().1;
        rest.split_once('"').unwrap().0.to_owned()
    };
    let cells = sheet.split("<c ").skip(1);
    cells
        .map(|cell| {
            let cell = format!(" {cell}");
            let text = cell.split_once("<t").map_or(String::new(), |(_, rest)| {
                let rest = rest.split_once('>').unwrap().1;
                rest.split_once("</t>").unwrap().0.replace("&quot;", "\"")
            });
            (attribute(&cell, "r"), attribute(&cell, "s"), text)
        })
        .collect()
}
