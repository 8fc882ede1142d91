use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Executor;

use super::connection::Bound;
use super::sql::fetch_one;
use super::{SqliteConfig, SqliteStore};
use crate::model::batch::{Batch, RejectBudget, RowSource};
use crate::model::cell::Cell;
use crate::model::frame::FrameBuilder;
use crate::model::import::{NewImport, Reason, WriteMethod};
use crate::model::plan::{PlannedColumn, WritePlan};
use crate::model::reject::SourceKind;
use crate::model::value::{RowBuffer, Value};
use crate::store::allow::{AllowList, AllowedTable};
use crate::store::{OpenMode, Opened, Retention, SessionKey, Store, StoreError, WriteRequest};

struct Fixture {
    store: SqliteStore,
    key: SessionKey,
    plan: WritePlan,
    _directory: tempfile::TempDir,
}

/// A store with table `t (name text)` made by `sql`, and an import that runs.
async fn fixture(sql: &str) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let entry = AllowedTable {
        name: "*".to_owned(),
        importable: None,
        assignable: Vec::new(),
        aliases: BTreeMap::new(),
    };
    let config = SqliteConfig {
        url: format!(
            "sqlite://{}?mode=rwc",
            directory.path().join("t.db").display()
        ),
        allow: AllowList::new(vec![entry], "main"),
        server: "test".to_owned(),
        lease: Duration::from_secs(15),
        control_timeout: Duration::from_secs(10),
        retention: Retention::default(),
        cache_bytes: 8 << 20,
    };
    let store = SqliteStore::connect(config).await.unwrap();
    on_writer(&store, sql).await;
    let new = NewImport {
        owner: String::new(),
        import_id: "id".to_owned(),
        tenant: String::new(),
        table: "main.t".to_owned(),
        fingerprint: [0; 32],
        file_name: String::new(),
        file_sha256: None,
        labels: BTreeMap::new(),
        validate_only: false,
        write_method: WriteMethod::Batch,
        server: "test".to_owned(),
        layout: None,
        reject_retention: None,
    };
    let Opened::Running(open) = store.open_import(&new, OpenMode::Begin).await.unwrap() else {
        panic!("a new import runs");
    };
    let table = store.table("t").await.unwrap().unwrap();
    let planned = PlannedColumn {
        table_column: table.column_index("name").unwrap(),
        source_index: Some(0),
        source_name: "name".to_owned(),
        insert_only: false,
    };
    Fixture {
        store,
        key: open.key,
        plan: WritePlan {
            table,
            columns: vec![planned],
            method: WriteMethod::Batch,
            on_conflict: crate::model::plan::OnConflict::Reject,
        },
        _directory: directory,
    }
}

/// Runs statements on the store's own writer, whose pragmas they may set.
async fn on_writer(store: &SqliteStore, sql: &str) {
    let mut lease = store.connections.writer(store.bound()).await.unwrap();
    lease.execute(sql).await.unwrap();
    lease.give_back();
}

async fn count(store: &SqliteStore) -> i64 {
    use sqlx::Row;

    let mut lease = store.connections.writer(store.bound()).await.unwrap();
    let row = fetch_one(&mut lease, sqlx::query("SELECT count(*) FROM t")).await;
    lease.give_back();
    row.unwrap().get(0)
}

fn batch(texts: &[String]) -> Batch {
    let mut rows = RowBuffer::new(1);
    let mut frame = FrameBuilder::new();
    for (ordinal, text) in (0..).zip(texts) {
        rows.push(Value::Text(text));
        frame.begin_row(ordinal, ordinal + 1, "");
        frame.push(Cell::Text(text));
        frame.end_row();
    }
    let frame = Arc::new(frame.take());
    let source = |row: crate::model::frame::FrameRow<'_>| RowSource {
        frame: 0,
        start: u32::try_from(row.start).unwrap(),
        ordinal: row.ordinal,
    };
    Batch {
        index: 0,
        range: 0..texts.len() as u64,
        rows,
        sources: frame.rows().map(source).collect(),
        frames: vec![frame],
        rejected: Vec::new(),
        rows_hash: 1,
        sheet: "".into(),
        source_kind: SourceKind::File,
        position: None,
    }
}

impl Fixture {
    async fn write(
        &self,
        batch: &Batch,
        deadline: Option<Duration>,
    ) -> Result<crate::model::batch::Receipt, StoreError> {
        let request = WriteRequest {
            key: self.key,
            plan: &self.plan,
            batch,
            rejects: &RejectBudget::new(None, 0),
            settings: &BTreeMap::new(),
            probe_first: false,
            deadline: deadline.map(|after| Instant::now() + after),
        };
        self.store.write_batch(request).await
    }
}

#[tokio::test]
async fn full_disk_fails_the_import_and_leaves_nothing() {
    let fixture = fixture("CREATE TABLE t (name text)").await;
    // SQLite's own limit on the file gives the same code as a full disk.
    on_writer(&fixture.store, "PRAGMA max_page_count = 60").await;
    let batch = batch(&vec!["x".repeat(1000); 1000]);
    match fixture.write(&batch, None).await {
        Err(StoreError::Failed(failure)) => assert_eq!(failure.reason, Reason::DiskFull),
        other => panic!("{other:?}"),
    }
    assert_eq!(count(&fixture.store).await, 0);
    on_writer(&fixture.store, "PRAGMA max_page_count = 100000").await;
    let receipt = fixture.write(&batch, None).await.unwrap();
    assert_eq!(receipt.counts.inserted, 1000);
}

#[tokio::test]
async fn deadline_interrupts_a_statement_that_runs() {
    // Takes minutes for a row unless it is stopped.
    let slow = "CREATE TABLE t (name text);
        CREATE TRIGGER slow AFTER INSERT ON t BEGIN
            SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                WHERE i < 10000000000) SELECT i FROM n);
        END";
    let fixture = fixture(slow).await;
    let batch = batch(&["a".to_owned()]);
    let begin = Instant::now();
    let late = fixture
        .write(&batch, Some(Duration::from_millis(300)))
        .await;
    assert!(matches!(late, Err(StoreError::Deadline)), "{late:?}");
    // The lock is free at once: the interrupted statement is not waited for.
    on_writer(&fixture.store, "DROP TRIGGER slow").await;
    let receipt = fixture.write(&batch, None).await.unwrap();
    assert_eq!(receipt.counts.inserted, 1);
    assert_eq!(count(&fixture.store).await, 1);
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn lease_that_is_dropped_inside_a_transaction_rolls_back() {
    let fixture = fixture("CREATE TABLE t (name text)").await;
    let store = &fixture.store;
    let mut lease = store.connections.writer(store.bound()).await.unwrap();
    lease
        .execute("BEGIN IMMEDIATE; INSERT INTO t VALUES ('lost')")
        .await
        .unwrap();
    drop(lease);
    assert_eq!(count(store).await, 0);
    on_writer(
        store,
        "BEGIN IMMEDIATE; INSERT INTO t VALUES ('kept'); COMMIT",
    )
    .await;
    assert_eq!(count(store).await, 1);
}

#[tokio::test]
async fn writer_survives_a_kill_of_its_connection_and_syncs_fully() {
    use sqlx::Row;

    let fixture = fixture("CREATE TABLE t (name text)").await;
    let bound = Bound::new(None, Duration::from_secs(5));
    for _ in 0..2 {
        let mut lease = fixture.store.connections.writer(bound).await.unwrap();
        for (pragma, expected) in [
            ("synchronous", "2"),
            ("journal_mode", "wal"),
            ("foreign_keys", "1"),
        ] {
            let sql = format!("SELECT CAST({pragma} AS text) FROM pragma_{pragma}");
            let row = fetch_one(&mut lease, sqlx::query(&sql)).await.unwrap();
            assert_eq!(row.get::<&str, _>(0), expected, "{pragma}");
        }
        // Not settled: the second round has a connection of its own.
        drop(lease);
    }
}
