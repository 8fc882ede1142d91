//! The counts of an import and the law that they obey:
//! received = inserted + updated + unchanged + skipped + rejected + blank + unprocessed.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What became of rows that are decided durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RowCounts {
    /// New in the table.
    pub inserted: u64,
    /// Changed in the table.
    pub updated: u64,
    /// In the table already, with the same values.
    pub unchanged: u64,
    /// Conflicting under SKIP.
    pub skipped: u64,
    /// Not in the table, with reasons.
    pub rejected: u64,
    /// Without content.
    pub blank: u64,
}

/// All counts of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportStats {
    /// Bytes of the file or of the row batches' cells.
    pub received_bytes: u64,
    /// Distinct ordinals received over all sessions.
    pub received_rows: u64,
    /// Decided rows.
    pub rows: RowCounts,
    /// Committed batches.
    pub batches: u64,
    /// Repeated attempts at a batch.
    pub retries: u64,
    /// Rows of repeated batches that were already committed; outside the sum.
    pub duplicate_rows: u64,
    /// Milliseconds from header to result, over the session.
    pub elapsed_ms: u64,
}

impl RowCounts {
    /// Rows that are decided, in whatever way.
    pub fn total(self) -> u64 {
        self.inserted + self.updated + self.unchanged + self.skipped + self.rejected + self.blank
    }
}

impl AddAssign for RowCounts {
    fn add_assign(&mut self, other: RowCounts) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.skipped += other.skipped;
        self.rejected += other.rejected;
        self.blank += other.blank;
    }
}

impl ImportStats {
    /// Rows received but not decided.
    ///
    /// # Panics
    /// If more rows were decided than received: the law is broken.
    pub fn unprocessed_rows(&self) -> u64 {
        self.received_rows
            .checked_sub(self.rows.total())
            .expect("conservation law: more rows decided than received")
    }

    /// Decided rows a second.
    pub fn rows_per_second(&self) -> f64 {
        if self.elapsed_ms == 0 {
            return 0.0;
        }
        self.rows.total() as f64 * 1000.0 / self.elapsed_ms as f64
    }
}
