//! A running import: one task that moves messages, batches and receipts along.
//!
//! In: the caller's messages, the pipeline's outputs, receipts, timers, and the signals that stop
//! an import. Out: events, and in the end an outcome ([`conclude`]). The task
//! never waits for one thing only: whatever can happen is an arm of [`Live::step`]. Bounded by the
//! channels to and from the pipeline ([`INPUTS_MAX`], [`OUTPUTS_MAX`]) and by the batches in
//! flight of one import.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::decode::sandbox::Killer;
use crate::mapping::EffectiveColumn;
use crate::model::batch::Receipt;
use crate::model::import::{Failure, Phase, Reason};
use crate::progress::{Accepted, Outbox};
use crate::session::admission::{Slot, overloaded};
use crate::session::open::Held;
use crate::session::pipeline::{Input, MEMORY_UNIT_BYTES, Output, Pipeline};
use crate::session::registry::Registration;
use crate::session::spec::SourceSpec;
use crate::session::tally::Tally;
use crate::session::{Call, Message, Sessions, conclude, ending, open};
use crate::store::{Pulse, StoreError};
use crate::writer::{self, WriteContext};

mod handle;
mod report;

/// Messages between session and pipeline.
const INPUTS_MAX: usize = 4;
/// Batches between pipeline and session, beside those in flight.
const OUTPUTS_MAX: usize = 2;
/// An import that waits this long for its caller gives its slot back.
const SLOT_IDLE: Duration = Duration::from_secs(1);
/// Progress while an import waits for a slot.
const QUEUED_PROGRESS: Duration = Duration::from_secs(5);
/// A CSV's rows wait no longer than this for their batch while the caller is silent.
const CSV_FLUSH: Duration = Duration::from_secs(1);

/// What a write task returns: the caller's place at the end of its batch, and the receipt.
pub(super) type Written = (Option<bytes::Bytes>, Result<Receipt, StoreError>);

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
    input: Option<mpsc::Sender<Input>>,
    pub(super) output: mpsc::Receiver<Output>,
    pub(super) thread: Option<JoinHandle<()>>,
    pub(super) killer: Option<Killer>,
    /// An input that the pipeline has no room for yet; nothing is read from the caller meanwhile.
    pending: Option<Input>,
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
    /// The database has refused a row of this import: later batches probe first.
    probe_first: bool,
    // What is known.
    pub(super) tally: Tally,
    pub(super) phase: Phase,
    /// One past the last ordinal that is known to exist.
    pub(super) received_rows: u64,
    /// Every row has been handed out.
    ended: bool,
    n_rows_hint: Option<u64>,
    effective: Vec<EffectiveColumn>,
    told_draining: bool,
    file_sha256: Option<[u8; 32]>,
    /// Writes were cut short: the ledger may know more than was told here.
    pub(super) writes_cut: bool,
}

/// One thing that happened.
enum Step {
    Message(Option<Result<Message, Failure>>),
    /// The pending input went to the pipeline.
    Fed,
    Output(Option<Output>),
    Written(Result<Written, JoinError>),
    ProgressDue,
    FlushDue,
    IdleTimeout,
    SlotIdle,
    Stop(Failure),
    Draining,
}

/// Runs an import that is held to its end.
pub(super) async fn run<S>(
    sessions: Arc<Sessions>,
    call: Call,
    mut messages: S,
    outbox: Outbox,
    held: Held,
) where
    S: Stream<Item = Result<Message, Failure>> + Unpin + Send,
{
    let mut live = Live::new(sessions, call, outbox, held);
    live.accept();
    let failure = live.drive(&mut messages).await.err();
    conclude::conclude(live, failure).await;
}

impl Live {
    fn new(sessions: Arc<Sessions>, call: Call, mut outbox: Outbox, held: Held) -> Live {
        let registration =
            sessions
                .registry
                .enter(held.open.key, &call.owner, &held.spec.import_id);
        let (input, input_receiver) = mpsc::channel(INPUTS_MAX);
        let (output_sender, output) = mpsc::channel(OUTPUTS_MAX);
        let stop = CancellationToken::new();
        let config = &sessions.config;
        let pipeline = Pipeline {
            spec: Arc::clone(&held.spec),
            table: Arc::clone(&held.table),
            method: held.method,
            mapping: held.mapping.clone(),
            create_time_ms: held.open.create_time_ms,
            limits: config.limits.clone(),
            batch_limits: config.batches,
            memory: Arc::clone(&sessions.memory),
            memory_units: config.bytes_in_flight_max / MEMORY_UNIT_BYTES,
            decoders: Arc::clone(&sessions.decoders),
            decoder_program: config.decoder_program.clone(),
            spool_dir: config.spool_dir.clone(),
            stop: stop.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        let thread =
            tokio::task::spawn_blocking(move || pipeline.run(input_receiver, output_sender));
        outbox.allow_samples(held.spec.rejected_samples);
        let open = &held.open;
        let tally = Tally::resume(
            open.counts,
            open.committed_offset,
            open.committed_position.clone(),
        );
        Live {
            sessions,
            call,
            outbox,
            registration,
            slot: None,
            stop,
            input: Some(input),
            output,
            thread: Some(thread),
            killer: None,
            pending: None,
            next_row: open.committed_offset,
            next_byte: 0,
            received_bytes: 0,
            duplicate_rows: 0,
            finish_received: false,
            messages_ended: false,
            waiting_since: Instant::now(),
            last_data_at: Instant::now(),
            flush_at: None,
            context: None,
            writes: JoinSet::new(),
            in_flight_max: 1,
            probe_first: false,
            tally,
            phase: Phase::Queued,
            received_rows: 0,
            ended: false,
            n_rows_hint: None,
            effective: Vec::new(),
            told_draining: false,
            file_sha256: None,
            writes_cut: false,
            held,
        }
    }

    fn accept(&self) {
        let open = &self.held.open;
        let config = &self.sessions.config;
        let deadline_in = self
            .call
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        let effective = self
            .held
            .mapping
            .as_ref()
            .map(|mapping| mapping.effective().to_vec());
        self.outbox.accepted(Accepted {
            import_id: self.held.spec.import_id.clone(),
            epoch: open.key.epoch,
            resumed: open.resumed,
            replayed: false,
            committed_offset: open.committed_offset,
            committed_position: open.committed_position.clone(),
            idle_timeout: config.idle_timeout,
            deadline_in,
            effective_columns: effective.unwrap_or_default(),
            rejected_rows_max: self.held.spec.rejects.limit(config.rejected_rows_max),
        });
    }

    /// Goes on until every row is decided or something ends the import.
    async fn drive<S>(&mut self, messages: &mut S) -> Result<(), Failure>
    where
        S: Stream<Item = Result<Message, Failure>> + Unpin + Send,
    {
        self.take_slot().await?;
        self.phase = Phase::Receiving;
        let interval = self.held.spec.progress_interval;
        let interval = interval.unwrap_or(self.sessions.config.progress_interval);
        let mut progress = tokio::time::interval(interval);
        progress.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        progress.tick().await;
        while !(self.ended && self.writes.is_empty()) {
            match self.step(messages, &mut progress).await {
                Step::Message(message) => self.on_message(message).await?,
                Step::Fed => self.waiting_since = Instant::now(),
                Step::Output(output) => self.on_output(output)?,
                Step::Written(written) => self.on_written(written)?,
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
        // Rows that are not decided yet are the server's work: it does not wait for the caller.
        let all_decided = self.writes.is_empty() && self.tally.watermark() >= self.next_row;
        let waits_for_caller = reads && !self.finish_received && all_decided;
        let idle_at = self.waiting_since + self.sessions.config.idle_timeout;
        let slot_idle_at = self.last_data_at + SLOT_IDLE;
        let slot_is_idle = waits_for_caller && self.slot.is_some();
        let flush_at = self.flush_at.filter(|_| self.pending.is_none());
        let deadline = self.call.deadline;
        tokio::select! {
            biased;
            failure = stop_signal(&self.call, &self.sessions, &mut self.registration) => {
                Step::Stop(failure)
            }
            () = sleep_until(deadline) => {
                Step::Stop(ending::deadline().with("phase", format!("{:?}", self.phase).to_uppercase()))
            }
            () = self.sessions.draining.cancelled(), if !self.told_draining => Step::Draining,
            Some(written) = self.writes.join_next() => Step::Written(written),
            output = self.output.recv(),
                if !self.ended && self.writes.len() < self.in_flight_max => Step::Output(output),
            () = feed(self.input.as_ref(), &mut self.pending), if self.pending.is_some() => Step::Fed,
            _ = progress.tick() => Step::ProgressDue,
            () = sleep_until(flush_at), if flush_at.is_some() => Step::FlushDue,
            message = messages.next(), if reads => Step::Message(message),
            () = sleep_until(Some(idle_at)), if waits_for_caller => Step::IdleTimeout,
            () = sleep_until(Some(slot_idle_at)), if slot_is_idle => Step::SlotIdle,
        }
    }

    /// Waits for the right to run, telling the caller that it is queued.
    async fn take_slot(&mut self) -> Result<(), Failure> {
        let sessions = Arc::clone(&self.sessions);
        let wait = sessions.config.queue_wait;
        let give_up_at = Instant::now() + wait;
        let slot = sessions.admission.slot();
        tokio::pin!(slot);
        let mut queued = tokio::time::interval(QUEUED_PROGRESS);
        // The first tick is immediate: it is for those who do not get a slot at once.
        loop {
            tokio::select! {
                biased;
                // Nothing is lost: whoever stops waiting leaves the line.
                slot = &mut slot => {
                    self.slot = Some(slot);
                    return Ok(());
                }
                failure = stop_signal(&self.call, &self.sessions, &mut self.registration) => {
                    return Err(failure);
                }
                () = sleep_until(self.call.deadline) => {
                    return Err(ending::deadline().with("phase", "QUEUED"));
                }
                () = sleep_until(Some(give_up_at)) => {
                    let message = format!("waited {} s for a place, try again later", wait.as_secs());
                    return Err(overloaded(&message));
                }
                _ = queued.tick() => self.report(),
            }
        }
    }

    fn idle_timeout(&self) -> Failure {
        let seconds = self.sessions.config.idle_timeout.as_secs();
        Failure::new(
            Reason::IdleTimeout,
            format!("nothing came for {seconds} s; send heartbeats while there is nothing to send"),
        )
    }

    /// Waits for the writes in flight, while the caller is there and its deadline has not passed.
    /// Returns what ended the wait early. The import has its reason already; what a write says is
    /// only counted.
    pub(super) async fn finish_writes(&mut self) -> Option<Failure> {
        let deadline = self.call.deadline;
        let mut progress = tokio::time::interval(QUEUED_PROGRESS);
        loop {
            // Cancel safe: a write that has ended stays in the set until it is taken.
            tokio::select! {
                biased;
                written = self.writes.join_next() => match written {
                    Some(written) => drop(self.on_written(written)),
                    None => return None,
                },
                () = self.call.caller_gone.cancelled() => return Some(open::caller_gone()),
                () = sleep_until(deadline) => {
                    return Some(ending::deadline().with("phase", "COMMITTING"));
                }
                _ = progress.tick() => self.report(),
            }
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

    /// Tells the pipeline that nothing follows.
    pub(super) fn close_input(&mut self) {
        self.input = None;
        self.pending = None;
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

/// What ends an import from outside.
async fn stop_signal(call: &Call, sessions: &Sessions, registration: &mut Registration) -> Failure {
    tokio::select! {
        () = call.caller_gone.cancelled() => open::caller_gone(),
        () = sessions.drained.cancelled() => writer::stopping(),
        // The sender lives in the registry as long as the registration.
        Ok(pulse) = registration.pulse.wait_for(|pulse| *pulse != Pulse::Held) => match *pulse {
            Pulse::Fenced => ending::failure_of(StoreError::Fenced),
            Pulse::CancelRequested | Pulse::Held => cancelled_by_request(),
        },
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Hands the pending input to the pipeline once there is room. A pipeline that has ended says why
/// through its outputs.
async fn feed(input: Option<&mpsc::Sender<Input>>, pending: &mut Option<Input>) {
    let Some(input) = input else {
        return std::future::pending().await;
    };
    match input.reserve().await {
        Ok(place) => {
            if let Some(pending) = pending.take() {
                place.send(pending);
            }
        }
        Err(_) => std::future::pending().await,
    }
}
