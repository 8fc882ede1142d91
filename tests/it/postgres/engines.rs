//! Engines that can do less with COPY: what they are sent, and how one takes another's place.

use std::sync::Arc;

use rowlift::model::batch::Receipt;
use rowlift::model::import::WriteMethod;
use rowlift::model::plan::OnMissing;
use rowlift::store::copying::{CopyFormat, Copying};
use rowlift::store::postgres::{PgConfig, PgStore};
use rowlift::store::{AtomicRequest, AtomicWrite, Store, Transactions, WholeRange};

use super::fixture::{Fixture, Import, config, integers};
use crate::support::postgres::Database;
use crate::support::proxy::Proxy;

const TABLE: &str = "CREATE TABLE t (a int PRIMARY KEY CHECK (a <> 13))";
const AS_YUGABYTE: &str = "CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text \
    LANGUAGE sql AS $$ SELECT 'PostgreSQL 11.2-YB-2.25.0.0-b0 on x86_64'::text $$";

/// Every transaction that a store on such an engine sends for batches of all kinds.
async fn sent(copying: Copying) -> Vec<String> {
    let database = Database::fresh().await;
    let proxy = Proxy::recording(database.service_addr()).await;
    let database = database.through_proxy(proxy.addr());
    let config = PgConfig {
        copying,
        copy_detected: false,
        ..config(&database)
    };
    let store = PgStore::connect(config).await.unwrap();
    store.migrate().await.unwrap();
    database.execute(TABLE).await;
    let fixture = Fixture { store, database };
    proxy.take_sent();

    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    write(&fixture, &import, 0, &[1, 2]).await;
    write(&fixture, &import, 2, &[3, 13, 4]).await;
    import.probe_first = true;
    write(&fixture, &import, 5, &[5, 13]).await;
    let meeting = fixture.import("t", &["a"], WriteMethod::Copy).await;
    let meeting = meeting.update("t_pkey", OnMissing::Insert);
    write(&fixture, &meeting, 0, &[5, 6]).await;
    let whole = fixture.import("t", &["a"], WriteMethod::Copy).await;
    let mut atomic = begin(&fixture, &whole).await;
    let receipt = atomic.write(&integers(0, &[7]), false).await.unwrap();
    atomic.commit(&range(&receipt)).await.unwrap();

    let rows = "SELECT string_agg(a::text, ' ' ORDER BY a) FROM t";
    assert_eq!(fixture.database.value(rows).await, "1 2 3 4 5 6 7");
    let sent = proxy.take_sent();
    let transactions = sent
        .iter()
        .flat_map(|text| text.split("BEGIN ISOLATION LEVEL"));
    transactions.map(str::to_owned).collect()
}

async fn write(fixture: &Fixture, import: &Import, first: u64, rows: &[i64]) {
    let batch = integers(first, rows);
    fixture.write(import, &batch).await.unwrap();
}

async fn begin<'a>(fixture: &'a Fixture, import: &'a Import) -> Box<dyn AtomicWrite + 'a> {
    let request = AtomicRequest {
        key: import.key,
        plan: &import.plan,
        rejects: &import.rejects,
        settings: &import.settings,
        deadline: None,
        validate_only: false,
    };
    fixture.store.begin_atomic(request).await.unwrap()
}

fn range(receipt: &Receipt) -> WholeRange {
    WholeRange {
        end: receipt.range.end,
        rows_hash: 77,
        counts: receipt.counts,
        n_batches: 1,
        position: None,
    }
}

fn n_with(transactions: &[String], text: &str) -> usize {
    transactions.iter().filter(|it| it.contains(text)).count()
}

/// How many transactions copy once they have a savepoint.
fn n_behind_savepoints(transactions: &[String]) -> usize {
    let behind = transactions
        .iter()
        .filter_map(|it| it.split_once("SAVEPOINT"));
    behind.filter(|(_, rest)| rest.contains("COPY ")).count()
}

#[tokio::test]
async fn postgresql_is_sent_binary_copies_behind_savepoints() {
    let sent = sent(Copying::default()).await;
    // The two without findings, the stage, and the one of many.
    assert!(n_behind_savepoints(&sent) >= 4, "{sent:?}");
    assert_eq!(n_with(&sent, "FORMAT binary"), n_with(&sent, "COPY "));
    assert_eq!(n_with(&sent, "PGCOPY\n"), n_with(&sent, "COPY "));
}

#[tokio::test]
async fn engine_with_other_binary_types_is_sent_text() {
    let sent = sent(Copying {
        format: Some(CopyFormat::Text),
        ..Copying::default()
    })
    .await;
    assert!(n_behind_savepoints(&sent) >= 4, "{sent:?}");
    assert_eq!(n_with(&sent, "FORMAT binary"), 0, "{sent:?}");
    assert_eq!(n_with(&sent, "PGCOPY\n"), 0, "{sent:?}");
}

#[tokio::test]
async fn engine_without_copy_is_sent_none() {
    let sent = sent(Copying {
        format: None,
        ..Copying::default()
    })
    .await;
    assert_eq!(n_with(&sent, "COPY"), 0, "{sent:?}");
    assert!(
        n_with(&sent, "INSERT INTO \"public\".\"t\"") >= 4,
        "{sent:?}"
    );
}

#[tokio::test]
async fn engine_that_takes_no_copy_behind_a_savepoint_is_sent_none_there() {
    let sent = sent(Copying {
        behind_savepoints: false,
        ..Copying::default()
    })
    .await;
    // The two batches that nothing is known of.
    assert_eq!(n_with(&sent, "COPY "), 2, "{sent:?}");
    assert_eq!(n_behind_savepoints(&sent), 0, "{sent:?}");
}

#[tokio::test]
async fn method_is_what_the_engine_lets_run() {
    use Transactions::{One, PerBatch};
    let database = Database::fresh().await;
    database.execute(TABLE).await;
    for (format, behind_savepoints, transactions, method) in [
        (Some(CopyFormat::Text), true, One, WriteMethod::Copy),
        (None, true, PerBatch, WriteMethod::Batch),
        (Some(CopyFormat::Binary), false, PerBatch, WriteMethod::Copy),
        (Some(CopyFormat::Binary), false, One, WriteMethod::Batch),
    ] {
        let copying = Copying {
            format,
            behind_savepoints,
        };
        let config = PgConfig {
            copying,
            copy_detected: false,
            ..config(&database)
        };
        let store = PgStore::connect(config).await.unwrap();
        let table = store.table("t").await.unwrap().unwrap();
        let ran = store.write_method(None, &table, transactions);
        assert_eq!(ran, method, "{copying:?} {transactions:?}");
    }
}

#[tokio::test]
async fn another_server_is_asked_what_it_can_do() {
    let fixture = Fixture::new().await;
    let other = Fixture::new().await;
    fixture.database.execute(TABLE).await;
    other.database.execute(TABLE).await;
    other.database.execute(AS_YUGABYTE).await;
    let method = async || {
        let table = fixture.store.table("t").await.unwrap().unwrap();
        fixture
            .store
            .write_method(None, &table, Transactions::PerBatch)
    };
    assert_eq!(method().await, WriteMethod::Copy);
    let whole = fixture.import("t", &["a"], WriteMethod::Copy).await;
    let mut atomic = begin(&fixture, &whole).await;
    let receipt = atomic.write(&integers(0, &[1]), false).await.unwrap();
    let earlier = Arc::clone(&whole.plan.table);

    let url = other.database.service_url();
    fixture.store.reconnect(url).unwrap();
    atomic.commit(&range(&receipt)).await.unwrap();
    assert_eq!(method().await, WriteMethod::Batch);
    let table = fixture.store.table("t").await.unwrap().unwrap();
    assert!(!Arc::ptr_eq(&table, &earlier), "the other database's table");
    let import = fixture.import("t", &["a"], WriteMethod::Batch).await;
    write(&fixture, &import, 0, &[2]).await;
    let rows = "SELECT string_agg(a::text, ' ') FROM t";
    assert_eq!(fixture.database.value(rows).await, "1");
    assert_eq!(other.database.value(rows).await, "2");
}
