//! Rows that commit together, what a commit reports, and the budget of rejected rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use crate::model::frame::{Frame, FrameRow};
use crate::model::reject::{RejectedRow, SourceKind};
use crate::model::stats::RowCounts;
use crate::model::value::RowBuffer;

/// One batch, complete in memory before its transaction begins.
///
/// Every ordinal of `range` is a row of `rows`, one of `rejected`, or blank.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Position among the import's batches of this session, from 0.
    pub index: u64,
    /// Ordinals that commit with it; never empty.
    pub range: Range<u64>,
    /// Rows that passed the mapping, by ordinal.
    pub rows: RowBuffer,
    /// Where each of `rows` stands in `frames`, in the same order.
    pub sources: Vec<RowSource>,
    /// The rows as read.
    pub frames: Vec<Arc<Frame>>,
    /// Rows that did not pass, by ordinal.
    pub rejected: Vec<RejectedRow>,
    /// Wrapping sum of [`FrameRow::hash`] over all rows with content, rejected ones included.
    pub rows_hash: u128,
    /// Sheet that the rows come from, for rejects; empty for CSV and row imports.
    pub sheet: Arc<str>,
    /// Whether rows have cell references.
    pub source_kind: SourceKind,
    /// The caller's place after the last row batch that is wholly inside; row imports only.
    pub position: Option<Bytes>,
}

/// Where a row stands in a batch's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowSource {
    /// Index into [`Batch::frames`].
    pub frame: u32,
    /// [`FrameRow::start`].
    pub start: u32,
    /// The row's ordinal.
    pub ordinal: u64,
}

/// What a store says once a batch is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Ordinals that are decided.
    pub range: Range<u64>,
    /// What became of them; sums to the length of `range`.
    pub counts: RowCounts,
    /// All rejected rows of the batch, mapping's and database's, by ordinal.
    pub rejected: Vec<RejectedRow>,
    /// Attempts that failed before this one.
    pub retries: u32,
}

/// How many rows of an import may be rejected and what is kept of them, shared by its writers.
///
/// A writer reserves before COMMIT and gives back if the transaction did not commit, so that k
/// rejected rows pass and k + 1 fail with any number of writers.
#[derive(Debug)]
pub struct RejectBudget {
    limit: Option<u64>,
    /// A batch that passes the limit has all its rejected rows stored.
    tells_all: bool,
    /// Rejected rows are stored without their values.
    forgets_values: bool,
    state: Mutex<BudgetState>,
}

#[derive(Debug)]
struct BudgetState {
    reserved: u64,
    /// The batch that did not fit, by its first ordinal, and what of it is stored.
    overdrawn: Option<(u64, u64)>,
    /// Rows of batches whose COMMIT was not answered, by their first ordinal.
    in_doubt: BTreeMap<u64, u64>,
}

/// A reservation in a [`RejectBudget`]; given back on drop unless [`kept`](Self::keep).
#[derive(Debug)]
#[must_use]
pub struct RejectReservation<'a> {
    budget: &'a RejectBudget,
    n_rows: u64,
}

/// Why nothing was reserved. From the first of these on the budget is closed: the import fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdrawn {
    /// The first batch that did not fit: of its rejected rows, the first `n_recorded` are stored
    /// (the limit's rest and the one that went beyond), so that limit + 1 rows are rejected.
    First {
        /// Rows to store.
        n_recorded: u64,
    },
    /// Another batch was first; nothing of this one is stored.
    Again,
}

impl Batch {
    /// Ordinals of the range.
    pub fn n_ordinals(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Blank ordinals in the range.
    ///
    /// # Panics
    /// If the range holds fewer ordinals than there are rows.
    pub fn n_blank(&self) -> u64 {
        let n_content = (self.rows.n_rows() + self.rejected.len()) as u64;
        (self.range.end - self.range.start)
            .checked_sub(n_content)
            .expect("rows fit their range")
    }

    /// The row as read behind the accepted row at `index` of [`Batch::rows`].
    ///
    /// # Panics
    /// If there is no such row.
    pub fn source_row(&self, index: usize) -> FrameRow<'_> {
        let source = self.sources[index];
        self.frames[source.frame as usize].row_at(source.start as usize)
    }

    /// Bytes that the batch holds in memory, its frames included.
    pub fn n_bytes(&self) -> usize {
        let frames: usize = self.frames.iter().map(|frame| frame.as_bytes().len()).sum();
        let rejected: usize = self.rejected.iter().map(RejectedRow::n_bytes).sum();
        frames + rejected + self.rows.n_bytes() + self.sources.len() * size_of::<RowSource>()
    }
}

impl RejectBudget {
    /// A budget of `limit` rows, `used` of which are rejected already; `None`: no limit.
    pub fn new(limit: Option<u64>, used: u64) -> RejectBudget {
        let state = BudgetState {
            reserved: used,
            overdrawn: None,
            in_doubt: BTreeMap::new(),
        };
        RejectBudget {
            limit,
            tells_all: false,
            forgets_values: false,
            state: Mutex::new(state),
        }
    }

    /// The same, but for the batch that passes the limit: all its rejected rows are stored.
    #[must_use]
    pub fn telling_all(self) -> RejectBudget {
        RejectBudget {
            tells_all: true,
            ..self
        }
    }

    /// The same, with rejected rows stored without their values.
    #[must_use]
    pub fn forgetting_values(self) -> RejectBudget {
        RejectBudget {
            forgets_values: true,
            ..self
        }
    }

    /// Rejected rows as they are to be stored.
    pub fn kept<'r>(&self, rejected: &'r [RejectedRow]) -> Cow<'r, [RejectedRow]> {
        if self.forgets_values {
            rejected.iter().map(RejectedRow::without_values).collect()
        } else {
            Cow::Borrowed(rejected)
        }
    }

    /// The limit beyond which rows need not be looked at; `None` if there is none.
    pub fn limit(&self) -> Option<u64> {
        self.limit.filter(|_| !self.tells_all)
    }

    /// Reserves `n_rows` rejected rows of the batch that begins at ordinal `first`. Reserving none
    /// always succeeds; a batch that was the first not to fit is so again when it is retried.
    pub fn reserve(&self, first: u64, n_rows: u64) -> Result<RejectReservation<'_>, Overdrawn> {
        let mut state = self.lock();
        if let Some(n_reserved) = state.in_doubt.remove(&first) {
            state.reserved -= n_reserved;
        }
        if n_rows > 0 {
            match state.overdrawn {
                Some((batch, n_recorded)) if batch == first => {
                    return Err(Overdrawn::First { n_recorded });
                }
                Some(_) => return Err(Overdrawn::Again),
                None => {}
            }
            let left = self
                .limit
                .map_or(u64::MAX, |limit| limit.saturating_sub(state.reserved));
            if n_rows > left {
                let n_recorded = if self.tells_all { n_rows } else { left + 1 };
                state.overdrawn = Some((first, n_recorded));
                return Err(Overdrawn::First { n_recorded });
            }
            state.reserved += n_rows;
        }
        Ok(RejectReservation {
            budget: self,
            n_rows,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BudgetState> {
        self.state
            .lock()
            .expect("no panic while the budget is locked")
    }
}

impl RejectReservation<'_> {
    /// The COMMIT of the batch that begins at `first` was not answered: the rows stay reserved
    /// until the batch is tried again.
    pub fn keep_in_doubt(mut self, first: u64) {
        let n_rows = std::mem::take(&mut self.n_rows);
        if n_rows > 0 {
            self.budget.lock().in_doubt.insert(first, n_rows);
        }
    }

    /// The rows are rejected durably.
    pub fn keep(mut self) {
        self.n_rows = 0;
    }
}

impl Drop for RejectReservation<'_> {
    fn drop(&mut self) {
        if self.n_rows > 0 {
            self.budget.lock().reserved -= self.n_rows;
        }
    }
}
