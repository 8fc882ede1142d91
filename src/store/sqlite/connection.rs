//! Connections: one that writes, a few that read, and who may hold them for how long.
//!
//! In: a URL. Out: [`Lease`]s on the writer, [`Reader`]s. The writer is one connection behind a
//! fair lock, so writes queue in order inside the process and `BEGIN IMMEDIATE` with
//! `busy_timeout` orders processes. Whoever drops a lease without [`Lease::settle`] leaves a
//! statement or transaction behind: the statement is interrupted, the connection closed (SQLite
//! rolls back) and the next lease opens another. Readers are SQLx transactions, whose drop is a
//! queued ROLLBACK.
//!
//! Durability: WAL with `synchronous = FULL`. NORMAL would keep everything over a kill of the
//! process, but a power cut could take back the last commits; an acknowledged row is promised to
//! be there, and one sync a batch of thousands of rows costs little.
//!
//! `secure_delete` overwrites what is deleted: values that were wiped are not left in free parts of
//! the file.
//!
//! `temp_store = MEMORY` keeps the statement journal in memory: in a file, an INSERT of many rows
//! cost 5.5 writes a row (1.1 million for 200,000 rows with six indexes, counted with strace).

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, Sqlite, Transaction};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant as TokioInstant, timeout_at};

use super::error::{store_error, unavailable};
use super::ledger::scrub::scrub;
use super::sql::{fetch_one, try_execute};
use crate::store::StoreError;

/// Connections that read at once.
const READERS_MAX: u32 = 4;
/// How long a statement waits for another process to let go of the file, at most; half of the
/// control timeout where that is shorter, so that the answer comes within it.
const BUSY_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// Pages in the log before they are carried over to the database, 128 MiB: a page that several
/// batches change is carried over once.
const WAL_PAGES: u32 = 32_000;
/// What remains of the log's file after it was carried over, bytes: to write it again is cheaper than
/// to make it longer.
const WAL_BYTES_KEPT: u32 = 128 * 1024 * 1024;
/// Virtual-machine instructions between two looks at the stop flag: some microseconds.
const STOP_CHECK_INSTRUCTIONS: i32 = 4096;
/// Prepared statements kept by a connection; an import needs about eight for each set of columns.
const STATEMENTS_CACHED_MAX: usize = 128;
/// Results of a command that wait for their reader; above the statements of one command.
const RESULTS_BUFFERED_MAX: usize = 1024;

/// All connections of a store.
pub(super) struct Connections {
    options: SqliteConnectOptions,
    /// Pages that the writer keeps in memory, KiB.
    cache_kib: u64,
    writer: Mutex<Slot>,
    /// `None` for a database in memory: its reads take the writer, since connections that share
    /// a cache lock each other's tables.
    readers: Option<SqlitePool>,
    /// Keeps a database in memory alive while the writer is replaced.
    keeper: Mutex<Option<SqliteConnection>>,
    /// The file is opened for reading only.
    pub(super) read_only: bool,
    /// Free parts of pages and the log may hold values that were wiped since.
    holds_wiped: AtomicBool,
}

/// The writer's place.
enum Slot {
    /// Opened by the next lease.
    Empty,
    /// At rest, outside of any transaction.
    Idle(Writer),
    /// The store is closed.
    Closed,
}

struct Writer {
    connection: SqliteConnection,
    stop: Arc<AtomicBool>,
}

/// The writing connection, held exclusively.
pub(super) struct Lease<'a> {
    slot: MutexGuard<'a, Slot>,
    /// `Some` until the lease ends.
    writer: Option<Writer>,
}

/// A connection that sees one state of the database.
pub(super) enum Reader<'a> {
    Snapshot(Transaction<'static, Sqlite>),
    Exclusive(Lease<'a>),
}

/// Until when something may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    at: TokioInstant,
    is_deadline: bool,
}

/// The bound passed; the future that was cut is dropped.
#[derive(Debug)]
pub(super) struct Elapsed(Bound);

// === impl Connections ===

impl Connections {
    /// Opens the database, within `control_timeout`.
    pub(super) async fn open(
        url: &str,
        control_timeout: Duration,
        cache_bytes: u64,
    ) -> Result<Connections, StoreError> {
        let bound = Bound::new(None, control_timeout);
        let options = SqliteConnectOptions::from_str(url)
            .map_err(store_error)?
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT_MAX.min(control_timeout / 2))
            .pragma("temp_store", "MEMORY")
            .pragma("secure_delete", "ON")
            .statement_cache_capacity(STATEMENTS_CACHED_MAX)
            .row_buffer_size(RESULTS_BUFFERED_MAX)
            .disable_statement_logging();
        let in_memory = is_in_memory(url);
        let read_only = is_read_only(url);
        let options = match (in_memory, read_only) {
            // WAL is kept by the file: a reader finds it there and could not set it.
            (true, _) | (_, true) => options,
            (false, false) => options
                .pragma("wal_autocheckpoint", WAL_PAGES.to_string())
                .pragma("journal_size_limit", WAL_BYTES_KEPT.to_string())
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full),
        };
        let (readers, keeper) = if in_memory {
            let keeper = bound.within(options.connect()).await;
            (None, Some(flatten(keeper)?))
        } else {
            let pool = SqlitePoolOptions::new()
                .max_connections(READERS_MAX)
                .connect_lazy_with(options.clone().pragma("query_only", "ON"));
            (Some(pool), None)
        };
        let connections = Connections {
            options,
            cache_kib: (cache_bytes / 1024).max(1),
            writer: Mutex::new(Slot::Empty),
            readers,
            keeper: Mutex::new(keeper),
            read_only,
            holds_wiped: AtomicBool::new(false),
        };
        let lease = connections.writer(bound).await?;
        lease.give_back();
        Ok(connections)
    }

    /// Takes the writer, in the order of asking.
    pub(super) async fn writer(&self, bound: Bound) -> Result<Lease<'_>, StoreError> {
        let acquired = bound.within(async {
            let mut slot = self.writer.lock().await;
            let writer = match std::mem::replace(&mut *slot, Slot::Empty) {
                Slot::Idle(writer) => writer,
                Slot::Empty => self.open_writer().await.map_err(store_error)?,
                Slot::Closed => {
                    *slot = Slot::Closed;
                    return Err(unavailable("the store is closed"));
                }
            };
            let writer = Some(writer);
            Ok(Lease { slot, writer })
        });
        acquired.await?
    }

    /// Takes a connection for reading.
    pub(super) async fn reader(&self, bound: Bound) -> Result<Reader<'_>, StoreError> {
        match &self.readers {
            Some(pool) => {
                let transaction = bound.within(pool.begin()).await;
                flatten(transaction).map(Reader::Snapshot)
            }
            None => self.writer(bound).await.map(Reader::Exclusive),
        }
    }

    /// Says that values were wiped of which copies may be left.
    pub(super) fn note_wiped(&self) {
        self.holds_wiped.store(true, Ordering::Release);
    }

    /// Cleans the file of values that were wiped, if any were: writes the ledger's pages anew,
    /// carries the log over and cuts it to nothing. Where somebody reads an older state meanwhile,
    /// the next call tries again. A process that dies before it leaves it to the next wipe.
    pub(super) async fn clean(&self, bound: Bound) -> Result<(), StoreError> {
        if !self.holds_wiped.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut lease = self.writer(bound).await?;
        // An error drops the lease, which closes the connection.
        bound.within(scrub(&mut lease)).await??;
        let sql = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
        let done = bound.within(fetch_one(&mut lease, sql)).await;
        let row = lease.settle(bound, done).await?;
        let is_busy: i64 = row.get(0);
        if is_busy == 0 {
            self.holds_wiped.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Closes everything; later calls are refused. What outlasts `bound` closes by itself.
    pub(super) async fn close(&self, bound: Duration) {
        let closed = tokio::time::timeout(bound, async {
            let mut slot = self.writer.lock().await;
            if let Slot::Idle(writer) = std::mem::replace(&mut *slot, Slot::Closed) {
                writer.connection.close().await.ok();
            }
            if let Some(pool) = &self.readers {
                pool.close().await;
            }
            if let Some(keeper) = self.keeper.lock().await.take() {
                keeper.close().await.ok();
            }
        });
        if closed.await.is_err() {
            tracing::warn!(
                bound_seconds = bound.as_secs(),
                "SQLite connections did not close in time"
            );
        }
    }

    async fn open_writer(&self) -> Result<Writer, sqlx::Error> {
        let cache = format!("-{}", self.cache_kib);
        let options = self.options.clone().pragma("cache_size", cache);
        let mut connection = options.connect().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STOP_CHECK_INSTRUCTIONS, move || {
            !seen.load(Ordering::Relaxed)
        });
        drop(handle);
        Ok(Writer { connection, stop })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("filename", &self.options.get_filename())
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// Whether SQLx would open the URL as a database in memory.
fn is_in_memory(url: &str) -> bool {
    let (path, params) = url.split_once('?').unwrap_or((url, ""));
    path.ends_with(":memory:") || params.split('&').any(|param| param == "mode=memory")
}

/// Whether SQLx would open the URL for reading only.
fn is_read_only(url: &str) -> bool {
    let (_, params) = url.split_once('?').unwrap_or((url, ""));
    params
        .split('&')
        .any(|param| matches!(param, "mode=ro" | "immutable=true" | "immutable=1"))
}

// === impl Lease ===

impl Lease<'_> {
    /// Ends the lease after `result`: the connection goes back if it is known to be at rest.
    ///
    /// A transaction that an error left open is rolled back first. Where the bound cut a
    /// statement, nothing is known and the connection is closed.
    pub(super) async fn settle<T>(
        mut self,
        bound: Bound,
        result: Result<Result<T, StoreError>, Elapsed>,
    ) -> Result<T, StoreError> {
        let result = result?;
        if result.is_err() {
            let rolled_back = bound.within(try_execute(&mut self, "ROLLBACK")).await;
            match rolled_back {
                Ok(Ok(())) => {}
                // "cannot rollback - no transaction is active": at rest already.
                Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() == Some("1") => {}
                Ok(Err(_)) | Err(Elapsed(_)) => return result,
            }
        }
        self.give_back();
        result
    }

    /// Ends the lease outside of any transaction.
    pub(super) fn give_back(mut self) {
        if let Some(writer) = self.writer.take() {
            *self.slot = Slot::Idle(writer);
        }
    }
}

impl Deref for Lease<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        let writer = self.writer.as_ref();
        &writer.expect("held until the lease ends").connection
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        let writer = self.writer.as_mut();
        &mut writer.expect("held until the lease ends").connection
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            // The connection's thread sees the flag, ends its statement and closes.
            writer.stop.store(true, Ordering::Relaxed);
        }
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// The connection.
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        match self {
            Reader::Snapshot(transaction) => transaction,
            Reader::Exclusive(lease) => lease,
        }
    }

    /// Ends the reading.
    pub(super) async fn settle<T>(
        self,
        bound: Bound,
        result: Result<Result<T, StoreError>, Elapsed>,
    ) -> Result<T, StoreError> {
        match self {
            Reader::Snapshot(_) => result?,
            Reader::Exclusive(lease) => lease.settle(bound, result).await,
        }
    }
}

// === impl Bound ===

impl Bound {
    /// The deadline of the call, else `control_timeout` from now.
    pub(super) fn new(deadline: Option<Instant>, control_timeout: Duration) -> Bound {
        match deadline {
            Some(at) => Bound {
                at: TokioInstant::from_std(at),
                is_deadline: true,
            },
            None => Bound {
                at: TokioInstant::now() + control_timeout,
                is_deadline: false,
            },
        }
    }

    /// Waits for `future`, but no longer than this.
    pub(super) async fn within<F: Future>(self, future: F) -> Result<F::Output, Elapsed> {
        // A timeout looks at its future first, and SQLite may have answered by then.
        if TokioInstant::now() >= self.at {
            return Err(Elapsed(self));
        }
        timeout_at(self.at, future).await.map_err(|_| Elapsed(self))
    }
}

impl From<Elapsed> for StoreError {
    fn from(Elapsed(bound): Elapsed) -> StoreError {
        if bound.is_deadline {
            return StoreError::Deadline;
        }
        StoreError::Transient {
            sql_state: "57014".to_owned(),
            message: "SQLite did not answer within the control timeout".to_owned(),
        }
    }
}

/// One error for the bound's and the database's.
fn flatten<T>(result: Result<Result<T, sqlx::Error>, Elapsed>) -> Result<T, StoreError> {
    result?.map_err(store_error)
}
