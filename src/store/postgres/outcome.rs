//! What became of a batch: its counts and its rejected rows, as they are stored and told.
//!
//! In: a [`WriteRequest`] and what isolation found. Out: the range's INSERT, the [`Receipt`]. Pure.

use crate::model::batch::Receipt;
use crate::model::reject::RejectedRow;
use crate::model::stats::RowCounts;
use crate::store::WriteRequest;

use super::checkpoint::{self, Stored};
use super::isolate::Isolated;

/// A batch whose rows are written and not yet committed.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Of all rows, rejected and blank ones included.
    pub(super) counts: RowCounts,
    /// All rejected rows of the batch, the mapping's and the database's, by ordinal.
    pub(super) rejected: Vec<RejectedRow>,
    /// The limit of the import is passed for certain, so later rows were not tried.
    pub(super) gave_up: bool,
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn of(request: WriteRequest<'_>, isolated: &Isolated) -> Outcome {
        let rejected = merge_rejects(request, isolated);
        let counts = RowCounts {
            rejected: rejected.len() as u64,
            blank: request.batch.n_blank(),
            ..isolated.counts
        };
        Outcome {
            counts,
            rejected,
            gave_up: isolated.gave_up,
        }
    }

    /// The INSERT of the batch's range.
    pub(super) fn range(&self, request: WriteRequest<'_>) -> String {
        checkpoint::insert_range(request.key, &Stored::of_batch(request.batch, self.counts))
    }

    /// What the caller is told once all of it holds.
    pub(super) fn receipt(self, request: WriteRequest<'_>) -> Receipt {
        Receipt {
            range: request.batch.range.clone(),
            counts: self.counts,
            rejected: self.rejected,
            retries: 0,
        }
    }
}

fn merge_rejects(request: WriteRequest<'_>, isolated: &Isolated) -> Vec<RejectedRow> {
    let WriteRequest { plan, batch, .. } = request;
    let refused = isolated.rejected.iter().map(|(row, violation)| {
        RejectedRow::from_violation(
            plan,
            batch.source_kind,
            &batch.sheet,
            batch.source_row(*row),
            violation,
        )
    });
    let mut rejected: Vec<RejectedRow> = batch.rejected.iter().cloned().chain(refused).collect();
    rejected.sort_by_key(|row| row.ordinal);
    rejected
}
