use std::sync::Arc;

use super::{
    BINARY_HEADER, BINARY_TRAILER, CopyData, PIECE_BYTES, append_escaped, group_by_set_columns,
};
use crate::model::batch::Batch;
use crate::model::import::WriteMethod;
use crate::model::plan::{PlannedColumn, WritePlan};
use crate::model::reject::SourceKind;
use crate::model::table::{Column, ColumnType, Table};
use crate::model::value::{RowBuffer, Value};
use crate::store::copying::CopyFormat;

fn column(name: &str, has_default: bool) -> Column {
    Column {
        name: name.to_owned(),
        ty: ColumnType::Text,
        type_name: "text".to_owned(),
        nullable: true,
        has_default,
        generated: false,
        importable: true,
        assignable: false,
        aliases: Vec::new(),
    }
}

/// Two text columns, the second with a default.
fn plan() -> WritePlan {
    let planned = |table_column| PlannedColumn {
        table_column,
        source_index: Some(table_column),
        source_name: String::new(),
        insert_only: false,
    };
    WritePlan {
        table: Arc::new(Table::bare(
            "public",
            "t",
            vec![column("plain", false), column("defaulted", true)],
        )),
        columns: vec![planned(0), planned(1)],
        method: WriteMethod::Copy,
        on_conflict: crate::model::plan::OnConflict::Reject,
    }
}

fn batch(rows: &[[Value<'_>; 2]]) -> Batch {
    let mut buffer = RowBuffer::new(2);
    for value in rows.iter().flatten() {
        buffer.push(*value);
    }
    Batch {
        index: 0,
        range: 0..rows.len() as u64,
        rows: buffer,
        sources: Vec::new(),
        frames: Vec::new(),
        rejected: Vec::new(),
        rows_hash: 0,
        sheet: Arc::from(""),
        source_kind: SourceKind::Rows,
        position: None,
    }
}

/// Statement and bytes of each COPY.
fn sent(plan: &WritePlan, batch: &Batch, format: CopyFormat) -> Vec<(String, Vec<u8>)> {
    let copies = CopyData::of_batch(plan, batch, format).into_iter();
    copies
        .map(|mut copy| {
            let mut bytes = Vec::new();
            while let Some(piece) = copy.next_piece() {
                assert!(piece.len() < PIECE_BYTES + 1000, "{}", piece.len());
                bytes.extend_from_slice(piece);
            }
            assert_eq!(copy.next_piece(), None, "the end stays the end");
            (copy.sql().to_owned(), bytes)
        })
        .collect()
}

#[test]
fn only_columns_with_a_default_split_a_copy() {
    let batch = batch(&[
        [Value::Text("a"), Value::Text("b")],
        [Value::Unset, Value::Text("b")],
        [Value::Text("a"), Value::Unset],
        [Value::Unset, Value::Unset],
    ]);
    let groups = group_by_set_columns(&plan(), &batch, &[0, 1, 2, 3]);
    let groups: Vec<_> = groups
        .into_iter()
        .map(|it| (it.columns, it.members))
        .collect();
    assert_eq!(groups, [(vec![0, 1], vec![0, 1]), (vec![0], vec![2, 3])]);
}

#[test]
fn pieces_make_one_copy_for_each_set_of_columns() {
    let batch = batch(&[
        [Value::Text("a"), Value::Text("b")],
        [Value::Null, Value::Unset],
    ]);
    let text = sent(&plan(), &batch, CopyFormat::Text);
    let both = "COPY \"public\".\"t\" (\"plain\", \"defaulted\") FROM STDIN";
    let plain = "COPY \"public\".\"t\" (\"plain\") FROM STDIN";
    assert_eq!(
        text,
        [
            (both.to_owned(), b"a\tb\n".to_vec()),
            (plain.to_owned(), b"\\N\n".to_vec()),
        ]
    );

    let binary = sent(&plan(), &batch, CopyFormat::Binary);
    let fields = b"\0\x02\0\0\0\x01a\0\0\0\x01b";
    let null = b"\0\x01\xff\xff\xff\xff";
    assert_eq!(binary[0].0, format!("{both} WITH (FORMAT binary)"));
    assert_eq!(
        [&binary[0].1, &binary[1].1],
        [fields.as_slice(), null.as_slice()]
            .map(|rows| [BINARY_HEADER, rows, &BINARY_TRAILER].concat())
            .each_ref()
    );
}

#[test]
fn a_long_copy_is_sent_in_pieces() {
    let n_rows = 2 * PIECE_BYTES / 100;
    let long = "x".repeat(200);
    let batch = batch(&vec![[Value::Text(&long), Value::Text("y")]; n_rows]);
    let row = [long.as_bytes(), b"\ty\n"].concat();
    let text = sent(&plan(), &batch, CopyFormat::Text);
    assert_eq!(text[0].1, row.repeat(n_rows));
    let row = [b"\0\x02\0\0\0\xc8", long.as_bytes(), b"\0\0\0\x01y"].concat();
    let binary = sent(&plan(), &batch, CopyFormat::Binary);
    let rows = row.repeat(n_rows);
    assert_eq!(
        binary[0].1,
        [BINARY_HEADER, rows.as_slice(), &BINARY_TRAILER].concat()
    );
}

#[test]
fn a_text_field_escapes_what_ends_it() {
    let mut buffer = Vec::new();
    append_escaped(&mut buffer, "a\\b\tc\nd\re\\N");
    assert_eq!(buffer, b"a\\\\b\\tc\\nd\\re\\\\N");
}
