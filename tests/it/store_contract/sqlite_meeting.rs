//! Rows that meet a key, and atomic imports, where only SQLite does what it does.

use std::collections::BTreeMap;

use rowlift::model::batch::Receipt;
use rowlift::model::cell::Cell;
use rowlift::model::import::Reason;
use rowlift::model::plan::{OnConflict, WritePlan};
use rowlift::model::reject::RowErrorCode;
use rowlift::model::stats::RowCounts;
use rowlift::store::{AtomicRequest, LiveCounters, Pulse, StoreError, WholeRange};

use super::backend::{
    Backend, BatchBuilder, any_rejects, begin, codes, meeting, pairs, plan, skip, texts, update,
    verdicts, write,
};
use crate::support::sqlite::SqliteBackend;

const DATABASE: RowErrorCode = RowErrorCode::Database;

async fn prepared(sql: &[&str]) -> SqliteBackend {
    let backend = SqliteBackend::start().await;
    for statement in sql {
        backend.execute(statement).await;
    }
    backend
}

async fn plan_of(
    backend: &SqliteBackend,
    columns: &[&str],
    key: &str,
    action: fn(usize) -> OnConflict,
) -> WritePlan {
    meeting(&plan(backend, "t", columns).await, key, action)
}

async fn write_all(backend: &SqliteBackend, plan: &WritePlan, rows: &[&[Cell<'_>]]) -> Receipt {
    let store = backend.store();
    let key = begin(&*store, "it").await;
    let mut builder = BatchBuilder::new(plan, 0);
    for row in rows {
        builder = builder.row(row);
    }
    let receipt = write(&*store, key, plan, &builder.build(0)).await;
    receipt.unwrap()
}

#[tokio::test]
async fn triggers_that_roll_back_cost_their_rows_only() {
    for resolution in ["rollback", "fail", "abort"] {
        for event in ["insert", "update"] {
            let trigger = format!(
                "create trigger r after {event} on t when new.name = 'bad' \
                 begin select raise({resolution}, 'no'); end"
            );
            let backend = prepared(&[
                "create table t (name text, n bigint primary key)",
                "insert into t values ('old', 1), ('same', 2), ('old', 3)",
                &trigger,
            ])
            .await;
            let plan = plan_of(&backend, &["name", "n"], "t_pkey", update).await;
            let rows = [
                ("new", 1),
                ("same", 2),
                ("bad", 3),
                ("bad", 4),
                ("good", 5),
                ("new", 3),
            ];
            let store = backend.store();
            let key = begin(&*store, "it").await;
            let receipt = write(&*store, key, &plan, &pairs(&plan, 0, &rows)).await;
            let receipt = receipt.unwrap();
            let kept = texts(&backend, "select name || n from t order by n").await;
            // Either row 3 could not be updated, or row 4 not be inserted.
            let (expected, rejected, kept_there) = match event {
                "insert" => ([1, 3, 1, 0, 1], 3, vec!["new1", "same2", "new3", "good5"]),
                _ => (
                    [2, 2, 1, 0, 1],
                    2,
                    vec!["new1", "same2", "new3", "bad4", "good5"],
                ),
            };
            let what = format!("{resolution} after {event}");
            assert_eq!(verdicts(receipt.counts), expected, "{what}");
            assert_eq!(codes(&receipt.rejected), [(rejected, DATABASE)], "{what}");
            assert_eq!(kept, kept_there, "{what}");
        }
    }
}

#[tokio::test]
async fn swallowed_rows_are_neither_skipped_nor_unchanged() {
    let sql = [
        "create table t (name text, n bigint primary key)",
        "insert into t values ('old', 1)",
        "create trigger i before insert on t when new.name = 'bad' begin select raise(ignore); end",
        "create trigger u before update on t when new.name = 'bad' begin select raise(ignore); end",
    ];
    let rows: [&[Cell<'_>]; 5] = [
        &[Cell::Text("old"), Cell::Int(1)],
        &[Cell::Text("bad"), Cell::Int(1)],
        &[Cell::Text("bad"), Cell::Int(2)],
        &[Cell::Text("good"), Cell::Int(3)],
        &[Cell::Text("new"), Cell::Int(1)],
    ];
    let backend = prepared(&sql).await;
    let plan = plan_of(&backend, &["name", "n"], "t_pkey", update).await;
    let receipt = write_all(&backend, &plan, &rows).await;
    assert_eq!(codes(&receipt.rejected), [(1, DATABASE), (2, DATABASE)]);
    assert_eq!(verdicts(receipt.counts), [1, 1, 1, 0, 2]);
    // Left out of the way by the trigger, row 1 meets its key all the same.
    let backend = prepared(&sql).await;
    let plan = plan_of(&backend, &["name", "n"], "t_pkey", skip).await;
    let receipt = write_all(&backend, &plan, &rows).await;
    assert_eq!(codes(&receipt.rejected), [(2, DATABASE)]);
    assert_eq!(verdicts(receipt.counts), [1, 0, 0, 3, 1]);
}

#[tokio::test]
async fn conflict_clauses_of_a_table_do_not_decide() {
    for clause in ["replace", "ignore", "rollback", "fail", "abort"] {
        for (action, expected, kept) in [
            (
                update as fn(usize) -> OnConflict,
                [1, 1, 0, 0, 2],
                ["1 new a", "2 two b"],
            ),
            (skip, [1, 0, 0, 2, 1], ["1 one a", "2 two b"]),
        ] {
            let table = format!(
                "create table t (id bigint primary key on conflict {clause}, \
                 name text not null on conflict {clause}, \
                 email text unique on conflict {clause})"
            );
            let backend = prepared(&[&table, "insert into t values (1, 'one', 'a')"]).await;
            let plan = plan_of(&backend, &["id", "name", "email"], "t_pkey", action).await;
            let row = |id, name, email| [Cell::Int(id), Cell::Text(name), Cell::Text(email)];
            let rows = [
                row(1, "new", "a"),
                row(2, "two", "b"),
                row(1, "x", "b"),
                row(3, "three", "a"),
            ];
            let rows: Vec<&[Cell<'_>]> = rows.iter().map(|row| &row[..]).collect();
            let receipt = write_all(&backend, &plan, &rows).await;
            assert_eq!(verdicts(receipt.counts), expected, "{clause}");
            let sql = "select id || ' ' || name || ' ' || email from t order by id";
            assert_eq!(texts(&backend, sql).await, kept, "{clause}");
        }
    }
}

#[tokio::test]
async fn collations_belong_to_the_key() {
    let backend = prepared(&[
        "create table t (code text collate nocase, name text collate nocase, m bigint)",
        "create unique index exact on t (code collate binary)",
        "create unique index folded on t (name)",
        "insert into t values ('a', 'one', 1)",
    ])
    .await;
    let columns = ["code", "name", "m"];
    let row = |code, name| [Cell::Text(code), Cell::Text(name), Cell::Int(1)];
    // Another spelling of a value is a change; of a key it is another key or not, as it says.
    let plan = plan_of(&backend, &columns, "exact", update).await;
    let rows = [row("a", "ONE"), row("A", "two"), row("A", "Two")];
    let rows: Vec<&[Cell<'_>]> = rows.iter().map(|row| &row[..]).collect();
    let receipt = write_all(&backend, &plan, &rows).await;
    assert_eq!(verdicts(receipt.counts), [1, 2, 0, 0, 0]);
    let plan = plan_of(&backend, &columns, "folded", update).await;
    let rows = [row("b", "one"), row("c", "oNe"), row("c", "TWO")];
    let rows: Vec<&[Cell<'_>]> = rows.iter().map(|row| &row[..]).collect();
    let store = backend.store();
    let key = begin(&*store, "folded").await;
    let mut builder = BatchBuilder::new(&plan, 0);
    for row in rows {
        builder = builder.row(row);
    }
    let receipt = write(&*store, key, &plan, &builder.build(0)).await.unwrap();
    assert_eq!(verdicts(receipt.counts), [0, 2, 0, 0, 1]);
    let kept = texts(
        &backend,
        "select code || ' ' || name from t order by m, rowid",
    )
    .await;
    assert_eq!(kept, ["c ONE", "A Two"]);
}

#[tokio::test]
async fn values_of_every_kind_are_unchanged_when_written_again() {
    let backend = prepared(&[
        "create table t (id integer primary key, amount numeric(20, 4), ratio double precision, \
         flag boolean, note text, day date, at time, moment timestamp, instant timestamptz, \
         u uuid, data blob, any_text money, big bigint, j json)",
    ])
    .await;
    let columns = [
        "id", "amount", "ratio", "flag", "note", "day", "at", "moment", "instant", "u", "data",
        "any_text", "big", "j",
    ];
    let plan = plan_of(&backend, &columns, "t_pkey", update).await;
    let moment = Cell::Timestamp {
        seconds: 1_700_000_000,
        nanos: 5_000_000,
    };
    let row = |id, amount, ratio, text| {
        [
            Cell::Int(id),
            Cell::Decimal(amount),
            Cell::Double(ratio),
            Cell::Bool(true),
            Cell::Text(text),
            Cell::Date("2024-02-29"),
            Cell::Time("23:59:59.000001"),
            moment,
            moment,
            Cell::Text("67e55044-10b1-426f-9247-bb680e5fe0c8"),
            Cell::Bytes(&[0, 255]),
            Cell::Text(text),
            Cell::Int(i64::MIN),
            Cell::Text(text),
        ]
    };
    let rows = [
        row(1, "1.50", 0.1 + 0.2, "1.0"),
        row(2, "-12345678901.25", 5.0, "007"),
        row(3, "9007199254740993", f64::NAN, "1e3"),
        row(4, "0.1", -0.0, ""),
    ];
    let once: Vec<&[Cell<'_>]> = rows.iter().map(|row| &row[..]).collect();
    // In one batch, so that the update follows the insert it must not change.
    let twice: Vec<&[Cell<'_>]> = once.iter().chain(&once).copied().collect();
    let receipt = write_all(&backend, &plan, &twice).await;
    assert_eq!(verdicts(receipt.counts), [4, 0, 4, 0, 0]);
    let store = backend.store();
    let key = begin(&*store, "again").await;
    let mut singly = plan.clone();
    singly.method = rowlift::model::import::WriteMethod::Sequential;
    let mut builder = BatchBuilder::new(&singly, 0);
    for row in once {
        builder = builder.row(row);
    }
    let receipt = write(&*store, key, &singly, &builder.build(0)).await;
    assert_eq!(verdicts(receipt.unwrap().counts), [0, 0, 4, 0, 0]);
}

#[tokio::test]
async fn rows_outside_of_a_partial_index_do_not_meet() {
    let backend = prepared(&[
        "create table t (email text, name text, deleted text)",
        "create unique index live on t (email) where deleted is null -- those that are there",
        "insert into t values ('a', 'one', null)",
    ])
    .await;
    let columns = ["email", "name", "deleted"];
    let plan = plan_of(&backend, &columns, "live", update).await;
    let row = |name, deleted| [Cell::Text("a"), Cell::Text(name), deleted];
    let rows = [
        row("gone", Cell::Text("x")),
        row("gone", Cell::Text("x")),
        row("new", Cell::Null),
    ];
    let rows: Vec<&[Cell<'_>]> = rows.iter().map(|row| &row[..]).collect();
    let receipt = write_all(&backend, &plan, &rows).await;
    assert_eq!(verdicts(receipt.counts), [2, 1, 0, 0, 0]);
    let kept = texts(
        &backend,
        "select name || coalesce(deleted, '-') from t order by 1",
    )
    .await;
    assert_eq!(kept, ["gonex", "gonex", "new-"]);
}

#[tokio::test]
async fn check_looks_at_the_row_that_is_updated() {
    let backend = prepared(&[
        "create table t (id bigint primary key, kind text, size bigint, \
         check (kind = 'flat' or size is not null))",
        "insert into t values (1, 'box', 5)",
    ])
    .await;
    let plan = plan_of(&backend, &["id", "kind", "size"], "t_pkey", update).await;
    let rows: [&[Cell<'_>]; 3] = [
        &[Cell::Int(1), Cell::Text("crate"), Cell::Unset],
        &[Cell::Int(2), Cell::Text("box"), Cell::Unset],
        &[Cell::Int(1), Cell::Text("crate"), Cell::Null],
    ];
    let receipt = write_all(&backend, &plan, &rows).await;
    assert_eq!(verdicts(receipt.counts), [0, 1, 0, 0, 2]);
    let check = RowErrorCode::CheckViolation;
    assert_eq!(codes(&receipt.rejected), [(1, check), (2, check)]);
}

#[tokio::test]
async fn defaults_are_what_the_table_says() {
    let backend = prepared(&[
        "create table t (id integer primary key, a text default none, b text default \"two\", \
         c text default (upper('x') || 'y' -- why\n), d bigint default -1, \
         at text default current_timestamp)",
        "insert into t values (1, '-', '-', '-', 0, '-')",
    ])
    .await;
    let columns = ["id", "a", "b", "c", "d", "at"];
    let plan = plan_of(&backend, &columns, "t_pkey", update).await;
    let row = |id| {
        [
            Cell::Int(id),
            Cell::Empty,
            Cell::Empty,
            Cell::Empty,
            Cell::Empty,
            Cell::Empty,
        ]
    };
    let receipt = write_all(&backend, &plan, &[&row(1), &row(2)]).await;
    assert_eq!(verdicts(receipt.counts), [1, 1, 0, 0, 0]);
    let sql = "select distinct a || b || c || d || (at like '20__-__-__ %') from t";
    assert_eq!(texts(&backend, sql).await, ["nonetwoXy-11"]);
}

#[tokio::test]
async fn expression_over_reshaped_texts_is_refused() {
    let backend = prepared(&[
        "create table t (price money, name text)",
        "create unique index priced on t (price || 'x')",
    ])
    .await;
    let plan = plan_of(&backend, &["price", "name"], "priced", update).await;
    let store = backend.store();
    let key = begin(&*store, "it").await;
    let batch = BatchBuilder::new(&plan, 0);
    let batch = batch.row(&[Cell::Text("1.0"), Cell::Text("a")]).build(0);
    match write(&*store, key, &plan, &batch).await {
        Err(StoreError::Failed(failure)) => assert_eq!(failure.reason, Reason::NoUniqueKey),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn deferred_keys_blame_rows_that_wrote() {
    let backend = prepared(&[
        "create table p (id bigint primary key)",
        "insert into p values (1)",
        "create table t (name text, n bigint primary key, \
         p bigint references p deferrable initially deferred)",
        "insert into t values ('one', 1, 1), ('two', 2, 1)",
    ])
    .await;
    let mut plan = plan_of(&backend, &["name", "n", "p"], "t_pkey", update).await;
    let row = |name, n, p| [Cell::Text(name), Cell::Int(n), Cell::Int(p)];
    let rows = [
        row("uno", 1, 1),
        row("dos", 2, 9),
        row("tres", 3, 8),
        row("x", 3, 1),
    ];
    let rows: Vec<&[Cell<'_>]> = rows.iter().map(|row| &row[..]).collect();
    let receipt = write_all(&backend, &plan, &rows).await;
    let code = RowErrorCode::ForeignKeyViolation;
    assert_eq!(codes(&receipt.rejected), [(1, code), (2, code)]);
    assert_eq!(verdicts(receipt.counts), [1, 1, 0, 0, 2]);
    // What an update does not write it cannot break; a new row does.
    plan.columns[2].insert_only = true;
    let store = backend.store();
    let key = begin(&*store, "again").await;
    let mut builder = BatchBuilder::new(&plan, 0);
    for row in [row("dos", 2, 9), row("four", 4, 9)] {
        builder = builder.row(&row);
    }
    let receipt = write(&*store, key, &plan, &builder.build(0)).await.unwrap();
    assert_eq!(codes(&receipt.rejected), [(1, code)]);
    assert_eq!(verdicts(receipt.counts), [0, 1, 0, 0, 1]);
}

#[tokio::test]
async fn child_before_its_parent_is_refused_in_any_batch() {
    let backend =
        prepared(&["create table t (name text, n bigint primary key, p bigint references t)"])
            .await;
    let plan = plan(&backend, "t", &["name", "n", "p"]).await;
    let rows: [&[Cell<'_>]; 4] = [
        &[Cell::Text("early"), Cell::Int(1), Cell::Int(2)],
        &[Cell::Text("parent"), Cell::Int(2), Cell::Null],
        &[Cell::Text("late"), Cell::Int(3), Cell::Int(2)],
        &[Cell::Text("own"), Cell::Int(4), Cell::Int(4)],
    ];
    let receipt = write_all(&backend, &plan, &rows).await;
    let code = RowErrorCode::ForeignKeyViolation;
    assert_eq!(codes(&receipt.rejected), [(0, code)]);
}

#[tokio::test]
async fn trigger_that_rolls_an_atomic_import_back_ends_it() {
    let backend = prepared(&[
        "create table t (name text, n bigint)",
        "create trigger r after insert on t when new.n = 0 begin select raise(rollback, 'no'); end",
    ])
    .await;
    let plan = plan(&backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "it").await;
    let (budget, settings) = (any_rejects(), BTreeMap::new());
    let request = AtomicRequest {
        key,
        plan: &plan,
        rejects: &budget,
        settings: &settings,
        deadline: None,
        validate_only: false,
    };
    let mut atomic = store.begin_atomic(request).await.unwrap();
    let first = pairs(&plan, 0, &[("a", 1)]);
    atomic.write(&first, false).await.unwrap();
    let broken = atomic.write(&pairs(&plan, 1, &[("b", 0)]), false).await;
    match broken {
        Err(StoreError::Failed(failure)) => assert!(failure.message.contains("trigger")),
        other => panic!("{other:?}"),
    }
    let over = atomic.write(&pairs(&plan, 2, &[("c", 2)]), false).await;
    assert!(matches!(over, Err(StoreError::Failed(_))), "{over:?}");
    let whole = WholeRange {
        end: 1,
        rows_hash: first.rows_hash,
        counts: RowCounts::default(),
        n_batches: 1,
        position: None,
    };
    assert!(atomic.commit(&whole).await.is_err());
    assert!(texts(&backend, "select name from t").await.is_empty());
    // The writer is free again.
    let receipt = write(&*store, key, &plan, &first).await.unwrap();
    assert_eq!(receipt.counts.inserted, 1);
}

#[tokio::test]
async fn heartbeat_waits_for_an_atomic_import() {
    let backend = prepared(&["create table t (name text, n bigint)"]).await;
    let plan = plan(&backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "it").await;
    let (budget, settings) = (any_rejects(), BTreeMap::new());
    let request = AtomicRequest {
        key,
        plan: &plan,
        rejects: &budget,
        settings: &settings,
        deadline: None,
        validate_only: false,
    };
    let mut atomic = store.begin_atomic(request).await.unwrap();
    atomic
        .write(&pairs(&plan, 0, &[("a", 1)]), false)
        .await
        .unwrap();
    let sessions = [(key, LiveCounters::default())];
    let mut pulse = store.heartbeat(&sessions);
    assert!(futures::poll!(&mut pulse).is_pending());
    // Reading goes on.
    assert!(store.import("alice", "it").await.unwrap().is_some());
    drop(atomic);
    assert_eq!(pulse.await.unwrap(), [(key, Pulse::Held)]);
    assert!(texts(&backend, "select name from t").await.is_empty());
}
