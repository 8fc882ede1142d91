//! What InspectFile finds in a file for a table, and its bounds.

use std::fmt::Write as _;

use rowlift::proto::{FileSource, InspectHeader};
use tonic::Code;

use super::{inspect, refusal};
use crate::support::service::Service;

const ORDERS: &str = "create table orders (
    id integer primary key,
    customer text not null,
    placed date not null,
    amount decimal(8, 2)
)";

fn header(table: &str) -> InspectHeader {
    InspectHeader {
        table: table.to_owned(),
        ..Default::default()
    }
}

fn at(header_row: i32) -> FileSource {
    FileSource {
        header_row_number: Some(header_row),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sample_rows_are_checked_against_the_table_and_nothing_is_written() {
    let service = Service::sqlite(ORDERS).await;
    let csv = b"Customer,placed,Amonut\nAnn,2024-02-29,1.50\n,2024-02-30,x\nBo,2024-03-01,\n";
    let found = inspect(&service, header("orders"), csv).await.unwrap();
    let mappings: Vec<_> = found
        .mappings
        .iter()
        .map(|it| (it.source_index, it.target_column.as_str(), it.score >= 1.0))
        .collect();
    assert_eq!(
        mappings,
        [
            (1, "customer", true),
            (2, "placed", true),
            (3, "amount", false)
        ]
    );
    let [row] = found.sample_rejected_rows.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!((row.row_number, row.offset), (3, 1));
    let errors: Vec<_> = row
        .errors
        .iter()
        .map(|error| (error.cell.as_str(), error.code().as_str_name()))
        .collect();
    assert_eq!(
        errors,
        [
            ("A3", "ROW_ERROR_CODE_REQUIRED_MISSING"),
            ("B3", "ROW_ERROR_CODE_TYPE_MISMATCH"),
            ("C3", "ROW_ERROR_CODE_TYPE_MISMATCH"),
        ]
    );
    assert!(found.missing_columns.is_empty());
    for table in ["orders", "rowlift_imports"] {
        let count = service
            .query_sqlite(&format!("select count(*) from {table}"))
            .await;
        assert_eq!(count, [[Some("0".to_owned())]], "{table}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_nothing_feeds_are_told_and_rows_checked_nevertheless() {
    let service = Service::sqlite(ORDERS).await;
    let csv = b"amount,Colour\nx,red\n2,blue\n";
    let found = inspect(&service, header("orders"), csv).await.unwrap();
    assert_eq!(found.missing_columns, ["customer", "placed"]);
    assert_eq!(found.mappings[1].target_column, "");
    let numbers: Vec<i64> = found
        .sample_rejected_rows
        .iter()
        .map(|it| it.row_number)
        .collect();
    assert_eq!(numbers, [2]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_given_is_taken() {
    let service = Service::sqlite("").await;
    let csv = b"a,b\n\nc,d\n1,2\n";
    let inspected = async |header_row| {
        let header = InspectHeader {
            file: Some(at(header_row)),
            ..Default::default()
        };
        inspect(&service, header, csv).await
    };
    for (header_row, names, n_rows) in [(0, "", 3), (1, "a,b", 2), (3, "c,d", 1), (4, "1,2", 0)] {
        let found = inspected(header_row).await.unwrap();
        let sheet = &found.sheets[0];
        assert_eq!(sheet.header_row_number, header_row);
        assert_eq!(
            (sheet.header.join(","), sheet.sample_rows.len()),
            (names.to_owned(), n_rows)
        );
    }
    for header_row in [2, 5] {
        let status = inspected(header_row).await.unwrap_err();
        let wanted = (Code::InvalidArgument, "NO_HEADER".to_owned());
        assert_eq!(refusal(&status), wanted, "{header_row}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_as_many_as_were_asked_for() {
    let service = Service::sqlite("").await;
    let mut csv = String::from("name\n");
    for n in 0..3000 {
        writeln!(csv, "Name {n}").unwrap();
    }
    for (asked, wanted) in [
        (0, Some(20)),
        (7, Some(7)),
        (1000, Some(1000)),
        (1001, None),
        (-1, None),
    ] {
        let header = InspectHeader {
            sample_row_count: asked,
            ..Default::default()
        };
        match (inspect(&service, header, csv.as_bytes()).await, wanted) {
            (Ok(found), Some(wanted)) => {
                let rows = &found.sheets[0].sample_rows;
                assert_eq!(rows.len(), wanted);
                let last = rows[wanted - 1].source_row_number;
                assert_eq!(usize::try_from(last), Ok(wanted + 1));
            }
            (Err(status), None) => {
                let wanted = (Code::InvalidArgument, "INVALID_OPTION".to_owned());
                assert_eq!(refusal(&status), wanted);
            }
            (found, _) => panic!("{asked}: {found:?}"),
        }
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_columns_in_a_file_that_comes_back_are_not_proposed() {
    let service = Service::sqlite(ORDERS).await;
    let csv = b"customer,placed,amount,rowlift_row_number,rowlift_errors\n\
                Ann,2024-02-29,1.50,7,\"B7 TYPE_MISMATCH: no date\"\n";
    // Whether the header's row is guessed or given.
    for file in [None, Some(at(1))] {
        let header = InspectHeader {
            file,
            ..header("orders")
        };
        let found = inspect(&service, header, csv).await.unwrap();
        let columns: Vec<_> = found
            .mappings
            .iter()
            .map(|it| it.target_column.as_str())
            .collect();
        assert_eq!(columns, ["customer", "placed", "amount"]);
        assert!(found.sample_rejected_rows.is_empty(), "{found:?}");
        // What is in the file is told as it is.
        assert_eq!(found.sheets[0].header.len(), 5);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_inspected_is_refused() {
    let service = Service::sqlite("").await;
    let wanted_sheet = InspectHeader {
        file: Some(FileSource {
            sheet: "Nowhere".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut workbook = rust_xlsxwriter::Workbook::new();
    workbook.add_worksheet().write(0, 0, "name").unwrap();
    let workbook = workbook.save_to_buffer().unwrap();
    let cut = &workbook[..workbook.len() / 2];
    let cases: [(InspectHeader, &[u8], Code, &str); 5] = [
        (
            header("nowhere"),
            b"a\n1\n",
            Code::NotFound,
            "TABLE_NOT_FOUND",
        ),
        (
            wanted_sheet,
            &workbook,
            Code::InvalidArgument,
            "SHEET_NOT_FOUND",
        ),
        (header(""), cut, Code::InvalidArgument, "CORRUPT_FILE"),
        (header(""), b"", Code::InvalidArgument, "NO_HEADER"),
        (
            header(""),
            b"%PDF-1.7",
            Code::InvalidArgument,
            "UNSUPPORTED_FORMAT",
        ),
    ];
    for (header, data, code, reason) in cases {
        let status = inspect(&service, header, data).await.unwrap_err();
        assert_eq!(refusal(&status), (code, reason.to_owned()));
    }
    service.stop().await;
}
