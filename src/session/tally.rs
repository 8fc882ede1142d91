//! What a session knows of its import's progress: counts and the watermark.
//!
//! In: receipts, in any order. Out: the first ordinal that is not decided, which never
//! decreases, the caller's place there, and the counts. Pure. Bounded by the batches in flight:
//! a range is kept only while a smaller one is missing.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::model::batch::Receipt;
use crate::model::reject::RejectedRow;
use crate::model::stats::RowCounts;

/// Counts and watermark.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    counts: RowCounts,
    n_batches: u64,
    n_retries: u64,
    rejected_by_code: BTreeMap<String, u64>,
    watermark: u64,
    position: Option<Bytes>,
    /// Committed ranges above the watermark, by start, with the caller's place at their end.
    ahead: BTreeMap<u64, (u64, Option<Bytes>)>,
    n_beyond_limit: u64,
}

impl Tally {
    /// The state that earlier sessions left behind.
    pub fn resume(counts: RowCounts, watermark: u64, position: Option<Bytes>) -> Tally {
        Tally {
            counts,
            watermark,
            position,
            ..Tally::default()
        }
    }

    /// Takes in a committed batch; `position` is the caller's place at its end.
    pub fn committed(&mut self, receipt: &Receipt, position: Option<Bytes>) {
        self.counts += receipt.counts;
        self.n_batches += 1;
        self.n_retries += u64::from(receipt.retries);
        self.rejected(&receipt.rejected);
        self.ahead
            .insert(receipt.range.start, (receipt.range.end, position));
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

    /// First ordinal that is not decided.
    pub fn watermark(&self) -> u64 {
        self.watermark
    }

    /// The caller's place there.
    pub fn position(&self) -> Option<Bytes> {
        self.position.clone()
    }

    fn rejected(&mut self, rows: &[RejectedRow]) {
        for row in rows {
            let mut codes: Vec<&'static str> = row.errors.iter().map(|e| e.code.name()).collect();
            codes.sort_unstable();
            codes.dedup();
            for code in codes {
                *self.rejected_by_code.entry(code.to_owned()).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
