//! Rows and ledger in PostgreSQL, and in engines that speak its protocol.
//!
//! In: batches and the ledger's questions ([`Store`]). Out: receipts and records. Two pools, so
//! that a heartbeat never waits for a writer: `writers` for batches, two control connections for
//! everything else. Nobody acquires a connection while holding one. Bounded by each call's
//! deadline or the control timeout; a dropped future closes its connection
//! ([`connection::Transaction`]) and the transaction rolls back.
//!
//! Modules in reading order: [`pool`], [`connection`], [`engine`], [`error`]; [`catalog`] with
//! [`known`]; [`write`](mod@write) with [`checkpoint`], [`copy`], [`insert`], [`upsert`],
//! [`isolate`], [`probe`]; [`atomic`]; [`ledger`]; [`migrate`].

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::metrics::Metrics;
use crate::metrics::observed::PoolState;
use crate::model::batch::Receipt;
use crate::model::import::{Failure, ImportOutcome, ImportRecord, NewImport, Reason, WriteMethod};
use crate::model::layout::SourceLayout;
use crate::model::reject::{RejectedRow, RowErrorCode};
use crate::model::table::Table;
use crate::store::allow::AllowList;
use crate::store::copying::Copying;
use crate::store::query::{ImportFilter, RejectedPage, RejectedQuery, RejectedSource, SameFile};
use crate::store::{
    AtomicRequest, AtomicWrite, Committed, FORGOTTEN_ROWS, Forgotten, LiveCounters, OpenMode,
    Opened, Pulse, Retention, SessionKey, Store, StoreError, Transactions, WholeRange,
    WriteRequest, Writers,
};

use connection::Limits;
use engine::{Engine, KnownEngine};
use known::KnownTables;
use ledger::Ledger;
use ledger::forget::Deleting;
use pool::Pool;

mod arguments;
mod atomic;
mod binary;
mod catalog;
mod checkpoint;
mod connection;
pub mod copy;
mod engine;
mod error;
mod insert;
mod isolate;
mod known;
mod measure;
mod method;
mod ledger;
mod literal;
mod migrate;
mod outcome;
mod pool;
mod probe;
mod text;
mod types;
mod upsert;
mod write;

/// Under which the database's notices are logged, which are the words of triggers: not to be shown.
pub const NOTICE_TARGET: &str = "sqlx::postgres::notice";

/// Connections for everything but batches.
const CONTROL_CONNECTIONS: u32 = 2;

/// A migration may rewrite a table: it has longer than other control operations.
const MIGRATION_TIME_MAX: Duration = Duration::from_mins(10);

/// What a store needs to know.
#[derive(Debug, Clone)]
pub struct PgConfig {
    /// `postgres://user:password@host:port/database?sslmode=...`
    pub url: String,
    /// Tables that exist for callers.
    pub allow: AllowList,
    /// Writers of all imports together, and so connections for them.
    pub writers_total: usize,
    /// Writers of one import.
    pub writers_per_import: usize,
    /// Bound on every operation that has no deadline of its own, and on the wait for a connection.
    pub control_timeout: Duration,
    /// For how long a session holds its import without a heartbeat.
    pub lease: Duration,
    /// Name of this server, for people.
    pub server: String,
    /// A transaction-pooling proxy stands between: no start-up options are sent.
    pub pooled: bool,
    /// How long imports and values are remembered.
    pub retention: Retention,
    /// What the engine can do with COPY.
    pub copying: Copying,
    /// The form of a COPY is what the engine's version says, once it has said it.
    pub copy_detected: bool,
}

/// PostgreSQL.
#[derive(Debug)]
pub struct PgStore {
    config: PgConfig,
    writers: Pool,
    control: Pool,
    metrics: Arc<OnceLock<Metrics>>,
    engine: KnownEngine,
    known: KnownTables,
}

impl PgStore {
    /// A store on the database that `config` names. Nothing is sent yet: a database that is down
    /// makes the first operation fail, not this.
    #[expect(
        clippy::unused_async,
        reason = "the constructors of all stores are called alike"
    )]
    pub async fn connect(config: PgConfig) -> Result<PgStore, StoreError> {
        let options = connect_options(&config)?;
        let n_writers = u32::try_from(config.writers_total.max(1)).unwrap_or(u32::MAX);
        let metrics = Arc::default();
        let pool = |name, n_connections: u32| {
            let (options, metrics) = (options.clone(), Arc::clone(&metrics));
            Pool::new(
                name,
                n_connections,
                config.control_timeout,
                options,
                metrics,
            )
        };
        let writers = pool("writers", n_writers);
        let control = pool("control", CONTROL_CONNECTIONS);
        Ok(PgStore {
            writers,
            control,
            metrics,
            engine: KnownEngine::default(),
            known: KnownTables::default(),
            config,
        })
    }

    /// What the server can do.
    async fn engine(&self) -> Result<Engine, StoreError> {
        self.engine.ask(&self.control).await
    }

    /// Whether the server checks for lost clients while a statement runs.
    async fn checks_client(&self) -> Result<bool, StoreError> {
        Ok(self.engine().await?.checks_client)
    }

    /// What the server can do with COPY; as configured as long as it has not been asked.
    fn copying(&self) -> Copying {
        let Copying { format, .. } = self.config.copying;
        let known = self.engine.known().map(|engine| engine.format);
        Copying {
            format: match known {
                Some(found) if self.config.copy_detected => found,
                _ => format,
            },
            ..self.config.copying
        }
    }

    async fn limits(&self) -> Result<Limits, StoreError> {
        Ok(Limits {
            statement: self.config.control_timeout,
            checks_client: self.checks_client().await?,
        })
    }

    async fn ledger(&self) -> Result<Ledger<'_>, StoreError> {
        Ok(Ledger {
            pool: &self.control,
            limits: self.limits().await?,
            lease: self.config.lease,
            server: &self.config.server,
            retention: self.config.retention,
        })
    }

    /// Holds an operation to the control timeout.
    async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let bound = self.config.control_timeout;
        match tokio::time::timeout(bound, operation).await {
            Ok(result) => result,
            Err(_) => Err(error::lost("the database did not answer in time")),
        }
    }
}

fn connect_options(config: &PgConfig) -> Result<PgConnectOptions, StoreError> {
    let parsed: Result<PgConnectOptions, sqlx::Error> = config.url.parse();
    // The parser's own message may quote the URL, and so the password in it.
    let options = parsed.map_err(|_| {
        let message = "the database URL cannot be read";
        StoreError::Failed(Failure::new(Reason::InvalidOption, message))
    })?;
    let options = options
        .application_name("rowlift")
        .extra_float_digits(None)
        .statement_cache_capacity(0)
        .disable_statement_logging();
    if config.pooled {
        return Ok(options);
    }
    // sqlx cannot set keepalives on its own socket; these make the server notice a lost client.
    Ok(options.options([
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]))
}

#[async_trait]
impl Store for PgStore {
    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        if let Some(tables) = self.known.all() {
            return Ok(tables);
        }
        let load = async {
            let limits = self.limits().await?;
            catalog::tables(&self.control, limits, &self.config.allow).await
        };
        let tables = self.within(load).await?;
        self.known.remember_all(&tables);
        Ok(tables)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<Table>>, StoreError> {
        if let Some(table) = self.known.one(name) {
            return Ok(Some(table));
        }
        let load = async {
            let limits = self.limits().await?;
            catalog::table(&self.control, limits, &self.config.allow, name).await
        };
        let table = self.within(load).await?;
        if let Some(table) = &table {
            self.known.remember(name, table);
        }
        Ok(table)
    }

    fn write_method(
        &self,
        wanted: Option<WriteMethod>,
        table: &Table,
        transactions: Transactions,
    ) -> WriteMethod {
        let copying = self.copying();
        let copies = match transactions {
            Transactions::PerBatch => copying.format,
            Transactions::One => copying.anywhere(),
        };
        method::method(wanted, table, copies)
    }

    async fn open_import(&self, new: &NewImport, mode: OpenMode) -> Result<Opened, StoreError> {
        let open = async { ledger::open::open_import(self.ledger().await?, new, mode).await };
        self.within(open).await
    }

    async fn write_batch(&self, request: WriteRequest<'_>) -> Result<Receipt, StoreError> {
        write::write_batch(self, request).await
    }

    async fn end_import(&self, key: SessionKey, outcome: &ImportOutcome) -> Result<(), StoreError> {
        let end = async { ledger::end_import(self.ledger().await?, key, outcome).await };
        self.within(end).await
    }

    async fn committed(&self, key: SessionKey) -> Result<Committed, StoreError> {
        let read = async { ledger::committed(self.ledger().await?, key).await };
        self.within(read).await
    }

    async fn settled(&self, key: SessionKey) -> Result<Committed, StoreError> {
        let read = async { ledger::settled(self.ledger().await?, key).await };
        self.within(read).await
    }

    fn takes_settings(&self) -> bool {
        true
    }

    async fn begin_atomic<'a>(
        &'a self,
        request: AtomicRequest<'a>,
    ) -> Result<Box<dyn AtomicWrite + 'a>, StoreError> {
        Ok(Box::new(atomic::begin(self, request).await?))
    }

    async fn record_rejects(
        &self,
        key: SessionKey,
        rejected: &[RejectedRow],
    ) -> Result<(), StoreError> {
        let record =
            async { ledger::note::record_rejects(self.ledger().await?, key, rejected).await };
        self.within(record).await
    }

    async fn record_dry_run(&self, key: SessionKey, whole: &WholeRange) -> Result<(), StoreError> {
        let record = async { ledger::note::record_dry_run(self.ledger().await?, key, whole).await };
        self.within(record).await
    }

    async fn note_file(&self, key: SessionKey, sha256: [u8; 32]) -> Result<(), StoreError> {
        let note = async { ledger::note::note_file(self.ledger().await?, key, sha256).await };
        self.within(note).await
    }

    async fn note_layout(&self, key: SessionKey, layout: &SourceLayout) -> Result<(), StoreError> {
        let note = async { ledger::note::note_layout(self.ledger().await?, key, layout).await };
        self.within(note).await
    }

    async fn earlier_import(&self, file: SameFile<'_>) -> Result<Option<String>, StoreError> {
        let look = async { ledger::note::earlier_import(self.ledger().await?, file).await };
        self.within(look).await
    }

    async fn compact(&self, key: SessionKey, watermark: u64) -> Result<(), StoreError> {
        let compact = async { ledger::note::compact(self.ledger().await?, key, watermark).await };
        self.within(compact).await
    }

    async fn heartbeat(
        &self,
        sessions: &[(SessionKey, LiveCounters)],
    ) -> Result<Vec<(SessionKey, Pulse)>, StoreError> {
        let beat = async { ledger::heartbeat(self.ledger().await?, sessions).await };
        self.within(beat).await
    }

    async fn import(&self, owner: &str, id: &str) -> Result<Option<ImportRecord>, StoreError> {
        let read = async { ledger::record::find(self.ledger().await?, owner, id).await };
        let stored = self.within(read).await?;
        Ok(stored.map(|stored| stored.record))
    }

    async fn imports(
        &self,
        owner: &str,
        filter: &ImportFilter,
    ) -> Result<Vec<(i64, ImportRecord)>, StoreError> {
        let read = async { ledger::record::list(self.ledger().await?, owner, filter).await };
        self.within(read).await
    }

    async fn request_cancel(
        &self,
        owner: &str,
        id: &str,
        reason: &str,
    ) -> Result<Option<ImportRecord>, StoreError> {
        let cancel =
            async { ledger::request_cancel(self.ledger().await?, owner, id, reason).await };
        self.within(cancel).await
    }

    async fn rejected_rows(
        &self,
        owner: &str,
        id: &str,
        code: Option<RowErrorCode>,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Option<RejectedPage>, StoreError> {
        let read = async {
            let ledger = self.ledger().await?;
            ledger::rejected_rows(ledger, owner, id, code, after, limit).await
        };
        self.within(read).await
    }

    async fn rejected_source(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<RejectedSource>, StoreError> {
        let read = async { ledger::rejects::source(self.ledger().await?, owner, id).await };
        self.within(read).await
    }

    async fn rejected_piece(
        &self,
        import: i64,
        query: RejectedQuery,
    ) -> Result<Vec<RejectedRow>, StoreError> {
        let read = async { ledger::rejects::piece(self.ledger().await?, import, query).await };
        self.within(read).await
    }

    async fn delete_import(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<ImportRecord>, StoreError> {
        let begin = async { ledger::forget::begin_delete(self.ledger().await?, owner, id).await };
        let import = match self.within(begin).await? {
            Deleting::Begun(import) => import,
            Deleting::Open(record) => return Ok(Some(*record)),
            Deleting::Unknown => return Ok(None),
        };
        loop {
            let step = async {
                let ledger = self.ledger().await?;
                ledger::forget::go_on_deleting(ledger, import, FORGOTTEN_ROWS).await
            };
            if !self.within(step).await? {
                return self.import(owner, id).await;
            }
        }
    }

    async fn forget(&self, n_rows_max: u32) -> Result<Forgotten, StoreError> {
        // This is called now and then, with imports or without.
        self.writers.tidy();
        self.control.tidy();
        let step = async { ledger::forget::forget(self.ledger().await?, n_rows_max).await };
        self.within(step).await
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let limits = Limits {
            statement: MIGRATION_TIME_MAX,
            checks_client: self.within(self.checks_client()).await?,
        };
        let migrate = migrate::migrate(&self.control, limits);
        match tokio::time::timeout(MIGRATION_TIME_MAX, migrate).await {
            Ok(result) => result,
            Err(_) => Err(error::lost("the migration did not end in time")),
        }
    }

    async fn ready(&self) -> Result<bool, StoreError> {
        let ask = async { migrate::is_ready(&self.control, self.limits().await?).await };
        self.within(ask).await
    }

    fn writers(&self) -> Writers {
        Writers {
            total: self.config.writers_total,
            per_import: self.config.writers_per_import,
        }
    }

    fn reconnect(&self, url: &str) -> Result<(), StoreError> {
        let config = PgConfig {
            url: url.to_owned(),
            ..self.config.clone()
        };
        let options = connect_options(&config)?;
        self.writers.renew(options.clone());
        self.control.renew(options);
        // Only now: what is asked from here on is asked of the new server.
        self.engine.forget();
        self.known.forget();
        Ok(())
    }

    fn measure(&self, metrics: Metrics) {
        // Whoever came first goes on measuring.
        let _ = self.metrics.set(metrics);
    }

    fn pools(&self) -> Vec<PoolState> {
        vec![self.writers.state(), self.control.state()]
    }

    async fn close(&self, bound: Duration) {
        let closing = async {
            tokio::join!(self.writers.close(), self.control.close());
        };
        // Connections that do not close in time die with the process.
        let _ = tokio::time::timeout(bound, closing).await;
    }
}
