//! All batches of an import in one transaction: ATOMIC imports and dry runs.
//!
//! In: batches in source order, then how it ends. Out: a [`Receipt`] for each batch as soon as it
//! is written, undecided as it is, and in the end a [`WholeReceipt`]. Bounded by the channel, by
//! one place among the writers for as long as the transaction is open, by what the table bears
//! ([`tables`](super::tables)), and by [`WriterPool::WHOLE_SHARE`]: such imports leave places to the others. A dropped future, or
//! inputs that end without [`WholeInput::End`], roll everything back.
//!
//! Rejected rows are kept aside ([`spill`](super::spill)): where the transaction is rolled back,
//! by a dry run or for a limit, they are stored in transactions of their own.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tracing::Instrument;

use crate::budget::Taken;
use crate::disk::SpoolDir;
use crate::model::batch::Receipt;
use crate::model::import::{Failure, Reason};
use crate::model::reject::RejectedRow;
use crate::model::stats::RowCounts;
use crate::store::{AtomicRequest, AtomicWrite, StoreError, WholeRange};

use super::line::Place;
use super::spill::Spill;
use super::{QueuedBatch, WriteContext, WriterPool, pause_after, stopping, unavailable};

/// What the transaction is to do next.
#[derive(Debug)]
pub enum WholeInput {
    /// Write this.
    Batch(Box<QueuedBatch>),
    /// Nothing follows.
    End(WholeEnd),
}

/// How the rows end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeEnd {
    /// Every row was there: commit, or of a dry run store what was found.
    Complete,
    /// The import fails: roll back and store the rejected rows.
    Failed,
}

/// What is the same for the whole import.
#[derive(Debug, Clone)]
pub struct WholeOptions {
    /// Nothing stays in the table.
    pub validate_only: bool,
    /// A dry run of an import that commits batch by batch: what was written before a failure
    /// counts as it would have.
    pub per_batch: bool,
    /// Where rejected rows are kept aside.
    pub spill_dir: SpoolDir,
    /// Gets a permit once the transaction has its writer: batches may come from then on.
    pub has_place: Arc<Semaphore>,
}

/// What became of the import.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WholeReceipt {
    /// Rows that are decided: committed, or found by a dry run. `None`: none.
    pub decided: Option<WholeRange>,
    /// Rejected rows that are stored outside of that.
    pub n_beyond: u64,
    /// More rows were rejected than the import allows.
    pub over_limit: bool,
    /// Rejected rows of the batch that passed the limit.
    pub beyond: Vec<RejectedRow>,
}

/// The transaction's state.
struct Whole {
    range: WholeRange,
    /// Rows that were handed to the table.
    n_written: usize,
    spill: Option<Spill>,
    probe_first: bool,
}

/// Writes all that `inputs` brings.
pub async fn write_whole(
    pool: &WriterPool,
    context: &WriteContext,
    options: &WholeOptions,
    mut inputs: mpsc::Receiver<WholeInput>,
    receipts: mpsc::Sender<Receipt>,
) -> Result<WholeReceipt, StoreError> {
    let (_places, mut early) = match entered(pool, context, &mut inputs).await? {
        Entered::With(places, early) => (places, early),
        // Nothing is written, so there is nothing to roll back.
        Entered::Failed => return Ok(WholeReceipt::default()),
    };
    options.has_place.add_permits(1);
    let store = Arc::clone(&context.store);
    let mut writing = store
        .begin_atomic(AtomicRequest {
            key: context.key,
            plan: &context.plan,
            rejects: &context.rejects,
            settings: &context.settings,
            deadline: context.deadline.at(),
            validate_only: options.validate_only,
        })
        .await?;
    let mut whole = Whole {
        range: WholeRange {
            end: 0,
            rows_hash: 0,
            counts: RowCounts::default(),
            n_batches: 0,
            position: None,
        },
        n_written: 0,
        spill: Some(Spill::new(options.spill_dir.clone())),
        probe_first: false,
    };
    loop {
        let queued = match next(&mut early, &mut inputs).await {
            Some(WholeInput::Batch(queued)) => queued,
            Some(WholeInput::End(WholeEnd::Complete)) if options.validate_only => {
                writing.rollback().await?;
                return whole.store_dry_run(context).await;
            }
            Some(WholeInput::End(WholeEnd::Complete)) => {
                return whole.commit(context, writing).await;
            }
            Some(WholeInput::End(WholeEnd::Failed)) => {
                writing.rollback().await?;
                return whole.store_failed(context, options, false).await;
            }
            // The session has stopped.
            None => return Err(StoreError::Failed(stopping())),
        };
        let begun = Instant::now();
        let span = super::span(&queued.batch);
        let write = writing.write(&queued.batch, whole.probe_first);
        let written = write.instrument(span).await;
        let error_type = written.as_ref().err().map(StoreError::kind);
        let n_rows = queued.batch.n_ordinals();
        context
            .metrics
            .batch_written(n_rows, begun.elapsed(), error_type);
        match written {
            Ok(receipt) => {
                whole.take_in(context, &queued, &receipt).await?;
                // A session that does not listen any more has dropped the inputs too.
                let _ = receipts.send(receipt).await;
            }
            Err(StoreError::RejectLimit { recorded }) => {
                drop(writing);
                if let Some(receipt) = committed_after_all(context, options).await? {
                    return Ok(receipt);
                }
                whole.keep_aside(context, &recorded).await?;
                let receipt = whole.store_failed(context, options, true).await?;
                return Ok(WholeReceipt {
                    beyond: recorded,
                    ..receipt
                });
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether rows met those of an earlier attempt, whose COMMIT was not answered and is in.
async fn committed_after_all(
    context: &WriteContext,
    options: &WholeOptions,
) -> Result<Option<WholeReceipt>, StoreError> {
    if options.validate_only {
        return Ok(None);
    }
    let committed = context.store.settled(context.key).await?;
    if committed.watermark == 0 {
        return Ok(None);
    }
    let range = WholeRange {
        end: committed.watermark,
        rows_hash: 0,
        counts: committed.counts,
        n_batches: committed.n_batches,
        position: None,
    };
    Ok(Some(WholeReceipt {
        decided: Some(range),
        n_beyond: 0,
        over_limit: false,
        beyond: Vec::new(),
    }))
}

/// The right to hold a transaction open and a writer's place, of the table's and of all.
struct Places<'a> {
    _table: [Option<Taken>; 2],
    _share: SemaphorePermit<'a>,
    _place: Place,
}

/// The early input, then those that follow.
async fn next(
    early: &mut Option<WholeInput>,
    inputs: &mut mpsc::Receiver<WholeInput>,
) -> Option<WholeInput> {
    match early.take() {
        Some(input) => Some(input),
        None => inputs.recv().await,
    }
}

/// How the wait for the places ended.
enum Entered<'a> {
    /// They are there, and so may be the first input.
    With(Places<'a>, Option<WholeInput>),
    /// The import failed before.
    Failed,
}

/// Waits for the places, unless the import ends before: it is not to wait for a table's turn only
/// to be rolled back.
async fn entered<'a>(
    pool: &'a WriterPool,
    context: &WriteContext,
    inputs: &mut mpsc::Receiver<WholeInput>,
) -> Result<Entered<'a>, StoreError> {
    let places = places(pool, context);
    tokio::pin!(places);
    // A dropped wait for either leaves it as it is.
    tokio::select! {
        biased;
        places = &mut places => Ok(Entered::With(places?, None)),
        input = inputs.recv() => match input {
            Some(WholeInput::End(WholeEnd::Failed)) => Ok(Entered::Failed),
            // An import without rows, or a batch that an earlier attempt's place let out.
            Some(early) => Ok(Entered::With(places.await?, Some(early))),
            None => Err(StoreError::Failed(stopping())),
        },
    }
}

async fn places<'a>(
    pool: &'a WriterPool,
    context: &WriteContext,
) -> Result<Places<'a>, StoreError> {
    let acquire = async {
        // The longest waits first, so that they hold nothing; the table's writers are given back by
        // batches that wait for none of this but a place.
        let right = context.gate.enter_whole().await;
        let share = pool.whole.acquire().await;
        let writer = context.gate.writer().await;
        let place = pool.place(context.key, 0).await;
        Places {
            _table: [right, writer],
            _share: share.expect("the pool is never closed"),
            _place: place,
        }
    };
    tokio::select! {
        biased;
        // A dropped wait leaves the line.
        () = context.stop.cancelled() => Err(StoreError::Failed(stopping())),
        places = acquire => Ok(places),
    }
}

impl Whole {
    async fn take_in(
        &mut self,
        context: &WriteContext,
        queued: &QueuedBatch,
        receipt: &Receipt,
    ) -> Result<(), StoreError> {
        let batch = &queued.batch;
        self.range.end = receipt.range.end;
        self.range.rows_hash = self.range.rows_hash.wrapping_add(batch.rows_hash);
        self.range.counts += receipt.counts;
        self.range.n_batches += 1;
        self.n_written += batch.rows.n_rows();
        if batch.position.is_some() {
            self.range.position.clone_from(&batch.position);
        }
        self.probe_first |= receipt.rejected.iter().any(RejectedRow::is_from_database);
        self.keep_aside(context, &receipt.rejected).await
    }

    async fn keep_aside(
        &mut self,
        context: &WriteContext,
        rejected: &[RejectedRow],
    ) -> Result<(), StoreError> {
        if rejected.is_empty() {
            return Ok(());
        }
        let rejected = context.rejects.kept(rejected).into_owned();
        let mut spill = self.spill.take().expect("put back below");
        let (spill, pushed) = blocking(move || {
            let pushed = spill.push(&rejected);
            (spill, pushed)
        })
        .await?;
        self.spill = Some(spill);
        pushed
    }

    /// Commits. The table is owed what is in it: neither an attempt that is rolled back nor a dry
    /// run holds up those who come after it.
    async fn commit(
        self,
        context: &WriteContext,
        writing: Box<dyn AtomicWrite + '_>,
    ) -> Result<WholeReceipt, StoreError> {
        writing.commit(&self.range).await?;
        context.gate.owe(self.n_written);
        Ok(WholeReceipt {
            decided: (self.range.end > 0).then_some(self.range),
            n_beyond: 0,
            over_limit: false,
            beyond: Vec::new(),
        })
    }

    /// Stores what a dry run found.
    async fn store_dry_run(mut self, context: &WriteContext) -> Result<WholeReceipt, StoreError> {
        self.store_rejects(context).await?;
        self.store_range(context).await?;
        Ok(WholeReceipt {
            decided: (self.range.end > 0).then_some(self.range),
            n_beyond: 0,
            over_limit: false,
            beyond: Vec::new(),
        })
    }

    /// Stores what is told of an import that failed.
    async fn store_failed(
        mut self,
        context: &WriteContext,
        options: &WholeOptions,
        over_limit: bool,
    ) -> Result<WholeReceipt, StoreError> {
        let n_rejected = self.store_rejects(context).await?;
        if !(options.validate_only && options.per_batch && self.range.end > 0) {
            return Ok(WholeReceipt {
                decided: None,
                n_beyond: n_rejected,
                over_limit,
                beyond: Vec::new(),
            });
        }
        self.store_range(context).await?;
        Ok(WholeReceipt {
            n_beyond: n_rejected - self.range.counts.rejected,
            decided: Some(self.range),
            over_limit,
            beyond: Vec::new(),
        })
    }

    async fn store_rejects(&mut self, context: &WriteContext) -> Result<u64, StoreError> {
        let spill = self.spill.take().expect("nothing is kept aside any more");
        let n_rows = spill.n_rows();
        let mut spilled = blocking(move || spill.finish()).await??;
        loop {
            let (back, chunk) = blocking(move || {
                let chunk = spilled.chunk();
                (spilled, chunk)
            })
            .await?;
            spilled = back;
            let rows = chunk?;
            if rows.is_empty() {
                return Ok(n_rows);
            }
            persist(context, || context.store.record_rejects(context.key, &rows)).await?;
        }
    }

    async fn store_range(&self, context: &WriteContext) -> Result<(), StoreError> {
        if self.range.end == 0 {
            return Ok(());
        }
        persist(context, || self.store_range_once(context)).await
    }

    async fn store_range_once(&self, context: &WriteContext) -> Result<(), StoreError> {
        let stored = context.store.record_dry_run(context.key, &self.range);
        let Err(error) = stored.await else {
            return Ok(());
        };
        // An attempt whose COMMIT was not answered may be in.
        match context.store.committed(context.key).await {
            Ok(committed) if committed.watermark >= self.range.end => Ok(()),
            _ => Err(error),
        }
    }
}

/// Tries a statement of the ledger again after transient errors, within the retry window.
async fn persist<F>(
    context: &WriteContext,
    mut attempt: impl FnMut() -> F + Send,
) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>> + Send,
{
    let mut give_up_at = None;
    let mut n_failed = 0;
    loop {
        let sql_state = match attempt().await {
            Err(StoreError::Transient { sql_state, .. }) => sql_state,
            result => return result,
        };
        let pause = pause_after(n_failed);
        n_failed += 1;
        let now = Instant::now();
        if now + pause > *give_up_at.get_or_insert(now + context.retry.window) {
            return Err(StoreError::Failed(unavailable(&sql_state)));
        }
        tokio::time::sleep(pause).await;
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        StoreError::Failed(Failure::new(
            Reason::Internal,
            "rejected rows could not be kept aside",
        ))
    })
}
