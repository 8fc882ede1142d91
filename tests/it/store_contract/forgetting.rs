//! What the ledger forgets, and when: values, then ids; at once where an import is deleted.

use std::time::Duration;

use bytes::Bytes;
use rowlift::model::cell::Cell;
use rowlift::model::import::{Failure, ImportOutcome, ImportState, NewImport, Reason};
use rowlift::model::plan::WritePlan;
use rowlift::model::reject::RowErrorCode;
use rowlift::model::stats::RowCounts;
use rowlift::store::query::RejectedPage;
use rowlift::store::{Forgotten, LiveCounters, OpenMode, Opened, SessionKey, Store};

use super::backend::{
    Backend, BatchBuilder, any_rejects, begin, new_import, number, open, outcome, plan, write,
    write_within,
};

/// In every value; nothing else holds it.
const MARK: &str = "zq7secret";
const TABLE: &str = "create table t (name text not null, n bigint)";
/// More than a test has rows.
const ALL: u32 = 1000;

/// An import whose file name and labels hold a mark of their own.
fn import(id: &str) -> NewImport {
    let mut new = new_import(id);
    "zq7file.xlsx".clone_into(&mut new.file_name);
    new.labels.insert("of".to_owned(), "zq7label".to_owned());
    new
}

/// Writes `n_rows` rejected rows full of marks, with a marked place after them.
async fn reject(
    store: &dyn Store,
    key: SessionKey,
    plan: &WritePlan,
    n_rows: u64,
    keeps_values: bool,
) {
    let value = format!("{MARK} of a cell");
    let mut builder = BatchBuilder::new(plan, 0);
    for _ in 0..n_rows {
        let cells = [Cell::Text(&value), Cell::Int(1)];
        builder = builder.refused(&cells, RowErrorCode::TypeMismatch);
    }
    let mut batch = builder.build(0);
    for row in &mut batch.rejected {
        row.errors[0].message = format!("{value:?} is not a number");
        row.errors[0]
            .params
            .insert("seen".to_owned(), value.clone());
    }
    batch.position = Some(Bytes::from(format!("{MARK} of a place")));
    let budget = if keeps_values {
        any_rejects()
    } else {
        any_rejects().forgetting_values()
    };
    let receipt = write_within(store, key, plan, &batch, &budget).await;
    // The caller is told in any case.
    assert_eq!(receipt.unwrap().rejected, batch.rejected);
}

/// An end whose failure quotes a value everywhere.
fn marked_outcome(state: ImportState, n_rejected: u64) -> ImportOutcome {
    let rows = RowCounts {
        rejected: n_rejected,
        ..RowCounts::default()
    };
    let failure = Failure::new(Reason::ColumnMapping, format!("unknown column {MARK}"))
        .with("abort_reason", MARK)
        .with("committed_offset", 7)
        .with_field("columns", format!("{MARK:?} is unknown"));
    ImportOutcome {
        failure: Some(failure),
        ..outcome(state, rows)
    }
}

async fn page(store: &dyn Store, id: &str) -> RejectedPage {
    let page = store.rejected_rows("alice", id, None, None, ALL).await;
    page.unwrap().unwrap()
}

/// The page is whole but for the values.
fn assert_no_values(page: &RejectedPage, n_rows: u64) {
    assert_eq!((page.total, page.rows.len() as u64), (n_rows, n_rows));
    for row in &page.rows {
        let error = &row.errors[0];
        assert_eq!(row.row_number, row.ordinal + 2);
        assert_eq!(error.code, RowErrorCode::TypeMismatch);
        assert_eq!(error.column, "name");
        assert_eq!(error.cell, format!("A{}", row.row_number));
        assert!(row.raw_values.is_empty());
        assert!(!format!("{row:?}").contains(MARK), "{row:?}");
    }
}

async fn forget_all(store: &dyn Store) -> Forgotten {
    let mut all = Forgotten::default();
    loop {
        let step = store.forget(ALL).await.unwrap();
        all.n_ids += step.n_ids;
        all.n_wiped += step.n_wiped;
        all.n_rows += step.n_rows;
        if !step.more {
            return all;
        }
    }
}

pub(crate) async fn values_go_before_ids(backend: &dyn Backend) {
    backend.execute(TABLE).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = open(&*store, &import("old"), OpenMode::Begin).await.key;
    reject(&*store, key, &plan, 300, true).await;
    let ended = marked_outcome(ImportState::Failed, 300);
    store.end_import(key, &ended).await.unwrap();

    assert_eq!(store.forget(ALL).await.unwrap(), Forgotten::default());
    backend.pass_days(6).await;
    assert_eq!(store.forget(ALL).await.unwrap(), Forgotten::default());
    let kept = page(&*store, "old").await;
    assert!(kept.rows[0].errors[0].message.contains(MARK));
    assert!(backend.dump().await.contains(MARK));

    // Nobody is told a value whose time has passed, whether or not it is wiped.
    backend.pass_days(2).await;
    assert_no_values(&page(&*store, "old").await, 300);
    let record = store.import("alice", "old").await.unwrap().unwrap();
    assert!(!format!("{record:?}").contains(MARK), "{record:?}");
    let wiped = forget_all(&*store).await;
    assert_eq!((wiped.n_ids, wiped.n_wiped, wiped.n_rows), (0, 1, 300));
    assert_eq!(forget_all(&*store).await, Forgotten::default());
    assert_no_values(&page(&*store, "old").await, 300);
    let dump = backend.dump().await;
    assert!(!dump.contains(MARK));
    assert!(dump.contains("zq7file") && dump.contains("zq7label"));
    let record = store.import("alice", "old").await.unwrap().unwrap();
    assert_eq!(record.outcome.unwrap().stats, ended.stats);
    let failure = record.failure.unwrap();
    assert_eq!(failure.reason, Reason::ColumnMapping);
    assert_eq!(failure.metadata["committed_offset"], "7");

    backend.pass_days(83).await;
    assert_eq!(store.import("alice", "old").await.unwrap(), None);
    let gone = store.rejected_rows("alice", "old", None, None, 1).await;
    assert_eq!(gone.unwrap(), None);
    let forgotten = forget_all(&*store).await;
    assert_eq!((forgotten.n_ids, forgotten.n_rows), (1, 300));
    let dump = backend.dump().await;
    assert!(!dump.contains("zq7") && !dump.contains("alice"), "{dump}");
}

pub(crate) async fn values_are_wiped_in_small_steps(backend: &dyn Backend) {
    backend.execute(TABLE).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    for id in ["a", "b"] {
        let key = begin(&*store, id).await;
        reject(&*store, key, &plan, 25, true).await;
        let ended = marked_outcome(ImportState::Failed, 25);
        store.end_import(key, &ended).await.unwrap();
    }
    backend.pass_days(8).await;
    let mut steps = Vec::new();
    loop {
        let step = store.forget(10).await.unwrap();
        steps.push((step.n_rows, step.n_wiped));
        if !step.more {
            break;
        }
    }
    let wanted = [(10, 0), (10, 0), (10, 1), (10, 0), (10, 0), (0, 1)];
    assert_eq!(steps, wanted);
    assert!(!backend.dump().await.contains(MARK));
    // Deleting is no different.
    backend.pass_days(90).await;
    let mut n_steps = 0;
    while store.forget(10).await.unwrap().more {
        n_steps += 1;
    }
    assert_eq!(n_steps, 6);
    let dump = backend.dump().await;
    assert!(!dump.contains("alice"), "{dump}");
}

pub(crate) async fn deleted_imports_keep_their_counts(backend: &dyn Backend) {
    backend.execute(TABLE).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let new = import("gone");
    let key = open(&*store, &new, OpenMode::Begin).await.key;
    // More than one step.
    reject(&*store, key, &plan, 1500, true).await;
    let mut ended = marked_outcome(ImportState::Failed, 1500);
    ended.file_sha256 = vec![5; 32];
    store.end_import(key, &ended).await.unwrap();
    let first = store.delete_import("alice", "gone").await.unwrap().unwrap();
    assert!(!backend.dump().await.contains("zq7"));
    assert_eq!(page(&*store, "gone").await.total, 1500);
    for record in [
        first,
        store.delete_import("alice", "gone").await.unwrap().unwrap(),
    ] {
        assert_eq!((record.file_name.as_str(), record.labels.len()), ("", 0));
        assert!(record.rejects_expire_time_ms <= record.expire_time_ms);
        assert_eq!(record.state, ImportState::Failed);
    }
    for unknown in [("alice", "never"), ("bob", "gone")] {
        let deleted = store.delete_import(unknown.0, unknown.1).await.unwrap();
        assert_eq!(deleted, None);
    }
    let replayed = store.open_import(&new, OpenMode::Resume).await.unwrap();
    let Opened::Ended(record) = replayed else {
        panic!("not replayed: {replayed:?}");
    };
    let outcome = record.outcome.unwrap();
    assert_eq!(
        (outcome.stats, outcome.file_sha256),
        (ended.stats, vec![5; 32])
    );
    assert_eq!(store.forget(ALL).await.unwrap(), Forgotten::default());
}

pub(crate) async fn imports_that_have_not_ended_are_not_deleted(backend: &dyn Backend) {
    backend.execute(TABLE).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = open(&*store, &import("open"), OpenMode::Begin).await.key;
    reject(&*store, key, &plan, 2, true).await;
    let running = store.delete_import("alice", "open").await.unwrap().unwrap();
    assert_eq!(running.state, ImportState::Running);
    let suspended = outcome(ImportState::Suspended, RowCounts::default());
    store.end_import(key, &suspended).await.unwrap();
    let record = store.delete_import("alice", "open").await.unwrap().unwrap();
    assert_eq!(record.state, ImportState::Suspended);
    assert_eq!(record.file_name, "zq7file.xlsx");
    assert!(backend.dump().await.contains(MARK));
}

pub(crate) async fn expired_ids_are_free(backend: &dyn Backend) {
    backend.execute(TABLE).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "again").await;
    reject(&*store, key, &plan, 3, true).await;
    let ended = marked_outcome(ImportState::Failed, 3);
    store.end_import(key, &ended).await.unwrap();
    backend.pass_days(91).await;
    // Nobody has come by to delete it yet.
    let mut other = new_import("again");
    other.fingerprint = [9; 32];
    let new = open(&*store, &other, OpenMode::Begin).await;
    assert!(!new.resumed);
    assert_eq!(new.counts, RowCounts::default());
    assert_eq!(page(&*store, "again").await.total, 0);
    let forgotten = forget_all(&*store).await;
    assert_eq!((forgotten.n_ids, forgotten.n_rows), (1, 3));
    let record = store.import("alice", "again").await.unwrap().unwrap();
    assert_eq!((record.state, record.epoch), (ImportState::Running, 1));
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Text("a"), Cell::Int(1)])
        .build(0);
    write(&*store, new.key, &plan, &batch).await.unwrap();
}

pub(crate) async fn held_imports_are_not_forgotten(backend: &dyn Backend) {
    backend.execute(TABLE).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = open(&*store, &import("held"), OpenMode::Begin).await.key;
    reject(&*store, key, &plan, 2, true).await;
    let beat = [(key, LiveCounters::default())];
    for _ in 0..3 {
        backend.pass_days(365).await;
        store.heartbeat(&beat).await.unwrap();
        assert_eq!(forget_all(&*store).await, Forgotten::default());
    }
    let kept = page(&*store, "held").await;
    assert!(kept.rows[0].errors[0].message.contains(MARK));
    // One that was taken for dead and beats again is not forgotten by its old times.
    backend.pass_days(1).await;
    assert_eq!(forget_all(&*store).await, Forgotten::default());
    let record = store.import("alice", "held").await.unwrap().unwrap();
    assert!(record.expire_time_ms.is_some());
    store.heartbeat(&beat).await.unwrap();
    backend.pass_days(100).await;
    store.heartbeat(&beat).await.unwrap();
    assert_eq!(forget_all(&*store).await, Forgotten::default());
    backend.pass_days(1).await;
    assert_eq!(forget_all(&*store).await, Forgotten::default());
    let again = open(&*store, &import("held"), OpenMode::Resume).await;
    assert_eq!((again.resumed, again.committed_offset), (true, 2));
}

pub(crate) async fn abandoned_imports_are_forgotten_in_time(backend: &dyn Backend) {
    backend.execute(TABLE).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    // One gave up its lease, the other died; neither has ended.
    let suspended = begin(&*store, "suspended").await;
    let died = begin(&*store, "died").await;
    for key in [suspended, died] {
        reject(&*store, key, &plan, 2, true).await;
    }
    let given_up = marked_outcome(ImportState::Suspended, 2);
    store.end_import(suspended, &given_up).await.unwrap();
    backend.pass_days(8).await;
    assert_eq!(forget_all(&*store).await.n_wiped, 2);
    for id in ["suspended", "died"] {
        assert_no_values(&page(&*store, id).await, 2);
        // The caller's place is what a resume needs.
        let open = open(&*store, &new_import(id), OpenMode::Resume).await;
        assert_eq!((open.resumed, open.committed_offset), (true, 2));
        let place = format!("{MARK} of a place");
        assert_eq!(open.committed_position.as_deref(), Some(place.as_bytes()));
        let record = store.import("alice", id).await.unwrap().unwrap();
        assert_eq!(record.expire_time_ms, None);
    }
    backend.pass_days(91).await;
    let forgotten = forget_all(&*store).await;
    assert_eq!((forgotten.n_ids, forgotten.n_rows), (2, 4));
    let dump = backend.dump().await;
    assert!(!dump.contains("zq7") && !dump.contains("alice"), "{dump}");
}

pub(crate) async fn shortest_retention_holds(backend: &dyn Backend) {
    let store = backend.store();
    let with = |id: &str, days: Option<u64>| NewImport {
        reject_retention: days.map(|days| Duration::from_hours(24 * days)),
        ..new_import(id)
    };
    let day_ms = 24 * 60 * 60 * 1000;
    for (id, tries, wanted) in [
        ("a", [None, None], 7),
        ("b", [Some(30), None], 30),
        ("c", [None, Some(3)], 3),
        ("d", [Some(2), Some(9)], 2),
    ] {
        open(&*store, &with(id, tries[0]), OpenMode::Begin).await;
        let second = open(&*store, &with(id, tries[1]), OpenMode::Resume).await;
        assert!(second.keeps_values, "{id}");
        let ended = outcome(ImportState::Succeeded, RowCounts::default());
        store.end_import(second.key, &ended).await.unwrap();
        let record = store.import("alice", id).await.unwrap().unwrap();
        let end = record.end_time_ms.unwrap();
        let kept_ms = record.rejects_expire_time_ms.unwrap() - end;
        assert_eq!(kept_ms, wanted * day_ms, "{id}");
        assert_eq!(record.expire_time_ms.unwrap() - end, 90 * day_ms);
    }
    for tries in [[Some(0), None], [Some(0), Some(9)], [None, Some(0)]] {
        let id = format!("never-{:?}", tries[0]).to_lowercase();
        let first = open(&*store, &with(&id, tries[0]), OpenMode::Repeat).await;
        assert_eq!(first.keeps_values, tries[0] != Some(0));
        let second = open(&*store, &with(&id, tries[1]), OpenMode::Resume).await;
        assert!(!second.keeps_values, "{tries:?}");
        let ended = outcome(ImportState::Succeeded, RowCounts::default());
        store.end_import(second.key, &ended).await.unwrap();
        backend.pass_days(91).await;
    }
}

pub(crate) async fn values_that_are_not_wanted_are_never_stored(backend: &dyn Backend) {
    backend.execute(TABLE).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let new = NewImport {
        reject_retention: Some(Duration::ZERO),
        ..new_import("never")
    };
    let held = open(&*store, &new, OpenMode::Begin).await;
    reject(&*store, held.key, &plan, 3, held.keeps_values).await;
    assert!(!backend.dump().await.contains(&format!("{MARK} of a cell")));
    assert_no_values(&page(&*store, "never").await, 3);
    let ended = marked_outcome(ImportState::Failed, 3);
    store.end_import(held.key, &ended).await.unwrap();
    let record = store.import("alice", "never").await.unwrap().unwrap();
    assert!(!format!("{record:?}").contains(MARK), "{record:?}");
    let dump = backend.dump().await;
    assert!(!dump.contains(&format!("column {MARK}")), "{dump}");
    // What is left is the caller's own place.
    forget_all(&*store).await;
    assert!(!backend.dump().await.contains(MARK));
}

pub(crate) async fn many_may_forget_at_once(backend: &dyn Backend) {
    backend.execute(TABLE).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    for index in 0..12 {
        let key = begin(&*store, &format!("m{index}")).await;
        reject(&*store, key, &plan, 15, true).await;
        let ended = marked_outcome(ImportState::Failed, 15);
        store.end_import(key, &ended).await.unwrap();
    }
    for (days, ids, wiped) in [(8, 0, 12), (83, 12, 0)] {
        backend.pass_days(days).await;
        let workers = (0..4).map(|_| async {
            let mut done = Forgotten::default();
            loop {
                let step = store.forget(10).await.unwrap();
                done.n_ids += step.n_ids;
                done.n_wiped += step.n_wiped;
                done.n_rows += step.n_rows;
                // Where somebody else holds what is left there is nothing to do: look again.
                let sql = match backend.kind() {
                    super::backend::Kind::Postgres => {
                        "select count(*) from rowlift.imports where expire_time < now() \
                         or not wiped"
                    }
                    super::backend::Kind::Sqlite => {
                        "select count(*) from rowlift_imports where expire_time_ms \
                         < unixepoch() * 1000 or wiped = 0"
                    }
                };
                if number(backend, sql).await == 0 {
                    return done;
                }
            }
        });
        let done = futures::future::join_all(workers).await;
        let sum = |count: fn(&Forgotten) -> u64| done.iter().map(count).sum::<u64>();
        let sums = (
            sum(|it| it.n_ids),
            sum(|it| it.n_wiped),
            sum(|it| it.n_rows),
        );
        assert_eq!(sums, (ids, wiped, 180));
    }
}
