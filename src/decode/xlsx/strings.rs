//! The shared strings of a workbook, read beside the sheet that refers to them.
//!
//! In: the part of the strings, and indexes. Out: texts. A thread of its own reads the part and
//! hands on [`Piece`]s of some hundred strings; whoever asks for a string that has not been read
//! yet waits for it, and for no other. The thread never waits, so the two cannot wait for each
//! other. Bounded by `shared_strings_bytes_max`; beyond [`StringsBounds::memory_bytes_max`] pieces
//! go to an unnamed file if there is room for it, and stay in memory if there is none. Dropping the
//! table stops the thread and waits for it.
//!
//! ```text
//! part ─▶ reader (thread) ─▶ pieces ══ mutex, condvar ══▶ table ─▶ text ◀─ index ─ sheet
//!                              └─▶ unnamed file ─▶ cache ──┘
//! ```

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::sheet::rows::SpillRoom;
use crate::decode::xlsx::part::Part;
use crate::decode::xlsx::scanner::Scanner;
use crate::decode::xlsx::strings::cache::Cache;
use crate::decode::xlsx::strings::piece::Piece;
use crate::decode::xlsx::strings::reader::Reader;
use crate::decode::xlsx::strings::shared::Shared;

mod cache;
mod piece;
mod reader;
mod shared;
mod spill;

/// Stack of the reader's thread, bytes; its buffers are not there.
const STACK_BYTES: usize = 512 * 1024;

/// How many strings there may be, and how many of them in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StringsBounds {
    /// All strings together, bytes; four more are counted for each.
    pub(crate) bytes_max: u64,
    /// One string, characters.
    pub(crate) chars_max: u64,
    /// Beyond these bytes strings go to a file.
    pub(crate) memory_bytes_max: u64,
    /// Room for that file; `None`: they stay in memory after all.
    pub(crate) spill: Option<SpillRoom>,
}

/// The strings that are known by now, and the thread that reads the others.
#[derive(Debug)]
pub(crate) struct SharedStrings {
    part: String,
    pieces: Vec<Piece>,
    /// The index of the first string of each piece.
    firsts: Vec<u64>,
    n_known: u64,
    /// The pieces that were asked for last: most cells have the string that comes next, or one
    /// that is repeated in every other row.
    hints: [usize; 2],
    cache: Cache,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

// === impl StringsBounds ===

impl StringsBounds {
    /// The bounds of `limits`, no room for a file yet.
    pub(crate) fn new(limits: &Limits) -> StringsBounds {
        StringsBounds {
            bytes_max: limits.shared_strings_bytes_max,
            chars_max: limits.cell_chars_max,
            memory_bytes_max: limits.shared_strings_memory_bytes_max,
            spill: None,
        }
    }

    /// What the strings of `part` may have beyond those in memory, bytes. No string takes more
    /// bytes, its end included, than it has in the part; what the part inflates to is checked.
    pub(crate) fn beyond_memory(&self, part: &Part) -> u64 {
        let n_bytes = part.inflated_bytes().min(self.bytes_max);
        n_bytes.saturating_sub(self.memory_bytes_max)
    }
}

// === impl SharedStrings ===

impl SharedStrings {
    /// Begins to read `part`.
    pub(crate) fn start(part: Part, bounds: &StringsBounds) -> Result<SharedStrings, DecodeError> {
        let name = part.name().to_owned();
        let shared = Arc::new(Shared::default());
        let reader = Reader::new(Scanner::new(part), bounds);
        let for_reader = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("strings".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || for_reader.run(reader))
            .map_err(|error| DecodeError::io("start a thread for the shared strings", &error))?;
        Ok(SharedStrings {
            part: name,
            pieces: Vec::new(),
            firsts: Vec::new(),
            n_known: 0,
            hints: [0; 2],
            cache: Cache::default(),
            shared,
            thread: Some(thread),
        })
    }

    /// The name of the part.
    pub(crate) fn part(&self) -> &str {
        &self.part
    }

    /// The string `index`, which is waited for; `None` if there are not so many.
    pub(crate) fn get(&mut self, index: u64) -> Result<Option<&str>, DecodeError> {
        if index >= self.n_known && !self.wait_for(index)? {
            return Ok(None);
        }
        let piece = self.piece_of(index);
        let offset = index - self.firsts[piece];
        let offset = usize::try_from(offset).expect("a piece's strings are few");
        match &self.pieces[piece] {
            Piece::Memory(chunk) => Ok(Some(chunk.get(offset))),
            Piece::Spilled(spilled) => self.cache.get(piece, spilled, offset).map(Some),
        }
    }

    /// Waits until the part is read to its end; fails if it is broken there.
    pub(crate) fn finish(mut self) -> Result<(), DecodeError> {
        self.wait_for(u64::MAX).map(|_| ())
    }

    /// How many strings are known; all of them once an index is beyond.
    pub(crate) fn n_known(&self) -> u64 {
        self.n_known
    }

    /// The piece that has the string `index`, which is known.
    fn piece_of(&mut self, index: u64) -> usize {
        let is_in = |piece: usize| {
            let next = self.firsts.get(piece + 1).copied();
            self.firsts[piece] <= index && index < next.unwrap_or(self.n_known)
        };
        let [last, other] = self.hints;
        if is_in(last) {
            return last;
        }
        let piece = if is_in(other) {
            other
        } else {
            let behind = self.firsts.partition_point(|first| *first <= index);
            behind.saturating_sub(1)
        };
        self.hints = [piece, last];
        piece
    }

    /// Waits until the string `index` is known, or cannot be.
    fn wait_for(&mut self, index: u64) -> Result<bool, DecodeError> {
        let ending = self.shared.wait(self.pieces.len(), |piece| {
            self.firsts.push(self.n_known);
            self.n_known += piece.n_strings();
            self.pieces.push(piece.clone());
            index < self.n_known
        });
        if index < self.n_known {
            return Ok(true);
        }
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
        ending.map(|()| false)
    }
}

impl Drop for SharedStrings {
    fn drop(&mut self) {
        self.shared.stop();
        // A panic of the reader matters to those only who wait for it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests;
