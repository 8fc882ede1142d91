//! A writer that is held while another session takes its import over.

use fail::FailScenario;
use futures::stream;

use crate::fixture::{Held, header, start, whole, without_end};
use crate::support::businesses;
use crate::support::running::{Running, stats};
use crate::support::waits::eventually;

const ROWS: u64 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_held_before_its_begin_commits_nothing_after_a_takeover() {
    let scenario = FailScenario::setup();
    let (database, service) = start().await;
    let mut held = Held::first("batch-before-begin");
    let client = service.import_client().await;
    let old = Running::messages(client, header("held"), without_end(ROWS));
    held.reached().await;

    let client = service.import_client().await;
    let mut new = Running::messages(client, header("held"), stream::pending());
    let (_, accepted) = new.until_accepted().await;
    assert_eq!(accepted.session_epoch, 2, "{accepted:?}");
    let at_takeover = businesses::tally(&database).await;
    held.let_go();
    assert_eq!(old.refusal().await, "ABORTED, FENCED");
    assert_eq!(businesses::tally(&database).await, at_takeover);
    drop(new);
    end(&service, "held").await;
    assert_eq!(businesses::tally(&database).await, businesses::once(ROWS));
    service.stop().await;
    scenario.teardown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_is_accepted_only_once_a_writer_held_before_its_commit_has_ended() {
    let scenario = FailScenario::setup();
    let (database, service) = start().await;
    let mut held = Held::first("batch-before-commit");
    let client = service.import_client().await;
    let old = Running::messages(client, header("held"), without_end(ROWS));
    held.reached().await;

    let client = service.import_client().await;
    let mut new = Running::messages(client, header("held"), stream::pending());
    let newer = "select count(*) from rowlift.sessions where epoch = 2";
    eventually("the newer session is in the ledger", async || {
        database.value(newer).await == "1"
    })
    .await;
    // The old session may have heard of it and given its writer up: that is an end, too.
    if new.seen().accepted.is_some() {
        let writing = "select count(*) from pg_locks where relation = 'businesses'::regclass \
                       and mode = 'RowExclusiveLock'";
        assert_eq!(database.value(writing).await, "0", "{:?}", new.seen());
    }
    held.let_go();
    new.until_accepted().await;
    let at_takeover = businesses::tally(&database).await;
    assert_eq!(old.refusal().await, "ABORTED, FENCED");
    assert_eq!(businesses::tally(&database).await, at_takeover);
    drop(new);
    end(&service, "held").await;
    assert_eq!(businesses::tally(&database).await, businesses::once(ROWS));
    service.stop().await;
    scenario.teardown();
}

/// Resumes the import with all of its rows.
async fn end(service: &crate::support::service::Service, id: &str) {
    let client = service.import_client().await;
    let import = Running::messages(client, header(id), whole(ROWS));
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), ROWS);
}
