use std::sync::Arc;

use super::operation;
use crate::model::import::WriteMethod;
use crate::model::plan::{OnConflict, WritePlan};
use crate::model::table::Table;
use crate::store::copying::CopyFormat;

#[test]
fn operation_is_what_reaches_the_table() {
    let mut plan = WritePlan {
        table: Arc::new(Table::bare("public", "t", Vec::new())),
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
