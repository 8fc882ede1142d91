//! The same content in every format: the same rows, but for what docs/CELLS.md lists by kind of
//! cell.

use rowlift::proto::{FileFormat, FileSource};

use super::{Decoded, decode, inspect};
use crate::support::service::Service;

const WORKBOOKS: [&str; 4] = ["xlsx", "xlsb", "xls", "ods"];

fn fixture(name: &str) -> Vec<u8> {
    let root = env!("CARGO_MANIFEST_DIR");
    std::fs::read(format!("{root}/tests/fixtures/{name}")).unwrap()
}

async fn decoded(service: &Service, name: &str) -> Decoded {
    let decoded = decode(service, FileSource::default(), &fixture(name)).await;
    decoded.ok();
    decoded
}

/// What the formats do not agree on: numbers with a format of zeros, which xls and ods lose.
fn zeros(extension: &str, shown: &str, value: &str) -> (String, String) {
    match extension {
        "xls" | "ods" => (format!("number:{value}"), value.to_owned()),
        _ => (format!("text:{shown}"), shown.to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workbooks_of_all_formats_give_the_same_rows() {
    let service = Service::sqlite("").await;
    for extension in WORKBOOKS {
        let decoded = decoded(&service, &format!("rows.{extension}")).await;
        let header = decoded.header();
        assert_eq!((header.name.as_str(), header.hidden), ("Data", false));
        assert_eq!(header.header_row_number, 1);
        assert_eq!(
            header.header.join(","),
            "name,note,joined,seen,opens,worked,zip,phone,active,share,price,ratio,total,last"
        );
        let zip = zeros(extension, "01234", "1234").1;
        let zero = zeros(extension, "00000", "0").0;
        let wanted = [
            (
                2,
                format!(
                    "!L2=ROW_ERROR_CODE_CELL_ERROR Ørsted & Søn|東京 \"quoted\", <b>|2024-02-29\
                     |2024-02-29T13:45:30|09:30:00|36:30:00|{zip}|13800138000|true|0.075|1234.5\
                     |#DIV/0!|10|end"
                ),
            ),
            (
                3,
                "!L3=ROW_ERROR_CODE_CELL_ERROR   padded  |two\nlines|1999-12-31\
                 |1999-12-31T23:59:59|23:59:00|01:00:00|99501|447911123456|false|0.5|-99.99|#N/A\
                 |ab"
                .to_owned(),
            ),
            (5, format!("text:007||||||{zero}|||||number:2.5||text:x")),
            (
                6,
                "text:=text|text:'apostrophe|date:1900-03-01|moment:2147483648.0|time:00:00:01\
                 |time:00:00:00||number:0.1|bool:true|number:1|number:0\
                 |number:0.333333333333333|bool:true"
                    .to_owned(),
            ),
        ];
        for (found, wanted) in rounded(decoded.rows()).into_iter().zip(wanted) {
            assert_eq!(found, wanted, "{extension}");
        }
    }
    service.stop().await;
}

/// Doubles that differ in their last bits only, by the program that wrote them.
fn rounded(rows: Vec<(i64, String)>) -> Vec<(i64, String)> {
    let round = |value: &str| match value.strip_prefix("number:0.33333333333333") {
        Some(_) => "number:0.333333333333333".to_owned(),
        None => value.to_owned(),
    };
    let round_all = |text: String| text.split('|').map(round).collect::<Vec<_>>().join("|");
    let rows = rows.into_iter();
    rows.map(|(row, text)| (row, round_all(text))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_gives_the_same_rows_as_texts() {
    let service = Service::sqlite("").await;
    let csv = decoded(&service, "rows.csv").await;
    let workbook = decoded(&service, "rows.xlsx").await;
    assert_eq!(csv.header().header, workbook.header().header);
    let rows = csv.rows();
    // Physical lines: row 3 of the sheet has two of them.
    let numbers: Vec<i64> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [2, 3, 6, 7]);
    // Errors are texts, and the rest is as the program that wrote it shows it.
    assert_eq!(
        rows[0].1,
        "text:Ørsted & Søn|text:東京 \"quoted\", <b>|text:2024-02-29|text:2024-02-29 13:45:30\
         |text:09:30:00 AM|text:36:30:00|text:1234|text:13800138000|text:TRUE|text:7.5%\
         |text:1234.5|text:#DIV/0!|text:10|text:end"
    );
    assert_eq!(rows[2].1, "text:007||||||text:0|||||text:2.5||text:x");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_of_both_systems_are_the_same_dates() {
    let service = Service::sqlite("").await;
    for extension in ["xlsx", "xls", "ods"] {
        let decoded = decoded(&service, &format!("dates_1904.{extension}")).await;
        let wanted = (2, "date:2024-02-29|moment:1709208000.0".to_owned());
        assert_eq!(decoded.rows(), [wanted], "{extension}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn formulas_that_nothing_has_computed_are_told_apart_from_empty_cells() {
    let service = Service::sqlite("").await;
    let rows = decoded(&service, "uncomputed.xlsx").await.rows();
    let codes: Vec<&str> = rows
        .iter()
        .map(|(_, row)| row.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "!C2=ROW_ERROR_CODE_FORMULA_WITHOUT_VALUE",
            "!C3=ROW_ERROR_CODE_FORMULA_WITHOUT_VALUE"
        ]
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sheets_of_all_formats_are_inspected_alike() {
    let service = Service::sqlite("").await;
    for (extension, format) in WORKBOOKS.into_iter().zip([
        FileFormat::Xlsx,
        FileFormat::Xlsb,
        FileFormat::Xls,
        FileFormat::Ods,
    ]) {
        let data = fixture(&format!("rows.{extension}"));
        let found = inspect(&service, rowlift::proto::InspectHeader::default(), &data).await;
        let found = found.unwrap();
        assert_eq!(found.format(), format);
        let sheets: Vec<_> = found
            .sheets
            .iter()
            .map(|sheet| (sheet.name.as_str(), sheet.hidden, sheet.sample_rows.len()))
            .collect();
        assert_eq!(
            sheets,
            [("Hidden", true, 1), ("Data", false, 4), ("Notes", false, 1)],
            "{extension}"
        );
        assert_eq!(found.sheets[1].header.len(), 14, "{extension}");
        assert_eq!(found.sheets[1].header_row_number, 1);
        // The errors of the sheet that an import would read, without a table too.
        let cells: Vec<&str> = found
            .sample_rejected_rows
            .iter()
            .map(|row| row.errors[0].cell.as_str())
            .collect();
        assert_eq!(cells, ["L2", "L3"], "{extension}");
    }
    service.stop().await;
}
