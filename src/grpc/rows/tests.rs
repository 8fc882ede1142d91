use bytes::Bytes;

use super::{packed_rows, row_batch};
use crate::model::cell::Cell;
use crate::model::import::{Failure, Reason};
use crate::proto::{self, value::Kind};

fn packed(cells: &'static str, lengths: &[i32], n_rows: i32) -> proto::PackedRows {
    proto::PackedRows {
        row_count: n_rows,
        cells: Bytes::from_static(cells.as_bytes()),
        cell_lengths: lengths.to_vec(),
        ..proto::PackedRows::default()
    }
}

fn texts(packed: proto::PackedRows, skip: usize) -> Result<Vec<(u64, String)>, Failure> {
    let rows = packed_rows(packed, 2)?;
    let frame = (rows.pack)(10, skip)?.remove(0);
    let text = |cells: Vec<Cell<'_>>| format!("{cells:?}");
    Ok(frame
        .rows()
        .map(|row| (row.ordinal, text(row.cells().collect())))
        .collect())
}

#[test]
fn packed_cells_are_cut_by_their_lengths() {
    let rows = texts(packed("abéc", &[2, 1, 2, -1], 2), 0);
    assert_eq!(
        rows.unwrap_err().reason,
        Reason::InvalidOption,
        "a character is cut in two"
    );
    let rows = texts(packed("abéc", &[2, 2, 1, -1], 2), 0).unwrap();
    assert_eq!(rows[0], (10, r#"[Text("ab"), Text("é")]"#.to_owned()));
    assert_eq!(rows[1], (11, r#"[Text("c"), Null]"#.to_owned()));
}

#[test]
fn rows_that_were_received_are_left_out() {
    let rows = texts(packed("abcd", &[1, 1, 1, 1], 2), 1).unwrap();
    assert_eq!(rows, [(10, r#"[Text("c"), Text("d")]"#.to_owned())]);
}

#[test]
fn packed_rows_that_do_not_add_up_are_refused() {
    for (cells, lengths, n_rows, path) in [
        ("ab", &[1, 1, 1][..], 1, "packed_rows.cell_lengths"),
        ("ab", &[1, 1], 2, "packed_rows.cell_lengths"),
        ("ab", &[1, 2], 1, "packed_rows.cell_lengths[1]"),
        ("ab", &[1, -3], 1, "packed_rows.cell_lengths[1]"),
        ("abc", &[1, 1], 1, "packed_rows.cells"),
        ("", &[], -1, "packed_rows.row_count"),
    ] {
        let failure = texts(packed(cells, lengths, n_rows), 0).unwrap_err();
        assert_eq!(
            (failure.reason, failure.fields[0].0.as_str()),
            (Reason::InvalidOption, path)
        );
    }
}

#[test]
fn a_checksum_of_packed_cells_is_compared() {
    let mut rows = packed("ab", &[1, 1], 1);
    rows.crc32c = Some(crc32c::crc32c(b"ab"));
    assert!(texts(rows.clone(), 0).is_ok());
    rows.crc32c = Some(1);
    assert_eq!(texts(rows, 0).unwrap_err().reason, Reason::ChecksumMismatch);
}

#[test]
fn every_kind_of_value_becomes_its_cell() {
    let kinds = [
        None,
        Some(Kind::BoolValue(true)),
        Some(Kind::IntValue(-1)),
        Some(Kind::DoubleValue(0.1)),
        Some(Kind::StringValue("a".to_owned())),
        Some(Kind::StringValue("\0".to_owned())),
        Some(Kind::BytesValue(vec![1])),
        Some(Kind::DecimalValue("1.0".to_owned())),
        Some(Kind::DateValue("2024-02-29".to_owned())),
        Some(Kind::TimestampValue(prost_types::Timestamp {
            seconds: 1,
            nanos: 2,
        })),
        Some(Kind::TimeValue("12:00".to_owned())),
        Some(Kind::Unset(proto::Unset {})),
    ];
    let n_columns = kinds.len();
    let values = kinds
        .into_iter()
        .map(|kind| proto::Value { kind })
        .collect();
    let row = proto::Row {
        values,
        source_row_number: 7,
        source_sheet: "Q3".to_owned(),
    };
    let batch = proto::RowBatch {
        rows: vec![row],
        ..proto::RowBatch::default()
    };
    let frame = (row_batch(batch, n_columns).unwrap().pack)(0, 0)
        .unwrap()
        .remove(0);
    let row = frame.rows().next().unwrap();
    assert_eq!((row.row_number, row.sheet), (7, "Q3"));
    let cells: Vec<Cell<'_>> = row.cells().collect();
    assert_eq!(
        cells,
        [
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(-1),
            Cell::Double(0.1),
            Cell::Text("a"),
            Cell::InvalidText("\0"),
            Cell::Bytes(&[1]),
            Cell::Decimal("1.0"),
            Cell::Date("2024-02-29"),
            Cell::Timestamp {
                seconds: 1,
                nanos: 2
            },
            Cell::Time("12:00"),
            Cell::Unset,
        ]
    );
}

#[test]
fn a_row_of_another_width_is_refused_by_its_path() {
    let batch = proto::RowBatch {
        rows: vec![proto::Row::default()],
        ..proto::RowBatch::default()
    };
    let failure = (row_batch(batch, 2).unwrap().pack)(0, 0).unwrap_err();
    assert_eq!(failure.fields[0].0, "rows.rows[0].values");
}
