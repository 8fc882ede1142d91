//! All batches of an import in one transaction: everything, or nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rowlift::model::batch::{Batch, RejectBudget};
use rowlift::model::cell::Cell;
use rowlift::model::import::{ImportState, Reason};
use rowlift::model::plan::WritePlan;
use rowlift::model::reject::RowErrorCode;
use rowlift::model::stats::RowCounts;
use rowlift::store::{
    AtomicRequest, OpenMode, SessionKey, Store, StoreError, WholeRange, WriteRequest,
};

use super::backend::{
    Backend, BatchBuilder, Kind, any_rejects, begin, codes, meeting, new_import, number, open,
    outcome, pairs, plan, texts, update, verdicts, write,
};

const PAIRS: &str = "create table t (name text not null, n bigint)";
const NO_SETTINGS: &BTreeMap<String, String> = &BTreeMap::new();

pub(super) fn request<'a>(
    key: SessionKey,
    plan: &'a WritePlan,
    rejects: &'a RejectBudget,
) -> AtomicRequest<'a> {
    AtomicRequest {
        key,
        plan,
        rejects,
        settings: NO_SETTINGS,
        deadline: None,
        validate_only: false,
    }
}

/// Two rows, a row that NOT NULL refuses between them.
fn mixed(plan: &WritePlan, start: u64) -> Batch {
    let builder = BatchBuilder::new(plan, start);
    let builder = builder.row(&[Cell::Text("a"), Cell::Int(1)]);
    let builder = builder.row(&[Cell::Null, Cell::Int(2)]);
    builder.row(&[Cell::Text("b"), Cell::Int(3)]).build(start)
}

pub(super) fn whole(batches: &[&Batch], counts: RowCounts) -> WholeRange {
    let mut rows_hash = 0_u128;
    for batch in batches {
        rows_hash = rows_hash.wrapping_add(batch.rows_hash);
    }
    WholeRange {
        end: batches.last().map_or(0, |batch| batch.range.end),
        rows_hash,
        counts,
        n_batches: batches.len() as u64,
        position: None,
    }
}

async fn n_rejected(store: &dyn Store, id: &str) -> u64 {
    let page = store.rejected_rows("alice", id, None, None, 10).await;
    page.unwrap().unwrap().total
}

pub(crate) async fn rows_of_a_transaction_show_at_its_commit_only(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "all").await;
    let budget = RejectBudget::new(Some(2), 0);
    let (first, second) = (mixed(&plan, 0), mixed(&plan, 3));
    let mut atomic = store.begin_atomic(request(key, &plan, &budget)).await;
    let atomic = atomic.as_mut().unwrap();
    let mut counts = RowCounts::default();
    for (batch, probe_first) in [(&first, false), (&second, true)] {
        let receipt = atomic.write(batch, probe_first).await.unwrap();
        assert_eq!(receipt.range, batch.range);
        let ordinal = batch.range.start + 1;
        assert_eq!(
            codes(&receipt.rejected),
            [(ordinal, RowErrorCode::RequiredMissing)]
        );
        counts += receipt.counts;
    }
    assert_eq!(number(backend, "select count(*) from t").await, 0);
    assert_eq!(verdicts(counts), [4, 0, 0, 0, 2]);
}

pub(crate) async fn committed_transaction_is_one_range(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "range").await;
    let budget = any_rejects();
    let (first, second) = (mixed(&plan, 0), mixed(&plan, 3));
    let mut atomic = store
        .begin_atomic(request(key, &plan, &budget))
        .await
        .unwrap();
    let mut counts = RowCounts::default();
    for batch in [&first, &second] {
        counts += atomic.write(batch, false).await.unwrap().counts;
    }
    let whole = whole(&[&first, &second], counts);
    atomic.commit(&whole).await.unwrap();
    assert_eq!(number(backend, "select count(*) from t").await, 4);
    let committed = store.committed(key).await.unwrap();
    assert_eq!((committed.counts, committed.watermark), (counts, 6));
    assert_eq!(committed.n_batches, 2);
    let by_code = BTreeMap::from([("REQUIRED_MISSING".to_owned(), 2)]);
    assert_eq!(committed.rejected_by_code, by_code);
    assert_eq!(n_rejected(&*store, "range").await, 2);
    // A second one, begun because the answer to the first was lost, changes nothing.
    let mut atomic = store
        .begin_atomic(request(key, &plan, &budget))
        .await
        .unwrap();
    for batch in [&first, &second] {
        atomic.write(batch, false).await.unwrap();
    }
    assert!(atomic.commit(&whole).await.is_err());
    assert_eq!(number(backend, "select count(*) from t").await, 4);
    let resumed = open(&*store, &new_import("range"), OpenMode::Resume).await;
    assert_eq!(resumed.committed_hash, whole.rows_hash);
    assert_eq!(resumed.committed_offset, 6);
}

pub(crate) async fn import_without_a_row_commits_nothing(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "empty").await;
    let budget = any_rejects();
    let atomic = store
        .begin_atomic(request(key, &plan, &budget))
        .await
        .unwrap();
    let nothing = whole(&[], RowCounts::default());
    atomic.commit(&nothing).await.unwrap();
    let committed = store.committed(key).await.unwrap();
    assert_eq!((committed.watermark, committed.n_batches), (0, 0));
}

pub(crate) async fn rollback_and_drop_leave_nothing(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "nothing").await;
    let budget = any_rejects();
    for drops in [false, true, false] {
        let mut atomic = store
            .begin_atomic(request(key, &plan, &budget))
            .await
            .unwrap();
        atomic.write(&mixed(&plan, 0), false).await.unwrap();
        if drops {
            drop(atomic);
        } else {
            atomic.rollback().await.unwrap();
        }
        assert_eq!(number(backend, "select count(*) from t").await, 0);
        assert_eq!(store.committed(key).await.unwrap().watermark, 0);
        assert_eq!(n_rejected(&*store, "nothing").await, 0);
    }
    // The import goes on as if nothing had been.
    let receipt = write(&*store, key, &plan, &mixed(&plan, 0)).await.unwrap();
    assert_eq!(receipt.counts.inserted, 2);
}

pub(crate) async fn overdrawn_transaction_leaves_nothing(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "overdrawn").await;
    let budget = RejectBudget::new(Some(2), 0);
    let mut atomic = store
        .begin_atomic(request(key, &plan, &budget))
        .await
        .unwrap();
    let first = atomic.write(&mixed(&plan, 0), false).await.unwrap();
    let bad = [Cell::Null, Cell::Int(0)];
    let second = BatchBuilder::new(&plan, 3).row(&bad).row(&bad).row(&bad);
    let recorded = match atomic.write(&second.build(1), false).await {
        Err(StoreError::RejectLimit { recorded }) => recorded,
        other => panic!("{other:?}"),
    };
    let ordinals: Vec<u64> = recorded.iter().map(|row| row.ordinal).collect();
    assert_eq!(ordinals, [3, 4]);
    drop(atomic);
    assert_eq!(number(backend, "select count(*) from t").await, 0);
    assert_eq!(n_rejected(&*store, "overdrawn").await, 0);
    for rejected in [&first.rejected, &recorded, &recorded] {
        store.record_rejects(key, rejected).await.unwrap();
    }
    assert_eq!(n_rejected(&*store, "overdrawn").await, 3);
    assert_eq!(store.committed(key).await.unwrap().counts.total(), 0);
}

pub(crate) async fn dry_run_keeps_verdicts_and_no_rows(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let mut new = new_import("dry");
    new.validate_only = true;
    let key = open(&*store, &new, OpenMode::Begin).await.key;
    let budget = any_rejects();
    let dry = AtomicRequest {
        validate_only: true,
        ..request(key, &plan, &budget)
    };
    let mut atomic = store.begin_atomic(dry).await.unwrap();
    let batch = mixed(&plan, 0);
    let receipt = atomic.write(&batch, false).await.unwrap();
    atomic.rollback().await.unwrap();
    assert_eq!(n_rejected(&*store, "dry").await, 0);
    store.record_rejects(key, &receipt.rejected).await.unwrap();
    let whole = whole(&[&batch], receipt.counts);
    for _ in 0..2 {
        store.record_dry_run(key, &whole).await.unwrap();
    }
    assert_eq!(number(backend, "select count(*) from t").await, 0);
    let committed = store.committed(key).await.unwrap();
    assert_eq!((committed.counts, committed.watermark), (receipt.counts, 3));
    assert_eq!(n_rejected(&*store, "dry").await, 1);
    let ended = outcome(ImportState::Succeeded, receipt.counts);
    store.end_import(key, &ended).await.unwrap();
    let late = store.record_dry_run(key, &whole).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
}

pub(crate) async fn taken_over_import_does_not_commit(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "fence").await;
    let budget = any_rejects();
    if backend.kind() == Kind::Postgres {
        let mut atomic = store
            .begin_atomic(request(key, &plan, &budget))
            .await
            .unwrap();
        let batch = mixed(&plan, 0);
        let receipt = atomic.write(&batch, false).await.unwrap();
        open(&*store, &new_import("fence"), OpenMode::Resume).await;
        let late = atomic.commit(&whole(&[&batch], receipt.counts)).await;
        assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    } else {
        // The one writer is taken: a takeover comes before the transaction, or after it.
        open(&*store, &new_import("fence"), OpenMode::Resume).await;
    }
    let late = store.begin_atomic(request(key, &plan, &budget)).await;
    assert!(matches!(late.map(|_| ()), Err(StoreError::Fenced)));
    assert_eq!(number(backend, "select count(*) from t").await, 0);
    let resumed = open(&*store, &new_import("fence"), OpenMode::Resume).await;
    assert_eq!((resumed.committed_offset, resumed.counts.total()), (0, 0));
}

pub(crate) async fn keys_repeat_across_the_batches_of_a_transaction(backend: &dyn Backend) {
    backend
        .execute("create table t (name text, n bigint primary key)")
        .await;
    backend.execute("insert into t values ('there', 1)").await;
    let plan = meeting(&plan(backend, "t", &["name", "n"]).await, "t_pkey", update);
    let store = backend.store();
    let key = begin(&*store, "keys").await;
    let budget = any_rejects();
    let mut atomic = store
        .begin_atomic(request(key, &plan, &budget))
        .await
        .unwrap();
    let first = pairs(&plan, 0, &[("a", 1), ("b", 2)]);
    let second = pairs(&plan, 2, &[("a", 1), ("c", 2), ("d", 2)]);
    let mut counts = RowCounts::default();
    for (batch, expected) in [(&first, [1, 1, 0, 0, 0]), (&second, [0, 2, 1, 0, 0])] {
        let receipt = atomic.write(batch, false).await.unwrap();
        assert_eq!(verdicts(receipt.counts), expected);
        counts += receipt.counts;
    }
    atomic
        .commit(&whole(&[&first, &second], counts))
        .await
        .unwrap();
    let kept = texts(backend, "select name || n from t order by n").await;
    assert_eq!(kept, ["a1", "d2"]);
}

pub(crate) async fn deferred_keys_are_judged_inside_a_transaction(backend: &dyn Backend) {
    backend
        .execute("create table p (id bigint primary key)")
        .await;
    backend.execute("insert into p values (1)").await;
    backend
        .execute(
            "create table t (name text, n bigint constraint later references p \
             deferrable initially deferred)",
        )
        .await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "deferred").await;
    let budget = any_rejects();
    let mut atomic = store
        .begin_atomic(request(key, &plan, &budget))
        .await
        .unwrap();
    let batch = pairs(&plan, 0, &[("a", 1), ("b", 5), ("c", 1)]);
    let receipt = atomic.write(&batch, false).await.unwrap();
    let code = RowErrorCode::ForeignKeyViolation;
    assert_eq!(codes(&receipt.rejected), [(1, code)]);
    let whole = whole(&[&batch], receipt.counts);
    atomic.commit(&whole).await.unwrap();
    assert_eq!(number(backend, "select count(*) from t").await, 2);
}

pub(crate) async fn passed_deadline_ends_a_transaction(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "deadline").await;
    let budget = any_rejects();
    let late = AtomicRequest {
        deadline: Some(Instant::now()),
        ..request(key, &plan, &budget)
    };
    let begun = store.begin_atomic(late).await.map(|_| ());
    assert!(matches!(begun, Err(StoreError::Deadline)), "{begun:?}");
    let mut builder = BatchBuilder::new(&plan, 0);
    for n in 0..5_000 {
        builder = builder.row(&[Cell::Text("row"), Cell::Int(n)]);
    }
    let batch = builder.build(0);
    let soon = AtomicRequest {
        deadline: Some(Instant::now() + Duration::from_secs(1)),
        ..request(key, &plan, &budget)
    };
    let mut atomic = store.begin_atomic(soon).await.unwrap();
    let mut start = 0;
    let ended = loop {
        let mut batch = batch.clone();
        batch.range = start..start + 5_000;
        start += 5_000;
        if let Err(error) = atomic.write(&batch, false).await {
            break error;
        }
    };
    assert!(matches!(ended, StoreError::Deadline), "{ended:?}");
    drop(atomic);
    assert_eq!(number(backend, "select count(*) from t").await, 0);
    let receipt = write(&*store, key, &plan, &mixed(&plan, 0)).await.unwrap();
    assert_eq!(receipt.counts.inserted, 2);
}

pub(crate) async fn key_that_is_not_mapped_is_refused_before_a_row(backend: &dyn Backend) {
    backend
        .execute("create table t (name text, n bigint, m bigint, constraint t_both unique (n, m))")
        .await;
    let plan = meeting(&plan(backend, "t", &["name", "n"]).await, "t_both", update);
    let store = backend.store();
    let key = begin(&*store, "unmapped").await;
    let batch = pairs(&plan, 0, &[("a", 1)]);
    let request = WriteRequest {
        key,
        plan: &plan,
        batch: &batch,
        rejects: &any_rejects(),
        settings: NO_SETTINGS,
        probe_first: false,
        deadline: None,
    };
    match store.write_batch(request).await {
        Err(StoreError::Failed(failure)) => assert_eq!(failure.reason, Reason::NoUniqueKey),
        other => panic!("{other:?}"),
    }
    assert_eq!(number(backend, "select count(*) from t").await, 0);
}
