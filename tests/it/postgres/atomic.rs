//! One transaction over all batches: all of them, or nothing.

use rowlift::model::batch::RejectBudget;
use rowlift::model::import::WriteMethod;
use rowlift::model::plan::OnMissing;
use rowlift::model::reject::RowErrorCode as Code;
use rowlift::model::stats::RowCounts;
use rowlift::model::value::Value::{self, Int, Text, Unset};
use rowlift::store::{AtomicRequest, AtomicWrite, OpenMode, Store, StoreError, WholeRange};

use super::fixture::{
    Fixture, Import, METHODS, add_mapping_reject, batch, codes, integers, new_import,
};
use crate::support::decided;

const TABLE: &str = "CREATE TABLE t (a int PRIMARY KEY CHECK (a <> 13))";

async fn fixture(sql: &str) -> Fixture {
    let fixture = Fixture::new().await;
    fixture.database.execute(sql).await;
    fixture
}

async fn begin<'a>(fixture: &'a Fixture, import: &'a Import) -> Box<dyn AtomicWrite + 'a> {
    try_begin(fixture, import, false).await.unwrap()
}

async fn try_begin<'a>(
    fixture: &'a Fixture,
    import: &'a Import,
    validate_only: bool,
) -> Result<Box<dyn AtomicWrite + 'a>, StoreError> {
    let request = AtomicRequest {
        key: import.key,
        plan: &import.plan,
        rejects: &import.rejects,
        settings: &import.settings,
        deadline: import.deadline.map(|left| std::time::Instant::now() + left),
        validate_only,
    };
    fixture.store.begin_atomic(request).await
}

fn whole(end: u64, counts: RowCounts) -> WholeRange {
    WholeRange {
        end,
        rows_hash: 77,
        counts,
        n_batches: 2,
        position: Some(bytes::Bytes::from_static(b"here")),
    }
}

async fn n_rows(fixture: &Fixture) -> String {
    fixture.database.value("SELECT count(*) FROM t").await
}

#[tokio::test]
async fn all_batches_are_in_after_the_commit_and_none_before() {
    let fixture = fixture(TABLE).await;
    for method in METHODS {
        let again = "TRUNCATE t, rowlift.rejected_rows";
        fixture.database.execute(again).await;
        let import = fixture.import("t", &["a"], method).await;
        let mut atomic = begin(&fixture, &import).await;
        let mut first = integers(0, &[1, 2, 13]);
        add_mapping_reject(&mut first);
        let one = atomic.write(&first, false).await.unwrap();
        let two = atomic.write(&integers(4, &[3, 2]), true).await.unwrap();
        let mut counts = one.counts;
        counts += two.counts;
        assert_eq!((counts.inserted, counts.rejected), (3, 3), "{method:?}");
        assert_eq!(codes(&two.rejected), [(5, Code::UniqueViolation)]);
        assert_eq!(n_rows(&fixture).await, "0");
        assert_eq!(decided(&fixture.store, import.key).await.1, 0);
        atomic.commit(&whole(6, counts)).await.unwrap();
        assert_eq!(n_rows(&fixture).await, "3");
        let committed = fixture.store.committed(import.key).await.unwrap();
        assert_eq!((committed.counts, committed.watermark), (counts, 6));
        assert_eq!(committed.n_batches, 2);
        assert_eq!(committed.rejected_by_code["UNIQUE_VIOLATION"], 1);
        assert_eq!(committed.rejected_by_code["CHECK_VIOLATION"], 1);
        let stored = "SELECT count(*) FROM rowlift.rejected_rows";
        assert_eq!(fixture.database.value(stored).await, "3");
    }
}

#[tokio::test]
async fn a_rollback_and_a_drop_leave_nothing() {
    let fixture = fixture(TABLE).await;
    let import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    for is_dropped in [false, true] {
        let mut atomic = begin(&fixture, &import).await;
        atomic.write(&integers(0, &[1, 13]), false).await.unwrap();
        if is_dropped {
            drop(atomic);
        } else {
            atomic.rollback().await.unwrap();
        }
        let left = "SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM rowlift.rejected_rows) \
            + (SELECT count(*) FROM rowlift.import_batches)";
        assert_eq!(fixture.database.value(left).await, "0");
    }
    // A transaction that was dropped while it wrote holds nothing either.
    let mut atomic = begin(&fixture, &import).await;
    let many: Vec<i64> = (100..20_000).collect();
    let many = integers(0, &many);
    {
        let mut write = std::pin::pin!(atomic.write(&many, false));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(write.as_mut().poll(context).is_ready())
        });
        assert!(!polled.await);
    }
    let over = atomic.write(&integers(0, &[1]), false).await;
    assert!(matches!(over, Err(StoreError::Failed(_))), "{over:?}");
    drop(atomic);
    let import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    fixture.write(&import, &many).await.unwrap();
}

#[tokio::test]
async fn a_row_beyond_the_limit_undoes_everything() {
    let fixture = fixture(TABLE).await;
    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    import.rejects = RejectBudget::new(Some(2), 0);
    let mut atomic = begin(&fixture, &import).await;
    atomic.write(&integers(0, &[1, 13]), false).await.unwrap();
    let beyond = atomic.write(&integers(2, &[1, 5, 13, 1]), false).await;
    let Err(StoreError::RejectLimit { recorded }) = beyond else {
        panic!("{beyond:?}");
    };
    assert_eq!(
        codes(&recorded),
        [(2, Code::UniqueViolation), (4, Code::CheckViolation)]
    );
    let over = atomic.write(&integers(6, &[7]), false).await;
    assert!(matches!(over, Err(StoreError::Failed(_))), "{over:?}");
    assert_eq!(n_rows(&fixture).await, "0");
    let stored = "SELECT count(*) FROM rowlift.rejected_rows";
    assert_eq!(fixture.database.value(stored).await, "0");
    fixture
        .store
        .record_rejects(import.key, &recorded)
        .await
        .unwrap();
    fixture
        .store
        .record_rejects(import.key, &recorded)
        .await
        .unwrap();
    assert_eq!(fixture.database.value(stored).await, "2");
}

#[tokio::test]
async fn a_dry_run_leaves_its_result_only() {
    let fixture = fixture(TABLE).await;
    fixture.database.execute("INSERT INTO t VALUES (2)").await;
    let import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    let import = import.update("t_pkey", OnMissing::Insert);
    let mut atomic = try_begin(&fixture, &import, true).await.unwrap();
    let one = atomic
        .write(&integers(0, &[1, 2, 13]), false)
        .await
        .unwrap();
    let two = atomic.write(&integers(3, &[1, 3]), false).await.unwrap();
    atomic.rollback().await.unwrap();
    let mut counts = one.counts;
    counts += two.counts;
    assert_eq!(
        (counts.inserted, counts.unchanged, counts.rejected),
        (2, 2, 1)
    );
    assert_eq!(n_rows(&fixture).await, "1");
    let store = &fixture.store;
    store
        .record_rejects(import.key, &one.rejected)
        .await
        .unwrap();
    for _ in 0..2 {
        store
            .record_dry_run(import.key, &whole(5, counts))
            .await
            .unwrap();
    }
    let committed = store.committed(import.key).await.unwrap();
    assert_eq!((committed.counts, committed.watermark), (counts, 5));
    assert_eq!(n_rows(&fixture).await, "1");
    let empty = fixture.import("t", &["a"], WriteMethod::Copy).await;
    let nothing = whole(0, RowCounts::default());
    store.record_dry_run(empty.key, &nothing).await.unwrap();
    assert_eq!(store.committed(empty.key).await.unwrap().n_batches, 0);
}

#[tokio::test]
async fn a_session_that_was_taken_over_commits_nothing() {
    let fixture = fixture(TABLE).await;
    let new = new_import();
    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    import.key = fixture.open(&new, OpenMode::Begin).await.key;
    let mut atomic = begin(&fixture, &import).await;
    let receipt = atomic.write(&integers(0, &[1, 2]), false).await.unwrap();
    // The takeover does not wait for the transaction.
    let next = fixture.open(&new, OpenMode::Resume).await;
    assert_eq!(next.committed_offset, 0);
    let fenced = atomic.commit(&whole(2, receipt.counts)).await;
    assert!(matches!(fenced, Err(StoreError::Fenced)), "{fenced:?}");
    assert_eq!(n_rows(&fixture).await, "0");
    let fenced = try_begin(&fixture, &import, false).await.err();
    assert!(matches!(fenced, Some(StoreError::Fenced)), "{fenced:?}");
    import.key = next.key;
    let mut atomic = begin(&fixture, &import).await;
    let receipt = atomic.write(&integers(0, &[1, 2]), false).await.unwrap();
    atomic.commit(&whole(2, receipt.counts)).await.unwrap();
    assert_eq!(n_rows(&fixture).await, "2");
}

#[tokio::test]
async fn deferred_constraints_are_checked_with_each_batch_and_deferred_again() {
    let fixture = fixture(
        "CREATE TABLE t (a int PRIMARY KEY, p int CONSTRAINT t_p REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let import = fixture
        .import("t", &["a", "p"], WriteMethod::Sequential)
        .await;
    let mut atomic = begin(&fixture, &import).await;
    // Within a batch a row may refer to a later one.
    for first in [0, 10, 20] {
        let rows = [
            vec![Int(first + 1), Int(first + 2)],
            vec![Int(first + 2), Int(first + 1)],
        ];
        let ordinal = u64::try_from(first).unwrap();
        let receipt = atomic.write(&batch(ordinal, &rows), false).await.unwrap();
        assert_eq!(receipt.counts.inserted, 2, "{first}");
    }
    let bad = batch(30, &[vec![Int(31), Int(99)], vec![Int(32), Int(1)]]);
    let receipt = atomic.write(&bad, false).await.unwrap();
    assert_eq!(codes(&receipt.rejected), [(30, Code::ForeignKeyViolation)]);
    let last = batch(40, &[vec![Int(41), Int(42)], vec![Int(42), Int(41)]]);
    let receipt = atomic.write(&last, true).await.unwrap();
    assert_eq!(receipt.counts.inserted, 2);
    atomic
        .commit(&whole(42, RowCounts::default()))
        .await
        .unwrap();
    assert_eq!(n_rows(&fixture).await, "9");
}

#[tokio::test]
async fn rows_that_meet_others_are_staged_anew_for_each_batch() {
    let fixture =
        fixture("CREATE TABLE t (a int PRIMARY KEY, v text NOT NULL, n int CHECK (n > 0))").await;
    let import = fixture
        .import("t", &["a", "v", "n"], WriteMethod::Copy)
        .await;
    let import = import.update("t_pkey", OnMissing::Insert);
    let mut atomic = begin(&fixture, &import).await;
    let mut counts = RowCounts::default();
    for first in 0..4 {
        let rows: Vec<Vec<Value<'_>>> = vec![
            vec![Int(1), Text("x"), Int(first)],
            vec![Int(2), Unset, Int(5)],
            vec![Int(1), Unset, Int(9)],
            vec![Int(2), Text("y"), Unset],
        ];
        let ordinal = u64::try_from(first * 4).unwrap();
        counts += atomic
            .write(&batch(ordinal, &rows), false)
            .await
            .unwrap()
            .counts;
    }
    atomic.commit(&whole(16, counts)).await.unwrap();
    // The first n is 0: refused, and with it those that would update what is not there.
    assert_eq!((counts.inserted, counts.rejected), (2, 3));
    assert_eq!((counts.updated, counts.unchanged), (6, 5));
    let table = fixture
        .database
        .query("SELECT t::text FROM t ORDER BY a")
        .await;
    assert_eq!(table[0][0].as_deref(), Some("(1,x,9)"));
    assert_eq!(table[1][0].as_deref(), Some("(2,y,5)"));
}

#[tokio::test]
async fn settings_hold_for_the_whole_transaction() {
    let fixture =
        fixture("CREATE TABLE t (a int, by text DEFAULT current_setting('app.by'))").await;
    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    import.settings.insert("app.by".to_owned(), "me".to_owned());
    let mut atomic = begin(&fixture, &import).await;
    let mut counts = RowCounts::default();
    counts += atomic
        .write(&integers(0, &[1]), false)
        .await
        .unwrap()
        .counts;
    counts += atomic.write(&integers(1, &[2]), true).await.unwrap().counts;
    atomic.commit(&whole(2, counts)).await.unwrap();
    let by = "SELECT string_agg(DISTINCT by, ',') FROM t";
    assert_eq!(fixture.database.value(by).await, "me");
}

#[tokio::test]
async fn a_deadline_ends_the_transaction() {
    let fixture = fixture(TABLE).await;
    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    import.deadline = Some(std::time::Duration::ZERO);
    let late = try_begin(&fixture, &import, false).await.err();
    assert!(matches!(late, Some(StoreError::Deadline)), "{late:?}");
}
