//! `kill -9` of the service, resumed from other processes with other sizes.

#![expect(
    clippy::print_stdout,
    reason = "a failed test shows what it did, and when"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use rowlift::client::FinishedImport;
use rowlift::proto::{CommitMode, ImportHeader};
use sqlx::{Connection, Executor, PgConnection};

use super::{Random, file_header, leaves_nothing, ledger_has, migrated};
use crate::support::businesses::{self, COLUMNS};
use crate::support::postgres::Database;
use crate::support::process::ServerProcess;
use crate::support::running::{Running, stats};
use crate::support::size::short_or_long;
use crate::support::waits::{eventually, within};

const ROWS: u64 = 200_000;
/// Kills of one import, after which it may end.
const KILLS_PER_IMPORT: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn killed_services_leave_the_table_of_one_clean_run() {
    let database = migrated().await;
    let csv = businesses::csv(ROWS, 1);
    let begun = Instant::now();
    let clean = {
        let server = ServerProcess::start(&database, &[]).await;
        let header = file_header("clean");
        let import = Running::file(server.client().await, header, csv.clone(), 256 << 10);
        assert_all_inserted(&import.end().await.unwrap());
        database.fingerprint("businesses", &COLUMNS).await
    };
    let clean_time = begun.elapsed();
    println!("clean run: {clean_time:?}");
    assert_eq!(clean.0, ROWS.to_string());

    let n_kills = short_or_long(20, 100);
    let mut random = Random::new();
    for round in 0..n_kills / KILLS_PER_IMPORT {
        database.execute("truncate businesses").await;
        let id = format!("round-{round}");
        let finished = import_under_kills(&database, &id, &csv, clean_time, &mut random).await;
        assert_all_inserted(&finished);
        let table = database.fingerprint("businesses", &COLUMNS).await;
        assert_eq!(table, clean, "{id}");
        ledger_has(&database, &id, ROWS).await;
    }
    leaves_nothing(&database).await;
}

/// Kills the service [`KILLS_PER_IMPORT`] times at random moments; the next one resumes.
async fn import_under_kills(
    database: &Database,
    id: &str,
    csv: &Bytes,
    clean_time: Duration,
    random: &mut Random,
) -> FinishedImport {
    let mut n_kills = 0;
    loop {
        let batch_rows = random.pick(&["700", "3000", "20000"]);
        let first_rows = random.pick(&["1", "100", "500"]);
        let settings = [
            ("batch_rows_max", batch_rows),
            ("batch_rows_first", first_rows),
        ];
        let mut server = ServerProcess::start(database, &settings).await;
        let chunk_bytes = random.pick(&[10_007, 64 << 10, 1 << 20]);
        println!("{id}: batches of {batch_rows} from {first_rows}, chunks of {chunk_bytes}");
        let client = server.client().await;
        let import = Running::file(client, file_header(id), csv.clone(), chunk_bytes);
        if n_kills == KILLS_PER_IMPORT {
            let finished = import.end().await.unwrap();
            server.leaves_nothing().await;
            return finished;
        }
        // A random moment is a time that nothing announces.
        let moment = clean_time.mul_f64(0.001 * random.below(400) as f64);
        tokio::time::sleep(moment).await;
        server.kill();
        n_kills += 1;
        let committed = import.seen().committed;
        println!("{id}: killed after {moment:?} at {committed} rows");
        server.leaves_nothing().await;
        drop(import);
    }
}

fn assert_all_inserted(finished: &FinishedImport) {
    let stats = stats(finished);
    let n_rows = i64::try_from(ROWS).unwrap();
    assert_eq!(
        (stats.inserted_row_count, stats.received_row_count),
        (n_rows, n_rows),
        "{finished:?}"
    );
}

/// A deferred trigger that makes the end of the last batch wait for a lock that the test holds.
fn held_at_row(ordinal: u64) -> String {
    format!(
        "create function hold() returns trigger language plpgsql as $$
        begin
            perform pg_advisory_xact_lock(7);
            return null;
        end $$;
        create constraint trigger hold after insert on businesses deferrable initially deferred
            for each row when (left(new.name, 8) = '{ordinal:08}') execute function hold()"
    )
}

fn atomic_header(id: &str) -> ImportHeader {
    ImportHeader {
        commit_mode: CommitMode::Atomic.into(),
        ..file_header(id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_import_killed_at_its_last_row_leaves_nothing_and_is_resumed() {
    let database = migrated().await;
    let n_rows = short_or_long(20_000, 1_000_000);
    database.execute(&held_at_row(n_rows - 1)).await;
    let csv = businesses::csv(n_rows, 1);
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    holder.execute("select pg_advisory_lock(7)").await.unwrap();

    let mut server = ServerProcess::start(&database, &[]).await;
    let header = atomic_header("atomic");
    let import = Running::file(server.client().await, header, csv.clone(), 256 << 10);
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())";
    let bound = Duration::from_secs(short_or_long(60, 600));
    within(bound, "the last batch waits", async || {
        database.value(waiting).await == "1"
    })
    .await;
    server.kill();
    drop(import);
    eventually("the transaction is gone", async || {
        database.value(waiting).await == "0"
    })
    .await;
    assert_eq!(businesses::tally(&database).await, [0; 3]);
    let ranges = "select count(*) from rowlift.import_batches";
    assert_eq!(database.value(ranges).await, "0");
    server.leaves_nothing().await;

    holder.close().await.unwrap();
    let server = ServerProcess::start(&database, &[]).await;
    let header = atomic_header("atomic");
    let import = Running::file(server.client().await, header, csv, 64 << 10);
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), n_rows);
    let table = businesses::tally(&database).await;
    assert_eq!(table, businesses::once(n_rows));
    ledger_has(&database, "atomic", n_rows).await;
    server.leaves_nothing().await;
    leaves_nothing(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_import_killed_at_any_moment_is_in_whole_or_not_at_all() {
    let database = migrated().await;
    let n_rows = short_or_long(20_000, 200_000);
    let csv = businesses::csv(n_rows, 1);
    let mut random = Random::new();
    let begun = Instant::now();
    let server = ServerProcess::start(&database, &[]).await;
    let header = atomic_header("clean");
    let import = Running::file(server.client().await, header, csv.clone(), 256 << 10);
    stats(&import.end().await.unwrap());
    let clean_time = begun.elapsed();
    for round in 0..short_or_long(3, 20) {
        database.execute("truncate businesses").await;
        let id = format!("round-{round}");
        let header = || atomic_header(&id);
        let mut killed = ServerProcess::start(&database, &[]).await;
        let import = Running::file(killed.client().await, header(), csv.clone(), 256 << 10);
        tokio::time::sleep(clean_time.mul_f64(0.001 * random.below(900) as f64)).await;
        killed.kill();
        drop(import);
        leaves_nothing(&database).await;
        let left = businesses::tally(&database).await;
        let whole = businesses::once(n_rows);
        assert!(left == [0; 3] || left == whole, "{left:?}");
        let import = Running::file(server.client().await, header(), csv.clone(), 64 << 10);
        stats(&import.end().await.unwrap());
        assert_eq!(businesses::tally(&database).await, whole, "{id}");
        killed.leaves_nothing().await;
    }
    server.leaves_nothing().await;
}
