//! Sessions that meet on one import: takeovers, cancels, resumes at once, other files.

use std::time::{Duration, Instant};

use futures::stream;
use rowlift::proto::State;
use rustix::process::Signal;

use super::{
    endless, file_header, leaves_nothing, ledger_has, migrated, row_header, rows_beyond, whole,
};
use crate::support::businesses;
use crate::support::process::ServerProcess;
use crate::support::running::{Running, stats};
use crate::support::waits::within;

/// Small, so that the first rows are committed soon.
const SMALL_BATCHES: [(&str, &str); 1] = [("batch_rows_max", "500")];
/// Far above the second that it may take: a busy machine is no reason to fail.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn after_a_takeover_the_old_session_commits_no_more() {
    let database = migrated().await;
    let old = ServerProcess::start(&database, &SMALL_BATCHES).await;
    let new = ServerProcess::start(&database, &[]).await;
    let client = old.client().await;
    let mut busy = Running::messages(client, row_header("taken"), endless());
    busy.until_committed(5_000).await;

    let client = new.client().await;
    let begun = Instant::now();
    let mut taking = Running::messages(client, row_header("taken"), stream::pending());
    let (accepted_at, accepted) = taking.until_accepted().await;
    let at_takeover = businesses::tally(&database).await;
    let took = accepted_at - begun;
    println!("taken over within {took:?}");
    assert!(took < AT_ONCE, "{took:?}");
    assert!(
        accepted.resumed && accepted.session_epoch == 2,
        "{accepted:?}"
    );
    assert_eq!(busy.refusal().await, "ABORTED, FENCED");
    assert_eq!(businesses::tally(&database).await, at_takeover);
    drop(taking);

    // The rows that the old session committed above the watermark are not written again.
    let n_rows = rows_beyond(&database, "taken", 1_000).await;
    let client = new.client().await;
    let ending = Running::messages(client, row_header("taken"), whole(n_rows));
    let counts = stats(&ending.end().await.unwrap());
    assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), n_rows);
    let table = businesses::tally(&database).await;
    assert_eq!(table, businesses::once(n_rows));
    ledger_has(&database, "taken", n_rows).await;
    old.leaves_nothing().await;
    leaves_nothing(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_through_another_process_ends_the_import() {
    let database = migrated().await;
    let busy_server = ServerProcess::start(&database, &SMALL_BATCHES).await;
    let other_server = ServerProcess::start(&database, &[]).await;
    let client = busy_server.client().await;
    let mut busy = Running::messages(client, row_header("cancelled"), endless());
    busy.until_committed(5_000).await;

    let begun = Instant::now();
    let other = other_server.client().await;
    other.cancel("cancelled", "wrong file").await.unwrap();
    assert_eq!(busy.refusal().await, "CANCELLED, CANCELLED_BY_REQUEST");
    let took = begun.elapsed();
    println!("cancelled within {took:?}");
    assert!(took < AT_ONCE, "{took:?}");
    let job = other.import("cancelled").await.unwrap();
    assert_eq!(job.state(), State::Cancelled);
    let counts = job.result.unwrap().stats.unwrap();
    let [n_rows, n_names, _] = businesses::tally(&database).await;
    let n_inserted = u64::try_from(counts.inserted_row_count).unwrap();
    assert_eq!((n_rows, n_names), (n_inserted, n_inserted));
    // Once more is harmless.
    let job = other.cancel("cancelled", "").await.unwrap();
    assert_eq!(job.state(), State::Cancelled);
    busy_server.leaves_nothing().await;
    leaves_nothing(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_resumes_at_once_one_ends_the_import() {
    let database = migrated().await;
    let mut first = ServerProcess::start(&database, &SMALL_BATCHES).await;
    let client = first.client().await;
    let mut killed = Running::messages(client, row_header("twice"), endless());
    killed.until_committed(1_000).await;
    first.kill();
    drop(killed);
    leaves_nothing(&database).await;

    let n_rows = rows_beyond(&database, "twice", 20_000).await;
    let servers = [
        ServerProcess::start(&database, &SMALL_BATCHES).await,
        ServerProcess::start(&database, &[]).await,
    ];
    let [one, two] = [&servers[0], &servers[1]].map(async |server| {
        let client = server.client().await;
        let import = Running::messages(client, row_header("twice"), whole(n_rows));
        import.end().await
    });
    let ended = <[_; 2]>::from(tokio::join!(one, two));
    let mut n_winners = 0;
    for end in ended {
        match end {
            Ok(finished) => {
                let counts = stats(&finished);
                assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), n_rows);
                n_winners += 1;
            }
            Err(error) => {
                let verdict = error.verdict().unwrap_or_default();
                let lost = ["ABORTED, IMPORT_BUSY", "ABORTED, FENCED"];
                assert!(lost.contains(&verdict.as_str()), "{error:?}");
            }
        }
    }
    // The one that came later may find an import that has ended, and hear the same.
    assert!(n_winners >= 1);
    let table = businesses::tally(&database).await;
    assert_eq!(table, businesses::once(n_rows));
    ledger_has(&database, "twice", n_rows).await;
    leaves_nothing(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_other_rows_is_refused_before_a_row_is_written() {
    let database = migrated().await;
    let mut server = ServerProcess::start(&database, &SMALL_BATCHES).await;
    let client = server.client().await;
    let header = file_header("regenerated");
    let csv = businesses::csv(100_000, 1);
    let mut killed = Running::file(client, header.clone(), csv.clone(), 64 << 10);
    killed.until_committed(1_000).await;
    server.kill();
    drop(killed);
    leaves_nothing(&database).await;

    let before = businesses::tally(&database).await;
    let server = ServerProcess::start(&database, &[]).await;
    let other = businesses::csv(100_000, 2);
    let import = Running::file(server.client().await, header.clone(), other, 64 << 10);
    assert_eq!(import.refusal().await, "ALREADY_EXISTS, ID_CONFLICT");
    assert_eq!(businesses::tally(&database).await, before);
    // It has failed for good: the right file does not go on either.
    let import = Running::file(server.client().await, header, csv, 64 << 10);
    assert_eq!(import.refusal().await, "ALREADY_EXISTS, ID_CONFLICT");
    assert_eq!(businesses::tally(&database).await, before);
    server.leaves_nothing().await;
    leaves_nothing(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_slept_through_a_takeover_commits_no_more() {
    let database = migrated().await;
    let sleeper = ServerProcess::start(&database, &SMALL_BATCHES).await;
    let server = ServerProcess::start(&database, &[]).await;
    let client = sleeper.client().await;
    let mut busy = Running::messages(client, row_header("asleep"), endless());
    busy.until_committed(2_000).await;
    sleeper.signal(Signal::STOP);
    let awake_at = Instant::now() + Duration::from_secs(20);

    // A transaction in which the sleeper was about to send rows holds the import until it wakes
    // up; any other until the database ends it.
    let n_rows = rows_beyond(&database, "asleep", 20_000).await;
    let client = server.client().await;
    let bound = Duration::from_mins(1);
    let mut is_asleep = true;
    within(bound, "another process ends the import", async || {
        if is_asleep && Instant::now() > awake_at {
            sleeper.signal(Signal::CONT);
            is_asleep = false;
        }
        let import = Running::messages(client.clone(), row_header("asleep"), whole(n_rows));
        match import.end().await {
            Ok(finished) => {
                let counts = stats(&finished);
                assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), n_rows);
                true
            }
            Err(error) => {
                let verdict = error.verdict().unwrap_or_default();
                assert_eq!(verdict, "UNAVAILABLE, DATABASE_UNAVAILABLE", "{error:?}");
                false
            }
        }
    })
    .await;
    if is_asleep {
        sleeper.signal(Signal::CONT);
    }
    assert_eq!(busy.refusal().await, "ABORTED, FENCED");
    let table = businesses::tally(&database).await;
    assert_eq!(table, businesses::once(n_rows));
    sleeper.leaves_nothing().await;
    leaves_nothing(&database).await;
}
