//! In which order rows of a batch are taken for settled.
//!
//! In: what a probe found. Out: which rows are rejected unwritten. Pure.

use super::super::probe::{Findings, Resolved};

/// How strictly rows are judged one after the other; each step is tried when the one before gave
/// a result that might not be that of writing row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Rows that repeat a key of an earlier row are rejected unwritten.
    KeysFirst,
    /// They are written: the row whose key they repeat was rejected.
    AsWritten,
    /// Deferred constraints are checked after each piece: they fail at the end.
    ChecksAtOnce,
}

impl Order {
    /// What is settled before a row is written.
    pub(super) fn resolve(self, findings: &Findings) -> Resolved {
        match self {
            Order::KeysFirst => findings.resolve(),
            Order::AsWritten | Order::ChecksAtOnce => findings.certain(),
        }
    }
}
