//! Writes the ledgers that later versions are tested on.
//!
//! To be run before a migration is added, so that the ledger of the version before is kept:
//!
//! ```sh
//! cargo nextest run --test it --run-ignored only -E 'test(ledger::writing)'
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures::{StreamExt, stream};
use rowlift::proto::{CancelImportRequest, State};

use super::imports::{
    CANCELLED_FILE, FAILED_ATOMIC, PEOPLE, RUNNING_FILE, SUCCEEDED_ATOMIC, SUCCEEDED_FILE,
    SUSPENDED_FILE, SUSPENDED_ROWS, configure, header, messages, whole,
};
use crate::support::postgres::Database;
use crate::support::running::Running;
use crate::support::service::{Service, request};
use crate::support::waits::eventually;

/// Where stored ledgers are.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ledger")
}

/// Brings imports into every state; the one that is given back still runs.
async fn begin_all(service: &Service) -> Running {
    for id in [SUCCEEDED_FILE, SUCCEEDED_ATOMIC] {
        service.import(whole(header(id))).await.ok();
    }
    let failed = service.import(whole(header(FAILED_ATOMIC))).await;
    assert_eq!(failed.result().state(), State::Failed);
    for id in [SUSPENDED_FILE, SUSPENDED_ROWS, CANCELLED_FILE] {
        drop(begin(service, id).await);
        eventually("it is suspended", async || {
            service.job(id).await.state() == State::Suspended
        })
        .await;
    }
    let cancel = CancelImportRequest {
        import_id: CANCELLED_FILE.to_owned(),
        ..Default::default()
    };
    service.client.clone().cancel_import(cancel).await.unwrap();
    assert_eq!(service.job(CANCELLED_FILE).await.state(), State::Cancelled);
    begin(service, RUNNING_FILE).await
}

/// An import of which half is sent, once rows of it are in.
async fn begin(service: &Service, id: &str) -> Running {
    let half = messages(id);
    let half = half[..half.len() / 2].to_vec();
    let half = stream::iter(half.into_iter().map(request)).chain(stream::pending());
    let client = service.import_client().await;
    let mut running = Running::messages(client, header(id), half);
    running.until_committed(40).await;
    running
}

fn write_file(name: &str, sql: &str) {
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::write(folder().join(name), sql).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes a file of the repository"]
async fn ledger_of_postgres() {
    let database = Database::fresh().await;
    let service = Service::postgres(&database, configure).await;
    database.execute(PEOPLE).await;
    let running = begin_all(&service).await;
    let version = database
        .value("select max(version) from rowlift.migrations")
        .await;
    let mut dump = Command::new("pg_dump");
    dump.args(["--inserts", "--no-owner", "--no-privileges", "--dbname"]);
    let dump = dump.arg(database.url()).output().expect("pg_dump");
    assert!(dump.status.success(), "{dump:?}");
    let dump = String::from_utf8(dump.stdout).unwrap();
    // Commands of psql, comments, and settings that older servers do not know.
    let is_sql = |line: &&str| {
        let is_other = ["\\", "--", "SET "].iter().any(|it| line.starts_with(it));
        !is_other && !line.is_empty()
    };
    let sql: Vec<&str> = dump.lines().filter(is_sql).collect();
    write_file(&format!("postgres-{version}.sql"), &(sql.join("\n") + "\n"));
    drop(running);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes a file of the repository"]
async fn ledger_of_sqlite() {
    let service = Service::sqlite_with(PEOPLE, configure).await;
    let running = begin_all(&service).await;
    let one = async |sql: &str| service.query_sqlite(sql).await;
    let newest = one("select cast(max(version) as text) from _sqlx_migrations").await;
    let version = newest[0][0].clone().unwrap();
    let mut sql = String::new();
    let things = "select sql, type, name from sqlite_master where sql is not null
        and name not like 'sqlite\\_%' escape '\\' order by type <> 'table', rowid";
    for thing in one(things).await {
        let [create, kind, name] = [0, 1, 2].map(|at| thing[at].clone().unwrap());
        writeln!(sql, "{create};").unwrap();
        if kind != "table" {
            continue;
        }
        let columns = format!(
            "select group_concat('quote(\"' || name || '\")', ' || '', '' || ')
             from pragma_table_info('{name}')"
        );
        let columns = one(&columns).await[0][0].clone().unwrap();
        let rows = format!("select {columns} from \"{name}\" order by rowid");
        let has_no_rowid = create.to_uppercase().contains("WITHOUT ROWID");
        let rows = if has_no_rowid {
            rows.replace(" order by rowid", "")
        } else {
            rows
        };
        for row in one(&rows).await {
            let values = row[0].as_deref().unwrap();
            writeln!(sql, "INSERT INTO \"{name}\" VALUES ({values});").unwrap();
        }
    }
    write_file(&format!("sqlite-{version}.sql"), &sql);
    drop(running);
    service.stop().await;
}
