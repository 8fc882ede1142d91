//! What a session knows of its import's progress: counts and the watermark.
//!
//! In: receipts, in any order. Out: the first ordinal that is not decided, which never
//! decreases, the caller's place there, and the counts. Pure. Bounded by the batches in flight:
//! a range is kept only while a smaller one is missing.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::model::batch::Receipt;
use crate::model::reject::RejectedRow;
use crate::model::stats::RowCounts;
use crate::store::{Committed, OpenImport, WholeRange};

/// Counts and watermark.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    counts: RowCounts,
    n_batches: u64,
    n_retries: u64,
    /// Of all that were told, decided or not.
    rejected_by_code: BTreeMap<String, u64>,
    /// Of those of committed batches.
    decided_by_code: BTreeMap<String, u64>,
    watermark: u64,
    position: Option<Bytes>,
    /// Committed ranges above the watermark, by start, with the caller's place at their end.
    ahead: BTreeMap<u64, (u64, Option<Bytes>)>,
    n_beyond_limit: u64,
}

impl Tally {
    /// The state that earlier sessions left behind.
    pub fn resume(open: &OpenImport) -> Tally {
        let mut tally = Tally {
            counts: open.counts,
            watermark: open.committed_offset,
            position: open.committed_position.clone(),
            ..Tally::default()
        };
        for committed in &open.committed_ranges {
            tally.decided(committed.range.clone(), committed.position.clone());
        }
        tally
    }

    /// Takes in what one transaction decided for all rows.
    pub fn whole(&mut self, whole: &WholeRange) {
        self.counts += whole.counts;
        self.n_batches += whole.n_batches;
        self.decided_by_code.clone_from(&self.rejected_by_code);
        self.decided(0..whole.end, whole.position.clone());
    }

    /// Takes in the samples of a transaction that is not decided yet.
    pub fn undecided(&mut self, receipt: &Receipt) {
        self.n_retries += u64::from(receipt.retries);
        self.rejected(&receipt.rejected);
    }

    /// Another attempt at the whole import follows.
    pub fn retried(&mut self) {
        self.n_retries += 1;
    }

    /// An attempt at the whole import failed: its rejected rows are judged anew, or not at all.
    pub fn forget_undecided(&mut self) {
        self.rejected_by_code.clone_from(&self.decided_by_code);
    }

    /// What the ledger says, after a COMMIT whose answer was lost.
    pub fn adopt(&mut self, committed: &Committed) {
        self.counts = committed.counts;
        self.n_batches = committed.n_batches;
        self.decided_by_code.clone_from(&committed.rejected_by_code);
        self.decided(0..committed.watermark, None);
    }

    /// Takes in a committed batch; `position` is the caller's place at its end.
    pub fn committed(&mut self, receipt: &Receipt, position: Option<Bytes>) {
        self.counts += receipt.counts;
        self.n_batches += 1;
        self.n_retries += u64::from(receipt.retries);
        self.rejected(&receipt.rejected);
        by_code(&mut self.decided_by_code, &receipt.rejected);
        self.decided(receipt.range.clone(), position);
    }

    fn decided(&mut self, range: Range<u64>, position: Option<Bytes>) {
        self.ahead.insert(range.start, (range.end, position));
        while let Some(first) = self.ahead.first_entry() {
            if *first.key() > self.watermark {
                break;
            }
            let (end, position) = first.remove();
            self.watermark = self.watermark.max(end);
            if position.is_some() {
                self.position = position;
            }
        }
    }

    /// Rows that are rejected durably outside of a committed batch: those that broke the limit.
    pub fn rejected_beyond_limit(&mut self, rows: &[RejectedRow]) {
        self.counts.rejected += rows.len() as u64;
        self.n_beyond_limit += rows.len() as u64;
        self.rejected(rows);
    }

    /// The same of a transaction that was rolled back: so many, of which all but `rows`, those of
    /// its last batch, were taken in before.
    pub fn n_rejected_beyond(&mut self, n_rows: u64, rows: &[RejectedRow]) {
        self.counts.rejected += n_rows;
        self.n_beyond_limit += n_rows;
        self.rejected(rows);
    }

    /// Decided rows.
    pub fn counts(&self) -> RowCounts {
        self.counts
    }

    /// Rows that are rejected outside of any committed batch.
    pub fn n_beyond_limit(&self) -> u64 {
        self.n_beyond_limit
    }

    /// Committed batches of this session.
    pub fn n_batches(&self) -> u64 {
        self.n_batches
    }

    /// Failed attempts at them.
    pub fn n_retries(&self) -> u64 {
        self.n_retries
    }

    /// Rejected rows by the name of their codes; a row counts once under each of its codes.
    pub fn rejected_by_code(&self) -> &BTreeMap<String, u64> {
        &self.rejected_by_code
    }

    /// The same of rows in committed batches.
    pub fn decided_by_code(&self) -> &BTreeMap<String, u64> {
        &self.decided_by_code
    }

    /// First ordinal that is not decided.
    pub fn watermark(&self) -> u64 {
        self.watermark
    }

    /// The caller's place there.
    pub fn position(&self) -> Option<Bytes> {
        self.position.clone()
    }

    fn rejected(&mut self, rows: &[RejectedRow]) {
        by_code(&mut self.rejected_by_code, rows);
    }
}

/// Adds rows under each of their codes.
fn by_code(counts: &mut BTreeMap<String, u64>, rows: &[RejectedRow]) {
    for row in rows {
        let mut codes: Vec<&'static str> = row.errors.iter().map(|e| e.code.name()).collect();
        codes.sort_unstable();
        codes.dedup();
        for code in codes {
            *counts.entry(code.to_owned()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests;
