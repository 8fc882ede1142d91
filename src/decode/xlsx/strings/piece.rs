//! Some hundred strings end to end.
//!
//! In: strings, one after the other. Out: one of them by its position, without a copy. Bounded:
//! a chunk is closed at [`STRINGS_MAX`] strings or once it has [`BYTES_TARGET`] bytes.

use std::sync::Arc;

use crate::decode::xlsx::count;
use crate::decode::xlsx::strings::spill::Spilled;

/// Strings of a chunk.
const STRINGS_MAX: usize = 1024;

/// A chunk that has as many bytes is closed.
const BYTES_TARGET: usize = 64 * 1024;

/// A chunk, wherever it is.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// In memory.
    Memory(Arc<Chunk>),
    /// In the unnamed file.
    Spilled(Spilled),
}

/// Strings in memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    text: Box<str>,
    /// Where each string ends in the text.
    ends: Box<[u32]>,
}

/// A chunk that is being filled.
#[derive(Debug, Default)]
pub(crate) struct ChunkBuilder {
    /// The text; the string that is being added is behind the last end.
    pub(crate) text: String,
    ends: Vec<u32>,
}

// === impl Piece ===

impl Piece {
    /// How many strings it has; at least one.
    pub(crate) fn n_strings(&self) -> u64 {
        match self {
            Piece::Memory(chunk) => count(chunk.ends.len()),
            Piece::Spilled(spilled) => spilled.n_strings(),
        }
    }
}

// === impl Chunk ===

impl Chunk {
    /// A chunk of these strings; `None` if the ends do not fit the text.
    pub(crate) fn new(text: Box<str>, ends: Box<[u32]>) -> Option<Chunk> {
        let chunk = Chunk { text, ends };
        let n_strings = chunk.ends.len();
        let fits = (0..n_strings).all(|index| chunk.find(index).is_some());
        fits.then_some(chunk)
    }

    /// The string at this position.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn get(&self, index: usize) -> &str {
        self.find(index).expect("a chunk has the strings it counts")
    }

    /// The text of all strings, and where each ends.
    pub(crate) fn parts(&self) -> (&str, &[u32]) {
        (&self.text, &self.ends)
    }

    /// Bytes in memory.
    pub(crate) fn n_bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.ends)
    }

    fn find(&self, index: usize) -> Option<&str> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        let end = *self.ends.get(index)?;
        self.text
            .get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }
}

// === impl ChunkBuilder ===

impl ChunkBuilder {
    /// Ends the string that is behind the last end; its bytes.
    pub(crate) fn end_string(&mut self) -> usize {
        let start = self.ends.last().copied().unwrap_or_default();
        let end = u32::try_from(self.text.len()).expect("a chunk is closed long before 4 GiB");
        self.ends.push(end);
        usize::try_from(end - start).expect("a string fits")
    }

    /// Whether it is time to take the chunk.
    pub(crate) fn is_full(&self) -> bool {
        self.ends.len() >= STRINGS_MAX || self.text.len() >= BYTES_TARGET
    }

    /// The chunk, unless it is empty; what follows the last end is dropped.
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        let end = *self.ends.last()?;
        let text = self.text.get(..usize::try_from(end).ok()?)?;
        let chunk = Chunk {
            text: text.into(),
            ends: self.ends.as_slice().into(),
        };
        self.text.clear();
        self.ends.clear();
        Some(chunk)
    }
}
