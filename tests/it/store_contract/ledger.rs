//! Who holds an import, what it left, and how it ends.

use crate::support::decided;
use rowlift::model::import::{ImportState, Phase, Reason};
use rowlift::model::stats::RowCounts;
use rowlift::store::{LiveCounters, OpenMode, Opened, Pulse, SessionKey, Store, StoreError};

use super::backend::{
    Backend, begin, new_import, number, open, ordinals, outcome, pairs, plan, refusal,
    with_position, write,
};

const PAIRS: &str = "create table t (name text not null, n bigint)";

async fn state(store: &dyn Store, id: &str) -> ImportState {
    store.import("alice", id).await.unwrap().unwrap().state
}

async fn pulse(store: &dyn Store, key: SessionKey) -> Pulse {
    let counters = LiveCounters {
        received_bytes: 77,
        received_rows: 11,
        phase: Phase::Writing,
        retries: 3,
    };
    let pulses = store.heartbeat(&[(key, counters)]).await.unwrap();
    assert_eq!(pulses.len(), 1);
    assert_eq!(pulses[0].0, key);
    pulses[0].1
}

fn inserted(n_rows: u64) -> RowCounts {
    RowCounts {
        inserted: n_rows,
        ..RowCounts::default()
    }
}

pub(crate) async fn unknown_import_begins(backend: &dyn Backend) {
    let store = backend.store();
    assert_eq!(store.import("alice", "new").await.unwrap(), None);
    let mut new = new_import("new");
    new.labels.insert("team".to_owned(), "a \"b\" c".to_owned());
    "acme".clone_into(&mut new.tenant);
    let open = open(&*store, &new, OpenMode::Begin).await;
    assert!(!open.resumed && open.key.epoch > 0);
    assert_eq!(
        (open.committed_offset, open.counts),
        (0, RowCounts::default())
    );
    assert!(open.committed_ranges.is_empty() && open.committed_position.is_none());
    let record = store.import("alice", "new").await.unwrap().unwrap();
    assert_eq!(record.state, ImportState::Running);
    assert_eq!((record.labels, record.tenant), (new.labels, new.tenant));
    assert_eq!((record.table, record.file_name), (new.table, new.file_name));
    assert_eq!(record.create_time_ms, open.create_time_ms);
    assert_eq!((record.epoch, record.end_time_ms), (open.key.epoch, None));
    // 2020 to 2200: the clock counts milliseconds since 1970.
    assert!((1_577_836_800_000..7_258_118_400_000).contains(&open.create_time_ms));
}

pub(crate) async fn known_import_with_other_options_is_an_id_conflict(backend: &dyn Backend) {
    let store = backend.store();
    begin(&*store, "id").await;
    let mut other = new_import("id");
    other.fingerprint = [8; 32];
    for mode in [OpenMode::Begin, OpenMode::Resume] {
        assert_eq!(
            refusal(&*store, &other, mode).await.reason,
            Reason::IdConflict
        );
    }
    backend.expire_leases().await;
    assert_eq!(
        refusal(&*store, &other, OpenMode::Resume).await.reason,
        Reason::IdConflict
    );
}

pub(crate) async fn live_import_is_busy(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "busy").await;
    write(&*store, key, &plan, &pairs(&plan, 0, &[("a", 1), ("b", 2)]))
        .await
        .unwrap();
    let failure = refusal(&*store, &new_import("busy"), OpenMode::Begin).await;
    assert_eq!(failure.reason, Reason::ImportBusy);
    assert_eq!(failure.metadata["committed_offset"], "2");
    assert_eq!(pulse(&*store, key).await, Pulse::Held);
}

pub(crate) async fn suspended_import_has_to_be_resumed(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    for (id, expires) in [("expired", true), ("given up", false)] {
        let key = begin(&*store, id).await;
        let receipt = write(&*store, key, &plan, &pairs(&plan, 0, &[("a", 1)]))
            .await
            .unwrap();
        if expires {
            backend.expire_leases().await;
        } else {
            let outcome = outcome(ImportState::Suspended, receipt.counts);
            store.end_import(key, &outcome).await.unwrap();
        }
        assert_eq!(state(&*store, id).await, ImportState::Suspended, "{id}");
        let failure = refusal(&*store, &new_import(id), OpenMode::Begin).await;
        assert_eq!(failure.reason, Reason::WrongState, "{id}");
        assert_eq!(failure.metadata["committed_offset"], "1");
        let open = open(&*store, &new_import(id), OpenMode::Resume).await;
        assert!(open.resumed);
        assert_eq!(
            (open.key.import, open.key.epoch),
            (key.import, key.epoch + 1)
        );
        assert_eq!((open.committed_offset, open.counts), (1, inserted(1)));
        assert_eq!(state(&*store, id).await, ImportState::Running);
    }
}

pub(crate) async fn resume_of_an_unknown_import_begins_it(backend: &dyn Backend) {
    let store = backend.store();
    let open = open(&*store, &new_import("unknown"), OpenMode::Resume).await;
    assert!(!open.resumed);
    assert_eq!(open.committed_offset, 0);
}

pub(crate) async fn resume_takes_a_live_import_over(backend: &dyn Backend) {
    let store = backend.store();
    let first = open(&*store, &new_import("live"), OpenMode::Begin).await;
    let second = open(&*store, &new_import("live"), OpenMode::Resume).await;
    assert!(second.resumed && second.key.epoch > first.key.epoch);
    assert_eq!(second.create_time_ms, first.create_time_ms);
    assert_eq!(pulse(&*store, first.key).await, Pulse::Fenced);
    assert_eq!(pulse(&*store, second.key).await, Pulse::Held);
}

pub(crate) async fn ended_import_is_replayed(backend: &dyn Backend) {
    let store = backend.store();
    for ended in [ImportState::Succeeded, ImportState::Cancelled] {
        let id = format!("{ended:?}");
        let key = begin(&*store, &id).await;
        let outcome = outcome(ended, RowCounts::default());
        store.end_import(key, &outcome).await.unwrap();
        for mode in [OpenMode::Begin, OpenMode::Resume] {
            let record = match store.open_import(&new_import(&id), mode).await.unwrap() {
                Opened::Ended(record) => record,
                Opened::Running(open) => panic!("{open:?}"),
            };
            assert_eq!(record.state, ended);
            assert_eq!(record.outcome.as_ref(), Some(&outcome));
            assert_eq!(record.failure, outcome.failure);
            assert_eq!(record.stats, outcome.stats);
            let end_time_ms = record.end_time_ms.unwrap();
            assert!(end_time_ms >= record.create_time_ms);
            assert!(record.rejects_expire_time_ms.unwrap() > end_time_ms);
            assert!(record.expire_time_ms >= record.rejects_expire_time_ms);
        }
        let mut other = new_import(&id);
        other.fingerprint = [8; 32];
        assert_eq!(
            refusal(&*store, &other, OpenMode::Begin).await.reason,
            Reason::IdConflict
        );
        assert_eq!(
            refusal(&*store, &other, OpenMode::Resume).await.reason,
            Reason::IdConflict
        );
    }
}

pub(crate) async fn failed_import_without_a_row_begins_anew(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let old = begin(&*store, "again").await;
    store
        .end_import(old, &outcome(ImportState::Failed, RowCounts::default()))
        .await
        .unwrap();
    assert_eq!(state(&*store, "again").await, ImportState::Failed);
    // A resume replays the failure, a beginning takes the id once more, whatever it asks for.
    let replayed = store
        .open_import(&new_import("again"), OpenMode::Resume)
        .await
        .unwrap();
    assert!(matches!(replayed, Opened::Ended(_)));
    let mut other = new_import("again");
    other.fingerprint = [8; 32];
    let open = open(&*store, &other, OpenMode::Begin).await;
    assert!(!open.resumed && open.key.epoch > old.epoch);
    let record = store.import("alice", "again").await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.end_time_ms),
        (ImportState::Running, None)
    );
    let expiry = (record.expire_time_ms, record.rejects_expire_time_ms);
    assert_eq!(expiry, (None, None));
    assert_eq!((record.outcome, record.failure), (None, None));
    let plan = plan(backend, "t", &["name", "n"]).await;
    let late = write(&*store, old, &plan, &pairs(&plan, 0, &[("late", 1)])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    let failure = refusal(&*store, &new_import("again"), OpenMode::Resume).await;
    assert_eq!(failure.reason, Reason::IdConflict);
}

pub(crate) async fn failed_import_with_a_row_is_replayed(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "failed").await;
    let receipt = write(&*store, key, &plan, &pairs(&plan, 0, &[("a", 1)]))
        .await
        .unwrap();
    store
        .end_import(key, &outcome(ImportState::Failed, receipt.counts))
        .await
        .unwrap();
    let replayed = store
        .open_import(&new_import("failed"), OpenMode::Begin)
        .await
        .unwrap();
    assert!(matches!(replayed, Opened::Ended(_)), "{replayed:?}");
}

pub(crate) async fn watermark_waits_for_the_first_gap(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "gaps").await;
    let two = [("a", 1), ("b", 2)];
    let batch = |start| pairs(&plan, start, &two);
    for (start, watermark) in [(4, 0), (2, 0), (8, 0), (0, 6)] {
        write(&*store, key, &plan, &batch(start)).await.unwrap();
        assert_eq!(decided(&*store, key).await.1, watermark, "after {start}");
    }
    let resumed = open(&*store, &new_import("gaps"), OpenMode::Resume).await;
    assert_eq!((resumed.committed_offset, resumed.counts), (6, inserted(8)));
    assert_eq!(ordinals(&resumed), vec![8..10]);
    assert_eq!(resumed.committed_ranges[0].rows_hash, batch(8).rows_hash);
    write(&*store, resumed.key, &plan, &batch(6)).await.unwrap();
    assert_eq!(decided(&*store, resumed.key).await, (inserted(10), 10));
    let outcome = outcome(ImportState::Suspended, inserted(10));
    store.end_import(resumed.key, &outcome).await.unwrap();
    let again = open(&*store, &new_import("gaps"), OpenMode::Resume).await;
    assert_eq!((again.committed_offset, again.counts), (10, inserted(10)));
    assert!(again.committed_ranges.is_empty());
    let record = store.import("alice", "gaps").await.unwrap().unwrap();
    assert_eq!((record.stats.rows, record.stats.batches), (inserted(10), 5));
    assert_eq!(record.committed_offset, 10);
}

pub(crate) async fn position_is_that_of_the_last_batch_below_the_watermark(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "position").await;
    let batch = |start| pairs(&plan, start, &[("a", 1)]);
    write(&*store, key, &plan, &with_position(batch(0), "zero"))
        .await
        .unwrap();
    write(&*store, key, &plan, &with_position(batch(1), "one"))
        .await
        .unwrap();
    write(&*store, key, &plan, &batch(2)).await.unwrap();
    write(&*store, key, &plan, &with_position(batch(4), "four"))
        .await
        .unwrap();
    let resumed = open(&*store, &new_import("position"), OpenMode::Resume).await;
    assert_eq!(resumed.committed_position.as_deref(), Some(&b"one"[..]));
    let outcome = outcome(ImportState::Suspended, inserted(4));
    store.end_import(resumed.key, &outcome).await.unwrap();
    let resumed = open(&*store, &new_import("position"), OpenMode::Resume).await;
    assert_eq!(resumed.committed_position.as_deref(), Some(&b"one"[..]));
    write(&*store, resumed.key, &plan, &batch(3)).await.unwrap();
    let resumed = open(&*store, &new_import("position"), OpenMode::Resume).await;
    assert_eq!(resumed.committed_position.as_deref(), Some(&b"four"[..]));
}

pub(crate) async fn ids_belong_to_their_owner(backend: &dyn Backend) {
    let store = backend.store();
    let mine = begin(&*store, "same").await;
    let mut other = new_import("same");
    "bob".clone_into(&mut other.owner);
    other.fingerprint = [8; 32];
    let theirs = open(&*store, &other, OpenMode::Begin).await.key;
    assert_ne!(mine.import, theirs.import);
    assert_eq!(store.import("carol", "same").await.unwrap(), None);
    assert_eq!(
        store
            .rejected_rows("carol", "same", None, None, 1)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        store.request_cancel("carol", "same", "").await.unwrap(),
        None
    );
}

pub(crate) async fn simultaneous_resumes_leave_one_holder(backend: &dyn Backend) {
    let store = backend.store();
    begin(&*store, "race").await;
    let new = new_import("race");
    let resumes = (0..8).map(|_| store.open_import(&new, OpenMode::Resume));
    let mut keys = Vec::new();
    for opened in futures::future::join_all(resumes).await {
        match opened {
            Ok(Opened::Running(open)) => keys.push(open.key),
            Err(StoreError::Failed(failure)) => assert_eq!(failure.reason, Reason::ImportBusy),
            other => panic!("{other:?}"),
        }
    }
    let mut held = 0;
    for key in &keys {
        held += usize::from(pulse(&*store, *key).await == Pulse::Held);
    }
    assert_eq!(held, 1, "{keys:?}");
}

pub(crate) async fn heartbeat_renews_the_lease(backend: &dyn Backend) {
    let store = backend.store();
    let key = begin(&*store, "pulse").await;
    backend.expire_leases().await;
    assert_eq!(state(&*store, "pulse").await, ImportState::Suspended);
    assert_eq!(pulse(&*store, key).await, Pulse::Held);
    let record = store.import("alice", "pulse").await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.phase),
        (ImportState::Running, Phase::Writing)
    );
    let stats = record.stats;
    assert_eq!(
        (stats.received_bytes, stats.received_rows, stats.retries),
        (77, 11, 3)
    );
    assert!(store.heartbeat(&[]).await.unwrap().is_empty());
}

pub(crate) async fn heartbeat_tells_of_fencing(backend: &dyn Backend) {
    let store = backend.store();
    let mut sessions = Vec::new();
    for index in 0..20 {
        sessions.push((
            begin(&*store, &format!("s{index}")).await,
            LiveCounters::default(),
        ));
    }
    open(&*store, &new_import("s3"), OpenMode::Resume).await;
    store.request_cancel("alice", "s5", "enough").await.unwrap();
    let missing = SessionKey {
        import: i64::MAX,
        epoch: 1,
    };
    sessions.push((missing, LiveCounters::default()));
    let mut pulses = store.heartbeat(&sessions).await.unwrap();
    pulses.sort_by_key(|(key, _)| key.import);
    let pulses: Vec<Pulse> = pulses.into_iter().map(|(_, pulse)| pulse).collect();
    let mut expected = vec![Pulse::Held; 21];
    expected[3] = Pulse::Fenced;
    expected[5] = Pulse::CancelRequested;
    expected[20] = Pulse::Fenced;
    assert_eq!(pulses, expected);
}

pub(crate) async fn cancel_request_reaches_the_session(backend: &dyn Backend) {
    let store = backend.store();
    let key = begin(&*store, "stop").await;
    for _ in 0..2 {
        let record = store
            .request_cancel("alice", "stop", "enough")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(record.state, ImportState::Cancelling);
    }
    assert_eq!(pulse(&*store, key).await, Pulse::CancelRequested);
    assert_eq!(pulse(&*store, key).await, Pulse::CancelRequested);
    store
        .end_import(key, &outcome(ImportState::Cancelled, RowCounts::default()))
        .await
        .unwrap();
    let record = store
        .request_cancel("alice", "stop", "more")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.state, ImportState::Cancelled);
}

pub(crate) async fn cancel_ends_an_import_that_nobody_holds(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "idle").await;
    write(&*store, key, &plan, &pairs(&plan, 0, &[("a", 1), ("b", 2)]))
        .await
        .unwrap();
    backend.expire_leases().await;
    let record = store
        .request_cancel("alice", "idle", "enough")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.state, ImportState::Cancelled);
    let outcome = record.outcome.clone().unwrap();
    assert_eq!(outcome.failure.unwrap().reason, Reason::CancelledByRequest);
    assert_eq!(
        (outcome.stats.rows, outcome.committed_offset),
        (inserted(2), 2)
    );
    assert_eq!(outcome.stats.unprocessed_rows(), 0);
    let late = write(&*store, key, &plan, &pairs(&plan, 2, &[("c", 1)])).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(pulse(&*store, key).await, Pulse::Fenced);
    let again = store
        .request_cancel("alice", "idle", "again")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again, record);
    let replayed = store
        .open_import(&new_import("idle"), OpenMode::Resume)
        .await
        .unwrap();
    assert!(matches!(replayed, Opened::Ended(_)));
    assert_eq!(number(backend, "select count(*) from t").await, 2);
}

pub(crate) async fn cancel_of_an_unknown_import_is_none(backend: &dyn Backend) {
    let store = backend.store();
    assert_eq!(
        store.request_cancel("alice", "nothing", "").await.unwrap(),
        None
    );
}

pub(crate) async fn suspended_session_does_not_come_back_by_heartbeat(backend: &dyn Backend) {
    let store = backend.store();
    let key = begin(&*store, "gone").await;
    let outcome = outcome(ImportState::Suspended, RowCounts::default());
    store.end_import(key, &outcome).await.unwrap();
    // A heartbeat that was on its way when the session ended.
    pulse(&*store, key).await;
    let record = store.import("alice", "gone").await.unwrap().unwrap();
    assert_eq!(record.state, ImportState::Suspended);
    assert_eq!((record.outcome, record.end_time_ms), (None, None));
}

pub(crate) async fn end_is_repeatable_and_fenced(backend: &dyn Backend) {
    let store = backend.store();
    let old = begin(&*store, "end").await;
    let new = open(&*store, &new_import("end"), OpenMode::Resume)
        .await
        .key;
    let succeeded = outcome(ImportState::Succeeded, RowCounts::default());
    for state in [ImportState::Succeeded, ImportState::Suspended] {
        let late = store
            .end_import(old, &outcome(state, RowCounts::default()))
            .await;
        assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    }
    assert_eq!(state(&*store, "end").await, ImportState::Running);
    store.end_import(new, &succeeded).await.unwrap();
    store.end_import(new, &succeeded).await.unwrap();
    assert_eq!(state(&*store, "end").await, ImportState::Succeeded);
}

pub(crate) async fn store_is_ready_once_migrated(backend: &dyn Backend) {
    let store = backend.store();
    assert!(store.ready().await.unwrap());
    store.migrate().await.unwrap();
    assert!(store.ready().await.unwrap());
    let writers = store.writers();
    assert!(writers.per_import >= 1 && writers.per_import <= writers.total);
    store.close(std::time::Duration::from_secs(5)).await;
    assert!(store.import("alice", "any").await.is_err());
}
