//! A running import: one task that moves messages, batches and receipts along.
//!
//! In: the caller's messages, the pipeline's outputs, receipts, timers, and the signals that stop
//! an import. Out: events, and in the end an outcome ([`conclude`]). The task
//! never waits for one thing only: whatever can happen is an arm of [`Live::step`]. Bounded by the
//! channels to and from the pipeline ([`INPUTS_MAX`], [`OUTPUTS_MAX`]) and by the batches in
//! flight of one import.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, Span, field, info_span};

use crate::decode::sandbox::Killer;
use crate::mapping::EffectiveColumn;
use crate::metrics::{self, counted::Counted};
use crate::model::batch::Receipt;
use crate::model::import::{Failure, FileFormat, Phase, Reason};
use crate::progress::{self, Outbox};
use crate::session::admission::{Slot, overloaded};
use crate::session::open::Held;
use crate::session::pipeline::{Input, Output};
use crate::session::registry::Registration;
use crate::session::spec::{Disconnect, SourceSpec};
use crate::session::tally::Tally;
use crate::session::{Call, Message, Sessions, conclude, ending, open};
use crate::store::{Pulse, StoreError};
use crate::writer::deadline::Deadline;
use crate::writer::whole::WholeReceipt;
use crate::writer::{self, QueuedBatch, WriteContext};

mod file;
mod handle;
mod in_flight;
mod report;
mod signals;
mod start;
mod whole;

use in_flight::InFlight;
use signals::{caller_gone, feed, sleep_until, stop_signal};
use whole::WholeWriter;

/// Messages between session and pipeline.
const INPUTS_MAX: usize = 2;
/// Batches between pipeline and session, beside those in flight and the one that waits for room here:
/// as many wait as there are writers of an import on two cores.
const OUTPUTS_MAX: usize = 1;
/// An import that waits this long for its caller gives its slot back.
const SLOT_IDLE: Duration = Duration::from_secs(1);
/// Writes that still run so long after the end of a stop's grace are cut, so that their import is
/// told and suspended before the server lets go of it; the ledger has its time after that.
const WRITES_AFTER_GRACE: Duration = Duration::from_secs(3);
/// Progress while an import waits for a slot.
const QUEUED_PROGRESS: Duration = Duration::from_secs(5);
/// A CSV's rows wait no longer than this for their batch while the caller is silent.
const CSV_FLUSH: Duration = Duration::from_secs(1);

/// Batches of a session between two compactions of the ledger's ranges.
const COMPACT_BATCHES: u64 = 256;

/// What a write task returns.
pub(super) enum Written {
    /// A batch is decided, or its import is.
    Batch {
        /// Its first ordinal.
        start: u64,
        /// The caller's place at its end.
        position: Option<Bytes>,
        result: Result<Receipt, StoreError>,
    },
    /// The one transaction of an import ended.
    Whole(Result<WholeReceipt, StoreError>),
    /// Ranges of the ledger were folded.
    Compacted,
}

/// A running import.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, set once"
)]
pub(super) struct Live {
    pub(super) sessions: Arc<Sessions>,
    pub(super) call: Call,
    pub(super) held: Held,
    pub(super) outbox: Outbox,
    pub(super) registration: Registration,
    slot: Option<Slot>,
    // The pipeline.
    pub(super) stop: CancellationToken,
    /// A session that is dropped stops its thread too, which may wait for a place that nobody will
    /// give any more.
    pub(super) _stop_on_drop: DropGuard,
    input: Option<mpsc::Sender<Input>>,
    pub(super) output: mpsc::Receiver<Output>,
    pub(super) thread: Option<JoinHandle<()>>,
    pub(super) killer: Option<Killer>,
    /// An input that the pipeline has no room for yet; nothing is read from the caller meanwhile.
    pending: Option<Input>,
    /// Inputs that went to the pipeline, and those of them that it is through with.
    n_fed: u64,
    dealt_with: watch::Receiver<u64>,
    // The caller.
    next_row: u64,
    next_byte: u64,
    received_bytes: u64,
    duplicate_rows: u64,
    finish_received: bool,
    /// The caller's half of the stream has ended.
    messages_ended: bool,
    /// Since when the server has waited for the caller.
    waiting_since: Instant,
    /// When chunks or rows came last; heartbeats are none.
    last_data_at: Instant,
    flush_at: Option<Instant>,
    // The writers.
    context: Option<Arc<WriteContext>>,
    pub(super) writes: JoinSet<Written>,
    in_flight_max: usize,
    /// Batches of an import that is not whole.
    in_flight: InFlight<Box<QueuedBatch>>,
    /// ATOMIC imports and dry runs.
    whole: Option<WholeWriter>,
    /// Committed batches when the ledger's ranges were last folded.
    compacted_at: u64,
    /// A task folds them now.
    compacting: bool,
    /// Until when the import may write.
    pub(super) deadline: Deadline,
    /// The caller is gone, and the import goes on without.
    pub(super) detached: bool,
    /// The database has refused a row of this import: later batches probe first.
    probe_first: bool,
    // What is known.
    pub(super) tally: Tally,
    /// What metrics were told of it.
    pub(super) counted: Counted,
    pub(super) phase: Phase,
    /// One past the last ordinal that is known to exist.
    pub(super) received_rows: u64,
    /// Every row has been handed out.
    ended: bool,
    n_rows_hint: Option<u64>,
    /// Of a file, once its header is read.
    format: Option<FileFormat>,
    effective: Vec<EffectiveColumn>,
    told_draining: bool,
    file_sha256: Option<[u8; 32]>,
    /// An earlier import of the same file into the same table.
    pub(super) duplicate_of: Option<String>,
    /// Writes were cut short: the ledger may know more than was told here.
    pub(super) writes_cut: bool,
    /// The span of what comes before the writes: admission, then receiving.
    stage: Span,
}

/// One thing that happened.
enum Step {
    Message(Option<Result<Message, Failure>>),
    /// The pending input went to the pipeline.
    Fed,
    /// The pipeline is through with an input.
    DealtWith,
    Output(Option<Output>),
    Written(Result<Written, JoinError>),
    ProgressDue,
    FlushDue,
    IdleTimeout,
    SlotIdle,
    Stop(Failure),
    Draining,
    /// The caller is gone, or its deadline has passed.
    CallerGone(Failure),
    /// A batch of the one transaction is written.
    WholeReceipt(Receipt),
    /// The one transaction is to be tried again.
    AgainDue,
}

/// Runs an import that is held to its end.
pub(super) async fn run<S>(
    sessions: Arc<Sessions>,
    call: Call,
    mut messages: S,
    outbox: Outbox,
    held: Held,
    admit: Span,
) where
    S: Stream<Item = Result<Message, Failure>> + Unpin + Send,
{
    Span::current().record("import.id", held.spec.import_id.as_str());
    let mut live = Live::new(sessions, call, outbox, held, admit);
    live.accept();
    let failure = live.drive(&mut messages).await.err();
    conclude::conclude(live, failure).await;
}

impl Live {
    /// Goes on until every row is decided or something ends the import.
    async fn drive<S>(&mut self, messages: &mut S) -> Result<(), Failure>
    where
        S: Stream<Item = Result<Message, Failure>> + Unpin + Send,
    {
        self.check_announced().await?;
        let admit = std::mem::replace(&mut self.stage, Span::none());
        let told_queued = self.take_slot().instrument(admit).await?;
        self.stage = info_span!("import.receive", rows = field::Empty, bytes = field::Empty);
        self.phase = Phase::Receiving;
        if told_queued {
            self.report();
        } else {
            self.report_to_ledger(&self.stats());
        }
        let interval = self.held.spec.progress_interval;
        let interval = interval.unwrap_or(self.sessions.config.progress_interval);
        // Its first tick is not at once: that would be a millisecond of every import, the timer's
        // resolution.
        let mut progress =
            tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        progress.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.is_done() {
            match self.step(messages, &mut progress).await {
                Step::Message(message) => self.on_message(message).await?,
                Step::Fed => {
                    self.n_fed += 1;
                    self.waiting_since = Instant::now();
                }
                Step::DealtWith => self.waiting_since = Instant::now(),
                Step::Output(output) => self.on_output(output).await?,
                Step::Written(written) => {
                    self.on_written(written)?;
                    self.write_next();
                }
                Step::WholeReceipt(receipt) => self.on_whole_receipt(&receipt),
                Step::AgainDue => self.try_again().await?,
                Step::CallerGone(failure) => self.on_caller_gone(failure)?,
                Step::ProgressDue => self.report(),
                Step::FlushDue => {
                    self.flush_at = None;
                    self.pending = Some(Input::Flush);
                }
                Step::IdleTimeout => return Err(self.idle_timeout()),
                Step::SlotIdle => self.slot = None,
                Step::Stop(failure) => return Err(failure),
                Step::Draining => {
                    self.told_draining = true;
                    self.outbox.draining(self.sessions.config.drain_grace);
                }
            }
        }
        self.phase = Phase::Committing;
        Ok(())
    }

    /// Waits for whatever happens next. Every arm is cancel safe: what it would have returned
    /// stays where it is until the next call.
    async fn step<S>(&mut self, messages: &mut S, progress: &mut tokio::time::Interval) -> Step
    where
        S: Stream<Item = Result<Message, Failure>> + Unpin + Send,
    {
        let reads = self.pending.is_none() && !self.messages_ended;
        // Rows that are not decided yet are the server's work, and so is what the pipeline has not
        // come to, which may wait for a table's turn: it does not wait for the caller.
        let is_behind = *self.dealt_with.borrow() < self.n_fed;
        let all_decided = !is_behind
            && self.n_writes() == 0
            && (self.whole.is_some() || self.tally.watermark() >= self.next_row);
        let waits_for_caller = reads && !self.finish_received && all_decided;
        let idle_at = self.waiting_since + self.sessions.config.idle_timeout;
        let slot_idle_at = self.last_data_at + SLOT_IDLE;
        let slot_is_idle = waits_for_caller && self.slot.is_some();
        let flush_at = self.flush_at.filter(|_| self.pending.is_none());
        let takes_output = self.takes_output();
        let again_at = self.whole.as_ref().and_then(WholeWriter::again_at);
        let (phase, bound) = (self.phase, self.bound());
        tokio::select! {
            biased;
            failure = stop_signal(&self.sessions, &mut self.registration) => Step::Stop(failure),
            failure = caller_gone(&self.call, bound, self.detached, phase) => {
                Step::CallerGone(failure)
            }
            () = self.sessions.draining.cancelled(), if !self.told_draining => Step::Draining,
            // Before what a busy import always has: it comes once an interval.
            _ = progress.tick() => Step::ProgressDue,
            Some(written) = self.writes.join_next() => Step::Written(written),
            Some(receipt) = whole::receipt(self.whole.as_mut()) => Step::WholeReceipt(receipt),
            () = sleep_until(again_at), if again_at.is_some() => Step::AgainDue,
            output = self.output.recv(), if takes_output => Step::Output(output),
            () = feed(self.input.as_ref(), &mut self.pending), if self.pending.is_some() => Step::Fed,
            Ok(()) = self.dealt_with.changed(), if is_behind => Step::DealtWith,
            () = sleep_until(flush_at), if flush_at.is_some() => Step::FlushDue,
            message = messages.next(), if reads => Step::Message(message),
            () = sleep_until(Some(idle_at)), if waits_for_caller => Step::IdleTimeout,
            () = sleep_until(Some(slot_idle_at)), if slot_is_idle => Step::SlotIdle,
        }
    }

    /// Waits for the right to run; returns whether the caller was told that it is queued.
    async fn take_slot(&mut self) -> Result<bool, Failure> {
        let sessions = Arc::clone(&self.sessions);
        let wait = sessions.config.queue_wait;
        let give_up_at = Instant::now() + wait;
        let slot = sessions.admission.slot();
        tokio::pin!(slot);
        let mut queued = tokio::time::interval(QUEUED_PROGRESS);
        let mut told = false;
        // The first tick is immediate: it is for those who do not get a slot at once.
        loop {
            let bound = self.bound();
            tokio::select! {
                biased;
                // Nothing is lost: whoever stops waiting leaves the line.
                slot = &mut slot => {
                    self.slot = Some(slot);
                    return Ok(told);
                }
                failure = stop_signal(&self.sessions, &mut self.registration) => {
                    return Err(failure);
                }
                failure = caller_gone(&self.call, bound, self.detached, Phase::Queued) => {
                    self.on_caller_gone(failure)?;
                }
                () = sleep_until(Some(give_up_at)) => {
                    let message = format!("waited {} s for a place, try again later", wait.as_secs());
                    return Err(overloaded(&message));
                }
                _ = queued.tick() => {
                    told = true;
                    self.report();
                }
            }
        }
    }

    /// Waits for something short, unless the import is to stop before.
    async fn guarded<T>(&mut self, work: impl Future<Output = T> + Send) -> Result<T, Failure> {
        tokio::pin!(work);
        loop {
            let (phase, bound) = (self.phase, self.bound());
            let gone = tokio::select! {
                biased;
                // Nothing is lost: what is cut short is asked again by a later session.
                done = &mut work => return Ok(done),
                failure = stop_signal(&self.sessions, &mut self.registration) => return Err(failure),
                gone = caller_gone(&self.call, bound, self.detached, phase) => gone,
            };
            self.on_caller_gone(gone)?;
        }
    }

    fn idle_timeout(&self) -> Failure {
        let seconds = self.sessions.config.idle_timeout.as_secs();
        Failure::new(
            Reason::IdleTimeout,
            format!("nothing came for {seconds} s; send heartbeats while there is nothing to send"),
        )
    }

    /// Waits for the writes in flight, while the caller is there and its deadline has not passed;
    /// in a stop for [`WRITES_AFTER_GRACE`]. Returns what ended the wait early: that then ends the
    /// import, for a failure is told in full or not at all. What a write says is only counted.
    pub(super) async fn finish_writes(&mut self) -> Option<Failure> {
        let drained = self.sessions.drained.clone();
        let given_up = async move {
            drained.cancelled().await;
            tokio::time::sleep(WRITES_AFTER_GRACE).await;
        };
        tokio::pin!(given_up);
        let deadline = self.bound();
        let detached = self.detached;
        let mut progress = tokio::time::interval(QUEUED_PROGRESS);
        while self.n_writes() > 0 {
            // Cancel safe: a write that has ended stays in the set until it is taken.
            tokio::select! {
                biased;
                Some(written) = self.writes.join_next() => drop(self.on_written(written)),
                Some(receipt) = whole::receipt(self.whole.as_mut()) => {
                    self.on_whole_receipt(&receipt);
                }
                () = self.call.caller_gone.cancelled(), if !detached => {
                    return Some(open::caller_gone());
                }
                () = sleep_until(deadline) => {
                    return Some(ending::deadline().with("phase", "COMMITTING"));
                }
                () = &mut given_up => return Some(writer::stopping()),
                _ = progress.tick() => self.report(),
            }
        }
        None
    }

    /// Until when the import may go on: with its caller the call's deadline.
    pub(super) fn bound(&self) -> Option<Instant> {
        if self.detached {
            self.deadline.at()
        } else {
            self.call.deadline
        }
    }

    /// Whether CancelImport was called for this import.
    pub(super) fn cancel_was_requested(&self) -> bool {
        *self.registration.pulse.borrow() == Pulse::CancelRequested
    }

    /// Frees the import's places and leaves what the caller is still to be told.
    pub(super) fn give_back(self) -> Outbox {
        self.outbox
    }

    /// SHA-256 of the file; empty for row imports and files that were not received whole.
    pub(super) fn file_sha256(&self) -> Vec<u8> {
        self.file_sha256.map(Vec::from).unwrap_or_default()
    }

    /// Every row has been handed out, and is decided.
    fn is_done(&self) -> bool {
        self.ended && self.whole.is_none() && self.n_writes() == 0
    }

    /// Writes that decide rows.
    fn n_writes(&self) -> usize {
        self.writes.len() - usize::from(self.compacting)
    }

    /// Whether there is room for what the pipeline makes next.
    fn takes_output(&self) -> bool {
        let has_room = match &self.whole {
            Some(whole) => whole.has_room(),
            None => self.n_writes() < self.in_flight_max && !self.in_flight.one_waits(),
        };
        !self.ended && has_room
    }

    /// The caller is gone or its deadline has passed: the end, unless the import goes on alone.
    fn on_caller_gone(&mut self, failure: Failure) -> Result<(), Failure> {
        let Disconnect::Continue(bound) = self.held.spec.disconnect else {
            return Err(failure);
        };
        if self.detached {
            return Err(failure);
        }
        let is_gone = matches!(failure.reason, Reason::CancelledByCaller | Reason::Deadline);
        if !is_gone || !self.finish_received {
            return Err(failure);
        }
        self.detached = true;
        self.messages_ended = true;
        self.deadline.set(Instant::now() + bound);
        // Nobody reads what follows; whoever still listens learns that the call is over.
        let (nowhere, _) = progress::channel(CancellationToken::new());
        std::mem::replace(&mut self.outbox, nowhere).fail(failure);
        Ok(())
    }

    /// Tells the pipeline that nothing follows, and begins no batch that waits.
    pub(super) fn close_input(&mut self) {
        self.input = None;
        self.pending = None;
        self.in_flight.give_up();
    }

    /// What is imported, for metrics.
    pub(super) fn format_name(&self) -> &'static str {
        match (&self.held.spec.source, self.format) {
            (SourceSpec::Rows(_), _) => "rows",
            (SourceSpec::File(_), Some(format)) => metrics::format_name(format),
            (SourceSpec::File(_), None) => "unknown",
        }
    }

    fn is_file(&self) -> bool {
        matches!(self.held.spec.source, SourceSpec::File(_))
    }
}

/// Somebody called CancelImport.
pub(super) fn cancelled_by_request() -> Failure {
    Failure::new(
        Reason::CancelledByRequest,
        "the import was cancelled by CancelImport",
    )
}
