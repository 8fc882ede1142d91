//! What only SQLite does.

use crate::support::decided;
use std::sync::Arc;
use std::time::Duration;

use rowlift::model::cell::Cell;
use rowlift::model::import::Reason;
use rowlift::model::reject::RowErrorCode;
use rowlift::store::sqlite::SqliteStore;
use rowlift::store::{OpenMode, Store, StoreError};
use sqlx::Executor;

use super::atomic;
use super::backend::{
    Backend, BatchBuilder, any_rejects, begin, new_import, number, pairs, plan, refusal, texts,
    write,
};
use crate::support::sqlite::{SqliteBackend, config};

/// Codes of rejected rows, and names that are in the table.
async fn outcome_of(sql: &[&str], rows: &[(&str, i64)]) -> (Vec<(u64, RowErrorCode)>, Vec<String>) {
    let backend = SqliteBackend::start().await;
    for statement in sql {
        backend.execute(statement).await;
    }
    let plan = plan(&backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "it").await;
    let receipt = write(&*store, key, &plan, &pairs(&plan, 0, rows))
        .await
        .unwrap();
    let in_table = texts(&backend, "select name from t order by rowid").await;
    assert_eq!(in_table.len() as u64, receipt.counts.inserted);
    let rejected = receipt.rejected.iter();
    let rejected = rejected
        .map(|row| (row.ordinal, row.errors[0].code))
        .collect();
    (rejected, in_table)
}

#[tokio::test]
async fn trigger_that_rolls_back_costs_its_row_only() {
    for resolution in ["rollback", "fail", "abort"] {
        let trigger = format!(
            "create trigger r after insert on t when new.n = 0 \
             begin select raise({resolution}, 'no'); end"
        );
        let sql = ["create table t (name text, n bigint)", &trigger];
        let rows = [("a", 1), ("b", 0), ("c", 2), ("d", 0), ("e", 3)];
        let (rejected, kept) = outcome_of(&sql, &rows).await;
        let code = RowErrorCode::Database;
        assert_eq!(rejected, [(1, code), (3, code)], "{resolution}");
        assert_eq!(kept, ["a", "c", "e"], "{resolution}");
    }
}

#[tokio::test]
async fn refused_rows_among_many_cost_only_themselves() {
    let table = "create table t (name text not null, n bigint unique check (n <> 7))";
    let name = String::from("x");
    let mut rows: Vec<(&str, i64)> = (1000..2000).map(|n| (name.as_str(), n)).collect();
    let mut expected = Vec::new();
    for (at, n, code) in [
        (0, 7, RowErrorCode::CheckViolation),
        (200, 1199, RowErrorCode::UniqueViolation),
        (201, 7, RowErrorCode::CheckViolation),
        (511, 1001, RowErrorCode::UniqueViolation),
        (512, 1002, RowErrorCode::UniqueViolation),
        (999, 1998, RowErrorCode::UniqueViolation),
    ] {
        rows[at].1 = n;
        expected.push((at as u64, code));
    }
    let (rejected, kept) = outcome_of(&[table], &rows).await;
    assert_eq!(rejected, expected);
    assert_eq!(kept.len(), 994);
}

#[tokio::test]
async fn autoincrement_remembers_rows_before_a_refused_one() {
    let backend = SqliteBackend::start().await;
    let table = "create table t (id integer primary key autoincrement, name text, n int unique)";
    backend.execute(table).await;
    let plan = plan(&backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "counted").await;
    let batch = pairs(&plan, 0, &[("a", 1), ("b", 2), ("c", 3), ("d", 1)]);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (3, 1));
    // Whoever deletes them gets other ids for new rows.
    backend.execute("delete from t").await;
    backend.execute("insert into t (name) values ('e')").await;
    assert_eq!(number(&backend, "select id from t").await, 4);
}

#[tokio::test]
async fn row_of_a_type_that_a_strict_table_refuses_costs_only_itself() {
    let backend = SqliteBackend::start().await;
    backend
        .execute("create table t (name text, x real) strict")
        .await;
    let plan = plan(&backend, "t", &["name", "x"]).await;
    let store = backend.store();
    let key = begin(&*store, "strict").await;
    // SQLite has no NaN: it is stored as a text, which such a column does not take.
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Text("a"), Cell::Double(1.0)])
        .row(&[Cell::Text("b"), Cell::Double(f64::NAN)])
        .row(&[Cell::Text("c"), Cell::Double(2.0)])
        .row(&[Cell::Text("d"), Cell::Double(3.0)])
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (3, 1));
    let in_table = texts(&backend, "select name from t order by rowid").await;
    assert_eq!(in_table, ["a", "c", "d"]);
}

#[tokio::test]
async fn row_that_a_function_refuses_costs_only_itself() {
    // SQLite does not say how many rows of the statement are in: the batch is begun anew.
    let table = "create table t (name text, n bigint unique check (abs(n) > 0))";
    let rows = [("a", 1), ("b", i64::MIN), ("c", 1), ("d", 2)];
    let (rejected, kept) = outcome_of(&[table], &rows).await;
    let expected = [
        (1, RowErrorCode::Database),
        (2, RowErrorCode::UniqueViolation),
    ];
    assert_eq!(rejected, expected);
    assert_eq!(kept, ["a", "d"]);

    let backend = SqliteBackend::start().await;
    backend.execute(table).await;
    let plan = plan(&backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "whole").await;
    let rejects = any_rejects();
    let request = atomic::request(key, &plan, &rejects);
    let mut writing = store.begin_atomic(request).await.unwrap();
    let batch = pairs(&plan, 0, &rows);
    let receipt = writing.write(&batch, false).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (2, 2));
    let whole = atomic::whole(&[&batch], receipt.counts);
    writing.commit(&whole).await.unwrap();
    let in_table = texts(&backend, "select name from t order by rowid").await;
    assert_eq!(in_table, ["a", "d"]);
}

#[tokio::test]
async fn conflict_clauses_of_a_table_neither_replace_nor_ignore() {
    for clause in ["replace", "ignore", "rollback", "fail", "abort"] {
        let table = format!("create table t (name text, n bigint unique on conflict {clause})");
        let rows = [("a", 1), ("b", 1), ("c", 2), ("d", 1)];
        let (rejected, kept) = outcome_of(&[&table], &rows).await;
        let code = RowErrorCode::UniqueViolation;
        assert_eq!(rejected, [(1, code), (3, code)], "{clause}");
        assert_eq!(kept, ["a", "c"], "{clause}");
    }
}

#[tokio::test]
async fn strict_and_rowid_less_tables_work() {
    let strict = "create table t (name text primary key, n int) strict, without rowid";
    let backend = SqliteBackend::start().await;
    backend.execute(strict).await;
    let plan = plan(&backend, "t", &["name", "n"]).await;
    assert!(!plan.table.columns[0].nullable);
    let store = backend.store();
    let key = begin(&*store, "strict").await;
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Text("a"), Cell::Int(1)])
        .row(&[Cell::Text("b"), Cell::Text("no number")])
        .row(&[Cell::Text("a"), Cell::Int(2)])
        .row(&[Cell::Null, Cell::Int(2)])
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    let facts = receipt.rejected.iter().map(|row| {
        let error = &row.errors[0];
        (
            row.ordinal,
            error.code,
            error.cell.as_str(),
            error.constraint.as_str(),
        )
    });
    let expected = [
        (1, RowErrorCode::TypeMismatch, "B3", ""),
        (2, RowErrorCode::UniqueViolation, "A4", "t_pkey"),
        (3, RowErrorCode::RequiredMissing, "A5", ""),
    ];
    assert_eq!(facts.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn integer_primary_key_is_given_where_it_is_left_out() {
    let backend = SqliteBackend::start().await;
    backend
        .execute("create table t (id integer primary key, name text)")
        .await;
    let plan = plan(&backend, "t", &["id", "name"]).await;
    let id = &plan.table.columns[0];
    assert!(id.has_default && !id.nullable && !id.generated);
    let store = backend.store();
    let key = begin(&*store, "rowid").await;
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Int(5), Cell::Text("a")])
        .row(&[Cell::Unset, Cell::Text("b")])
        .row(&[Cell::Int(5), Cell::Text("c")])
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!(receipt.rejected[0].errors[0].constraint, "t_pkey");
    assert_eq!(
        texts(&backend, "select id || name from t order by id").await,
        ["5a", "6b"]
    );
}

#[tokio::test]
async fn digits_that_affinity_would_cut_are_a_loss_of_precision() {
    let backend = SqliteBackend::start().await;
    backend.execute("create table t (amount numeric)").await;
    let plan = plan(&backend, "t", &["amount"]).await;
    let store = backend.store();
    let key = begin(&*store, "digits").await;
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Decimal("0.1")])
        .row(&[Cell::Decimal("12345678901234567.89")])
        .row(&[Cell::Decimal("9007199254740993")])
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    let error = &receipt.rejected[0].errors[0];
    assert_eq!(
        (receipt.rejected.len(), error.code),
        (1, RowErrorCode::PrecisionLoss)
    );
    assert_eq!(
        (error.cell.as_str(), error.value.as_str()),
        ("A3", "12345678901234567.89")
    );
    let kept = texts(&backend, "select amount from t order by rowid").await;
    assert_eq!(kept, ["0.1", "9007199254740993"]);
}

#[tokio::test]
async fn database_opened_for_reading_is_read_only() {
    let backend = SqliteBackend::start().await;
    begin(&*backend.store(), "there").await;
    let store = backend.another_store("ro").await;
    assert!(store.ready().await.unwrap());
    assert!(store.import("alice", "there").await.unwrap().is_some());
    let failure = refusal(&*store, &new_import("new"), OpenMode::Begin).await;
    assert_eq!(failure.reason, Reason::ReadOnly);
}

#[tokio::test]
async fn file_locked_by_another_process_is_transient() {
    let backend = SqliteBackend::start().await;
    backend
        .execute("create table t (name text, n bigint)")
        .await;
    let plan = plan(&backend, "t", &["name", "n"]).await;
    let store = backend.impatient_store(Duration::from_millis(500)).await;
    let key = begin(&*store, "locked").await;
    let mut other = backend.connection().await;
    other.execute("begin immediate").await.unwrap();
    let batch = pairs(&plan, 0, &[("a", 1)]);
    let locked = write(&*store, key, &plan, &batch).await;
    assert!(
        matches!(locked, Err(StoreError::Transient { .. })),
        "{locked:?}"
    );
    // Reading goes on meanwhile.
    assert_eq!(decided(&*store, key).await.1, 0);
    other.execute("rollback").await.unwrap();
    assert_eq!(
        write(&*store, key, &plan, &batch)
            .await
            .unwrap()
            .counts
            .inserted,
        1
    );
}

#[tokio::test]
async fn two_stores_on_a_file_see_each_other() {
    let backend = SqliteBackend::start().await;
    backend
        .execute("create table t (name text, n bigint)")
        .await;
    let plan = plan(&backend, "t", &["name", "n"]).await;
    let (a, b) = (backend.store(), backend.another_store("rw").await);
    let old = begin(&*a, "both").await;
    write(&*a, old, &plan, &pairs(&plan, 0, &[("a", 1)]))
        .await
        .unwrap();
    let new = super::backend::open(&*b, &new_import("both"), OpenMode::Resume).await;
    assert_eq!(new.committed_offset, 1);
    let late = write(&*a, old, &plan, &pairs(&plan, 1, &[("b", 1)])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(number(&backend, "select count(*) from t").await, 1);
}

#[tokio::test]
async fn database_in_memory_works_like_a_file() {
    let store = SqliteStore::connect(config("sqlite::memory:".to_owned()))
        .await
        .unwrap();
    let store = Arc::new(store);
    assert!(store.ready().await.unwrap());
    let key = begin(&*store, "memory").await;
    let table = store.table("businesses").await.unwrap().unwrap();
    let plan = rowlift::model::plan::WritePlan {
        columns: vec![rowlift::model::plan::PlannedColumn {
            table_column: table.column_index("name").unwrap(),
            source_index: Some(0),
            source_name: "name".to_owned(),
            insert_only: false,
        }],
        table,
        method: rowlift::model::import::WriteMethod::Batch,
        on_conflict: rowlift::model::plan::OnConflict::Reject,
    };
    // A write that is cut closes its connection: the database stays. One that is through at once is none.
    let mut start = 0;
    let batch = loop {
        let batch = BatchBuilder::new(&plan, start)
            .row(&[Cell::Text("a")])
            .build(start);
        if futures::poll!(Box::pin(write(&*store, key, &plan, &batch))).is_pending() {
            break batch;
        }
        start += 1;
    };
    assert_eq!(
        write(&*store, key, &plan, &batch)
            .await
            .unwrap()
            .counts
            .inserted,
        1
    );
    let record = store.import("alice", "memory").await.unwrap().unwrap();
    assert_eq!(record.stats.rows.inserted, start + 1);
    store.close(Duration::from_secs(5)).await;
}
