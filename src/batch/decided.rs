//! Rows that earlier sessions decided: passed over, but looked at.
//!
//! In: committed ranges with the sums of their rows' hashes, then the rows of the same source in
//! ascending order. Out: which of them are decided, or a [`Mismatch`] as soon as a range has been
//! passed whose rows are not those that were committed. Pure; bounded by the ranges.

use std::collections::VecDeque;
use std::ops::Range;

use thiserror::Error;

/// A committed range of ordinals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedRange {
    /// Ordinals.
    pub range: Range<u64>,
    /// Wrapping sum of the hashes of its rows with content.
    pub rows_hash: u128,
}

/// Rows that were sent again are not those that were committed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("rows {} to {} are not those that were committed", range.start, range.end - 1)]
pub struct Mismatch {
    /// The ordinals.
    pub range: Range<u64>,
}

/// Ranges that have not been passed yet.
#[derive(Debug, Default)]
pub struct Decided {
    /// Ascending, disjoint; the first one may have been entered.
    ranges: VecDeque<DecidedRange>,
    /// Of the rows seen in the first range.
    sum: u128,
    entered: bool,
}

/// What an ordinal means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Not decided yet.
    Open,
    /// Decided, in the range that was met before.
    Decided,
    /// Decided, or beyond a range that no row was met in: everything before the range's start is
    /// to be closed, what follows begins at its end.
    Entered(Range<u64>),
}

impl Decided {
    /// These ranges; they ascend and are disjoint.
    ///
    /// # Panics
    /// If they are not.
    pub fn new(ranges: impl IntoIterator<Item = DecidedRange>) -> Decided {
        let ranges: VecDeque<DecidedRange> = ranges
            .into_iter()
            .filter(|decided| !decided.range.is_empty())
            .collect();
        let pairs = ranges.iter().zip(ranges.iter().skip(1));
        for (a, b) in pairs {
            assert!(a.range.end <= b.range.start, "ranges ascend: {a:?}, {b:?}");
        }
        Decided {
            ranges,
            sum: 0,
            entered: false,
        }
    }

    /// Whether every range has been passed and found to be the same.
    pub fn is_passed(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Meets the next row. To be called until it says `Open` or `Decided`; `hash` is taken in
    /// with `Decided` alone.
    pub(super) fn meet(
        &mut self,
        ordinal: u64,
        hash: impl FnOnce() -> u128,
    ) -> Result<Met, Mismatch> {
        loop {
            let Some(first) = self.ranges.front() else {
                return Ok(Met::Open);
            };
            if ordinal < first.range.start {
                return Ok(Met::Open);
            }
            if !self.entered {
                self.entered = true;
                return Ok(Met::Entered(first.range.clone()));
            }
            if ordinal < first.range.end {
                self.sum = self.sum.wrapping_add(hash());
                // A range is checked as soon as its last row is there: nothing after it may be
                // written if it is another one.
                if ordinal + 1 == first.range.end {
                    self.pass()?;
                }
                return Ok(Met::Decided);
            }
            self.pass()?;
        }
    }

    /// The source has no more rows.
    pub(super) fn finish(&mut self) -> Result<(), Mismatch> {
        while !self.ranges.is_empty() {
            self.pass()?;
        }
        Ok(())
    }

    fn pass(&mut self) -> Result<(), Mismatch> {
        let sum = std::mem::take(&mut self.sum);
        self.entered = false;
        match self.ranges.pop_front() {
            Some(passed) if passed.rows_hash != sum => Err(Mismatch {
                range: passed.range,
            }),
            _ => Ok(()),
        }
    }
}
