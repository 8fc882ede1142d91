use std::sync::Arc;

use super::{append_escaped, group_by_set_columns};
use crate::model::batch::Batch;
use crate::model::import::WriteMethod;
use crate::model::plan::{PlannedColumn, WritePlan};
use crate::model::reject::SourceKind;
use crate::model::table::{Column, ColumnType, Table, TableName};
use crate::model::value::{RowBuffer, Value};

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

#[test]
fn only_columns_with_a_default_split_a_copy() {
    let planned = |table_column| PlannedColumn {
        table_column,
        source_index: Some(table_column),
        source_name: String::new(),
        insert_only: false,
    };
    let plan = WritePlan {
        table: Arc::new(Table {
            name: TableName {
                schema: "public".to_owned(),
                name: "t".to_owned(),
            },
            columns: vec![column("plain", false), column("defaulted", true)],
            unique_keys: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            row_security: false,
            excluded_columns: Vec::new(),
            order_shows_on_insert: false,
            order_shows_on_update: false,
        }),
        columns: vec![planned(0), planned(1)],
        method: WriteMethod::Copy,
        on_conflict: crate::model::plan::OnConflict::Reject,
    };
    let mut rows = RowBuffer::new(2);
    for pair in [
        [Value::Text("a"), Value::Text("b")],
        [Value::Unset, Value::Text("b")],
        [Value::Text("a"), Value::Unset],
        [Value::Unset, Value::Unset],
    ] {
        for value in pair {
            rows.push(value);
        }
    }
    let batch = Batch {
        index: 0,
        range: 0..4,
        rows,
        sources: Vec::new(),
        frames: Vec::new(),
        rejected: Vec::new(),
        rows_hash: 0,
        sheet: Arc::from(""),
        source_kind: SourceKind::Rows,
        position: None,
    };
    let groups = group_by_set_columns(&plan, &batch, &[0, 1, 2, 3]);
    let groups: Vec<_> = groups
        .into_iter()
        .map(|it| (it.columns, it.members))
        .collect();
    assert_eq!(groups, [(vec![0, 1], vec![0, 1]), (vec![0], vec![2, 3])]);
}

#[test]
fn a_text_field_escapes_what_ends_it() {
    let mut buffer = Vec::new();
    append_escaped(&mut buffer, "a\\b\tc\nd\re\\N");
    assert_eq!(buffer, b"a\\\\b\\tc\\nd\\re\\\\N");
}
