//! What a session leaves in the ledger beside its batches, and what a takeover finds of it.

use std::fmt::Debug;

use rowlift::model::import::{ImportOutcome, ImportState, WriteMethod};
use rowlift::model::reject::RejectedRow;
use rowlift::model::stats::RowCounts;
use rowlift::store::{CommittedRange, OpenMode, SessionKey, Store, StoreError, WholeRange};

use super::fixture::{Fixture, Import, add_mapping_reject, integers, new_import};

async fn fixture() -> (Fixture, Import, rowlift::model::import::NewImport) {
    let fixture = Fixture::new().await;
    fixture.database.execute("CREATE TABLE t (a int)").await;
    let new = new_import();
    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    import.key = fixture.open(&new, OpenMode::Begin).await.key;
    (fixture, import, new)
}

fn rejects(ordinals: &[u64]) -> Vec<RejectedRow> {
    let each = ordinals.iter().map(|ordinal| {
        let mut rows = integers(*ordinal, &[]);
        add_mapping_reject(&mut rows);
        rows.rejected.remove(0)
    });
    each.collect()
}

async fn stored_rejects(fixture: &Fixture, key: SessionKey) -> String {
    let sql = format!(
        "SELECT string_agg(ordinal::text, ',' ORDER BY ordinal) FROM rowlift.rejected_rows \
         WHERE import = {}",
        key.import
    );
    fixture.database.value(&sql).await
}

fn assert_fenced<T: Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Fenced)), "{result:?}");
}

#[tokio::test]
async fn a_file_is_remembered_until_the_import_begins_anew() {
    let (fixture, import, new) = fixture().await;
    fixture.store.note_file(import.key, [9; 32]).await.unwrap();
    let next = fixture.open(&new, OpenMode::Resume).await;
    assert_eq!(next.file_sha256, Some([9; 32]));
    assert_fenced(fixture.store.note_file(import.key, [8; 32]).await);
    let mut outcome = ImportOutcome {
        state: ImportState::Suspended,
        stats: rowlift::model::stats::ImportStats::default(),
        committed_offset: 0,
        failure: None,
        rejected_by_code: std::collections::BTreeMap::new(),
        write_method: WriteMethod::Copy,
        file_sha256: Vec::new(),
        duplicate_of_import_id: String::new(),
        validate_only: false,
    };
    fixture.store.end_import(next.key, &outcome).await.unwrap();
    let next = fixture.open(&new, OpenMode::Resume).await;
    assert_eq!(next.file_sha256, Some([9; 32]));
    outcome.file_sha256 = vec![7; 32];
    fixture.store.end_import(next.key, &outcome).await.unwrap();
    let next = fixture.open(&new, OpenMode::Repeat).await;
    assert_eq!(next.file_sha256, Some([7; 32]));
    outcome.state = ImportState::Failed;
    fixture.store.end_import(next.key, &outcome).await.unwrap();
    let anew = fixture.open(&new, OpenMode::Repeat).await;
    assert!(!anew.resumed);
    assert_eq!(anew.file_sha256, None);
}

#[tokio::test]
async fn ranges_below_the_watermark_become_one_while_the_import_runs() {
    let (fixture, import, new) = fixture().await;
    let mut sum = 0_u128;
    for first in [0, 2, 4, 8, 12] {
        let mut rows = integers(first, &[1, 2]);
        rows.position = Some(bytes::Bytes::from(format!("after {first}")));
        if first < 8 {
            sum = sum.wrapping_add(rows.rows_hash);
        }
        fixture.write(&import, &rows).await.unwrap();
    }
    let ranges = "SELECT string_agg(concat(first_ordinal, '-', end_ordinal, '/', batches), ' ' \
        ORDER BY first_ordinal) FROM rowlift.import_batches";
    for watermark in [3, 3] {
        fixture.store.compact(import.key, watermark).await.unwrap();
        assert_eq!(
            fixture.database.value(ranges).await,
            "0-2/1 2-4/1 4-6/1 8-10/1 12-14/1"
        );
    }
    for watermark in [4, 4] {
        fixture.store.compact(import.key, watermark).await.unwrap();
        assert_eq!(
            fixture.database.value(ranges).await,
            "0-4/2 4-6/1 8-10/1 12-14/1"
        );
    }
    let both = tokio::join!(
        fixture.store.compact(import.key, 6),
        fixture.store.compact(import.key, 6)
    );
    both.0.unwrap();
    both.1.unwrap();
    assert_eq!(fixture.database.value(ranges).await, "0-6/3 8-10/1 12-14/1");
    let committed = fixture.store.committed(import.key).await.unwrap();
    assert_eq!((committed.watermark, committed.n_batches), (6, 5));
    assert!(committed.rejected_by_code.is_empty());

    let next = fixture.open(&new, OpenMode::Resume).await;
    assert_fenced(fixture.store.compact(import.key, 6).await);
    assert_eq!((next.committed_offset, next.committed_hash), (6, sum));
    let position = next.committed_position.as_deref();
    assert_eq!(position, Some(b"after 4".as_slice()));
    let above: Vec<(u64, u64, Option<&[u8]>)> = next
        .committed_ranges
        .iter()
        .map(
            |CommittedRange {
                 range, position, ..
             }| (range.start, range.end, position.as_deref()),
        )
        .collect();
    assert_eq!(
        above,
        [
            (8, 10, Some(b"after 8".as_slice())),
            (12, 14, Some(b"after 12".as_slice()))
        ]
    );
}

#[tokio::test]
async fn a_takeover_forgets_rejected_rows_that_nothing_decides() {
    let (fixture, import, new) = fixture().await;
    let store = &fixture.store;
    for first in [0, 6] {
        let mut rows = integers(first, &[1, 2]);
        add_mapping_reject(&mut rows);
        fixture.write(&import, &rows).await.unwrap();
    }
    store
        .record_rejects(import.key, &rejects(&[3, 5, 9]))
        .await
        .unwrap();
    assert_eq!(stored_rejects(&fixture, import.key).await, "2,3,5,8,9");
    let next = fixture.open(&new, OpenMode::Resume).await;
    assert_eq!(stored_rejects(&fixture, import.key).await, "2,8");
    assert_fenced(store.record_rejects(import.key, &rejects(&[4])).await);
    let whole = WholeRange {
        end: 3,
        rows_hash: 1,
        counts: RowCounts::default(),
        n_batches: 1,
        position: None,
    };
    assert_fenced(store.record_dry_run(import.key, &whole).await);
    // A cancel of an import that nobody holds is a takeover, too.
    store
        .record_rejects(next.key, &rejects(&[3]))
        .await
        .unwrap();
    let expire = "UPDATE rowlift.sessions SET lease_until = '-infinity'";
    fixture.database.execute(expire).await;
    let record = store
        .request_cancel("", &new.import_id, "enough")
        .await
        .unwrap();
    let outcome = record.unwrap().outcome.unwrap();
    assert_eq!(outcome.state, ImportState::Cancelled);
    assert_eq!(outcome.rejected_by_code["TYPE_MISMATCH"], 2);
    assert_eq!(stored_rejects(&fixture, import.key).await, "2,8");
}
