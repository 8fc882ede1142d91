//! ATOMIC imports and dry runs: one transaction, tried again as a whole.
//!
//! In: batches of the pipeline's attempts, receipts, the transaction's end. Out: the same to the
//! writer's task, and in the end what was decided. A transient error gives the attempt up: after
//! a pause the ledger is asked whether the COMMIT came through after all, and if not the
//! pipeline decodes once more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc};
use tracing::Instrument;

use crate::disk::SpoolDir;
use crate::model::batch::Receipt;
use crate::model::import::Failure;
use crate::session::ending::{self, Ending};
use crate::session::live::{Live, Written};
use crate::session::pipeline::Input;
use crate::session::spec::CommitMode;
use crate::store::{Committed, StoreError};
use crate::writer::whole::{WholeEnd, WholeInput, WholeOptions, WholeReceipt, write_whole};
use crate::writer::{QueuedBatch, pause_after, unavailable};

/// Attempts after the first, each with a retry window of its own.
const ATTEMPTS_MAX: u32 = 10;
/// Batches that the task has or is about to get.
const IN_FLIGHT_MAX: usize = 2;

/// The session's side of the transaction.
#[derive(Debug)]
pub(super) struct WholeWriter {
    /// The attempt that the pipeline is to make.
    wanted: Arc<AtomicU64>,
    /// The one that its outputs belong to.
    seen: u64,
    task: Option<Task>,
    n_failed: u32,
    give_up_at: Option<Instant>,
    again_at: Option<Instant>,
    /// Every row of an attempt was written: its COMMIT may have come through.
    may_be_committed: bool,
    /// Rejected rows below were told as samples already.
    told_below: u64,
    /// Lets the pipeline hand out batches.
    has_place: Arc<Semaphore>,
    /// Where rejected rows are kept aside.
    spill_dir: SpoolDir,
}

/// A running transaction.
#[derive(Debug)]
struct Task {
    inputs: mpsc::Sender<WholeInput>,
    receipts: mpsc::Receiver<Receipt>,
    n_in_flight: usize,
}

/// The next receipt; for ever without a transaction. Cancel safe.
pub(super) async fn receipt(whole: Option<&mut WholeWriter>) -> Option<Receipt> {
    match whole.and_then(|whole| whole.task.as_mut()) {
        Some(task) => match task.receipts.recv().await {
            Some(receipt) => Some(receipt),
            // The task has ended: its result says how.
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

impl WholeWriter {
    pub(super) fn new(
        wanted: Arc<AtomicU64>,
        has_place: Arc<Semaphore>,
        spill_dir: SpoolDir,
    ) -> WholeWriter {
        WholeWriter {
            wanted,
            seen: 0,
            task: None,
            n_failed: 0,
            give_up_at: None,
            again_at: None,
            may_be_committed: false,
            told_below: 0,
            has_place,
            spill_dir,
        }
    }

    /// When to try again.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// The pipeline begins an attempt.
    pub(super) fn begin(&mut self, attempt: u64) {
        self.seen = attempt;
    }

    /// Whether outputs belong to an attempt that is given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.again_at.is_some() || self.wanted.load(Ordering::Acquire) > self.seen
    }

    /// Whether an output can be taken: there is room for a batch, or it is thrown away.
    pub(super) fn has_room(&self) -> bool {
        self.is_given_up()
            || self
                .task
                .as_ref()
                .is_none_or(|task| task.n_in_flight < IN_FLIGHT_MAX)
    }

    fn send(&mut self, input: WholeInput) {
        let Some(task) = &mut self.task else { return };
        if matches!(input, WholeInput::Batch(_)) {
            task.n_in_flight += 1;
        }
        // A task that has ended says why by its result.
        let _ = task.inputs.try_send(input);
    }
}

impl Live {
    /// Starts the transaction's task, once the mapping is known.
    pub(super) fn start_whole(&mut self) {
        let Some(whole) = &mut self.whole else { return };
        let (inputs, inputs_receiver) = mpsc::channel(IN_FLIGHT_MAX + 1);
        let (receipts_sender, receipts) = mpsc::channel(IN_FLIGHT_MAX + 1);
        whole.task = Some(Task {
            inputs,
            receipts,
            n_in_flight: 0,
        });
        let context = Arc::clone(self.context.as_ref().expect("the mapping is known"));
        let pool = self.sessions.writers.clone();
        let options = WholeOptions {
            validate_only: self.held.spec.validate_only,
            per_batch: self.held.spec.commit_mode == CommitMode::PerBatch,
            spill_dir: whole.spill_dir.clone(),
            has_place: Arc::clone(&whole.has_place),
        };
        let write = async move {
            let ended =
                write_whole(&pool, &context, &options, inputs_receiver, receipts_sender).await;
            Written::Whole(ended)
        };
        self.writes.spawn(write.in_current_span());
    }

    /// Hands a batch to the transaction.
    pub(super) fn write_in_whole(&mut self, queued: Box<QueuedBatch>) {
        if let Some(whole) = &mut self.whole {
            whole.send(WholeInput::Batch(queued));
        }
    }

    /// Every row has been handed out.
    pub(super) fn complete_whole(&mut self) {
        let is_decided = self.tally.watermark() >= self.received_rows && self.received_rows > 0;
        let Some(whole) = &mut self.whole else { return };
        if is_decided {
            // An earlier session committed it, and did not live to say so.
            self.whole = None;
            self.writes.abort_all();
            return;
        }
        whole.may_be_committed = true;
        whole.send(WholeInput::End(WholeEnd::Complete));
    }

    /// A batch is written, though not decided.
    pub(super) fn on_whole_receipt(&mut self, receipt: &Receipt) {
        let Some(whole) = &mut self.whole else { return };
        if let Some(task) = &mut whole.task {
            task.n_in_flight = task.n_in_flight.saturating_sub(1);
        }
        // An attempt that gets on has its own time: a long one may meet more than one fault.
        whole.give_up_at = None;
        let told = receipt
            .rejected
            .partition_point(|row| row.ordinal < whole.told_below);
        self.outbox.rejected(&receipt.rejected[told..]);
        whole.told_below = whole.told_below.max(receipt.range.end);
        self.tally.undecided(receipt);
    }

    /// The transaction ended.
    pub(super) fn on_whole(
        &mut self,
        result: Result<WholeReceipt, StoreError>,
    ) -> Result<(), Failure> {
        let deadline_moved = !self.deadline.has_passed();
        let task = self.whole.as_mut().and_then(|whole| whole.task.as_mut());
        let mut last = Vec::new();
        if let Some(task) = task {
            while let Ok(receipt) = task.receipts.try_recv() {
                last.push(receipt);
            }
        }
        for receipt in &last {
            self.on_whole_receipt(receipt);
        }
        match result {
            Ok(receipt) => {
                self.whole = None;
                self.outbox.rejected(&receipt.beyond);
                if let Some(range) = &receipt.decided {
                    self.tally.whole(range);
                    self.count();
                }
                self.tally
                    .n_rejected_beyond(receipt.n_beyond, &receipt.beyond);
                if receipt.over_limit {
                    return Err(self.reject_limit());
                }
                self.acknowledge();
                Ok(())
            }
            Err(StoreError::Transient { sql_state, message }) => {
                tracing::warn!(
                    sql_state,
                    error = message,
                    "transaction failed, trying again"
                );
                self.give_attempt_up(&sql_state)
            }
            Err(StoreError::Deadline) if deadline_moved => self.give_attempt_up("57014"),
            Err(error) => {
                self.whole = None;
                self.tally.forget_undecided();
                Err(ending::failure_of(error))
            }
        }
    }

    fn give_attempt_up(&mut self, sql_state: &str) -> Result<(), Failure> {
        self.tally.forget_undecided();
        let window = self.sessions.config.retry.window;
        let Some(whole) = &mut self.whole else {
            return Ok(());
        };
        whole.task = None;
        let now = Instant::now();
        let pause = pause_after(whole.n_failed);
        whole.n_failed += 1;
        let is_late = now + pause > *whole.give_up_at.get_or_insert(now + window);
        if is_late || whole.n_failed > ATTEMPTS_MAX {
            self.whole = None;
            return Err(unavailable(sql_state));
        }
        whole.again_at = Some(now + pause);
        self.tally.retried();
        Ok(())
    }

    /// Begins the next attempt, unless the last one turns out to be committed.
    pub(super) async fn try_again(&mut self) -> Result<(), Failure> {
        let key = self.registration.key();
        let store = Arc::clone(&self.sessions.store);
        let may_be_committed = self
            .whole
            .as_ref()
            .is_some_and(|whole| whole.may_be_committed);
        if may_be_committed {
            match self.guarded(store.settled(key)).await? {
                Ok(committed) if committed.watermark > self.tally.watermark() => {
                    self.tally.adopt(&committed);
                    self.count();
                    self.whole = None;
                    self.ended = true;
                    self.acknowledge();
                    return Ok(());
                }
                Ok(_) => {}
                Err(StoreError::Transient { sql_state, .. }) => {
                    return self.give_attempt_up(&sql_state);
                }
                Err(error) => return Err(ending::failure_of(error)),
            }
        }
        let Some(whole) = &mut self.whole else {
            return Ok(());
        };
        whole.again_at = None;
        whole.may_be_committed = false;
        let attempt = whole.wanted.fetch_add(1, Ordering::AcqRel) + 1;
        self.ended = false;
        self.pending = Some(Input::Again(attempt));
        Ok(())
    }

    /// Whether the one transaction of an ATOMIC import is in, whatever was to stop it.
    pub(in crate::session) fn is_all_in(&self, committed: &Committed) -> bool {
        let is_atomic =
            self.held.spec.commit_mode == CommitMode::Atomic && !self.held.spec.validate_only;
        is_atomic && self.ended && committed.watermark > 0
    }

    /// The import ends before its rows do: what the transaction is to keep.
    pub(in crate::session) fn end_whole(&mut self, failure: Option<&Failure>) {
        let Some(whole) = &mut self.whole else { return };
        let fails = failure.is_some_and(|failure| ending::of(failure.reason) == Ending::Failed);
        if fails {
            whole.send(WholeInput::End(WholeEnd::Failed));
        } else if let Some(task) = &mut whole.task {
            // Without inputs it rolls back.
            let (nobody, _) = mpsc::channel(1);
            task.inputs = nobody;
        }
    }
}
