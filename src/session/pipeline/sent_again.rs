//! Row messages that a caller sends a second time: the same rows, or others?
//!
//! In: for each message the ordinals and the hash sum of its rows, new ones and repeated ones. Out:
//! a [`Mismatch`] where repeated ordinals hold other rows than the first time. What is repeated
//! is compared as soon as it covers whole messages that are remembered; cut otherwise it cannot
//! be told apart and is taken for the same. Pure; bounded by [`MESSAGES_MAX`].

use std::collections::BTreeMap;
use std::ops::Range;

use crate::batch::decided::Mismatch;

/// Messages that are remembered; older ones are forgotten first.
const MESSAGES_MAX: usize = 1024;

/// What was sent before.
#[derive(Debug, Default)]
pub(super) struct SentAgain {
    /// Hash sums by first ordinal, with the end.
    known: BTreeMap<u64, (u64, u128)>,
    /// Repeated rows that follow each other and are not compared yet.
    run: Range<u64>,
    run_hash: u128,
}

impl SentAgain {
    /// Rows below `end` are known by this sum, from an earlier session.
    pub(super) fn from(end: u64, rows_hash: u128) -> SentAgain {
        let mut again = SentAgain::default();
        again.remember(0..end, rows_hash);
        again
    }

    /// Rows that came for the first time.
    pub(super) fn remember(&mut self, rows: Range<u64>, rows_hash: u128) {
        if rows.is_empty() {
            return;
        }
        self.known.insert(rows.start, (rows.end, rows_hash));
        if self.known.len() > MESSAGES_MAX {
            self.known.pop_first();
        }
    }

    /// Rows that came before.
    pub(super) fn repeat(&mut self, rows: Range<u64>, rows_hash: u128) -> Result<(), Mismatch> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.run.is_empty() || self.run.end != rows.start {
            self.run = rows.start..rows.start;
            self.run_hash = 0;
        }
        self.run.end = rows.end;
        self.run_hash = self.run_hash.wrapping_add(rows_hash);
        // A whole message sent again is compared by itself, whatever came before it.
        self.compare(&rows, rows_hash)?;
        let run = self.run.clone();
        if self.compare(&run, self.run_hash)? {
            self.run = run.end..run.end;
            self.run_hash = 0;
        }
        Ok(())
    }

    /// Whether the rows could be compared: whether they are whole messages.
    fn compare(&self, rows: &Range<u64>, rows_hash: u128) -> Result<bool, Mismatch> {
        let mut at = rows.start;
        let mut sum = 0_u128;
        while at < rows.end {
            let Some((end, hash)) = self.known.get(&at) else {
                return Ok(false);
            };
            sum = sum.wrapping_add(*hash);
            at = *end;
        }
        if at != rows.end {
            return Ok(false);
        }
        if sum != rows_hash {
            return Err(Mismatch {
                range: rows.clone(),
            });
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
