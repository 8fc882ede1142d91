//! A writer that breaks off around its COMMIT.

use fail::FailScenario;
use rowlift::proto::{CommitMode, ImportHeader};

use crate::fixture::{header, start, whole};
use crate::support::businesses;
use crate::support::running::{Running, stats};

const ROWS: u64 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_are_lost_after_the_commit_are_found_in_the_ledger() {
    let scenario = FailScenario::setup();
    let (database, service) = start().await;
    fail::cfg("batch-after-commit", "5*return->off").unwrap();
    let client = service.import_client().await;
    let import = Running::messages(client, header("receipts"), whole(ROWS));
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), ROWS);
    assert!(counts.retry_count >= 5, "{counts:?}");
    assert_eq!(businesses::tally(&database).await, businesses::once(ROWS));
    service.stop().await;
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_panics_around_its_commit_suspends_the_import() {
    for moment in [
        "batch-before-begin",
        "batch-before-commit",
        "batch-after-commit",
    ] {
        let scenario = FailScenario::setup();
        let (database, service) = start().await;
        fail::cfg(moment, "3*off->1*panic->off").unwrap();
        let client = service.import_client().await;
        let import = Running::messages(client.clone(), header("panics"), whole(ROWS));
        assert_eq!(import.refusal().await, "INTERNAL, INTERNAL", "{moment}");
        let import = Running::messages(client, header("panics"), whole(ROWS));
        let counts = stats(&import.end().await.unwrap());
        assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), ROWS);
        let table = businesses::tally(&database).await;
        assert_eq!(table, businesses::once(ROWS), "{moment}");
        service.stop().await;
        scenario.teardown();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_import_that_breaks_off_before_its_commit_leaves_nothing() {
    let scenario = FailScenario::setup();
    let (database, service) = start().await;
    let header = || ImportHeader {
        commit_mode: CommitMode::Atomic.into(),
        ..header("atomic")
    };
    fail::cfg("atomic-before-commit", "1*panic->off").unwrap();
    let client = service.import_client().await;
    let import = Running::messages(client.clone(), header(), whole(ROWS));
    assert_eq!(import.refusal().await, "INTERNAL, INTERNAL");
    assert_eq!(businesses::tally(&database).await, [0; 3]);
    let import = Running::messages(client, header(), whole(ROWS));
    stats(&import.end().await.unwrap());
    assert_eq!(businesses::tally(&database).await, businesses::once(ROWS));
    service.stop().await;
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_import_whose_commit_is_in_but_not_told_has_succeeded() {
    for action in ["1*return->off", "1*panic->off"] {
        let scenario = FailScenario::setup();
        let (database, service) = start().await;
        let header = || ImportHeader {
            commit_mode: CommitMode::Atomic.into(),
            ..header("atomic")
        };
        fail::cfg("atomic-after-commit", action).unwrap();
        let client = service.import_client().await;
        for is_replay in [false, true] {
            let import = Running::messages(client.clone(), header(), whole(ROWS));
            let finished = import.end().await.unwrap();
            assert_eq!(finished.accepted.replayed, is_replay, "{action}");
            let counts = stats(&finished);
            assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), ROWS);
            let table = businesses::tally(&database).await;
            assert_eq!(table, businesses::once(ROWS), "{action}");
        }
        service.stop().await;
        scenario.teardown();
    }
}
