//! Rows and ledger in SQLite: the whole service with nothing to set up.
//!
//! In: a URL and the allow-list. Out: a [`Store`]. One connection writes, a few read, everything
//! is bounded by the call's deadline or the control timeout, and what is cancelled rolls back
//! with its connection. Reading order: [`connection`] (who may use which connection), `catalog`
//! (tables), `encode` (how values are stored), `write` (a batch), `atomic` (all batches in one
//! transaction), `ledger` (all the rest).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use self::connection::{Bound, Connections};
use self::ledger::forget::Deleting;
use crate::metrics::Metrics;
use crate::metrics::observed::PoolState;
use crate::model::batch::Receipt;
use crate::model::import::{ImportOutcome, ImportRecord, NewImport, WriteMethod};
use crate::model::layout::SourceLayout;
use crate::model::reject::{RejectedRow, RowErrorCode};
use crate::model::table::Table;
use crate::store::allow::AllowList;
use crate::store::query::{ImportFilter, RejectedPage, RejectedQuery, RejectedSource, SameFile};
use crate::store::{
    AtomicRequest, AtomicWrite, Committed, FORGOTTEN_ROWS, Forgotten, LiveCounters, OpenMode,
    Opened, Pulse, Retention, SessionKey, Store, StoreError, Transactions, WholeRange,
    WriteRequest, Writers,
};

mod atomic;
mod catalog;
mod connection;
mod encode;
mod error;
mod ledger;
mod migrate;
mod sql;
mod write;

/// How long a list of tables is used again.
const TABLES_AGE_MAX: Duration = Duration::from_mins(1);

/// What a store needs to know.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// `sqlite://path?mode=rwc`, or `sqlite::memory:` for a database that lives as long as the
    /// store.
    pub url: String,
    /// Which tables callers may see; its default schema is `main`.
    pub allow: AllowList,
    /// Name of this server, for people.
    pub server: String,
    /// How long a session holds an import after a heartbeat.
    pub lease: Duration,
    /// Bounds what no deadline bounds.
    pub control_timeout: Duration,
    /// How long imports and values are remembered.
    pub retention: Retention,
    /// Pages that the writing connection keeps in memory at most, bytes. The pages of a large table's
    /// indexes are changed in no order: those that do not fit are written and read again and again.
    pub cache_bytes: u64,
}

/// The store.
#[derive(Debug)]
pub struct SqliteStore {
    connections: Connections,
    allow: AllowList,
    server: String,
    lease: Duration,
    control_timeout: Duration,
    retention: Retention,
    tables: Mutex<Option<CachedTables>>,
}

#[derive(Debug)]
struct CachedTables {
    read_at: Instant,
    tables: Vec<Arc<Table>>,
}

/// Runs `$work` on the writer, gives the connection back or closes it.
macro_rules! on_writer {
    ($store:expr, |$connection:ident| $work:expr) => {{
        let bound = $store.bound();
        let mut lease = $store.connections.writer(bound).await?;
        let result = {
            let $connection = &mut *lease;
            bound.within($work).await
        };
        lease.settle(bound, result).await
    }};
}

/// Runs `$work` on a connection that sees one state of the database.
macro_rules! on_reader {
    ($store:expr, |$connection:ident| $work:expr) => {{
        let bound = $store.bound();
        let mut reader = $store.connections.reader(bound).await?;
        let result = {
            let $connection = reader.connection();
            bound.within($work).await
        };
        reader.settle(bound, result).await
    }};
}

impl SqliteStore {
    /// Opens the database and brings it to this version, unless it is opened for reading only.
    pub async fn connect(config: SqliteConfig) -> Result<SqliteStore, StoreError> {
        let store = SqliteStore {
            connections: Connections::open(&config.url, config.control_timeout, config.cache_bytes)
                .await?,
            allow: config.allow,
            server: config.server,
            lease: config.lease,
            control_timeout: config.control_timeout,
            retention: config.retention,
            tables: Mutex::new(None),
        };
        if !store.connections.read_only {
            store.migrate().await?;
        }
        Ok(store)
    }

    fn bound(&self) -> Bound {
        Bound::new(None, self.control_timeout)
    }

    fn cached_tables(&self) -> Option<Vec<Arc<Table>>> {
        let cache = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = cache
            .as_ref()
            .filter(|it| it.read_at.elapsed() < TABLES_AGE_MAX);
        fresh.map(|cached| cached.tables.clone())
    }

    async fn read_tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        on_reader!(self, |connection| async {
            let mut tables = Vec::new();
            for name in catalog::table_names(connection).await? {
                if let Some(table) = catalog::table(connection, &name).await? {
                    tables.extend(self.allow.apply(table).map(Arc::new));
                }
            }
            Ok(tables)
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        if let Some(tables) = self.cached_tables() {
            return Ok(tables);
        }
        let tables = self.read_tables().await?;
        let cached = CachedTables {
            read_at: Instant::now(),
            tables: tables.clone(),
        };
        let mut cache = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        *cache = Some(cached);
        Ok(tables)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<Table>>, StoreError> {
        on_reader!(self, |connection| async {
            // A dot may be part of a table's own name.
            let qualified = name.strip_prefix("main.");
            for name in qualified.into_iter().chain([name]) {
                let table = catalog::table(connection, name).await?;
                if let Some(table) = table.and_then(|table| self.allow.apply(table)) {
                    return Ok(Some(Arc::new(table)));
                }
            }
            Ok(None)
        })
    }

    fn write_method(
        &self,
        wanted: Option<WriteMethod>,
        _table: &Table,
        _transactions: Transactions,
    ) -> WriteMethod {
        match wanted {
            None | Some(WriteMethod::Copy | WriteMethod::Batch) => WriteMethod::Batch,
            Some(WriteMethod::Concurrent | WriteMethod::Sequential) => WriteMethod::Sequential,
        }
    }

    async fn open_import(&self, new: &NewImport, mode: OpenMode) -> Result<Opened, StoreError> {
        on_writer!(self, |connection| ledger::open::open(
            connection,
            new,
            mode,
            self.lease,
            self.retention
        ))
    }

    async fn write_batch(&self, request: WriteRequest<'_>) -> Result<Receipt, StoreError> {
        let bound = Bound::new(request.deadline, write::timeout(self.control_timeout));
        write::write_batch(&self.connections, &request, bound).await
    }

    async fn end_import(&self, key: SessionKey, outcome: &ImportOutcome) -> Result<(), StoreError> {
        on_writer!(self, |connection| ledger::end(
            connection,
            key,
            outcome,
            self.retention
        ))
    }

    async fn committed(&self, key: SessionKey) -> Result<Committed, StoreError> {
        on_reader!(self, |connection| ledger::batches::committed(
            connection, key.import
        ))
    }

    async fn settled(&self, key: SessionKey) -> Result<Committed, StoreError> {
        on_writer!(self, |connection| async {
            // A COMMIT that was cut holds the file's lock until it has come through or not.
            sql::execute(connection, "BEGIN IMMEDIATE").await?;
            let committed = ledger::batches::committed(connection, key.import).await?;
            sql::execute(connection, "ROLLBACK").await?;
            Ok(committed)
        })
    }

    fn takes_settings(&self) -> bool {
        false
    }

    async fn begin_atomic<'a>(
        &'a self,
        request: AtomicRequest<'a>,
    ) -> Result<Box<dyn AtomicWrite + 'a>, StoreError> {
        let begun = atomic::begin(&self.connections, request, self.control_timeout).await?;
        Ok(Box::new(begun))
    }

    async fn record_rejects(
        &self,
        key: SessionKey,
        rejected: &[RejectedRow],
    ) -> Result<(), StoreError> {
        on_writer!(self, |connection| ledger::record_rejects(
            connection, key, rejected
        ))
    }

    async fn record_dry_run(&self, key: SessionKey, whole: &WholeRange) -> Result<(), StoreError> {
        on_writer!(self, |connection| ledger::record_dry_run(
            connection, key, whole
        ))
    }

    async fn note_file(&self, key: SessionKey, sha256: [u8; 32]) -> Result<(), StoreError> {
        on_writer!(self, |connection| ledger::note_file(
            connection, key, sha256
        ))
    }

    async fn note_layout(&self, key: SessionKey, layout: &SourceLayout) -> Result<(), StoreError> {
        on_writer!(self, |connection| ledger::note_layout(
            connection, key, layout
        ))
    }

    async fn earlier_import(&self, file: SameFile<'_>) -> Result<Option<String>, StoreError> {
        on_reader!(self, |connection| ledger::earlier_import(connection, file))
    }

    async fn compact(&self, key: SessionKey, watermark: u64) -> Result<(), StoreError> {
        on_writer!(self, |connection| ledger::compact(
            connection, key, watermark
        ))
    }

    async fn heartbeat(
        &self,
        sessions: &[(SessionKey, LiveCounters)],
    ) -> Result<Vec<(SessionKey, Pulse)>, StoreError> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        on_writer!(self, |connection| ledger::heartbeat(
            connection, sessions, self.lease
        ))
    }

    async fn import(&self, owner: &str, id: &str) -> Result<Option<ImportRecord>, StoreError> {
        on_reader!(self, |connection| ledger::records::one(
            connection, owner, id
        ))
    }

    async fn imports(
        &self,
        owner: &str,
        filter: &ImportFilter,
    ) -> Result<Vec<(i64, ImportRecord)>, StoreError> {
        on_reader!(self, |connection| ledger::records::list(
            connection, owner, filter
        ))
    }

    async fn request_cancel(
        &self,
        owner: &str,
        id: &str,
        reason: &str,
    ) -> Result<Option<ImportRecord>, StoreError> {
        on_writer!(self, |connection| ledger::request_cancel(
            connection,
            owner,
            id,
            reason,
            &self.server,
            self.retention
        ))
    }

    async fn rejected_rows(
        &self,
        owner: &str,
        id: &str,
        code: Option<RowErrorCode>,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Option<RejectedPage>, StoreError> {
        on_reader!(self, |connection| async {
            let Some(found) = ledger::records::find(connection, owner, id).await? else {
                return Ok(None);
            };
            let page = ledger::rejects::page(connection, found.id, code, after, limit).await?;
            if !found.values_expired {
                return Ok(Some(page));
            }
            let rows = page.rows.iter().map(RejectedRow::without_values);
            Ok(Some(RejectedPage {
                rows: rows.collect(),
                ..page
            }))
        })
    }

    async fn rejected_source(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<RejectedSource>, StoreError> {
        on_reader!(self, |connection| ledger::rejects::source(
            connection, owner, id
        ))
    }

    async fn rejected_piece(
        &self,
        import: i64,
        query: RejectedQuery,
    ) -> Result<Vec<RejectedRow>, StoreError> {
        on_reader!(self, |connection| ledger::rejects::piece(
            connection, import, query
        ))
    }

    async fn delete_import(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<ImportRecord>, StoreError> {
        let begun = on_writer!(self, |connection| ledger::forget::begin_delete(
            connection, owner, id
        ));
        let import = match begun? {
            Deleting::Begun(import) => import,
            Deleting::Open(record) => return Ok(Some(*record)),
            Deleting::Unknown => return Ok(None),
        };
        self.connections.note_wiped();
        loop {
            let more = on_writer!(self, |connection| ledger::forget::go_on_deleting(
                connection,
                import,
                FORGOTTEN_ROWS
            ));
            if !more? {
                break;
            }
        }
        self.connections.clean(self.bound()).await?;
        self.import(owner, id).await
    }

    async fn forget(&self, n_rows_max: u32) -> Result<Forgotten, StoreError> {
        let due = on_reader!(self, |connection| ledger::forget::is_due(connection));
        let done = if due? {
            let step = on_writer!(self, |connection| ledger::forget::forget(
                connection,
                self.retention,
                n_rows_max
            ));
            step?
        } else {
            Forgotten::default()
        };
        if done != Forgotten::default() {
            self.connections.note_wiped();
        }
        if !done.more {
            self.connections.clean(self.bound()).await?;
        }
        Ok(done)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        on_writer!(self, |connection| migrate::migrate(connection))
    }

    async fn ready(&self) -> Result<bool, StoreError> {
        on_reader!(self, |connection| migrate::is_current(connection))
    }

    fn writers(&self) -> Writers {
        Writers {
            total: 1,
            per_import: 1,
        }
    }

    /// Embedded: there is nobody to connect to anew.
    fn reconnect(&self, _url: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Embedded: there is no server whose answers could be late.
    fn measure(&self, _metrics: Metrics) {}

    fn pools(&self) -> Vec<PoolState> {
        Vec::new()
    }

    async fn close(&self, bound: Duration) {
        self.connections.close(bound).await;
    }
}

#[cfg(test)]
mod tests;
