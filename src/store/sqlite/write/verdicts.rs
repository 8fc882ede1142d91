//! What becomes of the rows of a batch.
//!
//! In: a verdict a row, or counts of many. Out: the counts of the receipt. Refused rows are known
//! over the attempts at a batch; all else is counted anew by each.

use std::collections::BTreeMap;

use crate::model::reject::RowViolation;
use crate::model::stats::RowCounts;

/// What became of a row that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Inserted,
    Updated,
    Unchanged,
    Skipped,
}

/// Verdicts of one batch.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// Rows that are not in the table, by index in the batch.
    pub(super) refused: BTreeMap<usize, RowViolation>,
    /// A statement failed of which it is not known how many of its rows are in: from now on each
    /// does all or nothing.
    pub(super) is_careful: bool,
    counts: RowCounts,
    /// Rows that were not inserted, where rows go one by one.
    fates: BTreeMap<usize, Fate>,
}

impl Verdicts {
    /// Forgets all but the refused rows, and the care: the transaction begins anew.
    pub(super) fn begin(&mut self) {
        self.counts = RowCounts::default();
        self.fates.clear();
    }

    /// Counts rows whose verdicts were not told one by one.
    pub(super) fn count(&mut self, fate: Fate, n_rows: u64) {
        let count = match fate {
            Fate::Inserted => &mut self.counts.inserted,
            Fate::Updated => &mut self.counts.updated,
            Fate::Unchanged => &mut self.counts.unchanged,
            Fate::Skipped => &mut self.counts.skipped,
        };
        *count += n_rows;
    }

    /// Records the verdict of one row.
    pub(super) fn decide(&mut self, row: usize, fate: Fate) {
        self.count(fate, 1);
        if fate != Fate::Inserted {
            self.fates.insert(row, fate);
        }
    }

    /// What became of a row, where rows go one by one; `None`: it is refused.
    pub(super) fn fate(&self, row: usize) -> Option<Fate> {
        if self.refused.contains_key(&row) {
            return None;
        }
        Some(self.fates.get(&row).copied().unwrap_or(Fate::Inserted))
    }

    /// Refuses rows that were taken before. What was refused behind the first of them may have
    /// been so because of it, and is judged again.
    pub(super) fn refuse_late(&mut self, late: BTreeMap<usize, RowViolation>) {
        if let Some((first, _)) = late.first_key_value() {
            self.refused.split_off(first);
        }
        self.refused.extend(late);
    }

    /// Rows that are in the table, or left out on purpose.
    pub(super) fn counts(&self) -> RowCounts {
        self.counts
    }
}
