//! A PostgreSQL database for one case.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rowlift::store::allow::{AllowList, AllowedTable};
use rowlift::store::copying::{CopyFormat, Copying};
use rowlift::store::postgres::{PgConfig, PgStore};
use rowlift::store::{Retention, Store};

use super::backend::{Backend, Kind};
use crate::support::postgres::Database;

/// An engine whose types have another binary form.
pub(crate) const COPY_AS_TEXT: Copying = Copying {
    format: Some(CopyFormat::Text),
    behind_savepoints: true,
};
/// An engine without COPY.
pub(crate) const NO_COPY: Copying = Copying {
    format: None,
    behind_savepoints: true,
};
/// An engine that takes no COPY once a savepoint is open.
pub(crate) const NO_COPY_BEHIND_SAVEPOINTS: Copying = Copying {
    format: Some(CopyFormat::Binary),
    behind_savepoints: false,
};

/// A store and its database; both end with the value.
#[derive(Debug)]
pub(crate) struct PostgresBackend {
    store: Arc<PgStore>,
    database: Database,
}

impl PostgresBackend {
    /// A migrated database whose every table callers may see.
    pub(crate) async fn start() -> PostgresBackend {
        PostgresBackend::start_with(Copying::default()).await
    }

    /// The same as on an engine that can do no more with COPY.
    pub(crate) async fn start_with(copying: Copying) -> PostgresBackend {
        let database = Database::fresh().await;
        let all = AllowedTable {
            name: "*".to_owned(),
            importable: None,
            assignable: Vec::new(),
            aliases: BTreeMap::new(),
        };
        let config = PgConfig {
            url: database.service_url().to_owned(),
            allow: AllowList::new(vec![all], "public"),
            writers_total: 4,
            writers_per_import: 2,
            control_timeout: Duration::from_secs(10),
            lease: Duration::from_secs(15),
            server: "test".to_owned(),
            pooled: database.pooled(),
            retention: Retention::default(),
            copying,
            copy_detected: false,
        };
        let store = PgStore::connect(config).await.unwrap();
        store.migrate().await.unwrap();
        PostgresBackend {
            store: Arc::new(store),
            database,
        }
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    fn kind(&self) -> Kind {
        Kind::Postgres
    }

    async fn execute(&self, sql: &str) {
        self.database.execute(sql).await;
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.database.query(sql).await
    }

    async fn expire_leases(&self) {
        let sql = "UPDATE rowlift.sessions SET lease_until = clock_timestamp() - interval '1 hour' \
                   WHERE lease_until > clock_timestamp()";
        self.execute(sql).await;
    }

    async fn pass_days(&self, n_days: u32) {
        self.database.pass_days(n_days).await;
    }

    async fn dump(&self) -> String {
        self.database.dump_ledger().await
    }
}
