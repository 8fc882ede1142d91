//! Rows that update what is there and never become new ones.
//!
//! In: staged rows of one pattern. Out: which of them met a row, and what became of that. The rows
//! are found and locked first, by the key's index whatever the statistics say, and updated then by
//! their places: a row that another transaction changes meanwhile is met as it has become.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::plan::{OnConflict, OnMissing};
use crate::model::reject::{RowErrorCode, RowViolation};
use crate::model::stats::RowCounts;

use super::super::connection::Transaction;
use super::super::error;
use super::super::isolate::{NotWritten, Written, not_written};
use super::answer::{found, n_updated};
use super::statement::Place;
use super::{Upsert, decoded};

/// What was found of rows that are to be updated only.
#[derive(Debug)]
pub(super) struct Found {
    /// Updated and unchanged ones.
    pub(super) counts: RowCounts,
    /// Rows that meet none.
    pub(super) unmatched: Vec<usize>,
}

impl Upsert<'_> {
    /// Updates the rows that rows of one pattern meet; `None`, with nothing done, if two meet
    /// the same.
    pub(super) async fn update(
        &self,
        transaction: &mut Transaction,
        pattern: usize,
        rows: &[usize],
    ) -> Result<Option<Found>, NotWritten> {
        let statements = self.statements();
        let filter = self.filter(&statements, pattern, rows);
        let pattern = &self.patterns.all[pattern];
        let answer = transaction.simple(&statements.find(pattern, &filter)).await;
        let answer = answer.map_err(|error| not_written(error, |_| None))?;
        let mut places: BTreeMap<usize, Place> = BTreeMap::new();
        let mut matched = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for row in &answer {
            let (row, place, differs) = decoded(found(row))?;
            if !seen.insert((place.relation, place.tid.clone())) || !matched.insert(row) {
                return Ok(None);
            }
            if differs {
                places.insert(row, place);
            }
        }
        let places: Vec<(usize, Place)> = places.into_iter().collect();
        if !places.is_empty() {
            let answer = transaction
                .simple(&statements.update(pattern, &places))
                .await;
            let answer = answer.map_err(|error| not_written(error, |_| None))?;
            if decoded(n_updated(&answer))? != places.len() as u64 {
                return Err(NotWritten::Swallowed);
            }
        }
        Ok(Some(Found {
            counts: RowCounts {
                updated: places.len() as u64,
                unchanged: (matched.len() - places.len()) as u64,
                ..RowCounts::default()
            },
            unmatched: rows
                .iter()
                .copied()
                .filter(|row| !matched.contains(row))
                .collect(),
        }))
    }

    /// What becomes of rows that meet none.
    pub(super) fn judge(&self, pattern: usize, found: Found) -> Written {
        let plan = self.request.plan;
        let mut counts = found.counts;
        let on_missing = match plan.on_conflict {
            OnConflict::Update { on_missing, .. } => on_missing,
            _ => OnMissing::Insert,
        };
        let (code, column) = match on_missing {
            OnMissing::Skip => {
                counts.skipped += found.unmatched.len() as u64;
                return Written {
                    counts,
                    rejected: BTreeMap::new(),
                };
            }
            OnMissing::Reject => (RowErrorCode::NoMatch, None),
            OnMissing::Insert => (
                RowErrorCode::RequiredMissing,
                self.patterns.all[pattern].missing,
            ),
        };
        let column = column.map_or("", |at| plan.column(at).name.as_str());
        let violation = RowViolation {
            code,
            constraint: String::new(),
            column: column.to_owned(),
            sql_state: String::new(),
            message: error::explain(code, "", ""),
        };
        let rejected = found.unmatched.into_iter();
        Written {
            counts,
            rejected: rejected.map(|row| (row, violation.clone())).collect(),
        }
    }
}
