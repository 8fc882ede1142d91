use prost::Message;

use super::{Event, RESPONSE_BYTES_MAX, inspection, responses};
use crate::decode::{Decoded, SourceHeader};
use crate::lookup::inspect::Inspection;
use crate::lookup::sheet::InspectedSheet;
use crate::model::cell::Cell;
use crate::model::frame::{Frame, FrameBuilder};
use crate::model::import::{FileFormat, Reason};
use crate::proto;

fn header(names: &[&str]) -> Decoded {
    Decoded::Header(SourceHeader {
        format: FileFormat::Xlsx,
        sheet: "Data".to_owned(),
        is_hidden: true,
        header_row: 3,
        names: names.iter().map(|&name| name.to_owned()).collect(),
        has_header: true,
        first_data_row_number: 4,
        n_rows_hint: None,
    })
}

fn frame(rows: &[(u64, Cell<'_>)]) -> Frame {
    let mut builder = FrameBuilder::new();
    for (ordinal, cell) in rows {
        builder.begin_row(*ordinal, ordinal + 4, "");
        builder.push(*cell);
        builder.end_row();
    }
    builder.take()
}

/// Offsets and numbers of rows; a faulty row as its negative ordinal.
fn shown(responses: &[proto::DecodeFileResponse]) -> Vec<(i64, usize)> {
    let shown = responses.iter().map(|response| match &response.event {
        Some(Event::Rows(batch)) => (batch.offset.unwrap(), batch.rows.len()),
        Some(Event::FaultyRow(row)) => (-row.offset, 0),
        other => panic!("{other:?}"),
    });
    shown.collect()
}

#[test]
fn batches_have_no_gap_and_keep_the_order() {
    let mut convert = responses();
    let told = convert(header(&["name"])).unwrap();
    let Some(Event::Header(sheet)) = &told[0].event else {
        panic!("{told:?}");
    };
    assert_eq!((sheet.name.as_str(), sheet.hidden), ("Data", true));
    assert_eq!(sheet.header_row_number, 3);
    let text = Cell::Text("a");
    let rows = frame(&[
        (0, text),
        (1, text),
        (2, Cell::Error("#N/A")),
        (3, text),
        // A blank row is left out by the decoder.
        (5, text),
        (6, text),
    ]);
    let told = convert(Decoded::Rows(rows)).unwrap();
    assert_eq!(shown(&told), [(0, 2), (-2, 0), (3, 1), (5, 2)]);
    let Some(Event::FaultyRow(faulty)) = &told[1].event else {
        panic!("{told:?}");
    };
    assert_eq!((faulty.row_number, faulty.sheet.as_str()), (6, "Data"));
    assert_eq!(faulty.errors[0].code(), proto::RowErrorCode::CellError);
    assert_eq!(faulty.errors[0].cell, "A6");
    assert_eq!(faulty.errors[0].source_name, "name");
}

#[test]
fn messages_stay_within_what_a_client_takes() {
    let mut convert = responses();
    let long = "x".repeat(200_000);
    let rows: Vec<_> = (0..50)
        .map(|ordinal| (ordinal, Cell::Text(&long)))
        .collect();
    let told = convert(Decoded::Rows(frame(&rows))).unwrap();
    assert!(told.iter().all(|it| it.encoded_len() <= RESPONSE_BYTES_MAX));
    let n_rows: usize = shown(&told).iter().map(|(_, n_rows)| n_rows).sum();
    assert_eq!(n_rows, 50);
    let huge = "x".repeat(RESPONSE_BYTES_MAX);
    let failure = convert(Decoded::Rows(frame(&[(0, Cell::Text(&huge))]))).unwrap_err();
    assert_eq!(failure.reason, Reason::LimitExceeded);
    assert!(
        failure.message.starts_with("row 4 takes "),
        "{}",
        failure.message
    );
}

#[test]
fn an_inspection_has_fewer_samples_where_not_all_fit() {
    let long = "x".repeat(100_000);
    let rows: Vec<_> = (0..100)
        .map(|ordinal| (ordinal, Cell::Text(&long)))
        .collect();
    let sheet = |header: Vec<String>| Inspection {
        format: FileFormat::Csv,
        sheets: vec![InspectedSheet {
            name: String::new(),
            is_hidden: false,
            header_row: 1,
            header,
            samples: frame(&rows),
        }],
        proposals: Vec::new(),
        missing_columns: Vec::new(),
        rejected: Vec::new(),
    };
    let response = inspection(sheet(vec!["name".to_owned()])).unwrap();
    assert!(response.encoded_len() <= RESPONSE_BYTES_MAX);
    let n_rows = response.sheets[0].sample_rows.len();
    assert!((10..100).contains(&n_rows), "{n_rows}");
    let failure = inspection(sheet(vec![long.repeat(50)])).unwrap_err();
    assert_eq!(failure.reason, Reason::LimitExceeded);
}
