//! A SQLite database in a directory of its own, for one test.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rowlift::store::allow::{AllowList, AllowedTable};
use rowlift::store::sqlite::{SqliteConfig, SqliteStore};
use rowlift::store::{Retention, Store};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Executor, Row, TypeInfo, ValueRef};
use tempfile::TempDir;

use crate::store_contract::backend::{Backend, Kind};

/// A store and its file; both end with the value.
#[derive(Debug)]
pub(crate) struct SqliteBackend {
    store: Arc<SqliteStore>,
    directory: TempDir,
}

impl SqliteBackend {
    /// A migrated database whose every table callers may see.
    pub(crate) async fn start() -> SqliteBackend {
        let directory = tempfile::tempdir().unwrap();
        let store = connect(config(url(&directory, "rwc"))).await;
        SqliteBackend { store, directory }
    }

    /// Another store on the same file, as another process would have it.
    pub(crate) async fn another_store(&self, mode: &str) -> Arc<SqliteStore> {
        connect(config(url(&self.directory, mode))).await
    }

    /// Another store on the same file, which waits no longer than this.
    pub(crate) async fn impatient_store(&self, control_timeout: Duration) -> Arc<SqliteStore> {
        let config = SqliteConfig {
            control_timeout,
            ..config(url(&self.directory, "rw"))
        };
        connect(config).await
    }

    /// A connection beside the store's.
    pub(crate) async fn connection(&self) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(self.directory.path().join("test.db"))
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .connect()
            .await
            .unwrap()
    }
}

fn url(directory: &TempDir, mode: &str) -> String {
    let path = directory.path().join("test.db");
    format!("sqlite://{}?mode={mode}", path.display())
}

async fn connect(config: SqliteConfig) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::connect(config).await.unwrap())
}

/// Every table, a lease of 15 s.
pub(crate) fn config(url: String) -> SqliteConfig {
    let all = AllowedTable {
        name: "*".to_owned(),
        importable: None,
        assignable: Vec::new(),
        aliases: std::collections::BTreeMap::new(),
    };
    SqliteConfig {
        url,
        allow: AllowList::new(vec![all], "main"),
        server: "test".to_owned(),
        lease: Duration::from_secs(15),
        control_timeout: Duration::from_secs(10),
        retention: Retention::default(),
        cache_bytes: 8 << 20,
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    fn kind(&self) -> Kind {
        Kind::Sqlite
    }

    async fn execute(&self, sql: &str) {
        self.connection().await.execute(sql).await.unwrap();
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let rows = self.connection().await.fetch_all(sql).await.unwrap();
        rows.iter().map(texts).collect()
    }

    async fn expire_leases(&self) {
        let sql = "UPDATE rowlift_sessions SET lease_until_ms = 1 WHERE lease_until_ms > 0";
        self.execute(sql).await;
    }

    async fn pass_days(&self, n_days: u32) {
        for (table, column) in [
            ("rowlift_imports", "create_time_ms"),
            ("rowlift_imports", "update_time_ms"),
            ("rowlift_imports", "end_time_ms"),
            ("rowlift_imports", "expire_time_ms"),
            ("rowlift_imports", "rejects_expire_time_ms"),
            ("rowlift_sessions", "begin_time_ms"),
            ("rowlift_sessions", "lease_until_ms"),
        ] {
            let ms = u64::from(n_days) * 24 * 60 * 60 * 1000;
            let sql = format!("update {table} set {column} = {column} - {ms} where {column} > 0");
            self.execute(&sql).await;
        }
    }

    async fn dump(&self) -> String {
        super::service::sqlite_dump(&self.directory.path().join("test.db"))
    }
}

fn texts(row: &SqliteRow) -> Vec<Option<String>> {
    let text = |index: usize| {
        let value = row.try_get_raw(index).unwrap();
        match value.type_info().name() {
            _ if value.is_null() => None,
            "INTEGER" => Some(row.get::<i64, _>(index).to_string()),
            "REAL" => Some(row.get::<f64, _>(index).to_string()),
            "BLOB" => Some(format!("{:02x?}", row.get::<&[u8], _>(index))),
            _ => Some(row.get_unchecked(index)),
        }
    };
    (0..row.len()).map(text).collect()
}
