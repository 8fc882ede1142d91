//! What other users of the database do to an import: locks, deadlocks, all connections taken, a
//! database that takes no writes. Never a rejected row.

use std::collections::HashSet;
use std::sync::Arc;

use rowlift::client::messages;
use rowlift::proto::ImportHeader;
use sqlx::{Connection, Executor, PgConnection};

use super::{leaves_nothing, migrate, migrated, row_header, rows_beyond, whole};
use crate::support::businesses;
use crate::support::postgres::{Cluster, Database};
use crate::support::process::ServerProcess;
use crate::support::running::{Running, stats};
use crate::support::service::Service;
use crate::support::size::short_or_long;
use crate::support::waits::eventually;

const ROWS: u64 = 2_000;

/// Statements that wait for a lock in the database.
const WAITING: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'";

async fn begin(service: &Service, id: &str) -> Running {
    let client = service.import_client().await;
    Running::messages(client, row_header(id), whole(ROWS))
}

async fn assert_all_in(database: &Database, import: Running) -> i64 {
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(
        (counts.inserted_row_count, counts.rejected_row_count),
        (i64::try_from(ROWS).unwrap(), 0)
    );
    assert_eq!(businesses::tally(database).await, businesses::once(ROWS));
    leaves_nothing(database).await;
    counts.retry_count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_for_seconds_delays_the_import() {
    let database = migrated().await;
    let service = Service::postgres(&database, |_| {}).await;
    let mut lock = PgConnection::connect(database.url()).await.unwrap();
    lock.execute("begin; lock table businesses").await.unwrap();
    let import = begin(&service, "locked").await;
    eventually("a batch waits", async || {
        database.value(WAITING).await != "0"
    })
    .await;
    let hold = format!("select pg_sleep({}); commit", short_or_long(2, 30));
    lock.execute(sqlx::raw_sql(&hold)).await.unwrap();
    lock.close().await.unwrap();
    assert_all_in(&database, import).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_timeout_of_the_database_is_tried_again() {
    let database = migrated().await;
    let name = database.value("select current_database()").await;
    let sql = format!("alter database {name} set lock_timeout = '100ms'");
    database.execute(&sql).await;
    let service = Service::postgres(&database, |config| config.writers_max = 4).await;
    let mut lock = PgConnection::connect(database.url()).await.unwrap();
    // Others may read the table and its description, but not write.
    lock.execute("begin; lock table businesses in share mode")
        .await
        .unwrap();
    let import = begin(&service, "timed-out").await;
    // More transactions than there are writers: some are second tries.
    let begun = "select xact_start from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let mut transactions = HashSet::new();
    eventually("batches are tried again", async || {
        transactions.extend(database.query(begun).await);
        transactions.len() > 8
    })
    .await;
    lock.close().await.unwrap();
    assert!(assert_all_in(&database, import).await > 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_another_transaction_is_tried_again() {
    let database = migrated().await;
    let name = database.value("select current_database()").await;
    // The import looks for a deadlock long before the other transaction does.
    let sql = format!(
        "create unique index on businesses (email);
         alter database {name} set deadlock_timeout = '5s'"
    );
    database.execute(&sql).await;
    let service = Service::postgres(&database, |_| {}).await;
    let other =
        |email: &str| format!("insert into businesses (name, email) values ('other', '{email}')");
    let mut rival = PgConnection::connect(database.url()).await.unwrap();
    let first = format!("set deadlock_timeout = '60s'; begin; {}", other("b@x"));
    rival.execute(sqlx::raw_sql(&first)).await.unwrap();

    let header = ImportHeader {
        import_id: "deadlock".to_owned(),
        ..messages::row_header("businesses", &["name", "email"])
    };
    let row = |email: &str| vec![messages::text("mine"), messages::text(email)];
    let rows = messages::row_batch(None, vec![row("a@x"), row("b@x")]);
    let sent = futures::stream::iter([rows, messages::finish_rows(2)]);
    let import = Running::messages(service.import_client().await, header, sent);
    eventually("the batch waits for the other transaction", async || {
        database.value(WAITING).await != "0"
    })
    .await;
    // Returns once the import has given way.
    rival.execute(sqlx::raw_sql(&other("a@x"))).await.unwrap();
    rival.execute("rollback").await.unwrap();
    rival.close().await.unwrap();
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(
        (counts.inserted_row_count, counts.rejected_row_count),
        (2, 0)
    );
    assert!(counts.retry_count > 0, "{counts:?}");
    let names = database
        .value("select string_agg(name || ' ' || email, ', ' order by email) from businesses")
        .await;
    assert_eq!(names, "mine a@x, mine b@x");
    leaves_nothing(&database).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_all_taken_delay_the_import() {
    let cluster = Arc::new(Cluster::start("-c max_connections=10"));
    let database = Database::on(&cluster).await;
    migrate(&database).await;
    let server = ServerProcess::start(&database, &[]).await;
    let mut taken = Vec::new();
    // The service keeps two for its questions to the ledger; the rest is gone.
    while let Ok(connection) = PgConnection::connect(database.url()).await {
        taken.push(connection);
        assert!(taken.len() <= 10, "the server has more than it was told");
    }
    let before = cluster.log().matches("too many clients").count();
    let client = server.client().await;
    let import = Running::messages(client, row_header("taken"), whole(ROWS));
    eventually("a writer is refused", async || {
        cluster.log().matches("too many clients").count() > before
    })
    .await;
    for connection in taken {
        connection.close().await.unwrap();
    }
    assert_all_in(&database, import).await;
    server.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_writes_suspends_the_import() {
    let database = migrated().await;
    let name = database.value("select current_database()").await;
    let read_only = |on: &str| {
        // What is connected keeps its old default: it is made to connect anew.
        format!(
            "begin read write;
             alter database {name} set default_transaction_read_only = {on};
             commit;
             select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()"
        )
    };
    let server = ServerProcess::start(&database, &[("batch_rows_max", "500")]).await;
    let client = server.client().await;
    let mut import = Running::messages(client, row_header("replica"), super::endless());
    import.until_committed(500).await;
    database.execute(&read_only("on")).await;
    assert_eq!(import.refusal().await, "FAILED_PRECONDITION, READ_ONLY");
    let begun = Running::messages(server.client().await, row_header("new"), whole(1));
    assert_eq!(begun.refusal().await, "FAILED_PRECONDITION, READ_ONLY");

    database.execute(&read_only("off")).await;
    let n_rows = rows_beyond(&database, "replica", 1_000).await;
    let client = server.client().await;
    let import = Running::messages(client, row_header("replica"), whole(n_rows));
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(u64::try_from(counts.inserted_row_count).unwrap(), n_rows);
    let table = businesses::tally(&database).await;
    assert_eq!(table, businesses::once(n_rows));
    server.leaves_nothing().await;
    leaves_nothing(&database).await;
}
