//! Rows that the mapping or the database refuses: named exactly, and alone.

use crate::support::decided;
use rowlift::model::cell::Cell;
use rowlift::model::import::{Reason, WriteMethod};
use rowlift::model::reject::{RejectedRow, RowErrorCode};
use rowlift::store::StoreError;

use super::backend::{
    Backend, BatchBuilder, Kind, begin, number, pairs, plan, plan_by, texts, write,
};

/// Ordinal, row number, code, cell, column, value and constraint of each row's first error.
type Facts<'a> = (u64, u64, RowErrorCode, &'a str, &'a str, &'a str, &'a str);

fn facts(rows: &[RejectedRow]) -> Vec<Facts<'_>> {
    let mut facts = Vec::new();
    for row in rows {
        assert_eq!(row.sheet, "Sheet1");
        let error = &row.errors[0];
        assert!(!error.message.is_empty());
        facts.push((
            row.ordinal,
            row.row_number,
            error.code,
            error.cell.as_str(),
            error.column.as_str(),
            error.value.as_str(),
            error.constraint.as_str(),
        ));
    }
    facts
}

pub(crate) async fn mapping_rejects_are_kept_beside_the_rows(backend: &dyn Backend) {
    backend
        .execute("create table t (name text, n bigint)")
        .await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "mapping").await;
    let batch = BatchBuilder::new(&plan, 0)
        .refused(
            &[Cell::Text("bad"), Cell::Int(0)],
            RowErrorCode::TypeMismatch,
        )
        .row(&[Cell::Text("a"), Cell::Int(1)])
        .refused(&[Cell::Text("worse"), Cell::Int(0)], RowErrorCode::TooLong)
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (1, 2));
    assert_eq!(receipt.rejected, batch.rejected);
    let page = store
        .rejected_rows("alice", "mapping", None, None, 10)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (page.rows, page.total, page.more),
        (batch.rejected, 2, false)
    );
}

pub(crate) async fn repeats_of_a_unique_key_are_rejected(backend: &dyn Backend) {
    backend
        .execute("create table t (name text, n bigint, constraint one unique (name, n))")
        .await;
    backend.execute("insert into t values ('there', 1)").await;
    let store = backend.store();
    let methods = [
        WriteMethod::Batch,
        WriteMethod::Sequential,
        WriteMethod::Copy,
    ];
    for method in methods {
        backend.execute("delete from t where name <> 'there'").await;
        let plan = plan_by(backend, "t", &["name", "n"], Some(method)).await;
        let key = begin(&*store, &format!("{method:?}")).await;
        let rows = [
            ("a", 1),
            ("there", 1),
            ("a", 2),
            ("a", 1),
            ("b", 1),
            ("a", 1),
        ];
        let receipt = write(&*store, key, &plan, &pairs(&plan, 0, &rows))
            .await
            .unwrap();
        assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (3, 3));
        let unique = RowErrorCode::UniqueViolation;
        let expected = vec![
            (1, 3, unique, "A3", "name", "there", "one"),
            (3, 5, unique, "A5", "name", "a", "one"),
            (5, 7, unique, "A7", "name", "a", "one"),
        ];
        assert_eq!(facts(&receipt.rejected), expected, "{method:?}");
        let second = &receipt.rejected[0].errors[1];
        assert_eq!(
            (
                second.cell.as_str(),
                second.column.as_str(),
                second.source_name.as_str()
            ),
            ("B3", "n", "N")
        );
        assert_eq!(receipt.rejected[0].raw_values, ["there", "1"]);
        let kept = texts(backend, "select name || n from t order by 1").await;
        assert_eq!(kept, ["a1", "a2", "b1", "there1"]);
    }
}

pub(crate) async fn missing_parents_are_rejected(backend: &dyn Backend) {
    backend
        .execute("create table p (id bigint primary key)")
        .await;
    backend.execute("insert into p values (1), (2)").await;
    backend.execute("create table t (name text, n bigint references p, m bigint constraint other references p)").await;
    let plan = plan(backend, "t", &["name", "n", "m"]).await;
    let store = backend.store();
    let key = begin(&*store, "parents").await;
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Text("a"), Cell::Int(1), Cell::Int(2)])
        .row(&[Cell::Text("b"), Cell::Int(9), Cell::Int(1)])
        .row(&[Cell::Text("c"), Cell::Int(2), Cell::Int(8)])
        .row(&[Cell::Text("d"), Cell::Null, Cell::Null])
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    let code = RowErrorCode::ForeignKeyViolation;
    let expected = vec![
        (1, 3, code, "B3", "n", "9", "t_n_fkey"),
        (2, 4, code, "C4", "m", "8", "other"),
    ];
    assert_eq!(facts(&receipt.rejected), expected);
    assert_eq!(
        texts(backend, "select name from t order by 1").await,
        ["a", "d"]
    );
}

pub(crate) async fn deferred_foreign_keys_are_attributed_to_rows(backend: &dyn Backend) {
    backend
        .execute("create table p (id bigint primary key)")
        .await;
    backend.execute("insert into p values (1)").await;
    backend.execute("create table t (name text, n bigint constraint later references p deferrable initially deferred)").await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "deferred").await;
    let batch = pairs(&plan, 0, &[("a", 1), ("b", 5), ("c", 1), ("d", 6)]);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    let code = RowErrorCode::ForeignKeyViolation;
    let expected = vec![
        (1, 3, code, "B3", "n", "5", "later"),
        (3, 5, code, "B5", "n", "6", "later"),
    ];
    assert_eq!(facts(&receipt.rejected), expected);
    assert_eq!(
        texts(backend, "select name from t order by 1").await,
        ["a", "c"]
    );
    assert_eq!(decided(&*store, key).await, (receipt.counts, 4));
}

pub(crate) async fn failed_checks_are_rejected(backend: &dyn Backend) {
    backend
        .execute("create table t (name text, n bigint, constraint small check (n < 10))")
        .await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "checks").await;
    let batch = pairs(&plan, 0, &[("a", 1), ("b", 11), ("c", 3)]);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    let expected = vec![(1, 3, RowErrorCode::CheckViolation, "B3", "n", "11", "small")];
    assert_eq!(facts(&receipt.rejected), expected);
    assert_eq!(receipt.rejected[0].errors[0].sql_state, "23514");
    assert_eq!(
        texts(backend, "select name from t order by 1").await,
        ["a", "c"]
    );
}

pub(crate) async fn nulls_in_required_columns_are_rejected(backend: &dyn Backend) {
    backend
        .execute("create table t (name text not null, n bigint)")
        .await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "nulls").await;
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Null, Cell::Int(1)])
        .row(&[Cell::Text("b"), Cell::Int(2)])
        .row(&[Cell::Unset, Cell::Int(3)])
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    let code = RowErrorCode::RequiredMissing;
    let expected = vec![
        (0, 2, code, "A2", "name", "", ""),
        (2, 4, code, "A4", "name", "", ""),
    ];
    assert_eq!(facts(&receipt.rejected), expected);
    assert_eq!(texts(backend, "select name from t").await, ["b"]);
}

pub(crate) async fn rows_that_a_trigger_swallows_are_rejected(backend: &dyn Backend) {
    backend
        .execute("create table t (name text, n bigint)")
        .await;
    match backend.kind() {
        Kind::Sqlite => {
            let sql = "create trigger quiet before insert on t when new.n = 0 \
                       begin select raise(ignore); end";
            backend.execute(sql).await;
        }
        Kind::Postgres => {
            let sql = "create function quiet() returns trigger language plpgsql as \
                       $$begin if new.n = 0 then return null; end if; return new; end$$; \
                       create trigger quiet before insert on t for each row \
                       execute function quiet()";
            backend.execute(sql).await;
        }
    }
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "swallowed").await;
    let batch = pairs(&plan, 0, &[("a", 1), ("b", 0), ("c", 2), ("d", 0)]);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (2, 2));
    let code = RowErrorCode::Database;
    let expected = vec![(1, 3, code, "", "", "", ""), (3, 5, code, "", "", "", "")];
    assert_eq!(facts(&receipt.rejected), expected);
    assert_eq!(
        texts(backend, "select name from t order by 1").await,
        ["a", "c"]
    );
}

pub(crate) async fn errors_of_triggers_reject_their_row(backend: &dyn Backend) {
    backend
        .execute("create table t (name text, n bigint)")
        .await;
    match backend.kind() {
        Kind::Sqlite => {
            let sql = "create trigger loud after insert on t when new.n = 0 \
                       begin select raise(abort, 'no zeros please'); end";
            backend.execute(sql).await;
        }
        Kind::Postgres => {
            let sql = "create function loud() returns trigger language plpgsql as \
                       $$begin if new.n = 0 then raise 'no zeros please'; end if; return new; end$$; \
                       create trigger loud after insert on t for each row \
                       execute function loud()";
            backend.execute(sql).await;
        }
    }
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "loud").await;
    let batch = pairs(&plan, 0, &[("a", 1), ("b", 0), ("c", 2)]);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!(
        facts(&receipt.rejected),
        vec![(1, 3, RowErrorCode::Database, "", "", "", "")]
    );
    let message = &receipt.rejected[0].errors[0].message;
    assert!(message.contains("no zeros please"), "{message}");
    assert_eq!(
        texts(backend, "select name from t order by 1").await,
        ["a", "c"]
    );
}

pub(crate) async fn every_bad_row_of_a_large_batch_is_found(backend: &dyn Backend) {
    let sql = "create table t (name text not null, n bigint primary key, check (n <> 1500))";
    backend.execute(sql).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "many").await;
    let mut builder = BatchBuilder::new(&plan, 0);
    for n in 0..2_000 {
        // Every hundredth row repeats its predecessor's key.
        let n = if n % 100 == 99 { n - 1 } else { n };
        builder = builder.row(&[Cell::Text("row"), Cell::Int(n)]);
    }
    let receipt = write(&*store, key, &plan, &builder.build(0)).await.unwrap();
    let rejected: Vec<u64> = receipt.rejected.iter().map(|row| row.ordinal).collect();
    let mut expected: Vec<u64> = (0..2_000).filter(|n| n % 100 == 99 || *n == 1500).collect();
    expected.sort_unstable();
    assert_eq!(rejected, expected);
    assert_eq!(
        (receipt.counts.inserted, receipt.counts.rejected),
        (1_979, 21)
    );
    assert_eq!(number(backend, "select count(*) from t").await, 1_979);
}

pub(crate) async fn batch_of_bad_rows_only_commits(backend: &dyn Backend) {
    backend
        .execute("create table t (name text not null, n bigint)")
        .await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "bad").await;
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Null, Cell::Int(1)])
        .refused(&[Cell::Text("x"), Cell::Int(2)], RowErrorCode::CellError)
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (0, 2));
    let batch = BatchBuilder::new(&plan, 2)
        .refused(&[Cell::Text("x"), Cell::Int(2)], RowErrorCode::CellError)
        .build(1);
    write(&*store, key, &plan, &batch).await.unwrap();
    let (counts, watermark) = decided(&*store, key).await;
    assert_eq!((counts.rejected, watermark), (3, 3));
}

pub(crate) async fn changed_schema_fails_the_import(backend: &dyn Backend) {
    backend
        .execute("create table t (name text, n bigint)")
        .await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "schema").await;
    backend.execute("alter table t drop column n").await;
    for sql in ["", "drop table t"] {
        backend.execute(sql).await;
        match write(&*store, key, &plan, &pairs(&plan, 0, &[("a", 1)])).await {
            Err(StoreError::Failed(failure)) => assert_eq!(failure.reason, Reason::SchemaChanged),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(decided(&*store, key).await.1, 0);
}
