use super::{csv_row, print, print_json};
use crate::cli::terminal::Terminal;
use crate::cli::tests::Captured;
use crate::proto::decode_file_response::Event;
use crate::proto::value::Kind;
use crate::proto::{CellError, RejectedRow, Row, RowBatch, RowErrorCode, Sheet, Value};

fn events() -> [Event; 3] {
    let sheet = Sheet {
        name: String::from("Data"),
        header_row_number: 1,
        header: vec![String::from("name"), String::from("a,b")],
        ..Sheet::default()
    };
    let timestamp = prost_types::Timestamp {
        seconds: 1_709_214_330,
        nanos: 0,
    };
    let kinds = [
        Some(Kind::StringValue(String::from("say \"hi\"\n"))),
        None,
        Some(Kind::DoubleValue(0.1)),
        Some(Kind::BoolValue(true)),
        Some(Kind::TimestampValue(timestamp)),
        Some(Kind::StringValue("x".repeat(100))),
    ];
    let row = Row {
        values: kinds.into_iter().map(|kind| Value { kind }).collect(),
        source_row_number: 2,
        source_sheet: String::from("Data"),
    };
    let faulty = RejectedRow {
        row_number: 3,
        errors: vec![CellError {
            code: RowErrorCode::CellError.into(),
            cell: String::from("B3"),
            value: String::from("#N/A"),
            message: String::from("is an error value"),
            ..CellError::default()
        }],
        ..RejectedRow::default()
    };
    let short = Row {
        values: Vec::new(),
        ..row.clone()
    };
    let batch = RowBatch {
        rows: vec![row, short],
        ..RowBatch::default()
    };
    [
        Event::Header(sheet),
        Event::Rows(batch),
        Event::FaultyRow(faulty),
    ]
}

#[test]
fn rows_are_printed_as_csv_and_faulty_ones_as_remarks() {
    let (output, notes) = (Captured::default(), Captured::default());
    let mut terminal = Terminal::to(output.clone(), notes.clone());
    let mut n_columns = 0;
    for event in events() {
        print(event, &mut n_columns, &mut terminal).unwrap();
    }
    let long = "x".repeat(100);
    assert_eq!(
        output.text(),
        format!("name,\"a,b\"\n\"say \"\"hi\"\"\n\",,0.1,true,2024-02-29T13:45:30,{long}\n,\n")
    );
    assert_eq!(
        notes.text(),
        "row 3    B3    CELL_ERROR  \"#N/A\"  is an error value\n"
    );
}

#[test]
fn every_line_of_json_is_an_object() {
    let output = Captured::default();
    let mut terminal = Terminal::to(output.clone(), Captured::default());
    for event in events() {
        print_json(event, &mut terminal).unwrap();
    }
    let text = output.text();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["header"][1], "a,b");
    assert_eq!(lines[1]["values"][0]["stringValue"], "say \"hi\"\n");
    assert_eq!(lines[1]["values"][1], serde_json::json!({}));
    assert_eq!(lines[3]["errors"][0]["cell"], "B3");
}

#[test]
fn a_row_is_never_a_blank_line() {
    let mut out = String::new();
    csv_row([""].into_iter(), &mut out);
    csv_row([].into_iter(), &mut out);
    csv_row(["", ""].into_iter(), &mut out);
    assert_eq!(out, "\"\"\n\"\"\n,\n");
}
