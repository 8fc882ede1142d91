//! Workbooks that other programs wrote, all the way into a table: the same rows from all formats.

use std::path::Path;

use rowlift::proto;
use rowlift::proto::column_mapping::Source;

use crate::support::service::{Service, file_header, file_messages};

const TABLE: &str = "create table sheet (
    name text not null,
    note text,
    joined date,
    seen timestamp,
    phone text,
    active boolean,
    last text
)";

/// What the fixture's visible sheet holds, by the columns that every format keeps.
const ROWS: [[Option<&str>; 7]; 4] = [
    [
        Some("Ørsted & Søn"),
        Some("東京 \"quoted\", <b>"),
        Some("2024-02-29"),
        Some("2024-02-29 13:45:30"),
        Some("13800138000"),
        Some("1"),
        Some("end"),
    ],
    [
        Some("padded"),
        Some("two\nlines"),
        Some("1999-12-31"),
        Some("1999-12-31 23:59:59"),
        Some("447911123456"),
        Some("0"),
        None,
    ],
    [Some("007"), None, None, None, None, None, Some("x")],
    [
        Some("=text"),
        Some("'apostrophe"),
        Some("1900-03-01"),
        Some("2038-01-19 03:14:08"),
        Some("0.1"),
        Some("1"),
        None,
    ],
];

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

fn header(id: &str, columns: &[&str]) -> proto::ImportHeader {
    let mapping = |name: &&str| proto::ColumnMapping {
        source: Some(Source::SourceName((*name).to_owned())),
        target_column: (*name).to_owned(),
        ..Default::default()
    };
    proto::ImportHeader {
        columns: columns.iter().map(mapping).collect(),
        unmapped_source: proto::UnmappedSource::Ignore.into(),
        ..file_header(id, "sheet")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rows_come_from_all_formats() {
    let service = Service::sqlite(TABLE).await;
    let columns = ["name", "note", "joined", "seen", "phone", "active", "last"];
    for extension in ["xlsx", "xls", "xlsb", "ods", "csv"] {
        service.execute_sqlite("delete from sheet").await;
        let messages = file_messages(
            header(extension, &columns),
            &fixture(&format!("rows.{extension}")),
        );
        let ended = service.import(messages).await;
        let stats = ended.ok();
        assert_eq!(
            (stats.inserted_row_count, stats.blank_row_count),
            (4, 1),
            "{extension}: {ended:?}"
        );
        let stored = service
            .query_sqlite(
                "select name, note, joined, replace(substr(seen, 1, 19), 'T', ' '), phone, active,
                 last from sheet order by rowid",
            )
            .await;
        let wanted = ROWS.map(|row| row.map(|value| value.map(str::to_owned)).to_vec());
        assert_eq!(stored, wanted, "{extension}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_shown_with_zeros_are_text_as_shown() {
    let service = Service::sqlite(TABLE).await;
    let mut header = header("zeros", &["name"]);
    header.columns.push(proto::ColumnMapping {
        source: Some(Source::SourceName("zip".to_owned())),
        target_column: "note".to_owned(),
        ..Default::default()
    });
    let messages = file_messages(header, &fixture("rows.xlsx"));
    assert_eq!(service.import(messages).await.ok().inserted_row_count, 4);
    let stored = service
        .query_sqlite("select note from sheet where note is not null order by rowid")
        .await;
    let zip = |text: &str| vec![Some(text.to_owned())];
    assert_eq!(stored, [zip("01234"), zip("99501"), zip("00000")]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workbooks_of_1904_hold_the_dates_that_people_see() {
    let service = Service::sqlite("create table sheet (day date, moment timestamp)").await;
    for extension in ["xlsx", "xls", "ods"] {
        service.execute_sqlite("delete from sheet").await;
        let mut header = file_header(extension, "sheet");
        let position = |index, target: &str| proto::ColumnMapping {
            source: Some(Source::SourceIndex(index)),
            target_column: target.to_owned(),
            ..Default::default()
        };
        header.columns = vec![position(1, "day"), position(2, "moment")];
        let messages = file_messages(header, &fixture(&format!("dates_1904.{extension}")));
        let ended = service.import(messages).await;
        assert_eq!(ended.ok().inserted_row_count, 1, "{extension}");
        let stored = service
            .query_sqlite("select day, replace(substr(moment, 1, 19), 'T', ' ') from sheet")
            .await;
        let wanted = ["2024-02-29", "2024-02-29 12:00:00"].map(|text| Some(text.to_owned()));
        assert_eq!(stored, [wanted], "{extension}");
    }
    service.stop().await;
}
