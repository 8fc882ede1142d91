//! Schedules and retries batch writes.
//!
//! In: one batch with everything that its write needs. Out: its [`Receipt`], or why the import
//! ends. Bounded by [`WriterPool`] (all imports together) and by the session, which keeps at most
//! [`Writers::per_import`](crate::store::Writers) batches in flight. Fair between imports:
//! they take turns by the bytes that they have written ([`line`](mod@line)).
//! Dropping the future stops the statement: the store closes the connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{Span, field, info_span, warn};

use crate::budget::Taken;
use crate::metrics::Metrics;
use crate::model::batch::{Batch, Receipt, RejectBudget};
use crate::model::import::{Failure, Reason};
use crate::model::keys::BatchKeys;
use crate::model::plan::WritePlan;
use crate::store::{SessionKey, Store, StoreError, WriteRequest};
use crate::telemetry;

pub mod deadline;
mod line;
mod spill;
pub mod tables;
pub mod whole;

use deadline::Deadline;
use line::{Line, Place};
use tables::Gate;

/// First pause between attempts; doubles up to [`PAUSE_MAX`], each with jitter.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// SQLSTATE of a database that takes no writes: a standby, as after a failover.
const READ_ONLY: &str = "25006";
/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Places for writers, shared by all imports.
#[derive(Debug, Clone)]
pub struct WriterPool {
    line: Arc<Line>,
    /// Places of imports that keep theirs for all their rows.
    whole: Arc<Semaphore>,
}

/// How long a batch is tried again before its import is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// From the first failure on; the call's deadline may be nearer.
    pub window: Duration,
}

/// What is the same for all batches of an import.
#[derive(Debug)]
pub struct WriteContext {
    /// Where to.
    pub store: Arc<dyn Store>,
    /// The session that writes.
    pub key: SessionKey,
    /// Where and how.
    pub plan: Arc<WritePlan>,
    /// Shared by the import's writers.
    pub rejects: RejectBudget,
    /// Set for each transaction.
    pub settings: BTreeMap<String, String>,
    /// The call's deadline, or what has taken its place.
    pub deadline: Deadline,
    /// Cancelled when no new attempt may begin; one that has begun goes on.
    pub stop: CancellationToken,
    /// When to give up.
    pub retry: RetryPolicy,
    /// What is measured.
    pub metrics: Metrics,
    /// The way into the table, for one transaction of all rows; other batches came through it.
    pub gate: Gate,
}

/// A batch on its way to the database, with the bytes that it pays for.
#[derive(Debug)]
pub struct QueuedBatch {
    /// The batch.
    pub batch: Batch,
    /// By which its rows may meet those of other batches.
    pub keys: BatchKeys,
    /// Its bytes in flight; released when the batch is dropped, as all that follows.
    pub bytes: OwnedSemaphorePermit,
    /// Its owner's bytes in flight, where the owner has a bound of its own.
    pub own_bytes: Option<Taken>,
    /// A writer of its table, where the table has limits; a batch of a whole import has none, its
    /// transaction has.
    pub table: Option<Taken>,
}

impl WriterPool {
    /// One of so many writers may serve an import that holds it for all its rows.
    pub const WHOLE_SHARE: usize = 2;

    /// A pool of `n_writers` places.
    pub fn new(n_writers: usize) -> WriterPool {
        WriterPool {
            line: Arc::new(Line::new(n_writers)),
            whole: Arc::new(Semaphore::new((n_writers / Self::WHOLE_SHARE).max(1))),
        }
    }

    /// Waits for a place for a batch of so many bytes. Cancel safe: a dropped wait leaves the line.
    async fn place(&self, key: SessionKey, n_bytes: usize) -> Place {
        let n_bytes = u64::try_from(n_bytes).unwrap_or(u64::MAX);
        self.line.place(key.import, n_bytes).await
    }

    /// Batches that wait for a place.
    pub fn n_waiting(&self) -> usize {
        self.line.n_waiting()
    }

    /// Places that are taken.
    pub fn n_busy(&self) -> usize {
        self.line.n_busy()
    }

    /// All places.
    pub fn n_writers(&self) -> usize {
        self.line.n_places()
    }
}

/// The span of a batch, as a child of the current one.
pub fn span(batch: &Batch) -> Span {
    info_span!(
        "import.batch",
        index = telemetry::attribute(batch.index),
        rows = telemetry::attribute(batch.n_ordinals()),
        queue_wait = field::Empty,
        otel.status_code = field::Empty,
    )
}

/// Writes one batch. Transient errors are retried with growing pauses and a place in the pool
/// taken anew each time; after a lost COMMIT the store finds out whether the batch is in.
pub async fn write(
    pool: &WriterPool,
    context: &WriteContext,
    queued: QueuedBatch,
    probe_first: bool,
) -> Result<Receipt, StoreError> {
    let mut retries = 0;
    let mut give_up_at = None;
    loop {
        let queued_at = Instant::now();
        let place = tokio::select! {
            biased;
            // A dropped wait leaves the line.
            () = context.stop.cancelled() => return Err(StoreError::Failed(stopping())),
            place = pool.place(context.key, queued.batch.n_bytes()) => place,
        };
        let begun = Instant::now();
        let waited = begun - queued_at;
        context.metrics.queue_waited(waited);
        Span::current().record("queue_wait", waited.as_secs_f64());
        let request = WriteRequest {
            key: context.key,
            plan: &context.plan,
            batch: &queued.batch,
            rejects: &context.rejects,
            settings: &context.settings,
            probe_first,
            deadline: context.deadline.at(),
        };
        let written = context.store.write_batch(request).await;
        let error_type = written.as_ref().err().map(StoreError::kind);
        let n_rows = queued.batch.n_ordinals();
        context
            .metrics
            .batch_written(n_rows, begun.elapsed(), error_type);
        let error = match written {
            Ok(receipt) => {
                return Ok(Receipt {
                    retries: receipt.retries + retries,
                    ..receipt
                });
            }
            Err(error) => error,
        };
        drop(place);
        let (sql_state, message) = match error {
            StoreError::Transient { sql_state, message } => (sql_state, message),
            // The caller went, and another bound took the place of its deadline.
            StoreError::Deadline if !context.deadline.has_passed() => {
                ("57014".to_owned(), "the former deadline passed".to_owned())
            }
            error => return Err(error),
        };
        let now = Instant::now();
        let give_up_at = *give_up_at.get_or_insert(now + context.retry.window);
        let pause = pause_after(retries);
        warn!(
            sql_state,
            error = message,
            retries,
            "batch write failed, trying again"
        );
        if now + pause > give_up_at {
            return Err(StoreError::Failed(unavailable(&sql_state)));
        }
        if context
            .deadline
            .at()
            .is_some_and(|deadline| now + pause > deadline)
        {
            return Err(StoreError::Deadline);
        }
        retries += 1;
        context.metrics.write_retried(&sql_state);
        tokio::select! {
            // Nothing is lost: the batch is tried again from its beginning, or not at all.
            () = context.stop.cancelled() => return Err(StoreError::Failed(stopping())),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The pause after so many failed attempts before this one, with jitter.
pub fn pause_after(n_failed: u32) -> Duration {
    let pause = PAUSE_FIRST
        .saturating_mul(1 << n_failed.min(10))
        .min(PAUSE_MAX);
    pause.mul_f64(rand::rng().random_range(0.5..1.0))
}

/// The grace of a stop is over.
pub fn stopping() -> Failure {
    Failure::new(
        Reason::Draining,
        "the server is stopping; resume at another one",
    )
}

/// The database has not come back in time.
pub fn unavailable(sql_state: &str) -> Failure {
    if sql_state == READ_ONLY {
        return Failure::new(
            Reason::ReadOnly,
            "the database takes no writes; resume once it does",
        )
        .with("sql_state", sql_state);
    }
    Failure::new(
        Reason::DatabaseUnavailable,
        "the database is not available, try again later",
    )
    .with("sql_state", sql_state)
}
