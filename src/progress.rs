//! What a session tells its caller, kept small for a caller that reads slowly or not at all.
//!
//! In: events from the session, through [`Outbox`], which never waits. Out: the same events as a
//! stream, [`Events`]. Acks and progress are coalesced, the latest wins; samples of rejected rows
//! are bounded by what the caller asked for; `accepted` is first and `result` last. Dropping
//! [`Events`] (reset, lost connection) cancels the session; dropping the [`Outbox`] without an
//! end (a panic, a dropped task) ends the stream with INTERNAL, never with a silent OK.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::task::AtomicWaker;
use tokio_util::sync::CancellationToken;

use crate::mapping::EffectiveColumn;
use crate::model::import::{Failure, ImportOutcome, Phase, Reason};
use crate::model::reject::RejectedRow;
use crate::model::stats::ImportStats;

/// A sample of a rejected row at most, bytes.
const SAMPLE_BYTES_MAX: usize = 64 << 10;
/// Samples that the caller has not read, bytes.
const SAMPLES_BYTES_MAX: usize = 256 << 10;

/// One message to the caller.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The import is open.
    Accepted(Box<Accepted>),
    /// Rows are decided durably.
    Ack(Ack),
    /// Where the import stands.
    Progress(Box<Progress>),
    /// A sample of the rejected rows.
    Rejected(Box<RejectedRow>),
    /// The server will stop after this time.
    Draining(Duration),
    /// How it ended.
    Result(Box<ResultEvent>),
}

/// First event of an import.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The caller's id, or the one made.
    pub import_id: String,
    /// Fencing number of the session.
    pub epoch: u64,
    /// An earlier session existed.
    pub resumed: bool,
    /// The stored result follows.
    pub replayed: bool,
    /// First ordinal that is not decided.
    pub committed_offset: u64,
    /// The caller's place there.
    pub committed_position: Option<Bytes>,
    /// How long the server waits for the caller.
    pub idle_timeout: Duration,
    /// Time left of the call's deadline.
    pub deadline_in: Option<Duration>,
    /// Row imports: the mapping in force.
    pub effective_columns: Vec<EffectiveColumn>,
    /// Rejected rows allowed; `None`: no limit.
    pub rejected_rows_max: Option<u64>,
}

/// Rows decided durably.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ack {
    /// Every smaller ordinal is decided.
    pub committed_offset: u64,
    /// Rows that the caller sent again.
    pub duplicate_rows: u64,
    /// The caller's place there.
    pub committed_position: Option<Bytes>,
}

/// Where an import stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What the session is doing.
    pub phase: Phase,
    /// Counts so far.
    pub stats: ImportStats,
    /// 0..1 where the total is known.
    pub fraction: Option<f64>,
    /// Time left at the rate so far.
    pub eta: Option<Duration>,
    /// File imports: the mapping in force, in the first progress after it is known.
    pub effective_columns: Vec<EffectiveColumn>,
}

/// Last event of an import.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultEvent {
    /// The import.
    pub import_id: String,
    /// How it ended.
    pub outcome: ImportOutcome,
}

/// The session's end: never waits, keeps the latest.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
    samples_left: usize,
}

/// The caller's end.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    /// Cancelled when the stream is dropped before its end.
    caller_gone: CancellationToken,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct Pending {
    accepted: Option<Box<Accepted>>,
    draining: Option<Duration>,
    rejected: VecDeque<Box<RejectedRow>>,
    rejected_bytes: usize,
    ack: Option<Ack>,
    progress: Option<Box<Progress>>,
    result: Option<Box<ResultEvent>>,
    failure: Option<Failure>,
    ended: bool,
}

/// The two ends of one import's events. `caller_gone` is cancelled when the caller stops reading
/// before the end.
pub fn channel(caller_gone: CancellationToken) -> (Outbox, Events) {
    let shared = Arc::new(Shared::default());
    (
        Outbox {
            shared: Arc::clone(&shared),
            samples_left: 0,
        },
        Events {
            shared,
            caller_gone,
        },
    )
}

// === impl Outbox ===

impl Outbox {
    /// How many samples of rejected rows the caller may still get.
    pub fn allow_samples(&mut self, n_rows: usize) {
        self.samples_left = n_rows;
    }

    /// First event.
    pub fn accepted(&self, accepted: Accepted) {
        self.with(|pending| pending.accepted = Some(Box::new(accepted)));
    }

    /// Replaces an ack that the caller has not read yet.
    pub fn ack(&self, ack: Ack) {
        self.with(|pending| pending.ack = Some(ack));
    }

    /// Replaces progress that the caller has not read yet; a mapping that it held is kept.
    pub fn progress(&self, mut progress: Progress) {
        self.with(|pending| {
            if let Some(unread) = pending.progress.take()
                && progress.effective_columns.is_empty()
            {
                progress.effective_columns = unread.effective_columns;
            }
            pending.progress = Some(Box::new(progress));
        });
    }

    /// Samples of rejected rows, as far as the caller wants more. They are samples: rows of more
    /// than [`SAMPLE_BYTES_MAX`] are left out, and so are those that do not fit beside
    /// [`SAMPLES_BYTES_MAX`] that a slow caller has not read yet.
    pub fn rejected(&mut self, rows: &[RejectedRow]) {
        let small = rows.iter().filter(|row| row.n_bytes() <= SAMPLE_BYTES_MAX);
        for row in small.take(self.samples_left) {
            let mut pending = self.shared.lock();
            if pending.rejected_bytes + row.n_bytes() > SAMPLES_BYTES_MAX {
                return;
            }
            self.samples_left -= 1;
            pending.rejected_bytes += row.n_bytes();
            pending.rejected.push_back(Box::new(row.clone()));
            drop(pending);
            self.shared.reader.wake();
        }
    }

    /// The server stops after `grace`.
    pub fn draining(&self, grace: Duration) {
        self.with(|pending| pending.draining = Some(grace));
    }

    /// The last event and the call's status: OK, or the outcome's failure.
    pub fn finish(self, result: ResultEvent) {
        self.with(|pending| {
            pending.failure.clone_from(&result.outcome.failure);
            pending.result = Some(Box::new(result));
            pending.ended = true;
        });
    }

    /// Ends the call without a result.
    pub fn fail(self, failure: Failure) {
        self.with(|pending| {
            pending.failure = Some(failure);
            pending.ended = true;
        });
    }

    fn with(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.shared.lock());
        self.shared.reader.wake();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.with(|pending| {
            if !pending.ended {
                pending.ended = true;
                pending.failure =
                    Some(Failure::new(Reason::Internal, "the import's task was lost"));
            }
        });
    }
}

// === impl Events ===

impl Stream for Events {
    type Item = Result<Event, Failure>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Registered before looking, so that a change in between is not missed.
        self.shared.reader.register(cx.waker());
        self.shared.lock().next()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !self.shared.lock().ended {
            self.caller_gone.cancel();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending
            .lock()
            .expect("no panic while events are locked")
    }
}

impl Pending {
    fn next(&mut self) -> Poll<Option<Result<Event, Failure>>> {
        let event = if let Some(accepted) = self.accepted.take() {
            Event::Accepted(accepted)
        } else if let Some(grace) = self.draining.take() {
            Event::Draining(grace)
        } else if let Some(rejected) = self.rejected.pop_front() {
            self.rejected_bytes -= rejected.n_bytes();
            Event::Rejected(rejected)
        } else if let Some(ack) = self.ack.take() {
            Event::Ack(ack)
        } else if let Some(progress) = self.progress.take() {
            Event::Progress(progress)
        } else if let Some(result) = self.result.take() {
            Event::Result(result)
        } else if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        } else if self.ended {
            return Poll::Ready(None);
        } else {
            return Poll::Pending;
        };
        Poll::Ready(Some(Ok(event)))
    }
}

#[cfg(test)]
mod tests;
