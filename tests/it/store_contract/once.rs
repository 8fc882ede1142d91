//! Exactly once: receipts, fences, deadlines, the reject limit.

use crate::support::decided;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use rowlift::model::batch::RejectBudget;
use rowlift::model::cell::Cell;
use rowlift::model::reject::RowErrorCode;
use rowlift::store::{OpenMode, StoreError, WriteRequest};

use super::backend::{
    Backend, BatchBuilder, Kind, begin, new_import, number, open, pairs, plan, write, write_within,
};

const PAIRS: &str = "create table t (name text not null, n bigint)";

pub(crate) async fn receipt_is_repeated_without_writing(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "repeat").await;
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Text("a"), Cell::Int(1)])
        .row(&[Cell::Null, Cell::Int(2)])
        .blank()
        .refused(&[Cell::Text("x"), Cell::Int(3)], RowErrorCode::TooLong)
        .build(0);
    let first = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!(
        (
            first.counts.inserted,
            first.counts.rejected,
            first.counts.blank
        ),
        (1, 2, 1)
    );
    let second = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(number(backend, "select count(*) from t").await, 1);
    assert_eq!(decided(&*store, key).await, (first.counts, 4));
    let page = store
        .rejected_rows("alice", "repeat", None, None, 10)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((page.rows, page.total), (first.rejected, 2));
}

pub(crate) async fn overlapping_batch_is_refused(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "overlap").await;
    let batch = pairs(&plan, 10, &[("a", 1), ("b", 2)]);
    write(&*store, key, &plan, &batch).await.unwrap();
    let other = pairs(&plan, 10, &[("a", 1), ("b", 2), ("c", 3)]);
    let refused = write(&*store, key, &plan, &other).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    assert_eq!(number(backend, "select count(*) from t").await, 2);
}

pub(crate) async fn older_session_is_fenced(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let old = begin(&*store, "fence").await;
    write(&*store, old, &plan, &pairs(&plan, 0, &[("a", 1)]))
        .await
        .unwrap();
    let new = open(&*store, &new_import("fence"), OpenMode::Resume).await;
    assert_eq!(new.key.epoch, old.epoch + 1);
    let late = write(&*store, old, &plan, &pairs(&plan, 1, &[("b", 2)])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    let repeat = write(&*store, old, &plan, &pairs(&plan, 0, &[("a", 1)])).await;
    assert!(matches!(repeat, Err(StoreError::Fenced)), "{repeat:?}");
    write(&*store, new.key, &plan, &pairs(&plan, 1, &[("c", 2)]))
        .await
        .unwrap();
    assert_eq!(
        number(backend, "select count(*) from t where name <> 'b'").await,
        2
    );
    assert_eq!(number(backend, "select count(*) from t").await, 2);
}

pub(crate) async fn newer_session_row_fences_before_the_takeover_is_done(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "half").await;
    let newer = match backend.kind() {
        Kind::Sqlite => {
            "insert into rowlift_sessions (import, epoch, server, begin_time_ms, lease_until_ms) \
             select import, epoch + 1, server, begin_time_ms, lease_until_ms from rowlift_sessions"
        }
        Kind::Postgres => {
            "insert into rowlift.sessions (import, epoch, server, lease_until) \
             select import, epoch + 1, server, lease_until from rowlift.sessions"
        }
    };
    backend.execute(newer).await;
    let late = write(&*store, key, &plan, &pairs(&plan, 0, &[("b", 2)])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(number(backend, "select count(*) from t").await, 0);
}

pub(crate) async fn passed_deadline_writes_nothing(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "deadline").await;
    let batch = pairs(&plan, 0, &[("a", 1)]);
    let settings = BTreeMap::new();
    let rejects = RejectBudget::new(Some(0), 0);
    let request = WriteRequest {
        key,
        plan: &plan,
        batch: &batch,
        rejects: &rejects,
        settings: &settings,
        probe_first: false,
        deadline: Some(Instant::now()),
    };
    let late = store.write_batch(request).await;
    assert!(matches!(late, Err(StoreError::Deadline)), "{late:?}");
    assert_eq!(number(backend, "select count(*) from t").await, 0);
    // The store works on.
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!(receipt.counts.inserted, 1);
}

/// What `future` makes, unless it takes more than `n_polls` polls: then it is dropped.
async fn cut_after<F: Future>(n_polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut n_done = 0;
    poll_fn(|context| {
        n_done += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if n_done == n_polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

pub(crate) async fn dropped_write_leaves_nothing(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "dropped").await;
    let mut builder = BatchBuilder::new(&plan, 0);
    for n in 0..3_000 {
        builder = builder.row(&[Cell::Text("row"), Cell::Int(n)]);
    }
    let batch = builder.build(0);
    let rejects = RejectBudget::new(None, 0);
    // Cut after ever more polls, so at every await that there is.
    let mut n_cut = 0;
    loop {
        let writing = write_within(&*store, key, &plan, &batch, &rejects);
        if cut_after(n_cut + 1, writing).await.is_some() {
            break;
        }
        n_cut += 1;
    }
    // How often a write has to wait is the database's and the machine's business.
    assert!(n_cut > 0, "the write never waited: nothing was cut");
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!(receipt.counts.inserted, 3_000);
    assert_eq!(number(backend, "select count(*) from t").await, 3_000);
}

pub(crate) async fn reject_limit_lets_exactly_so_many_rows_pass(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let bad = [Cell::Null, Cell::Int(0)];
    let good = [Cell::Text("a"), Cell::Int(1)];
    let batch = |start| {
        let builder = BatchBuilder::new(&plan, start).row(&good).row(&bad);
        builder
            .refused(&[Cell::Text("x"), Cell::Int(2)], RowErrorCode::TooLong)
            .row(&bad)
            .build(start)
    };
    // Three rows are rejected in each batch.
    let key = begin(&*store, "passes").await;
    let budget = RejectBudget::new(Some(6), 0);
    for start in [0, 4] {
        write_within(&*store, key, &plan, &batch(start), &budget)
            .await
            .unwrap();
    }
    let key = begin(&*store, "fails").await;
    let budget = RejectBudget::new(Some(4), 0);
    write_within(&*store, key, &plan, &batch(0), &budget)
        .await
        .unwrap();
    let recorded = match write_within(&*store, key, &plan, &batch(4), &budget).await {
        Err(StoreError::RejectLimit { recorded }) => recorded,
        other => panic!("{other:?}"),
    };
    let ordinals: Vec<u64> = recorded.iter().map(|row| row.ordinal).collect();
    assert_eq!(ordinals, [5, 6]);
    let again = write_within(&*store, key, &plan, &batch(8), &budget).await;
    assert!(
        matches!(&again, Err(StoreError::RejectLimit { recorded }) if recorded.is_empty()),
        "{again:?}"
    );
    let clean = BatchBuilder::new(&plan, 12).row(&good).build(12);
    write_within(&*store, key, &plan, &clean, &budget)
        .await
        .unwrap();
    let page = store
        .rejected_rows("alice", "fails", None, None, 100)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(page.total, 5);
    let (counts, watermark) = decided(&*store, key).await;
    assert_eq!((counts.rejected, counts.inserted, watermark), (3, 2, 4));
    assert_eq!(number(backend, "select count(*) from t").await, 4);
}

pub(crate) async fn reject_limit_is_exact_with_two_writers(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "writers").await;
    let budget = RejectBudget::new(Some(10), 0);
    let batches: Vec<_> = (0..12)
        .map(|index| {
            let builder = BatchBuilder::new(&plan, index * 2).row(&[Cell::Null, Cell::Int(0)]);
            builder.row(&[Cell::Text("a"), Cell::Int(1)]).build(index)
        })
        .collect();
    let (even, odd): (Vec<_>, Vec<_>) = batches.iter().partition(|batch| batch.index % 2 == 0);
    let writer = |batches: Vec<_>| async {
        let (mut n_in, mut n_recorded) = (0, 0);
        for batch in batches {
            match write_within(&*store, key, &plan, batch, &budget).await {
                Ok(_) => n_in += 1,
                Err(StoreError::RejectLimit { recorded }) => n_recorded += recorded.len(),
                Err(error) => panic!("{error}"),
            }
        }
        (n_in, n_recorded)
    };
    let (a, b) = futures::join!(writer(even), writer(odd));
    assert_eq!((a.0 + b.0, a.1 + b.1), (10, 1));
    let page = store
        .rejected_rows("alice", "writers", None, None, 100)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(page.total, 11);
    assert_eq!(number(backend, "select count(*) from t").await, 10);
}
