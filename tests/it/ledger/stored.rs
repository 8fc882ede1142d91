//! This program on stored ledgers: of the version before, brought to this version, and of the
//! version after.
//!
//! One course of events for all of them: what has ended is replayed, what was broken off goes on
//! where it was, and another file under its id is refused before a row is written.

use std::path::Path;

use rowlift::proto::import_response::Event;
use rowlift::proto::{self, ListRejectedRowsRequest, State};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use super::imports::{
    CANCELLED_FILE, FAILED_ATOMIC, N_REJECTED, N_ROWS, RUNNING_FILE, SUCCEEDED_ATOMIC,
    SUCCEEDED_FILE, SUSPENDED_FILE, SUSPENDED_ROWS, configure, file, good_emails, header, whole,
};
use crate::support::postgres::Database;
use crate::support::service::{Ended, Service, file_messages};

/// Rows of a broken-off import that may be in: what was sent of it.
const SENT: std::ops::RangeInclusive<i64> = 40..=120;

/// A service on a ledger.
struct OnLedger {
    service: Service,
    /// `None`: SQLite.
    database: Option<Database>,
}

impl OnLedger {
    async fn postgres(sql: &str) -> OnLedger {
        let database = Database::fresh().await;
        database.execute(sql).await;
        let folder = tempfile::tempdir().unwrap();
        let service = Service::start(database.service_url(), folder, |config| {
            config.database_pooled = database.pooled();
            configure(config);
        });
        OnLedger {
            service: service.await,
            database: Some(database),
        }
    }

    async fn sqlite(sql: &str) -> OnLedger {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        connection.execute(sqlx::raw_sql(sql)).await.unwrap();
        connection.close().await.unwrap();
        OnLedger {
            service: Service::start(&url, folder, configure).await,
            database: None,
        }
    }

    /// The only column of a query.
    async fn column(&self, sql: &str) -> Vec<String> {
        let rows = match &self.database {
            Some(database) => database.query(sql).await,
            None => self.service.query_sqlite(sql).await,
        };
        let mut rows = rows.into_iter();
        let first = |mut row: Vec<Option<String>>| row.remove(0).unwrap_or_default();
        rows.by_ref().map(first).collect()
    }

    /// Emails of an import in the table, in order.
    async fn emails(&self, id: &str) -> Vec<String> {
        let sql = format!("select email from people where email like '%@{id}' order by email");
        self.column(&sql).await
    }

    async fn resume(&self, id: &str) -> Ended {
        let header = proto::ImportHeader {
            resume: true,
            ..header(id)
        };
        self.service.import(whole(header)).await
    }
}

/// The ledger of the version before this one.
fn stored(database: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("migrations")
        .join(database);
    let newest = std::fs::read_dir(folder).unwrap().count();
    let path = super::writing::folder().join(format!("{database}-{}.sql", newest - 1));
    std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}: see tests/it/ledger/writing.rs",
            path.display()
        )
    })
}

/// What a later version may do to the ledger: `prefix` stands before its
/// tables' names, `number` is a type.
fn next_version(prefix: &str, number: &str) -> String {
    format!(
        "ALTER TABLE {prefix}imports ADD COLUMN of_the_future text;
         ALTER TABLE {prefix}imports ADD COLUMN counted {number} NOT NULL DEFAULT 7;
         ALTER TABLE {prefix}sessions ADD COLUMN of_the_future text;
         ALTER TABLE {prefix}import_batches ADD COLUMN of_the_future {number} NOT NULL DEFAULT 0;
         ALTER TABLE {prefix}rejected_rows ADD COLUMN of_the_future text;
         CREATE TABLE {prefix}of_the_future (import {number} NOT NULL PRIMARY KEY);
         CREATE INDEX of_the_future_idx ON {prefix}imports (of_the_future);"
    )
}

/// Everything that was begun on the ledger, to its end.
async fn all_goes_on(on: &OnLedger) {
    on.service.app.ready().await;
    ended_ones_are_replayed(on).await;
    for id in [SUSPENDED_FILE, RUNNING_FILE, SUSPENDED_ROWS] {
        let before = on.emails(id).await.len();
        let ended = on.resume(id).await;
        let Some(Event::Accepted(accepted)) = ended.events.first() else {
            panic!("{id}: {ended:?}");
        };
        assert!(accepted.resumed, "{id}");
        assert!(SENT.contains(&accepted.committed_offset), "{accepted:?}");
        assert!(before > 0, "{id}");
        let stats = ended.ok();
        let counts = (stats.received_row_count, stats.rejected_row_count);
        let wanted = [N_ROWS, N_REJECTED].map(|it| i64::try_from(it).unwrap());
        assert_eq!(counts, (wanted[0], wanted[1]), "{id}");
        assert_eq!(on.emails(id).await, good_emails(id), "{id}");
        assert_eq!(rejected_numbers(on, id).await.len(), N_REJECTED, "{id}");
    }
    // And one of this version.
    let new = on.service.import(file_messages(
        header("new-file"),
        b"name,email,age\nAnn,a@new-file,1\nBo,b@new-file,-1\n",
    ));
    assert_eq!(new.await.ok().rejected_row_count, 1);
}

async fn ended_ones_are_replayed(on: &OnLedger) {
    for id in [SUCCEEDED_FILE, SUCCEEDED_ATOMIC] {
        let replayed = on.service.import(whole(header(id))).await;
        let stats = replayed.ok();
        let counts = (stats.inserted_row_count, stats.rejected_row_count);
        let wanted = [N_ROWS - N_REJECTED, N_REJECTED].map(|it| i64::try_from(it).unwrap());
        assert_eq!(counts, (wanted[0], wanted[1]), "{id}");
        assert_eq!(on.emails(id).await, good_emails(id), "{id}");
        let numbers = [7, 8, 57, 58, 107, 108, 157, 158].map(|ordinal| ordinal + 2);
        assert_eq!(rejected_numbers(on, id).await, numbers, "{id}");
    }
    let replayed = on.service.import(whole(header(FAILED_ATOMIC))).await;
    assert_eq!(replayed.result().state(), State::Failed);
    assert!(on.emails(FAILED_ATOMIC).await.is_empty());
    let before = on.emails(CANCELLED_FILE).await;
    let replayed = on.service.import(whole(header(CANCELLED_FILE))).await;
    assert_eq!(replayed.result().state(), State::Cancelled);
    assert_eq!(on.emails(CANCELLED_FILE).await, before);
}

/// Row numbers, with values that are still there.
async fn rejected_numbers(on: &OnLedger, id: &str) -> Vec<i64> {
    let request = ListRejectedRowsRequest {
        import_id: id.to_owned(),
        ..Default::default()
    };
    let page = on.service.client.clone().list_rejected_rows(request).await;
    let rows = page.unwrap().into_inner().rejected_rows;
    assert!(
        rows.iter()
            .all(|row| row.errors.iter().all(|it| !it.value.is_empty()))
    );
    rows.iter().map(|row| row.row_number).collect()
}

/// A row that was in front moves all others by one.
async fn other_files_are_refused(on: &OnLedger) {
    on.service.app.ready().await;
    let before = on.emails(SUSPENDED_FILE).await;
    assert!(!before.is_empty());
    let shifted = String::from_utf8(file(SUSPENDED_FILE)).unwrap();
    let shifted = shifted.replacen('\n', "\nSomebody,else@suspended-file,1\n", 1);
    let header = proto::ImportHeader {
        resume: true,
        ..header(SUSPENDED_FILE)
    };
    let messages = file_messages(header, shifted.as_bytes());
    let refused = on.service.import(messages).await;
    assert_eq!(refused.refusal().1, "ID_CONFLICT");
    assert_eq!(on.emails(SUSPENDED_FILE).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_is_refused_on_stored_ledgers() {
    for on in [
        OnLedger::postgres(&stored("postgres")).await,
        OnLedger::sqlite(&stored("sqlite")).await,
    ] {
        other_files_are_refused(&on).await;
        on.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_of_the_version_before() {
    let on = OnLedger::postgres(&stored("postgres")).await;
    let version = "select max(version)::text from rowlift.migrations";
    let before = on.column(version).await;
    all_goes_on(&on).await;
    assert_eq!(on.column(version).await, before, "nobody has migrated");
    on.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_brought_to_this_version() {
    let on = OnLedger::postgres(&stored("postgres")).await;
    on.service.app.store().migrate().await.unwrap();
    all_goes_on(&on).await;
    on.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_of_the_version_after() {
    let on = OnLedger::postgres(&stored("postgres")).await;
    let store = on.service.app.store();
    store.migrate().await.unwrap();
    let database = on.database.as_ref().unwrap();
    database.execute(&next_version("rowlift.", "bigint")).await;
    let record = "INSERT INTO rowlift.migrations (version, name, checksum)
        SELECT max(version) + 1, 'future', '' FROM rowlift.migrations";
    database.execute(record).await;
    store.migrate().await.unwrap();
    assert!(store.ready().await.unwrap());
    all_goes_on(&on).await;
    on.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_of_the_version_before() {
    let on = OnLedger::sqlite(&stored("sqlite")).await;
    all_goes_on(&on).await;
    on.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_of_the_version_after() {
    let on = OnLedger::sqlite(&stored("sqlite")).await;
    // Its statements are prepared by now.
    on.service.job(SUCCEEDED_FILE).await;
    on.service
        .execute_sqlite(&next_version("rowlift_", "integer"))
        .await;
    let record = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time)
        SELECT max(version) + 1, 'future', 1, x'00', 1 FROM _sqlx_migrations";
    on.service.execute_sqlite(record).await;
    let store = on.service.app.store();
    store.migrate().await.unwrap();
    assert!(store.ready().await.unwrap());
    all_goes_on(&on).await;
    on.service.stop().await;
}
