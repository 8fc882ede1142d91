//! What the ledger keeps beside the batches, and what a takeover finds there.

use std::collections::BTreeMap;

use rowlift::model::batch::RejectBudget;
use rowlift::model::cell::Cell;
use rowlift::model::import::{FileFormat, ImportState, NewImport, Reason};
use rowlift::model::layout::SourceLayout;
use rowlift::model::reject::RowErrorCode;
use rowlift::model::stats::RowCounts;
use rowlift::store::{CommittedRange, OpenMode, StoreError, WholeRange};

use super::backend::{
    Backend, BatchBuilder, Kind, any_rejects, begin, new_import, number, open, outcome, pairs,
    plan, refusal, with_position, write, write_within,
};
use crate::support::waits::eventually;

const NO_COLUMNS: SourceLayout = SourceLayout {
    format: Some(FileFormat::Csv),
    sheet: String::new(),
    names: Vec::new(),
    has_header: true,
};

const PAIRS: &str = "create table t (name text not null, n bigint)";

async fn n_ranges(backend: &dyn Backend) -> u64 {
    let table = match backend.kind() {
        Kind::Sqlite => "rowlift_import_batches",
        Kind::Postgres => "rowlift.import_batches",
    };
    number(backend, &format!("select count(*) from {table}")).await
}

pub(crate) async fn noted_file_survives_a_takeover(backend: &dyn Backend) {
    let store = backend.store();
    let new = new_import("file");
    let first = open(&*store, &new, OpenMode::Begin).await;
    assert_eq!(first.file_sha256, None);
    for sha256 in [[1; 32], [2; 32]] {
        store.note_file(first.key, sha256).await.unwrap();
    }
    let second = open(&*store, &new, OpenMode::Resume).await;
    assert_eq!(second.file_sha256, Some([2; 32]));
    let late = store.note_file(first.key, [3; 32]).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    // An end knows it too, and one that knows nothing takes nothing away.
    let mut suspended = outcome(ImportState::Suspended, RowCounts::default());
    suspended.file_sha256 = vec![4; 32];
    store.end_import(second.key, &suspended).await.unwrap();
    let third = open(&*store, &new, OpenMode::Resume).await;
    assert_eq!(third.file_sha256, Some([4; 32]));
    let failed = outcome(ImportState::Failed, RowCounts::default());
    store.end_import(third.key, &failed).await.unwrap();
    // A new beginning may be with another file.
    let anew = open(&*store, &new, OpenMode::Repeat).await;
    assert_eq!((anew.resumed, anew.file_sha256), (false, None));
    let again = open(&*store, &new, OpenMode::Repeat).await;
    assert_eq!((again.resumed, again.file_sha256), (true, None));
}

pub(crate) async fn an_announced_file_is_the_only_one_that_takes_over(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let of = |file_sha256: Option<[u8; 32]>| NewImport {
        file_sha256,
        ..new_import("announced")
    };
    let first = open(&*store, &of(Some([1; 32])), OpenMode::Begin).await;
    assert_eq!(first.file_sha256, Some([1; 32]));
    let failure = refusal(&*store, &of(Some([2; 32])), OpenMode::Resume).await;
    assert_eq!(failure.reason, Reason::IdConflict);
    // The session that has it was not disturbed.
    store.note_layout(first.key, &NO_COLUMNS).await.unwrap();
    let second = open(&*store, &of(Some([1; 32])), OpenMode::Resume).await;
    assert_eq!(second.key.epoch, first.key.epoch + 1);
    // Whoever announces nothing is compared once its file is there.
    let third = open(&*store, &of(None), OpenMode::Resume).await;
    assert_eq!(third.file_sha256, Some([1; 32]));
    // Without a decided row it may be begun anew, with any file.
    let failed = outcome(ImportState::Failed, RowCounts::default());
    store.end_import(third.key, &failed).await.unwrap();
    let anew = open(&*store, &of(None), OpenMode::Repeat).await;
    assert_eq!((anew.resumed, anew.file_sha256), (false, None));
    // Until a row is decided nothing is lost with another file, once no session runs.
    let fourth = open(&*store, &of(Some([4; 32])), OpenMode::Resume).await;
    assert_eq!(fourth.file_sha256, Some([4; 32]));
    let failure = refusal(&*store, &of(Some([5; 32])), OpenMode::Resume).await;
    assert_eq!(failure.reason, Reason::IdConflict);
    backend.expire_leases().await;
    let fifth = open(&*store, &of(Some([5; 32])), OpenMode::Resume).await;
    assert_eq!(fifth.file_sha256, Some([5; 32]));
    write(&*store, fifth.key, &plan, &pairs(&plan, 0, &[("a", 1)]))
        .await
        .unwrap();
    backend.expire_leases().await;
    let failure = refusal(&*store, &of(Some([4; 32])), OpenMode::Resume).await;
    assert_eq!(failure.reason, Reason::IdConflict);
    let sixth = open(&*store, &of(Some([5; 32])), OpenMode::Resume).await;
    assert_eq!(
        (sixth.committed_offset, sixth.file_sha256),
        (1, Some([5; 32]))
    );
}

pub(crate) async fn an_announcement_after_rows_is_a_claim(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "claimed").await;
    write(&*store, key, &plan, &pairs(&plan, 0, &[("a", 1)]))
        .await
        .unwrap();
    // A wrong file that announces itself does not keep the right one out.
    for sha256 in [[1; 32], [2; 32]] {
        let new = NewImport {
            file_sha256: Some(sha256),
            ..new_import("claimed")
        };
        let open = open(&*store, &new, OpenMode::Resume).await;
        assert_eq!((open.committed_offset, open.file_sha256), (1, None));
    }
}

pub(crate) async fn a_running_import_has_an_age(backend: &dyn Backend) {
    let store = backend.store();
    open(&*store, &new_import("running"), OpenMode::Begin).await;
    eventually("it is a millisecond old", async || {
        let record = store.import("alice", "running").await.unwrap().unwrap();
        record.stats.elapsed_ms > 0
    })
    .await;
    // One that does not run has none, however long ago that was.
    backend.expire_leases().await;
    let record = store.import("alice", "running").await.unwrap().unwrap();
    assert_eq!(record.stats.elapsed_ms, 0);
}

pub(crate) async fn noted_layout_is_that_of_the_source(backend: &dyn Backend) {
    let store = backend.store();
    let layout = |names: &[&str]| SourceLayout {
        format: Some(FileFormat::Csv),
        sheet: "Q3".to_owned(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        has_header: true,
    };
    let stored = async |id: &str| {
        let source = store.rejected_source("alice", id).await.unwrap();
        source.unwrap().layout
    };
    // A file's is noted once its header is read.
    let new = new_import("file");
    let first = open(&*store, &new, OpenMode::Begin).await;
    assert_eq!(stored("file").await, None);
    let file = layout(&["name", "a\0b", "ß"]);
    for _ in 0..2 {
        store.note_layout(first.key, &file).await.unwrap();
    }
    let second = open(&*store, &new, OpenMode::Resume).await;
    assert_eq!(stored("file").await, Some(file.clone()));
    let late = store.note_layout(first.key, &layout(&["late"])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    let failed = outcome(ImportState::Failed, RowCounts::default());
    store.end_import(second.key, &failed).await.unwrap();
    assert_eq!(stored("file").await, Some(file));
    // That of rows is known when they begin, and again when they begin anew.
    let rows = NewImport {
        layout: Some(layout(&["a"])),
        ..new_import("rows")
    };
    let first = open(&*store, &rows, OpenMode::Begin).await;
    assert_eq!(stored("rows").await, rows.layout);
    open(&*store, &rows, OpenMode::Resume).await;
    assert_eq!(stored("rows").await, rows.layout);
    backend.expire_leases().await;
    let key = open(&*store, &rows, OpenMode::Resume).await.key;
    assert_ne!(key, first.key);
    store.end_import(key, &failed).await.unwrap();
    let anew = NewImport {
        layout: Some(layout(&["b"])),
        ..rows
    };
    open(&*store, &anew, OpenMode::Repeat).await;
    assert_eq!(stored("rows").await, anew.layout);
    // Nor does a file that begins anew keep the layout of another one.
    open(&*store, &new, OpenMode::Repeat).await;
    assert_eq!(stored("file").await, None);
}

pub(crate) async fn takeover_finds_hashes_and_positions(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "takeover").await;
    let batch = |start, position| {
        let batch = pairs(&plan, start, &[("a", 1), ("b", 2)]);
        with_position(batch, position)
    };
    let below = [batch(0, "two"), batch(2, "four")];
    let above = [batch(6, "eight"), batch(10, "twelve")];
    for batch in below.iter().chain(&above) {
        write(&*store, key, &plan, batch).await.unwrap();
    }
    let hash = below[0].rows_hash.wrapping_add(below[1].rows_hash);
    for _ in 0..2 {
        let open = open(&*store, &new_import("takeover"), OpenMode::Repeat).await;
        assert_eq!((open.committed_offset, open.committed_hash), (4, hash));
        assert_eq!(open.committed_position.as_deref(), Some(&b"four"[..]));
        let ranges = above.iter().map(|batch| CommittedRange {
            range: batch.range.clone(),
            rows_hash: batch.rows_hash,
            position: batch.position.clone(),
        });
        assert_eq!(open.committed_ranges, ranges.collect::<Vec<_>>());
        store.compact(open.key, 4).await.unwrap();
    }
}

pub(crate) async fn decided_ranges_are_compacted(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "compact").await;
    let batch = |start| pairs(&plan, start, &[("a", 1), ("b", 2)]);
    for start in [0, 2, 4, 8] {
        write(&*store, key, &plan, &batch(start)).await.unwrap();
    }
    let before = store.committed(key).await.unwrap();
    assert_eq!((before.watermark, before.n_batches), (6, 4));
    for (watermark, expected) in [(0, 4), (3, 4), (4, 3), (4, 3), (6, 2), (100, 2)] {
        store.compact(key, watermark).await.unwrap();
        assert_eq!(n_ranges(backend).await, expected, "to {watermark}");
        assert_eq!(store.committed(key).await.unwrap(), before);
    }
    // What is above goes on as it was: a retry finds its own range.
    let again = write(&*store, key, &plan, &batch(8)).await.unwrap();
    assert_eq!(again.counts.inserted, 2);
    write(&*store, key, &plan, &batch(6)).await.unwrap();
    store.compact(key, 10).await.unwrap();
    assert_eq!(n_ranges(backend).await, 1);
    let open = open(&*store, &new_import("compact"), OpenMode::Resume).await;
    let mut hash = 0_u128;
    for start in [0, 2, 4, 6, 8] {
        hash = hash.wrapping_add(batch(start).rows_hash);
    }
    assert_eq!((open.committed_offset, open.committed_hash), (10, hash));
    let late = store.compact(key, 10).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(number(backend, "select count(*) from t").await, 10);
}

pub(crate) async fn undecided_rejects_are_forgotten(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "undecided").await;
    let bad = [Cell::Null, Cell::Int(0)];
    let batch = |start| {
        BatchBuilder::new(&plan, start)
            .row(&bad)
            .row(&bad)
            .build(start)
    };
    let decided = write(&*store, key, &plan, &batch(0)).await.unwrap();
    let budget = RejectBudget::new(Some(3), 2);
    let beyond = match write_within(&*store, key, &plan, &batch(2), &budget).await {
        Err(StoreError::RejectLimit { recorded }) => recorded,
        other => panic!("{other:?}"),
    };
    assert_eq!(beyond.len(), 2);
    // Recorded once more, none is twice.
    for rejected in [&beyond, &decided.rejected] {
        store.record_rejects(key, rejected).await.unwrap();
    }
    let by_code = |n| BTreeMap::from([("REQUIRED_MISSING".to_owned(), n)]);
    let committed = store.committed(key).await.unwrap();
    assert_eq!(committed.rejected_by_code, by_code(4));
    assert_eq!(committed.counts.rejected, 2);
    let new = open(&*store, &new_import("undecided"), OpenMode::Resume).await;
    let committed = store.committed(new.key).await.unwrap();
    assert_eq!(committed.rejected_by_code, by_code(2));
    let late = store.record_rejects(key, &beyond).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    // So a cancel does of an import that nobody holds.
    store.record_rejects(new.key, &beyond).await.unwrap();
    backend.expire_leases().await;
    let record = store.request_cancel("alice", "undecided", "").await;
    let ended = record.unwrap().unwrap().outcome.unwrap();
    assert_eq!(ended.rejected_by_code, by_code(2));
}

pub(crate) async fn rejected_rows_are_counted_by_code(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "codes").await;
    let cells = [Cell::Text("x"), Cell::Int(1)];
    let batch = BatchBuilder::new(&plan, 0)
        .refused(&cells, RowErrorCode::TooLong)
        .refused(&cells, RowErrorCode::TypeMismatch)
        .row(&[Cell::Null, Cell::Int(2)])
        .refused(&cells, RowErrorCode::TooLong)
        .row(&cells)
        .build(0);
    let budget = any_rejects();
    write_within(&*store, key, &plan, &batch, &budget)
        .await
        .unwrap();
    let expected = [
        ("REQUIRED_MISSING", 1),
        ("TOO_LONG", 2),
        ("TYPE_MISMATCH", 1),
    ];
    let expected = expected.map(|(code, n)| (code.to_owned(), n));
    let committed = store.committed(key).await.unwrap();
    assert_eq!(committed.rejected_by_code, BTreeMap::from(expected));
}

pub(crate) async fn dry_run_without_a_row_leaves_no_range(backend: &dyn Backend) {
    let store = backend.store();
    let key = begin(&*store, "dry").await;
    let nothing = WholeRange {
        end: 0,
        rows_hash: 0,
        counts: RowCounts::default(),
        n_batches: 0,
        position: None,
    };
    store.record_dry_run(key, &nothing).await.unwrap();
    assert_eq!(n_ranges(backend).await, 0);
    let ended = outcome(ImportState::Cancelled, RowCounts::default());
    store.end_import(key, &ended).await.unwrap();
    let late = store.record_dry_run(key, &nothing).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
}
