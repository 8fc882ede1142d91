//! A PostgreSQL database of its own for each test.
//!
//! In: nothing, or the cluster that `ROWLIFT_TEST_POSTGRES` names (`scripts/test` starts one for all
//! tests). Out: an empty database, dropped when the value is. Without the variable the first
//! test of a process starts a cluster with `scripts/pg-cluster`, and the last one that holds it stops it.
//! With `ROWLIFT_TEST_POOLED` stores and services reach the same cluster through the pooler that it
//! names, while the test's own statements go there directly.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _, ValueRef as _};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/pg-cluster");

/// The cluster that this process started, while a test holds it.
static STARTED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// An empty database.
#[derive(Debug)]
pub(crate) struct Database {
    admin_url: String,
    url: String,
    /// For stores and services: `url`, or the pooler before it.
    service_url: String,
    pooled: bool,
    name: String,
    /// Declared last: the database is dropped before its cluster stops.
    _cluster: Option<Arc<Cluster>>,
}

/// A server that this process started; stopped with the value.
#[derive(Debug)]
pub(crate) struct Cluster {
    dir: PathBuf,
    url: String,
}

impl Database {
    /// A new database.
    ///
    /// # Panics
    /// If there is no PostgreSQL and none can be installed: nothing is skipped.
    pub(crate) async fn fresh() -> Database {
        let (admin_url, cluster) = if let Some(url) = variable("ROWLIFT_TEST_POSTGRES") {
            (url, None)
        } else {
            let cluster = Cluster::shared();
            (cluster.url.clone(), Some(cluster))
        };
        let pooler = variable("ROWLIFT_TEST_POOLED");
        Database::create(admin_url, pooler.as_deref(), cluster).await
    }

    /// A new database on a cluster of the test's own.
    pub(crate) async fn on(cluster: &Arc<Cluster>) -> Database {
        Database::create(cluster.url.clone(), None, Some(Arc::clone(cluster))).await
    }

    async fn create(
        admin_url: String,
        pooler: Option<&str>,
        cluster: Option<Arc<Cluster>>,
    ) -> Database {
        let name = format!("rowlift_{}", uuid::Uuid::new_v4().simple());
        execute(
            &admin_url,
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        )
        .await;
        let at = |server: &str| {
            let (server, _) = server.rsplit_once('/').expect("the URL names a database");
            format!("{server}/{name}")
        };
        Database {
            url: at(&admin_url),
            service_url: at(pooler.unwrap_or(&admin_url)),
            pooled: pooler.is_some(),
            admin_url,
            name,
            _cluster: cluster,
        }
    }

    /// The same database, for services through a proxy at this address.
    pub(crate) fn through_proxy(mut self, addr: SocketAddr) -> Database {
        self.service_url = format!("postgres://postgres@{addr}/{}", self.name);
        self
    }

    /// The same database, for services through a transaction-pooling proxy at this address.
    pub(crate) fn through_pooler(mut self, addr: SocketAddr) -> Database {
        self.pooled = true;
        self.through_proxy(addr)
    }

    /// Where stores and services reach it.
    pub(crate) fn service_url(&self) -> &str {
        &self.service_url
    }

    /// The address in [`Self::service_url`].
    pub(crate) fn service_addr(&self) -> SocketAddr {
        let mut parts = self.service_url.split(['@', '/']);
        let addr = parts.find_map(|part| part.parse().ok());
        addr.unwrap_or_else(|| panic!("no address in {}", self.service_url))
    }

    /// Whether a transaction-pooling proxy stands before [`Self::service_url`].
    pub(crate) fn pooled(&self) -> bool {
        self.pooled
    }

    /// Where it is, for the test's own statements.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs statements.
    pub(crate) async fn execute(&self, sql: &str) {
        execute(&self.url, sql).await;
    }

    /// The rows of a query, each value as the database writes it; NULL is `None`.
    pub(crate) async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let rows = connection.fetch_all(sqlx::raw_sql(sql)).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let text = |row: &sqlx::postgres::PgRow, at: usize| {
            let value = row.try_get_raw(at).unwrap();
            (!value.is_null()).then(|| value.as_str().unwrap().to_owned())
        };
        let texts = rows
            .iter()
            .map(|row| (0..row.len()).map(|at| text(row, at)).collect());
        texts.collect()
    }

    /// Number of rows and a sum of hashes over these columns: equal for equal rows in any order.
    pub(crate) async fn fingerprint(&self, table: &str, columns: &[&str]) -> (String, String) {
        let columns = columns.join(", ");
        let sql = format!(
            "select count(*), coalesce(sum(hashtextextended(row({columns})::text, 0)::numeric), 0)
             from {table}"
        );
        let rows = self.query(&sql).await;
        let text = |at: usize| rows[0][at].clone().unwrap_or_default();
        (text(0), text(1))
    }

    /// The only value of the only row of a query.
    pub(crate) async fn value(&self, sql: &str) -> String {
        let rows = self.query(sql).await;
        assert_eq!(rows.len(), 1, "{sql}");
        rows[0][0].clone().unwrap_or_default()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let url = self.admin_url.clone();
        // A test's runtime may be ending: the statement runs on one of its own.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime for one statement");
            runtime.block_on(execute(&url, &sql));
        });
        // A panic there is shown by itself; a second one here would abort the tests.
        let _ = dropping.join();
    }
}

impl Cluster {
    fn shared() -> Arc<Cluster> {
        let mut started = STARTED
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(cluster) = started.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Cluster::start(""));
        *started = Arc::downgrade(&cluster);
        cluster
    }

    /// A cluster of its own with further options of the server, such as `-c max_connections=20`.
    ///
    /// # Panics
    /// If there is no PostgreSQL and none can be installed.
    pub(crate) fn start(options: &str) -> Cluster {
        let dir = tempfile::Builder::new()
            .prefix("rowlift-pg.")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        let mut output = pg_cluster("start", &dir);
        let output = output.env("ROWLIFT_PG_OPTIONS", options);
        let output = output.stderr(Stdio::inherit()).output().expect(SCRIPT);
        assert!(output.status.success(), "{SCRIPT} start failed");
        let url = String::from_utf8(output.stdout).expect("a URL");
        Cluster {
            dir,
            url: url.trim().to_owned(),
        }
    }

    /// Stops the server as a crash would; the data stays.
    pub(crate) fn kill(&self) {
        assert!(pg_cluster("kill", &self.dir).status().unwrap().success());
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&self) {
        assert!(pg_cluster("restart", &self.dir).status().unwrap().success());
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What cannot be stopped is left to the operating system; tests have ended.
        let _ = pg_cluster("stop", &self.dir).status();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn pg_cluster(action: &str, dir: &Path) -> Command {
    let mut command = Command::new(SCRIPT);
    command.arg(action).arg(dir).stdin(Stdio::null());
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration to read it for them"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let done = connection.execute(sqlx::raw_sql(sql)).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection.close().await.unwrap();
}

/// The ledger as time goes by.
impl Database {
    /// Moves every time in the ledger into the past.
    pub(crate) async fn pass_days(&self, n_days: u32) {
        let columns = "select table_name, column_name from information_schema.columns
            where table_schema = 'rowlift' and data_type like 'timestamp%'";
        for row in self.query(columns).await {
            let [table, column] = [0, 1].map(|at| row[at].as_deref().unwrap());
            let sql = format!(
                "update rowlift.{table} set {column} = {column} - interval '{n_days} days'"
            );
            self.execute(&sql).await;
        }
    }

    /// Every row of every table of the ledger, bytes as text.
    pub(crate) async fn dump_ledger(&self) -> String {
        let columns = "select table_name, string_agg(case data_type
            when 'bytea' then format('encode(%I, ''escape'')', column_name)
            else format('%I::text', column_name) end, ', ')
            from information_schema.columns where table_schema = 'rowlift' group by table_name";
        let mut dump = String::new();
        for row in self.query(columns).await {
            let [table, columns] = [0, 1].map(|at| row[at].as_deref().unwrap());
            let sql = format!("select concat_ws(' | ', {columns}) from rowlift.{table}");
            for row in self.query(&sql).await {
                let _ = writeln!(dump, "{table}: {}", row[0].as_deref().unwrap());
            }
        }
        dump
    }
}
