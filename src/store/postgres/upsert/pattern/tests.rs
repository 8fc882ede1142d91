use std::ops::Range;
use std::sync::Arc;

use super::*;
use crate::model::import::WriteMethod;
use crate::model::plan::PlannedColumn;
use crate::model::reject::SourceKind;
use crate::model::table::{Column, ColumnType, Meets, Table, UniqueKey};
use crate::model::value::RowBuffer;

/// Columns: key, note (nullable), n (default), must (neither).
fn plan(on_conflict: OnConflict) -> WritePlan {
    let column = |name: &str, nullable, has_default| Column {
        name: name.to_owned(),
        ty: ColumnType::Int4,
        type_name: "integer".to_owned(),
        nullable,
        has_default,
        generated: false,
        importable: true,
        assignable: true,
        aliases: Vec::new(),
    };
    let table = Table {
        unique_keys: vec![UniqueKey {
            name: "t_pkey".to_owned(),
            columns: vec!["key".to_owned()],
            primary: true,
            plain: true,
            definition: String::new(),
            terms: vec!["\"key\"".to_owned()],
            predicate: String::new(),
            arbiter: true,
            meets: Meets::NullsApart,
        }],
        ..Table::bare(
            "public",
            "t",
            vec![
                column("key", false, false),
                column("note", true, false),
                column("n", false, true),
                column("must", false, false),
            ],
        )
    };
    let planned = (0..4).map(|at| PlannedColumn {
        table_column: at,
        source_index: Some(at),
        source_name: String::new(),
        insert_only: false,
    });
    WritePlan {
        table: Arc::new(table),
        columns: planned.collect(),
        method: WriteMethod::Copy,
        on_conflict,
    }
}

fn batch(rows: &[[Value<'_>; 4]]) -> Batch {
    let mut buffer = RowBuffer::new(4);
    for value in rows.iter().flatten() {
        buffer.push(*value);
    }
    let range: Range<u64> = 0..rows.len() as u64;
    Batch {
        index: 0,
        range,
        rows: buffer,
        sources: Vec::new(),
        frames: Vec::new(),
        rejected: Vec::new(),
        rows_hash: 0,
        sheet: "".into(),
        source_kind: SourceKind::Rows,
        position: None,
    }
}

const UPDATE: OnConflict = OnConflict::Update {
    key: 0,
    on_missing: OnMissing::Insert,
};
const ONE: Value<'_> = Value::Int(1);

#[test]
fn blanks_of_a_column_that_is_never_set_to_null_make_no_groups() {
    let rows = batch(&[
        [ONE, Value::Unset, ONE, ONE],
        [ONE, ONE, ONE, ONE],
        [ONE, Value::Unset, ONE, ONE],
    ]);
    let patterns = group(&plan(UPDATE), &rows, false);
    assert_eq!(patterns.of_row, [0, 0, 0]);
    assert_eq!(
        patterns.all[0].fills,
        [Fill::Value, Fill::Keep, Fill::Value, Fill::Value]
    );
    // A trigger may put a value where NULL stands for the old one.
    assert_eq!(group(&plan(UPDATE), &rows, true).of_row, [0, 1, 0]);
    let rows = batch(&[
        [ONE, Value::Unset, ONE, ONE],
        [ONE, Value::Null, ONE, ONE],
        [ONE, ONE, ONE, ONE],
    ]);
    assert_eq!(group(&plan(UPDATE), &rows, false).of_row, [0, 1, 1]);
}

#[test]
fn defaults_and_required_columns_make_groups() {
    let rows = batch(&[
        [ONE, ONE, Value::Unset, ONE],
        [ONE, ONE, Value::Default, ONE],
        [ONE, Value::Default, ONE, Value::Unset],
    ]);
    let patterns = group(&plan(UPDATE), &rows, false);
    assert_eq!(patterns.of_row, [0, 1, 2]);
    assert_eq!(patterns.all[1].fills[2], Fill::Default);
    let updates_only: Vec<bool> = patterns.all.iter().map(|it| it.updates_only).collect();
    assert_eq!(updates_only, [false, false, true]);
    assert_eq!(patterns.all[2].missing, Some(3));
    let reject = OnConflict::Update {
        key: 0,
        on_missing: OnMissing::Reject,
    };
    let patterns = group(&plan(reject), &rows, false);
    assert!(patterns.all.iter().all(|pattern| pattern.updates_only));
}

#[test]
fn rows_that_are_skipped_differ_by_defaults_only() {
    let rows = batch(&[
        [ONE, Value::Unset, ONE, Value::Unset],
        [ONE, Value::Null, ONE, ONE],
        [ONE, ONE, Value::Unset, ONE],
        [ONE, ONE, Value::Default, ONE],
    ]);
    let patterns = group(&plan(OnConflict::Skip { key: 0 }), &rows, false);
    assert_eq!(patterns.of_row, [0, 0, 1, 1]);
    assert!(patterns.all.iter().all(|pattern| !pattern.updates_only));
}
