//! The async half of a call: its messages go to its thread, until that has an answer or something
//! ends the call from outside.
//!
//! In: messages after the header. Out: the thread's answer, or why there is none. Held: one
//! message that the thread has no room for yet; nothing is read from the caller meanwhile.

use std::time::Instant;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::lookup::{Lookups, Message, caller_gone};
use crate::model::import::{Failure, Reason};
use crate::session::ending;
use crate::session::inbound::{Chunk, Totals};

/// Messages between a call and its thread. A message is up to the limit of its size.
pub(super) const INPUTS_MAX: usize = 1;

/// What a thread is handed.
#[derive(Debug)]
pub(super) enum Input {
    /// The next bytes of the file, with their checksum.
    Chunk(Bytes, Option<u32>),
    /// Nothing follows.
    Finish(Totals),
}

/// What ends a call from outside.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// From `grpc-timeout`.
    pub(super) deadline: Option<Instant>,
    /// Cancelled when nobody waits for the answer.
    pub(super) caller_gone: CancellationToken,
}

/// Where the upload stands.
#[derive(Debug, Default)]
struct Upload {
    next_byte: u64,
    pending: Option<Input>,
    is_finished: bool,
    /// The caller's half of the stream has ended.
    has_ended: bool,
    /// The thread takes no more: it has its answer.
    is_refused: bool,
}

impl Lookups {
    /// Holds `work` to the call's bounds; `phase` is where a deadline finds it.
    pub(super) async fn bounded<T>(
        &self,
        bounds: &Bounds,
        phase: &str,
        work: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            // Nothing outlasts a lookup that is cut short.
            failure = self.cut_short(bounds, phase) => Err(failure),
            result = work => result,
        }
    }

    /// Feeds `thread` with what `messages` bring, until it ends.
    pub(super) async fn feed<S, H, R>(
        &self,
        bounds: &Bounds,
        messages: &mut S,
        input: mpsc::Sender<Input>,
        mut thread: JoinHandle<Result<R, Failure>>,
    ) -> Result<R, Failure>
    where
        S: Stream<Item = Result<Message<H>, Failure>> + Unpin + Send,
        H: Send,
        R: Send,
    {
        let mut upload = Upload::default();
        let mut waiting_since = Instant::now();
        loop {
            let reads = upload.pending.is_none() && !upload.has_ended && !upload.is_refused;
            let waits = reads && !upload.is_finished && input.capacity() == INPUTS_MAX;
            let idle_at = waiting_since + self.idle_timeout();
            let phase = if upload.is_finished {
                "DECODING"
            } else {
                "RECEIVING"
            };
            // Every arm is cancel safe: what it would have returned stays where it is.
            tokio::select! {
                biased;
                failure = self.cut_short(bounds, phase) => return Err(failure),
                message = messages.next(), if reads => upload.take(message)?,
                place = input.reserve(), if upload.pending.is_some() => {
                    let pending = upload.pending.take();
                    match (place, pending) {
                        (Ok(place), Some(pending)) => place.send(pending),
                        _ => upload.is_refused = true,
                    }
                }
                result = &mut thread => {
                    return result.unwrap_or_else(|error| {
                        Err(ending::lost_task("", "a lookup's thread", &error))
                    });
                }
                () = tokio::time::sleep_until(idle_at.into()), if waits => {
                    return Err(self.idle("nothing came"));
                }
            }
            waiting_since = Instant::now();
        }
    }

    /// The caller was waited for in vain.
    pub(super) fn idle(&self, what: &str) -> Failure {
        let seconds = self.idle_timeout().as_secs();
        Failure::new(
            Reason::IdleTimeout,
            format!("{what} for {seconds} s; send the file again"),
        )
    }

    async fn cut_short(&self, bounds: &Bounds, phase: &str) -> Failure {
        let deadline = async {
            match bounds.deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = bounds.caller_gone.cancelled() => caller_gone(),
            () = self.sessions.drained.cancelled() => Failure::new(
                Reason::Draining,
                "the server is stopping, send the file to another one",
            ),
            () = deadline => Failure::new(
                Reason::Deadline,
                "the call's deadline passed; send the file again with a longer one",
            )
            .with("phase", phase),
        }
    }
}

impl Upload {
    fn take<H>(&mut self, message: Option<Result<Message<H>, Failure>>) -> Result<(), Failure> {
        let failure = |reason, message: &str| Err(Failure::new(reason, message));
        match message.transpose()? {
            None if self.is_finished => self.has_ended = true,
            None => {
                let message = "the stream ended without finish; send the file again";
                return failure(Reason::IncompleteStream, message);
            }
            Some(Message::Header(_)) => return failure(Reason::DuplicateHeader, "a second header"),
            Some(_) if self.is_finished => {
                return failure(Reason::MessageAfterFinish, "a message after finish");
            }
            Some(Message::Chunk(chunk)) => self.chunk(chunk)?,
            Some(Message::Finish(totals)) => {
                self.is_finished = true;
                self.pending = Some(Input::Finish(totals));
            }
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<(), Failure> {
        if let Some((data, crc32c)) = chunk.fresh(self.next_byte)? {
            self.next_byte += data.len() as u64;
            self.pending = Some(Input::Chunk(data, crc32c));
        }
        Ok(())
    }
}
