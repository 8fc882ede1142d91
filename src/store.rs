//! Where rows and ledger live: one contract, PostgreSQL and SQLite behind it.
//!
//! In: [`Batch`]es with the [`WritePlan`] of their import, and the ledger's questions. Out:
//! [`Receipt`]s and records. `sqlx` is used below this module only.
//!
//! Every method is bounded by the `deadline` it is given, else by the store's own
//! `control_timeout`; a dropped future leaves nothing half done: its connection is closed, never
//! returned to the pool, and the transaction rolls back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::metrics::Metrics;
use crate::metrics::observed::PoolState;
use crate::model::batch::{Batch, Receipt, RejectBudget};
use crate::model::import::{Failure, ImportOutcome, ImportRecord, NewImport, Phase, WriteMethod};
use crate::model::layout::SourceLayout;
use crate::model::plan::WritePlan;
use crate::model::reject::{RejectedRow, RowErrorCode};
use crate::model::stats::RowCounts;
use crate::model::table::Table;
use crate::store::query::{ImportFilter, RejectedPage, RejectedQuery, RejectedSource, SameFile};

pub mod allow;
pub mod copying;
mod failpoint;
pub mod identifier;
pub mod postgres;
pub mod query;
pub mod sqlite;

/// A session's hold on an import: the row in the ledger and the fencing number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// `imports.id`.
    pub import: i64,
    /// `sessions.epoch`; an older one commits nothing once a newer one exists.
    pub epoch: u64,
}

/// What became of a request to begin an import.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one an import, taken apart at once"
)]
pub enum Opened {
    /// The session holds the import and may write.
    Running(OpenImport),
    /// It had ended: the stored outcome is replayed.
    Ended(Box<ImportRecord>),
}

/// A held import, with what earlier sessions committed.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenImport {
    /// The hold.
    pub key: SessionKey,
    /// Whether an earlier session existed.
    pub resumed: bool,
    /// First ordinal that is not decided.
    pub committed_offset: u64,
    /// Wrapping sum of the hashes of the rows below it.
    pub committed_hash: u128,
    /// Committed ranges above the watermark, ascending, disjoint.
    pub committed_ranges: Vec<CommittedRange>,
    /// Counts of everything committed so far.
    pub counts: RowCounts,
    /// The caller's place after the last batch that is wholly below the watermark.
    pub committed_position: Option<Bytes>,
    /// Milliseconds since 1970 at which the import began, the same over resume.
    pub create_time_ms: i64,
    /// SHA-256 of the file, where this session or an earlier one announced or [noted](Store::note_file)
    /// it.
    pub file_sha256: Option<[u8; 32]>,
    /// Of the import, set by its first request.
    pub tenant: String,
    /// Rejected rows are stored with their values; not where this or an earlier try wants none
    /// kept.
    pub keeps_values: bool,
}

/// How long the ledger remembers, where an import says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Ids and results, after the end; of an import that never ended, after its last session.
    pub ids: Duration,
    /// Values of rejected rows, likewise; no longer than `ids`.
    pub rejects: Duration,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            ids: Duration::from_hours(90 * 24),
            rejects: Duration::from_hours(7 * 24),
        }
    }
}

/// Rejected rows that are wiped or deleted in one transaction.
pub const FORGOTTEN_ROWS: u32 = 1000;

/// What one step of forgetting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Imports whose ids are free again.
    pub n_ids: u64,
    /// Imports of which no value is left.
    pub n_wiped: u64,
    /// Rejected rows that were wiped or deleted.
    pub n_rows: u64,
    /// There was more to do than fits one step.
    pub more: bool,
}

/// One row of `import_batches`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedRange {
    /// Ordinals.
    pub range: Range<u64>,
    /// Wrapping sum of the rows' hashes.
    pub rows_hash: u128,
    /// The caller's place at its end.
    pub position: Option<Bytes>,
}

/// How a session's first request treats an import that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// `resume` unset: only a new id, or one that has ended.
    Begin,
    /// `resume` set: also a suspended or a live one, which is taken over.
    Resume,
    /// A call that may be repeated whatever became of it before: like [`OpenMode::Resume`], but
    /// an import that failed without a decided row begins anew.
    Repeat,
}

/// What a heartbeat tells of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// The lease is renewed.
    Held,
    /// Somebody asked to cancel; the lease is renewed.
    CancelRequested,
    /// A newer session exists.
    Fenced,
}

/// What a session reports with each heartbeat, for other replicas to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveCounters {
    /// Bytes received by this session.
    pub received_bytes: u64,
    /// Distinct ordinals received, earlier sessions included.
    pub received_rows: u64,
    /// What it is doing.
    pub phase: Phase,
    /// Failed attempts at batches.
    pub retries: u64,
}

/// How many transactions write an import's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transactions {
    /// One for each batch.
    PerBatch,
    /// One: ATOMIC, or a dry run.
    One,
}

/// Everything that one batch's write needs.
#[derive(Debug, Clone, Copy)]
pub struct WriteRequest<'a> {
    /// The session that writes.
    pub key: SessionKey,
    /// Where and how.
    pub plan: &'a WritePlan,
    /// What.
    pub batch: &'a Batch,
    /// Shared by the import's writers.
    pub rejects: &'a RejectBudget,
    /// Set for the transaction, as `set_config(name, value, true)`.
    pub settings: &'a BTreeMap<String, String>,
    /// An earlier batch of the import was refused by the database: probe before writing.
    pub probe_first: bool,
    /// The call's deadline; also bounds the statements inside the database.
    pub deadline: Option<Instant>,
}

/// What the one transaction of an ATOMIC import or a dry run needs.
#[derive(Debug, Clone, Copy)]
pub struct AtomicRequest<'a> {
    /// The session that writes.
    pub key: SessionKey,
    /// Where and how.
    pub plan: &'a WritePlan,
    /// The import's budget.
    pub rejects: &'a RejectBudget,
    /// Set for the transaction.
    pub settings: &'a BTreeMap<String, String>,
    /// The call's deadline; also bounds the statements inside the database.
    pub deadline: Option<Instant>,
    /// Nothing is to stay: rejected rows are not stored either.
    pub validate_only: bool,
}

/// One transaction over all batches of an import. Dropped, it rolls back and its connection is
/// closed; so it is after any error but a refusal to commit.
#[async_trait]
pub trait AtomicWrite: Send {
    /// Writes the next batch in a savepoint of its own, its rejected rows with it. The verdicts
    /// are those of [`Store::write_batch`]. [`StoreError::RejectLimit`] names the rows of this
    /// batch up to the one beyond the limit, and nothing of the import will stay.
    async fn write(&mut self, batch: &Batch, probe_first: bool) -> Result<Receipt, StoreError>;

    /// Checks the fence, stores the range of everything, commits. A COMMIT whose answer is lost
    /// is [`StoreError::Transient`]: [`Store::committed`] tells whether it is in.
    async fn commit(self: Box<Self>, whole: &WholeRange) -> Result<(), StoreError>;

    /// Rolls back; the connection goes back to its pool.
    async fn rollback(self: Box<Self>) -> Result<(), StoreError>;
}

/// All rows of an ATOMIC import or a dry run, as the ledger keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeRange {
    /// Ordinals, from 0; empty where the source has no row: then no range is stored.
    pub end: u64,
    /// Wrapping sum of the rows' hashes.
    pub rows_hash: u128,
    /// What became of them.
    pub counts: RowCounts,
    /// Batches that they were written in.
    pub n_batches: u64,
    /// The caller's place at the end.
    pub position: Option<Bytes>,
}

/// What the ledger knows to be decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// Counts of the committed ranges.
    pub counts: RowCounts,
    /// First ordinal that is not decided.
    pub watermark: u64,
    /// Batches behind the ranges, over all sessions.
    pub n_batches: u64,
    /// Stored rejected rows by the name of their codes; a row with two counts under both.
    pub rejected_by_code: BTreeMap<String, u64>,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A retry may succeed: serialization, deadlock, lost connection, restart, no connection free.
    /// After a failed COMMIT it is not known whether the batch is in: the retry finds out.
    #[error("{message}")]
    Transient {
        /// SQLSTATE, or `08006` for a connection that broke.
        sql_state: String,
        /// For the log, without values.
        message: String,
    },
    /// A newer session holds the import.
    #[error("a newer session holds the import")]
    Fenced,
    /// The batch would reject more rows than the import may; what `Overdrawn` says to store is
    /// stored.
    #[error("more rows rejected than allowed")]
    RejectLimit {
        /// Rejected rows stored by this batch: the limit's rest and the one beyond it, by ordinal.
        recorded: Vec<RejectedRow>,
    },
    /// The deadline passed.
    #[error("deadline passed")]
    Deadline,
    /// Anything that ends the import, already in the caller's words.
    #[error("{}", .0.message)]
    Failed(Failure),
}

impl StoreError {
    /// Which of them it is, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            StoreError::Transient { .. } => "transient",
            StoreError::Fenced => "fenced",
            StoreError::RejectLimit { .. } => "reject_limit",
            StoreError::Deadline => "deadline",
            StoreError::Failed(_) => "failed",
        }
    }
}

/// The database.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    // Catalogue.

    /// Tables on the allow-list that exist, by name. Cached for at most a minute.
    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError>;

    /// One table by `[schema.]name`, as the catalogue had it at most a second ago; `None` if it does not exist or is
    /// not on the allow-list.
    async fn table(&self, name: &str) -> Result<Option<Arc<Table>>, StoreError>;

    /// The method that runs where `wanted` is asked for on `table`; `None`: the fastest. A batch
    /// that the database refuses is written anew by INSERT.
    fn write_method(
        &self,
        wanted: Option<WriteMethod>,
        table: &Table,
        transactions: Transactions,
    ) -> WriteMethod;

    // Ledger.

    /// Begins, takes over or replays an import. Id conflicts and wrong states are
    /// [`StoreError::Failed`] with ID_CONFLICT, WRONG_STATE or IMPORT_BUSY, and change nothing; so is
    /// [another file](NewImport::file_sha256). A FAILED import without a decided row begins anew.
    async fn open_import(&self, new: &NewImport, mode: OpenMode) -> Result<Opened, StoreError>;

    /// Writes one batch, its rejects and its checkpoint in one transaction. Exactly once: a
    /// retry of a batch that is in returns its receipt without writing.
    async fn write_batch(&self, request: WriteRequest<'_>) -> Result<Receipt, StoreError>;

    /// Ends the session: stores the outcome, and the import's state becomes the outcome's.
    /// SUSPENDED is not stored as an outcome, it only gives up the lease. Fenced sessions change
    /// nothing ([`StoreError::Fenced`]).
    async fn end_import(&self, key: SessionKey, outcome: &ImportOutcome) -> Result<(), StoreError>;

    /// What is committed, recomputed from the batches. The conservation law is asserted with it.
    async fn committed(&self, key: SessionKey) -> Result<Committed, StoreError>;

    /// The same once no transaction of the session is in doubt any more: a COMMIT that was sent and
    /// not answered has come through or not. Waits for it.
    async fn settled(&self, key: SessionKey) -> Result<Committed, StoreError>;

    /// Whether transactions can have settings of their own.
    fn takes_settings(&self) -> bool;

    /// Begins the one transaction of an ATOMIC import or a dry run. The fence is looked at now,
    /// without a lock, and again at the commit.
    async fn begin_atomic<'a>(
        &'a self,
        request: AtomicRequest<'a>,
    ) -> Result<Box<dyn AtomicWrite + 'a>, StoreError>;

    /// Stores rejected rows of a transaction that rolled back, or of a dry run; each once. A
    /// fenced session stores nothing ([`StoreError::Fenced`]). A takeover forgets those that no
    /// committed range covers.
    async fn record_rejects(
        &self,
        key: SessionKey,
        rejected: &[RejectedRow],
    ) -> Result<(), StoreError>;

    /// Stores the range of a dry run, whose rows were rolled back; fenced like a batch.
    async fn record_dry_run(&self, key: SessionKey, whole: &WholeRange) -> Result<(), StoreError>;

    /// Remembers the SHA-256 of the import's file, before a row of it is written; fenced.
    async fn note_file(&self, key: SessionKey, sha256: [u8; 32]) -> Result<(), StoreError>;

    /// Remembers how the import's file is laid out, before a row of it is written; fenced, and
    /// harmless when repeated.
    async fn note_layout(&self, key: SessionKey, layout: &SourceLayout) -> Result<(), StoreError>;

    /// The id of the first import that SUCCEEDED in putting the same file into the same table, dry
    /// runs aside; `None`: there is none whose id is known still.
    async fn earlier_import(&self, file: SameFile<'_>) -> Result<Option<String>, StoreError>;

    /// Makes one range of those that end at or below `watermark`, so that an import that stays
    /// open leaves no pile of them. The caller has the receipts of all these batches: none of
    /// them is written again. Fenced; harmless when repeated.
    async fn compact(&self, key: SessionKey, watermark: u64) -> Result<(), StoreError>;

    /// Renews the leases of all sessions of this server and reads cancel requests, in one
    /// statement.
    async fn heartbeat(
        &self,
        sessions: &[(SessionKey, LiveCounters)],
    ) -> Result<Vec<(SessionKey, Pulse)>, StoreError>;

    /// One import.
    async fn import(&self, owner: &str, id: &str) -> Result<Option<ImportRecord>, StoreError>;

    /// Imports of an owner, newest first, each with its `imports.id`.
    async fn imports(
        &self,
        owner: &str,
        filter: &ImportFilter,
    ) -> Result<Vec<(i64, ImportRecord)>, StoreError>;

    /// Asks a live import to stop; ends one without a live lease as CANCELLED at once. Harmless
    /// when repeated and on ended imports. `None`: unknown.
    async fn request_cancel(
        &self,
        owner: &str,
        id: &str,
        reason: &str,
    ) -> Result<Option<ImportRecord>, StoreError>;

    /// Rejected rows after `after`, by ordinal.
    async fn rejected_rows(
        &self,
        owner: &str,
        id: &str,
        code: Option<RowErrorCode>,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Option<RejectedPage>, StoreError>;

    /// What an export of an import's rejected rows begins with. `None`: unknown.
    async fn rejected_source(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<RejectedSource>, StoreError>;

    /// The next rejected rows of the import with this `imports.id`, by ordinal; none once there
    /// are no more. The total is not counted anew for every piece, as it is for a page.
    async fn rejected_piece(
        &self,
        import: i64,
        query: RejectedQuery,
    ) -> Result<Vec<RejectedRow>, StoreError>;

    /// Wipes what an ended import keeps of its data: values of rejected rows, messages that quote
    /// them, file name and labels. One that has not ended is left as it is: its record's state
    /// tells. Values are not told any more from the first transaction on; the wiping itself goes
    /// on in small ones, and [`Store::forget`] ends it where this call is cut short. Harmless when
    /// repeated. `None`: unknown.
    async fn delete_import(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<ImportRecord>, StoreError>;

    /// One small step of forgetting what has expired: ids with all that belongs to them, else
    /// values. Safe with many servers at once; an import that a session holds is never touched.
    /// One transaction of at most `n_rows_max` rejected rows.
    async fn forget(&self, n_rows_max: u32) -> Result<Forgotten, StoreError>;

    // Life.

    /// Brings ledger and sample table to this version.
    async fn migrate(&self) -> Result<(), StoreError>;

    /// Whether the ledger is there and new enough.
    async fn ready(&self) -> Result<bool, StoreError>;

    /// Writers that may run at once, and how many of them one import may use.
    fn writers(&self) -> Writers;

    /// Connections are taken from this URL from now on, of the same kind of database: a password was
    /// changed, or the server. What runs ends on the connection that it has.
    fn reconnect(&self, url: &str) -> Result<(), StoreError>;

    /// Measures from now on; at most once.
    fn measure(&self, metrics: Metrics);

    /// Connections now, by pool.
    fn pools(&self) -> Vec<PoolState>;

    /// Closes all connections, within `bound`.
    async fn close(&self, bound: Duration);
}

/// Bounds on concurrent writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writers {
    /// All imports together.
    pub total: usize,
    /// One import.
    pub per_import: usize,
}
