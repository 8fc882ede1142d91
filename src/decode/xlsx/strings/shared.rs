//! What the reader of the strings and those who want them share.
//!
//! In: pieces from the reader, and how its reading ended. Out: the same, to whoever waits. The
//! ending is told whatever happens to the reader, a panic included, so nobody waits for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::decode::error::DecodeError;
use crate::decode::xlsx::strings::piece::Piece;
use crate::decode::xlsx::strings::reader::Reader;

/// The place where both meet.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    has_more: Condvar,
    is_stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    pieces: Vec<Piece>,
    /// `None` while the reader reads.
    ending: Option<Result<(), DecodeError>>,
}

/// Tells an ending when it is dropped.
struct Ending<'s> {
    shared: &'s Shared,
    result: Result<(), DecodeError>,
}

// === impl Shared ===

impl Shared {
    /// Reads to the end, in the reader's thread.
    pub(crate) fn run(&self, mut reader: Reader) {
        self.run_with(|take| reader.read(take));
    }

    /// Runs `read`, which hands on pieces until it is told that no more are wanted.
    pub(crate) fn run_with(
        &self,
        read: impl FnOnce(&mut dyn FnMut(Piece) -> bool) -> Result<(), DecodeError>,
    ) {
        let mut ending = Ending {
            shared: self,
            result: Err(DecodeError::Io {
                what: "the reader of the shared strings has failed".to_owned(),
            }),
        };
        ending.result = read(&mut |piece| {
            self.state().pieces.push(piece);
            self.has_more.notify_one();
            !self.is_stopped.load(Ordering::Relaxed)
        });
    }

    /// Tells the reader that nobody waits any more.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Hands on the pieces behind the first `n_known`, and waits for more of them until `take`
    /// has enough; then or at the end of them, how the reading ended, if it did.
    pub(crate) fn wait(
        &self,
        mut n_known: usize,
        mut take: impl FnMut(&Piece) -> bool,
    ) -> Result<(), DecodeError> {
        let mut state = self.state();
        loop {
            let mut has_enough = false;
            // All that is there, so that the lock is taken seldom.
            for piece in &state.pieces[n_known..] {
                has_enough |= take(piece);
            }
            n_known = state.pieces.len();
            if has_enough {
                return Ok(());
            }
            if let Some(ending) = &state.ending {
                return ending.clone();
            }
            state = self
                .has_more
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Ending ===

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Ok(()));
        self.shared.state().ending = Some(result);
        self.shared.has_more.notify_one();
    }
}
