//! The ledger's rules as PostgreSQL keeps them.

use std::collections::BTreeMap;

use bytes::Bytes;
use rowlift::model::import::{
    Failure, ImportOutcome, ImportState, NewImport, Phase, Reason, WriteMethod,
};
use rowlift::model::reject::RowErrorCode;
use rowlift::model::stats::ImportStats;
use rowlift::store::query::ImportFilter;
use rowlift::store::{LiveCounters, OpenMode, Opened, Pulse, SessionKey, Store, StoreError};

use super::fixture::{Fixture, Import, add_mapping_reject, integers, new_import};

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute("CREATE TABLE t (a int PRIMARY KEY)")
        .await;
    fixture
}

fn outcome(state: ImportState) -> ImportOutcome {
    let failure = Failure::new(Reason::RejectLimitExceeded, "too many\0");
    ImportOutcome {
        state,
        stats: ImportStats {
            received_bytes: 10,
            received_rows: 3,
            ..ImportStats::default()
        },
        committed_offset: 2,
        failure: (state != ImportState::Succeeded).then_some(failure),
        rejected_by_code: BTreeMap::new(),
        write_method: WriteMethod::Copy,
        file_sha256: Vec::new(),
        duplicate_of_import_id: String::new(),
        validate_only: false,
    }
}

/// An import of table `t` under `new`.
async fn begin(fixture: &Fixture, new: &NewImport) -> Import {
    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    import.key = fixture.open(new, OpenMode::Begin).await.key;
    import
}

fn reason(result: Result<Opened, StoreError>) -> (Reason, Option<String>) {
    match result {
        Err(StoreError::Failed(failure)) => (
            failure.reason,
            failure.metadata.get("committed_offset").cloned(),
        ),
        other => panic!("{other:?}"),
    }
}

async fn expire_lease(fixture: &Fixture, key: SessionKey) {
    let sql = format!(
        "UPDATE rowlift.sessions SET lease_until = clock_timestamp() WHERE import = {}",
        key.import
    );
    fixture.database.execute(&sql).await;
}

#[tokio::test]
async fn a_known_id_is_busy_then_suspended_then_resumed() {
    let fixture = fixture().await;
    let new = new_import();
    let import = begin(&fixture, &new).await;
    fixture.write(&import, &integers(0, &[1, 2])).await.unwrap();
    let busy = fixture.store.open_import(&new, OpenMode::Begin).await;
    assert_eq!(reason(busy), (Reason::ImportBusy, Some("2".to_owned())));
    let record = fixture
        .store
        .import("", &new.import_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.state, ImportState::Running);

    expire_lease(&fixture, import.key).await;
    let record = fixture
        .store
        .import("", &new.import_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.state, record.committed_offset),
        (ImportState::Suspended, 2)
    );
    let suspended = fixture.store.open_import(&new, OpenMode::Begin).await;
    assert_eq!(
        reason(suspended),
        (Reason::WrongState, Some("2".to_owned()))
    );

    let mut other = new.clone();
    other.fingerprint = [8; 32];
    let conflict = fixture.store.open_import(&other, OpenMode::Resume).await;
    assert_eq!(reason(conflict).0, Reason::IdConflict);

    let open = fixture.open(&new, OpenMode::Resume).await;
    assert!(open.resumed);
    assert_eq!((open.key.epoch, open.counts.inserted), (2, 2));
    assert_eq!(open.create_time_ms, record.create_time_ms);
    let unknown = fixture.open(&new_import(), OpenMode::Resume).await;
    assert!(!unknown.resumed);
}

#[tokio::test]
async fn ranges_above_the_watermark_are_told_and_those_below_are_folded() {
    let fixture = fixture().await;
    let new = new_import();
    let import = begin(&fixture, &new).await;
    let mut hashes = Vec::new();
    for (first, value) in [(0, 1), (2, 2), (1, 3), (5, 4)] {
        let mut rows = integers(first, &[value]);
        rows.position = Some(Bytes::from(format!("after {first}")));
        hashes.push(rows.rows_hash);
        fixture.write(&import, &rows).await.unwrap();
    }
    let open = fixture.open(&new, OpenMode::Resume).await;
    assert_eq!(open.committed_offset, 3);
    assert_eq!(open.committed_position, Some(Bytes::from("after 2")));
    assert_eq!(open.committed_ranges.len(), 1);
    assert_eq!(open.committed_ranges[0].range, 5..6);
    assert_eq!(open.committed_ranges[0].rows_hash, hashes[3]);
    assert_eq!(open.counts.inserted, 4);
    let ranges = fixture
        .database
        .query(
            "SELECT first_ordinal, end_ordinal, batches, encode(rows_hash, 'hex') \
             FROM rowlift.import_batches ORDER BY 1",
        )
        .await;
    let sum = hashes[..3]
        .iter()
        .fold(0_u128, |sum, hash| sum.wrapping_add(*hash));
    let folded = [
        Some("0".into()),
        Some("3".into()),
        Some("3".into()),
        Some(format!("{sum:032x}")),
    ];
    assert_eq!(ranges.len(), 2);
    assert_eq!(ranges[0], folded);
    // A batch of before the folding is still known to be in.
    let mut import = import;
    import.key = open.key;
    let receipt = fixture.write(&import, &integers(1, &[3])).await.unwrap();
    assert_eq!(receipt.counts.inserted, 1);
    assert_eq!(fixture.database.value("SELECT count(*) FROM t").await, "4");
}

#[tokio::test]
async fn an_end_is_stored_and_replayed() {
    let fixture = fixture().await;
    let new = new_import();
    let import = begin(&fixture, &new).await;
    fixture.write(&import, &integers(0, &[1, 2])).await.unwrap();
    let failed = outcome(ImportState::Failed);
    fixture.store.end_import(import.key, &failed).await.unwrap();
    // The answer may have been lost.
    fixture.store.end_import(import.key, &failed).await.unwrap();
    for mode in [OpenMode::Begin, OpenMode::Resume] {
        let Opened::Ended(record) = fixture.store.open_import(&new, mode).await.unwrap() else {
            panic!("it has ended");
        };
        assert_eq!(record.state, ImportState::Failed);
        assert_eq!(record.outcome.as_ref(), Some(&failed));
        assert!(record.end_time_ms.is_some() && record.expire_time_ms > record.end_time_ms);
    }
    let late = fixture.write(&import, &integers(2, &[3])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
}

#[tokio::test]
async fn a_failure_without_a_decided_row_leaves_the_id_free() {
    let fixture = fixture().await;
    let new = new_import();
    let mut import = begin(&fixture, &new).await;
    import.rejects = rowlift::model::batch::RejectBudget::new(Some(0), 0);
    let mut rows = integers(0, &[1]);
    add_mapping_reject(&mut rows);
    let refused = fixture.write(&import, &rows).await;
    assert!(
        matches!(refused, Err(StoreError::RejectLimit { .. })),
        "{refused:?}"
    );
    let failed = outcome(ImportState::Failed);
    fixture.store.end_import(import.key, &failed).await.unwrap();
    let page = fixture
        .store
        .rejected_rows("", &new.import_id, None, None, 10)
        .await;
    assert_eq!(page.unwrap().unwrap().total, 1);

    let replayed = fixture
        .store
        .open_import(&new, OpenMode::Resume)
        .await
        .unwrap();
    assert!(matches!(replayed, Opened::Ended(_)));
    let mut other = new.clone();
    other.fingerprint = [9; 32];
    let open = fixture.open(&other, OpenMode::Begin).await;
    assert!(!open.resumed);
    assert_eq!(open.key.import, import.key.import);
    let page = fixture
        .store
        .rejected_rows("", &new.import_id, None, None, 10)
        .await;
    assert_eq!(page.unwrap().unwrap().total, 0);
    let record = fixture
        .store
        .import("", &new.import_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.state, record.outcome, record.failure),
        (ImportState::Running, None, None)
    );
}

#[tokio::test]
async fn a_fenced_session_ends_nothing() {
    let fixture = fixture().await;
    let new = new_import();
    let import = begin(&fixture, &new).await;
    fixture.open(&new, OpenMode::Resume).await;
    let ended = fixture
        .store
        .end_import(import.key, &outcome(ImportState::Failed))
        .await;
    assert!(matches!(ended, Err(StoreError::Fenced)), "{ended:?}");
    let record = fixture
        .store
        .import("", &new.import_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((record.state, record.epoch), (ImportState::Running, 2));
}

#[tokio::test]
async fn only_one_of_many_takeovers_wins() {
    let fixture = fixture().await;
    let new = new_import();
    let import = begin(&fixture, &new).await;
    expire_lease(&fixture, import.key).await;
    let open = || fixture.store.open_import(&new, OpenMode::Resume);
    let all = tokio::join!(open(), open(), open(), open());
    let mut epochs: Vec<u64> = [all.0, all.1, all.2, all.3]
        .into_iter()
        .filter_map(|opened| match opened {
            Ok(Opened::Running(open)) => Some(open.key.epoch),
            Err(StoreError::Failed(failure)) if failure.reason == Reason::ImportBusy => None,
            other => panic!("{other:?}"),
        })
        .collect();
    epochs.sort_unstable();
    let n_winners = epochs.len();
    epochs.dedup();
    assert!(
        n_winners >= 1 && epochs.len() == n_winners,
        "an epoch is held once: {epochs:?}"
    );
}

#[tokio::test]
async fn heartbeats_renew_and_tell_of_cancel_requests_and_fences() {
    let fixture = fixture().await;
    let (a, b, c) = (new_import(), new_import(), new_import());
    let keys = [
        fixture.open(&a, OpenMode::Begin).await.key,
        fixture.open(&b, OpenMode::Begin).await.key,
        fixture.open(&c, OpenMode::Begin).await.key,
    ];
    expire_lease(&fixture, keys[0]).await;
    let live = LiveCounters {
        received_bytes: 5,
        received_rows: 6,
        phase: Phase::Writing,
        retries: 7,
    };
    let cancelled = fixture
        .store
        .request_cancel("", &b.import_id, "enough\0")
        .await;
    assert_eq!(cancelled.unwrap().unwrap().state, ImportState::Cancelling);
    fixture.open(&c, OpenMode::Resume).await;
    let pulses = fixture
        .store
        .heartbeat(&keys.map(|key| (key, live)))
        .await
        .unwrap();
    let expected = [Pulse::Held, Pulse::CancelRequested, Pulse::Fenced];
    assert_eq!(pulses, keys.into_iter().zip(expected).collect::<Vec<_>>());
    let record = fixture
        .store
        .import("", &a.import_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.state, ImportState::Running);
    assert_eq!(
        (record.stats.received_rows, record.phase),
        (6, Phase::Writing)
    );
    // A request that was not obeyed is not lost with its session.
    let resumed = fixture.open(&b, OpenMode::Resume).await;
    let pulses = fixture
        .store
        .heartbeat(&[(resumed.key, live)])
        .await
        .unwrap();
    assert_eq!(pulses[0].1, Pulse::CancelRequested);
    assert!(fixture.store.heartbeat(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_import_that_nobody_holds_is_cancelled_at_once() {
    let fixture = fixture().await;
    let new = new_import();
    let import = begin(&fixture, &new).await;
    let mut rows = integers(0, &[1, 1]);
    add_mapping_reject(&mut rows);
    fixture.write(&import, &rows).await.unwrap();
    fixture
        .store
        .end_import(import.key, &outcome(ImportState::Suspended))
        .await
        .unwrap();
    let record = fixture
        .store
        .import("", &new.import_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.state, record.outcome),
        (ImportState::Suspended, None)
    );
    for _ in 0..2 {
        let record = fixture
            .store
            .request_cancel("", &new.import_id, "enough")
            .await;
        let record = record.unwrap().unwrap();
        assert_eq!(record.state, ImportState::Cancelled);
        let outcome = record.outcome.unwrap();
        assert_eq!(
            (outcome.stats.rows.inserted, outcome.stats.rows.rejected),
            (1, 2)
        );
        assert_eq!(outcome.committed_offset, 3);
        assert_eq!(outcome.failure.unwrap().reason, Reason::CancelledByRequest);
        let by_code = BTreeMap::from([
            ("TYPE_MISMATCH".to_owned(), 1),
            ("UNIQUE_VIOLATION".to_owned(), 1),
        ]);
        assert_eq!(outcome.rejected_by_code, by_code);
    }
    let late = fixture.write(&import, &integers(3, &[3])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(
        fixture
            .store
            .request_cancel("", "unknown", "")
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn rejected_rows_come_in_pages_and_by_code() {
    let fixture = fixture().await;
    let new = new_import();
    let import = begin(&fixture, &new).await;
    let mut rows = integers(0, &[1, 1, 2, 1, 2, 2]);
    add_mapping_reject(&mut rows);
    fixture.write(&import, &rows).await.unwrap();
    let page = async |code, after, limit| {
        let page = fixture
            .store
            .rejected_rows("", &new.import_id, code, after, limit)
            .await;
        let page = page.unwrap().unwrap();
        let ordinals: Vec<u64> = page.rows.iter().map(|row| row.ordinal).collect();
        (ordinals, page.total, page.more)
    };
    assert_eq!(page(None, None, 2).await, (vec![1, 3], 5, true));
    assert_eq!(page(None, Some(3), 2).await, (vec![4, 5], 5, true));
    assert_eq!(page(None, Some(5), 2).await, (vec![6], 5, false));
    let unique = Some(RowErrorCode::UniqueViolation);
    assert_eq!(page(unique, None, 10).await, (vec![1, 3, 4, 5], 4, false));
    let of_another = fixture
        .store
        .rejected_rows("x", &new.import_id, None, None, 1)
        .await;
    assert_eq!(of_another.unwrap(), None);
}

#[tokio::test]
async fn imports_are_listed_by_owner_newest_first() {
    let fixture = fixture().await;
    let mut ids = Vec::new();
    for at in 0..3_u8 {
        let mut new = new_import();
        new.owner = "o".to_owned();
        new.tenant = format!("tenant {at}");
        new.labels.insert("n".to_owned(), at.to_string());
        let key = fixture.open(&new, OpenMode::Begin).await.key;
        if at == 1 {
            fixture
                .store
                .end_import(key, &outcome(ImportState::Succeeded))
                .await
                .unwrap();
        }
        ids.push(key.import);
    }
    let all = ImportFilter {
        limit: 10,
        ..ImportFilter::default()
    };
    let list = async |owner: &str, filter: ImportFilter| -> Vec<i64> {
        let page = fixture.store.imports(owner, &filter).await.unwrap();
        page.into_iter().map(|(id, _)| id).collect()
    };
    let with = |change: &dyn Fn(&mut ImportFilter)| {
        let mut filter = all.clone();
        change(&mut filter);
        filter
    };
    assert_eq!(list("o", all.clone()).await, [ids[2], ids[1], ids[0]]);
    assert!(list("another", all.clone()).await.is_empty());
    assert_eq!(list("o", with(&|it| it.limit = 1)).await, [ids[2]]);
    assert_eq!(
        list("o", with(&|it| it.before = Some(ids[1]))).await,
        [ids[0]]
    );
    let ended = with(&|it| it.state = Some(ImportState::Succeeded));
    assert_eq!(list("o", ended).await, [ids[1]]);
    let tenant = with(&|it| it.tenant = "tenant 0".to_owned());
    assert_eq!(list("o", tenant).await, [ids[0]]);
    let labelled = with(&|it| it.labels = BTreeMap::from([("n".to_owned(), "2".to_owned())]));
    assert_eq!(list("o", labelled).await, [ids[2]]);
    assert!(
        list("o", with(&|it| it.table = "public.other".to_owned()))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn text_that_the_database_cannot_hold_is_refused_as_an_option() {
    let fixture = fixture().await;
    let mut new = new_import();
    new.labels.insert("a".to_owned(), "\0".to_owned());
    let refused = fixture.store.open_import(&new, OpenMode::Begin).await;
    assert_eq!(reason(refused).0, Reason::InvalidOption);
    let mut new = new_import();
    new.file_name = "a\0b.xlsx".to_owned();
    fixture.open(&new, OpenMode::Begin).await;
    assert_eq!(fixture.store.import("", "a\0b").await.unwrap(), None);
}
