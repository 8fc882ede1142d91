//! The database dies, or its backends do, or the service is told to stop: the import survives by
//! its retries or is resumed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rowlift::client::FinishedImport;
use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection};

use super::{file_header, leaves_nothing, ledger_has, migrate, migrated};
use crate::support::businesses;
use crate::support::postgres::{Cluster, Database};
use crate::support::process::ServerProcess;
use crate::support::running::{Running, stats};
use crate::support::size::short_or_long;

/// Small, so that a batch is in between two faults.
const SMALL_BATCHES: (&str, &str) = ("batch_rows_max", "500");

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_and_comes_back_has_every_row_once() {
    let cluster = Arc::new(Cluster::start(""));
    let database = Database::on(&cluster).await;
    migrate(&database).await;
    let n_rows = short_or_long(40_000, 200_000);
    let csv = businesses::csv(n_rows, 1);
    let server = ServerProcess::start(&database, &[SMALL_BATCHES]).await;
    for round in 0..short_or_long(3, 20) {
        database.execute("truncate businesses").await;
        let id = format!("round-{round}");
        let client = server.client().await;
        let mut import = Running::file(client, file_header(&id), csv.clone(), 64 << 10);
        import.until_committed(1 + round * 997 % 20_000).await;
        cluster.kill();
        cluster.restart();
        let finished = end_or_resume(&server, &id, &csv, import).await;
        let counts = stats(&finished);
        assert_eq!(
            (counts.inserted_row_count, counts.rejected_row_count),
            (i64::try_from(n_rows).unwrap(), 0),
            "{finished:?}"
        );
        let table = businesses::tally(&database).await;
        assert_eq!(table, businesses::once(n_rows), "{id}");
        ledger_has(&database, &id, n_rows).await;
    }
    server.leaves_nothing().await;
    leaves_nothing(&database).await;
}

/// An import that was given up meanwhile says that the database was away, and continues.
async fn end_or_resume(
    server: &ServerProcess,
    id: &str,
    csv: &Bytes,
    mut import: Running,
) -> FinishedImport {
    /// Of one import.
    const RESUMES_MAX: usize = 20;
    for _ in 0..RESUMES_MAX {
        match import.end().await {
            Ok(finished) => return finished,
            Err(error) => {
                let verdict = error.verdict().unwrap_or_default();
                assert_eq!(verdict, "UNAVAILABLE, DATABASE_UNAVAILABLE", "{error:?}");
            }
        }
        let client = server.client().await;
        import = Running::file(client, file_header(id), csv.clone(), 64 << 10);
    }
    panic!("{id}: not in after {RESUMES_MAX} resumes");
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_backends_cost_retries_and_no_row() {
    let database = migrated().await;
    let n_rows = short_or_long(50_000, 200_000);
    let csv = businesses::csv(n_rows, 1);
    let server = ServerProcess::start(&database, &[SMALL_BATCHES]).await;
    let client = server.client().await;
    let mut import = Running::file(client, file_header("terminated"), csv.clone(), 64 << 10);
    import.until_committed(1).await;

    let mut killer = PgConnection::connect(database.url()).await.unwrap();
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend'; select pg_sleep(0.2)";
    let killing = async {
        for _ in 0..short_or_long(15, 100) {
            killer.execute(sqlx::raw_sql(terminate)).await.unwrap();
        }
    };
    let ending = end_or_resume(&server, "terminated", &csv, import);
    let (finished, ()) = tokio::join!(ending, killing);
    let counts = stats(&finished);
    assert_eq!(
        (counts.inserted_row_count, counts.rejected_row_count),
        (i64::try_from(n_rows).unwrap(), 0)
    );
    assert!(counts.retry_count > 0, "{counts:?}");
    let table = businesses::tally(&database).await;
    assert_eq!(table, businesses::once(n_rows));
    ledger_has(&database, "terminated", n_rows).await;
    killer.close().await.unwrap();
    server.leaves_nothing().await;
    leaves_nothing(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_told_to_stop_suspends_its_import_and_another_ends_it() {
    let database = migrated().await;
    let n_rows = 50_000;
    let csv = businesses::csv(n_rows, 1);
    let settings = [SMALL_BATCHES, ("drain_grace", "100ms")];
    let mut server = ServerProcess::start(&database, &settings).await;
    let client = server.client().await;
    let mut import = Running::file(client, file_header("drained"), csv.clone(), 64 << 10);
    import.until_committed(1).await;
    server.signal(Signal::TERM);
    let ended = tokio::time::timeout(Duration::from_secs(30), import.refusal()).await;
    assert_eq!(ended.unwrap(), "UNAVAILABLE, DRAINING");
    assert!(server.ended().await.success());
    server.leaves_nothing().await;

    let next = ServerProcess::start(&database, &[]).await;
    let import = Running::file(next.client().await, file_header("drained"), csv, 10_007);
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), n_rows);
    let table = businesses::tally(&database).await;
    assert_eq!(table, businesses::once(n_rows));
    leaves_nothing(&database).await;
}
