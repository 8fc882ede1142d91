use std::sync::Arc;

use super::operation;
use crate::model::import::WriteMethod;
use crate::model::plan::{OnConflict, WritePlan};
use crate::model::table::{Table, TableName};
use crate::store::copying::CopyFormat;

#[test]
fn operation_is_what_reaches_the_table() {
    let name = TableName {
        schema: "public".to_owned(),
        name: "t".to_owned(),
    };
    let table = Table {
        name,
        columns: Vec::new(),
        unique_keys: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        row_security: false,
        excluded_columns: Vec::new(),
        order_shows_on_insert: false,
        order_shows_on_update: false,
    };
    let mut plan = WritePlan {
        table: Arc::new(table),
        columns: Vec::new(),
        method: WriteMethod::Copy,
        on_conflict: OnConflict::Reject,
    };
    let text = Some(CopyFormat::Text);
    assert_eq!(operation(&plan, text), "COPY");
    assert_eq!(operation(&plan, None), "INSERT");
    plan.on_conflict = OnConflict::Skip { key: 0 };
    assert_eq!(operation(&plan, text), "INSERT");
    plan.on_conflict = OnConflict::Reject;
    plan.method = WriteMethod::Batch;
    assert_eq!(operation(&plan, text), "INSERT");
}
