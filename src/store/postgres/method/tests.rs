use super::method;
use crate::model::import::WriteMethod;
use crate::model::table::Table;
use crate::store::copying::CopyFormat;

#[test]
fn copy_runs_where_the_engine_and_the_table_let_it() {
    let mut table = Table::bare("public", "t", Vec::new());
    for format in [CopyFormat::Binary, CopyFormat::Text] {
        assert_eq!(method(None, &table, Some(format)), WriteMethod::Copy);
    }
    let copy = Some(WriteMethod::Copy);
    for wanted in [None, copy] {
        assert_eq!(method(wanted, &table, None), WriteMethod::Batch);
    }
    for wanted in [
        WriteMethod::Sequential,
        WriteMethod::Concurrent,
        WriteMethod::Batch,
    ] {
        assert_eq!(method(Some(wanted), &table, None), wanted);
    }
    table.row_security = true;
    let binary = Some(CopyFormat::Binary);
    assert_eq!(method(copy, &table, binary), WriteMethod::Batch);
}
