//! Exports of sources of every layout, imported again.

use rowlift::proto::column_mapping::Source;
use rowlift::proto::import_header::Source::File;
use rowlift::proto::{self, FileFormat, UnmappedSource};
use tonic::Code;

use super::{ITEMS, export, import, import_as, rejected, told};
use crate::support::service::{Service, file_header, file_messages, finish, rows_header};

const FORMATS: [FileFormat; 2] = [FileFormat::Csv, FileFormat::Xlsx];

fn header_in_row(id: &str, row: i32) -> proto::ImportHeader {
    proto::ImportHeader {
        source: Some(File(proto::FileSource {
            header_row_number: Some(row),
            ..Default::default()
        })),
        ..file_header(id, "items")
    }
}

fn by_position(id: &str, columns: &[(i32, &str)]) -> proto::ImportHeader {
    let columns = columns
        .iter()
        .map(|(position, target)| proto::ColumnMapping {
            source: Some(Source::SourceIndex(*position)),
            target_column: (*target).to_owned(),
            ..Default::default()
        });
    proto::ImportHeader {
        columns: columns.collect(),
        unmapped_source: UnmappedSource::Ignore.into(),
        ..file_header(id, "items")
    }
}

async fn names(service: &Service) -> Vec<String> {
    let rows = service
        .query_sqlite("select name || ' ' || age from items order by 1")
        .await;
    rows.into_iter()
        .map(|mut row| row.remove(0).unwrap())
        .collect()
}

/// The export with the first `x` that stands for a number put right.
fn fixed(data: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(data.to_vec()).unwrap();
    text.replacen(",x,", ",7,", 1).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_a_header_comes_back_under_the_tables_names() {
    let service = Service::sqlite(ITEMS).await;
    let data = b"Ann,1,2024-01-01,a\nBo,x,2024-01-01,b\n";
    assert_eq!(
        import_as(&service, header_in_row("none", 0), data).await,
        (1, 1)
    );
    for format in FORMATS {
        let file = export(&service, "none", format).await.unwrap();
        let id = format!("none-{}", file.format as i32);
        assert_eq!(import(&service, &id, &file.data).await, (0, 1));
        let again = rejected(&service, &id).await;
        assert_eq!(told(&again), told(&rejected(&service, "none").await));
        // The options of the first time would take the header for a row.
        for row in [0, 2, 3] {
            let header = header_in_row(&format!("{id}-{row}"), row);
            let ended = service.import(file_messages(header, &file.data)).await;
            let refused = (Code::InvalidArgument, "INVALID_OPTION".to_owned());
            assert_eq!(ended.refusal(), refused, "row {row}");
        }
    }
    let file = export(&service, "none", FileFormat::Csv).await.unwrap();
    assert!(
        file.data
            .starts_with("\u{feff}name,age,born,note,rowlift_".as_bytes())
    );
    assert_eq!(import(&service, "fixed", &fixed(&file.data)).await, (1, 0));
    assert_eq!(names(&service).await, ["Ann 1", "Bo 7"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_that_nothing_maps_keep_their_places() {
    let service = Service::sqlite(ITEMS).await;
    let columns = [(3, "name"), (5, "age")];
    let cases = [
        ("bare", "skip,,Ann,,1,z\nskip,,Bo,,x,,far\n", 0),
        ("named", "a,,Name,,b\n1,,Ann,,1\n2,,Bo,,x,\n", 1),
        ("low", "Report\n\na,,Name,,b\n1,,Ann,,1\n2,,Bo,,x,\n", 3),
    ];
    for (id, data, row) in cases {
        service.execute_sqlite("delete from items").await;
        let options = |id: &str, row| proto::ImportHeader {
            source: header_in_row(id, row).source,
            ..by_position(id, &columns)
        };
        let counts = import_as(&service, options(id, row), data.as_bytes()).await;
        assert_eq!(counts, (1, 1), "{id}");
        for format in FORMATS {
            let file = export(&service, id, format).await.unwrap();
            let again = format!("{id}-{}", file.format as i32);
            let counts = import_as(&service, options(&again, 1), &file.data).await;
            assert_eq!(counts, (0, 1), "{again}");
            let again = rejected(&service, &again).await;
            assert_eq!(told(&again), told(&rejected(&service, id).await), "{id}");
        }
        let file = export(&service, id, FileFormat::Csv).await.unwrap();
        let text = String::from_utf8(file.data).unwrap();
        let text = text.replacen(",,x,", ",,7,", 1);
        let header = options(&format!("{id}-fixed"), 1);
        let counts = import_as(&service, header, text.as_bytes()).await;
        assert_eq!(counts, (1, 0), "{text}");
        assert_eq!(names(&service).await, ["Ann 1", "Bo 7"]);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extra_cells_stay_extra_where_unmapped_columns_are_ignored() {
    let service = Service::sqlite(ITEMS).await;
    let ignoring = |id: &str| proto::ImportHeader {
        unmapped_source: UnmappedSource::Ignore.into(),
        ..file_header(id, "items")
    };
    let data = b"name,other,,age\nAnn,o,unread,1,beyond\n";
    assert_eq!(import_as(&service, ignoring("extra"), data).await, (0, 1));
    for format in FORMATS {
        let file = export(&service, "extra", format).await.unwrap();
        let id = format!("extra-{}", file.format as i32);
        assert_eq!(import_as(&service, ignoring(&id), &file.data).await, (0, 1));
        let again = rejected(&service, &id).await;
        assert_eq!(told(&again), told(&rejected(&service, "extra").await));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_caller_come_back_as_a_file() {
    let service = Service::sqlite(ITEMS).await;
    let row = |name: &str, age: &str, sheet: &str, number| proto::Row {
        values: [name, age]
            .map(|text| proto::Value {
                kind: Some(proto::value::Kind::StringValue(text.to_owned())),
            })
            .into(),
        source_sheet: sheet.to_owned(),
        source_row_number: number,
    };
    let header = proto::ImportHeader {
        source: Some(proto::import_header::Source::RowSource(proto::RowSource {
            column_names: vec!["name".to_owned(), "age".to_owned()],
            as_cells: true,
        })),
        ..rows_header("rows", "items", &[])
    };
    let batch = proto::RowBatch {
        rows: vec![row("Ann", "1", "Q3", 17), row("Bo", "x", "Q4", 18)],
        ..Default::default()
    };
    let messages = vec![
        proto::import_request::Payload::Header(header),
        proto::import_request::Payload::Rows(batch),
        finish(),
    ];
    service.import(messages).await.ok();
    let file = export(&service, "rows", FileFormat::Unspecified).await;
    let file = file.unwrap();
    assert_eq!(
        (file.format, file.name.as_str()),
        (FileFormat::Csv, "rows-rejected-rows.csv")
    );
    let text = String::from_utf8(file.data.clone()).unwrap();
    let expected = "\u{feff}name,age,rowlift_sheet,rowlift_row_number,rowlift_errors\r\n\
        Bo,x,Q4,18,\"age TYPE_MISMATCH: \"\"x\"\" is not a whole number\"\r\n";
    assert_eq!(text, expected);
    let xlsx = export(&service, "rows", FileFormat::Xlsx).await.unwrap();
    for (id, data) in [("rows-csv", &file.data), ("rows-xlsx", &xlsx.data)] {
        assert_eq!(import(&service, id, data).await, (0, 1));
        let again = rejected(&service, id).await;
        assert_eq!(
            told(&again),
            [(vec!["Bo", "x"], vec![("B", "TYPE_MISMATCH")])]
        );
    }
    assert_eq!(import(&service, "fixed", &fixed(&file.data)).await, (1, 0));
    assert_eq!(names(&service).await, ["Ann 1", "Bo 7"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_ours_can_be_asked_for_and_are_else_ignored() {
    let service = Service::sqlite(ITEMS).await;
    let data = b"name,age\nAnn,x\nBo,y\n";
    assert_eq!(import(&service, "first", data).await, (0, 2));
    let file = export(&service, "first", FileFormat::Csv).await.unwrap();
    let text = String::from_utf8(file.data).unwrap();
    let text = text.replace(",x,", ",1,").replace(",y,", ",2,");
    let rule = |name: &str, target: &str| proto::ColumnMapping {
        source: Some(Source::SourceName(name.to_owned())),
        target_column: target.to_owned(),
        ..Default::default()
    };
    let header = proto::ImportHeader {
        columns: vec![
            rule("name", "name"),
            rule("age", "age"),
            rule("rowlift_row_number", "note"),
        ],
        ..file_header("asked", "items")
    };
    assert_eq!(import_as(&service, header, text.as_bytes()).await, (2, 0));
    let notes = service
        .query_sqlite("select name, note from items order by 1")
        .await;
    let expected = [["Ann", "2"], ["Bo", "3"]].map(|row| row.map(|it| Some(it.to_owned())));
    assert_eq!(notes, expected);
    // A row that somebody emptied is blank, and a file may come with another delimiter.
    let text = "name;age;rowlift_row_number;rowlift_errors\r\n;;2;A2 x\r\nCy;3;4;a;b\r\n";
    let ended = service
        .import(file_messages(
            file_header("emptied", "items"),
            text.as_bytes(),
        ))
        .await;
    let stats = ended.stats();
    assert_eq!((stats.blank_row_count, stats.rejected_row_count), (1, 1));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_database_refused_come_back_too() {
    let service = Service::sqlite(
        "create table items (name text primary key, age integer check (age > 0), born date, note text)",
    )
    .await;
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    let date = rust_xlsxwriter::Format::new().set_num_format("yyyy-mm-dd");
    for (column, name) in (0..).zip(["name", "age", "born"]) {
        sheet.write(0, column, name).unwrap();
    }
    for (row, name, age) in [(1, "Ann", 1), (2, "Ann", 2), (3, "Bo", -1)] {
        sheet.write(row, 0, name).unwrap();
        sheet.write(row, 1, age).unwrap();
        sheet.write_with_format(row, 2, 45_292, &date).unwrap();
    }
    let data = workbook.save_to_buffer().unwrap();
    assert_eq!(import(&service, "book", &data).await, (1, 2));
    let first = rejected(&service, "book").await;
    assert_eq!(first[0].raw_values, ["Ann", "2", "2024-01-01"]);
    let file = export(&service, "book", FileFormat::Csv).await.unwrap();
    assert_eq!(import(&service, "again", &file.data).await, (0, 2));
    assert_eq!(told(&rejected(&service, "again").await), told(&first));
    let text = String::from_utf8(file.data).unwrap();
    let text = text.replace("Ann,2", "Cy,2").replace("Bo,-1", "Bo,1");
    assert_eq!(import(&service, "fixed", text.as_bytes()).await, (2, 0));
    service.stop().await;
}
