//! Batches of an import that are being written, and the next one, which may have to wait for them.
//!
//! In: batches in source order, each with the keys of its rows, and which of them are decided. Out:
//! the batch that may be written now. Pure; bounded: one batch waits, and those that are being
//! written are few. A batch that waits is dropped with the session: a later one reads it again.
//!
//! A batch is begun once it shares no key with any that is being written, and none passes one that
//! waits. So of two rows that meet the first is decided before the second is begun, and a batch
//! that commits before an earlier one has no key in common with it. That outlasts a crash: rows
//! that are committed while rows below them are not share no key with those, whichever way a later
//! session cuts them into batches; it passes the committed ones over and begins the rest in order.

use crate::model::keys::BatchKeys;

/// Batches by their first ordinals. A batch is in flight through all its attempts.
#[derive(Debug)]
pub(super) struct InFlight<B> {
    writing: Vec<(u64, BatchKeys)>,
    waiting: Option<Waiting<B>>,
}

#[derive(Debug)]
struct Waiting<B> {
    start: u64,
    keys: BatchKeys,
    batch: B,
}

impl<B> Default for InFlight<B> {
    fn default() -> InFlight<B> {
        InFlight {
            writing: Vec::new(),
            waiting: None,
        }
    }
}

impl<B> InFlight<B> {
    /// The next batch in source order; returned if it is to be written now, kept if it is to wait.
    ///
    /// # Panics
    /// If one waits already.
    pub(super) fn begin(&mut self, start: u64, keys: BatchKeys, batch: B) -> Option<B> {
        assert!(self.waiting.is_none(), "no batch passes one that waits");
        self.waiting = Some(Waiting { start, keys, batch });
        self.next()
    }

    /// The batch that waits, if it is to be written now.
    pub(super) fn next(&mut self) -> Option<B> {
        let waiting = self.waiting.as_ref()?;
        if self
            .writing
            .iter()
            .any(|(_, keys)| keys.meets(&waiting.keys))
        {
            return None;
        }
        let Waiting { start, keys, batch } = self.waiting.take()?;
        self.writing.push((start, keys));
        Some(batch)
    }

    /// The batch that begins at `start` is decided.
    pub(super) fn decided(&mut self, start: u64) {
        self.writing.retain(|(first, _)| *first != start);
    }

    /// Whether a batch waits.
    pub(super) fn one_waits(&self) -> bool {
        self.waiting.is_some()
    }

    /// Nothing more is begun.
    pub(super) fn give_up(&mut self) {
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests;
