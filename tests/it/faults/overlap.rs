//! Batches of an import whose rows may meet by a key: those that have none in common are written
//! side by side, those that have wait, and a crash in between changes nothing.

use bytes::Bytes;
use rowlift::proto::{ConflictAction, ImportHeader};
use sqlx::{Connection, Executor, PgConnection};

use super::leaves_nothing;
use crate::support::postgres::Database;
use crate::support::running::{Running, stats};
use crate::support::service::{Service, file_header};
use crate::support::waits::eventually;

/// A row that is there, and when each was written.
const STOCK: &str = "create table stock (sku text primary key, n int,
         at timestamptz default clock_timestamp());
     insert into stock values ('a', 0)";

/// Four rows, each a batch: the third meets the first.
const ROWS: &str = "sku,n\na,1\nb,2\na,3\nc,4\n";

/// Statements that wait for a lock in the database.
const WAITING: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'";

async fn service(database: &Database, batch_rows: usize) -> Service {
    Service::postgres(database, |config| {
        config.writers_max = 4;
        config.writers_per_import = 4;
        config.batch_rows_first = batch_rows;
        config.batch_rows_max = batch_rows;
    })
    .await
}

async fn begin(service: &Service, resume: bool) -> Running {
    let header = ImportHeader {
        on_conflict: ConflictAction::Update.into(),
        progress_interval: Some(prost_types::Duration {
            seconds: 0,
            nanos: 100_000_000,
        }),
        resume,
        ..file_header("stock", "stock")
    };
    let client = service.import_client().await;
    Running::file(client, header, Bytes::from(ROWS), 1 << 10)
}

/// Locks the row that is there.
async fn lock(database: &Database) -> PgConnection {
    let mut rival = PgConnection::connect(database.url()).await.unwrap();
    let sql = "begin; select from stock where sku = 'a' for update";
    rival.execute(sql).await.unwrap();
    rival
}

async fn until_b_is_in(database: &Database) {
    eventually("the second batch is in", async || {
        database
            .value("select count(*) from stock where sku = 'b'")
            .await
            == "1"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_without_a_key_in_common_pass_one_that_is_held_up() {
    let database = Database::fresh().await;
    let service = service(&database, 1).await;
    database.execute(STOCK).await;
    let rival = lock(&database).await;
    let mut import = begin(&service, false).await;
    until_b_is_in(&database).await;
    // The third has come, and the fourth does not come past it.
    import
        .until("the third batch is there", |seen| seen.received == 3)
        .await;
    assert_eq!(database.value(WAITING).await, "1");
    assert_eq!(import.seen().committed, 0);
    let released = database.value("select clock_timestamp()").await;
    rival.close().await.unwrap();
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(
        (counts.updated_row_count, counts.inserted_row_count),
        (2, 2)
    );
    let sql = format!(
        "select string_agg(concat_ws(' ', sku, n,
             case when sku <> 'a' then at > '{released}' end), ', ' order by sku) from stock"
    );
    assert_eq!(database.value(&sql).await, "a 3, b 2 f, c 4 t");
    leaves_nothing(&database).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_passed_another_is_passed_over_when_that_is_resumed() {
    let database = Database::fresh().await;
    let one_by_one = service(&database, 1).await;
    database.execute(STOCK).await;
    let rival = lock(&database).await;
    let import = begin(&one_by_one, false).await;
    until_b_is_in(&database).await;
    drop(import);
    // Its statements have ended: only the rival's transaction is left.
    eventually("the session has ended", async || {
        database.value(WAITING).await == "0"
    })
    .await;
    rival.close().await.unwrap();
    let ranges = "select string_agg(first_ordinal || '-' || end_ordinal, ', ')
        from rowlift.import_batches";
    assert_eq!(database.value(ranges).await, "1-2");
    let written = database.value("select at from stock where sku = 'b'").await;

    let several = service(&database, 3).await;
    let import = begin(&several, true).await;
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(
        (counts.updated_row_count, counts.inserted_row_count),
        (2, 2)
    );
    let sql = format!(
        "select string_agg(concat_ws(' ', sku, n,
             case when sku = 'b' then at = '{written}' end), ', ' order by sku) from stock"
    );
    assert_eq!(database.value(&sql).await, "a 3, b 2 t, c 4");
    leaves_nothing(&database).await;
    several.stop().await;
    one_by_one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_partition_waits_for_its_parent_in_it() {
    let database = Database::fresh().await;
    let service = service(&database, 1).await;
    database
        .execute(
            "create table owner (name text primary key);
             insert into owner values ('x'), ('y');
             create table node (id int primary key, parent int references node,
                 owner text references owner) partition by range (id);
             create table node_1 partition of node default",
        )
        .await;
    let mut rival = PgConnection::connect(database.url()).await.unwrap();
    let sql = "begin; select from owner where name = 'x' for update";
    rival.execute(sql).await.unwrap();
    let client = service.import_client().await;
    let rows = Bytes::from("id,parent,owner\n1,,x\n2,1,y\n");
    let import = Running::file(client, file_header("nodes", "node_1"), rows, 1 << 10);
    eventually("the parent's batch is held up", async || {
        database.value(WAITING).await == "1"
    })
    .await;
    rival.close().await.unwrap();
    let counts = stats(&import.end().await.unwrap());
    let found = (counts.inserted_row_count, counts.rejected_row_count);
    assert_eq!(found, (2, 0));
    leaves_nothing(&database).await;
    service.stop().await;
}
