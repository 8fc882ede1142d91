//! Which rows of a batch the database refuses, and the rest written.
//!
//! In: a batch that failed, its transaction back at the savepoint `rowlift_rows`; or one of an
//! import that failed before. Out: rejected rows with the database's reasons; all others are in
//! the table when it returns.
//!
//! ```text
//! probe ─▶ reject what is certain ─▶ write the rest ─┬─ clean ─▶ done
//!                                                    └─ refused ─▶ around the line that COPY names,
//!                                                                  else pieces of 64, halves, one
//! ```
//!
//! The outcome is that of writing the rows one by one in source order. A row is rejected for what
//! happens when it is written alone, after every row before it; a hint (a line number) only
//! decides where to cut.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};

use crate::model::import::WriteMethod;
use crate::model::reject::RowViolation;
use crate::model::stats::RowCounts;
use crate::store::copying::CopyFormat;
use crate::store::{StoreError, WriteRequest};

use super::connection::Transaction;
use super::copy::{copy_group, group_by_set_columns};
use super::error::{self, Refusal, Trouble};
use super::insert::{StatementSize, insert_rows};
use super::probe::{Findings, Resolved, probe};
use super::types::{self, TableTypes};
use super::upsert::{self, Upsert};

use order::Order;

mod order;

/// Checks deferred constraints where it stands, for the rest of the transaction.
pub(super) const CHECK_CONSTRAINTS: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// Rows in a piece that is written to find out which of its rows fails.
const PIECE_ROWS_MAX: usize = 64;

/// Cuts at a line that COPY names before small pieces are the faster way.
const CUTS_AT_LINE_MAX: usize = 8;

/// Groups of rows with different defaults beyond which INSERT with DEFAULT is used.
const COPY_GROUPS_MAX: usize = 4;

/// Writes rows of one batch inside its transaction.
#[derive(Debug)]
pub(super) struct RowWriter<'a> {
    request: WriteRequest<'a>,
    /// How rows are copied from now on; `None`: they are inserted.
    copies: Option<CopyFormat>,
    /// Looked up when first needed.
    types: Option<TableTypes>,
    /// Where rows may meet others: the staged batch, once it is prepared.
    upsert: Option<Upsert<'a>>,
}

/// What became of rows that were written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// All but rejected ones.
    pub(super) counts: RowCounts,
    /// Rows that need no undoing to be out, by index into the batch.
    pub(super) rejected: BTreeMap<usize, RowViolation>,
}

/// Rows were not written.
#[derive(Debug)]
pub(super) enum NotWritten {
    /// A row is at fault, perhaps the one at this position.
    Refused(Refusal, Option<usize>),
    /// No statement failed, but the table took fewer rows than it was sent.
    Swallowed,
    /// The batch cannot be written now, or ever.
    Fatal(StoreError),
}

/// What became of the rows of a batch, those left out that the database rejects.
#[derive(Debug)]
pub(super) struct Isolated {
    /// All rows but the rejected ones.
    pub(super) counts: RowCounts,
    /// Why each was rejected, by index into the batch.
    pub(super) rejected: BTreeMap<usize, RowViolation>,
    /// The limit of the import is passed for certain, so later rows were not tried.
    pub(super) gave_up: bool,
}

/// A first attempt at all rows failed, perhaps at this position; nothing was found since that
/// would change the result.
#[derive(Debug, Clone, Copy)]
struct WholeFailed {
    at: Option<usize>,
}

/// How a failed write continues.
struct Settling {
    counts: RowCounts,
    rejected: BTreeMap<usize, RowViolation>,
    gave_up: bool,
}

// === impl RowWriter ===

impl<'a> RowWriter<'a> {
    pub(super) fn new(request: WriteRequest<'a>, copies: Option<CopyFormat>) -> RowWriter<'a> {
        RowWriter {
            request,
            copies,
            types: None,
            upsert: None,
        }
    }

    /// No COPY from now on: savepoints are open, and the engine takes none behind them.
    pub(super) fn insert_only(&mut self) {
        self.copies = None;
    }

    /// Makes the batch ready in the transaction, which is at its savepoint `rowlift_rows`.
    pub(super) async fn prepare(
        &mut self,
        transaction: &mut Transaction,
    ) -> Result<(), StoreError> {
        let WriteRequest { plan, batch, .. } = self.request;
        if let Some(key) = plan.conflict_key()
            && batch.rows.n_rows() > 0
        {
            let prepared = upsert::prepare(transaction, self.request, key, self.copies);
            self.upsert = Some(prepared.await?);
        }
        Ok(())
    }

    /// Writes all rows of the batch that are not refused already.
    pub(super) async fn write_all(
        &mut self,
        transaction: &mut Transaction,
    ) -> Result<Isolated, NotWritten> {
        let resolved = self.refused();
        let mut whole = Isolated {
            counts: RowCounts::default(),
            gave_up: self.upsert.as_ref().is_some_and(Upsert::gave_up),
            rejected: resolved.rejected,
        };
        if !whole.gave_up {
            let rows: Vec<usize> = (0..self.request.batch.rows.n_rows())
                .filter(|row| !whole.rejected.contains_key(row))
                .collect();
            let written = self.write(transaction, &rows).await?;
            whole.counts = written.counts;
            whole.rejected.extend(written.rejected);
        }
        Ok(whole)
    }

    /// Writes `rows` (indexes into the batch) by the plan's method.
    async fn write(
        &mut self,
        transaction: &mut Transaction,
        rows: &[usize],
    ) -> Result<Written, NotWritten> {
        if rows.is_empty() {
            return Ok(Written::default());
        }
        if let Some(upsert) = &mut self.upsert {
            return upsert.write(transaction, rows).await;
        }
        match (self.request.plan.method, self.copies) {
            (WriteMethod::Copy, Some(format)) => self.copy(transaction, rows, format).await?,
            (WriteMethod::Copy | WriteMethod::Batch, _) => {
                self.insert(transaction, rows, StatementSize::ManyRows)
                    .await?;
            }
            (WriteMethod::Sequential | WriteMethod::Concurrent, _) => {
                self.insert(transaction, rows, StatementSize::OneRow)
                    .await?;
            }
        }
        Ok(Written {
            counts: RowCounts {
                inserted: rows.len() as u64,
                ..RowCounts::default()
            },
            rejected: BTreeMap::new(),
        })
    }

    /// Rows that were refused when the batch was prepared.
    fn refused(&self) -> Resolved {
        let refused = self.upsert.as_ref().map(Upsert::refused);
        Resolved {
            rejected: refused.cloned().unwrap_or_default(),
            ..Resolved::default()
        }
    }

    /// What is known of rows before they are written. A row that would break a key may be one
    /// that meets another: nothing is probed where rows may meet.
    async fn findings(&mut self, transaction: &mut Transaction) -> Result<Findings, StoreError> {
        let WriteRequest { plan, batch, .. } = self.request;
        if let Some(upsert) = &self.upsert {
            upsert.prepare_pieces(transaction).await?;
            return Ok(Findings::default());
        }
        let types = self.types(transaction).await?;
        probe(transaction, plan, batch, types).await
    }

    async fn copy(
        &mut self,
        transaction: &mut Transaction,
        rows: &[usize],
        format: CopyFormat,
    ) -> Result<(), NotWritten> {
        let WriteRequest { plan, batch, .. } = self.request;
        let groups = group_by_set_columns(plan, batch, rows);
        // COPY without columns would mean all of them.
        let copyable = groups.iter().all(|group| !group.columns.is_empty());
        if groups.len() > COPY_GROUPS_MAX || !copyable {
            return self
                .insert(transaction, rows, StatementSize::ManyRows)
                .await;
        }
        for group in &groups {
            match copy_group(transaction, plan, batch, rows, group, format).await {
                Ok(n_taken) if n_taken == group.members.len() as u64 => {}
                Ok(_) => return Err(NotWritten::Swallowed),
                Err(error) => {
                    return Err(not_written(error, |refusal| {
                        let line = refusal.row_hint()?;
                        group.members.get(line).copied()
                    }));
                }
            }
        }
        Ok(())
    }

    async fn insert(
        &mut self,
        transaction: &mut Transaction,
        rows: &[usize],
        size: StatementSize,
    ) -> Result<(), NotWritten> {
        let WriteRequest { plan, batch, .. } = self.request;
        let types = self.types(transaction).await.map_err(NotWritten::Fatal)?;
        match insert_rows(transaction, plan, batch, rows, types, size).await {
            Ok(n_taken) if n_taken == rows.len() as u64 => Ok(()),
            Ok(_) => Err(NotWritten::Swallowed),
            Err(failed) => {
                let first = (failed.n_rows == 1).then_some(failed.first);
                Err(not_written(failed.error, |_| first))
            }
        }
    }

    async fn types(&mut self, transaction: &mut Transaction) -> Result<&TableTypes, StoreError> {
        if self.types.is_none() {
            let found = types::look_up(transaction, self.request.plan).await;
            self.types = Some(found.map_err(error::of_ledger)?);
        }
        Ok(self.types.as_ref().expect("set above"))
    }

    // Isolation.

    /// Writes the batch but for the rows that the database refuses. `failed` is what became of a
    /// first attempt at all rows, undone by now.
    pub(super) async fn isolate(
        &mut self,
        transaction: &mut Transaction,
        failed: Option<NotWritten>,
    ) -> Result<Isolated, StoreError> {
        let findings = self.findings(transaction).await?;
        let mut hint = match failed {
            Some(NotWritten::Fatal(fatal)) => return Err(fatal),
            Some(NotWritten::Refused(_, at)) if findings.is_empty() => Some(WholeFailed { at }),
            Some(NotWritten::Swallowed) if findings.is_empty() => Some(WholeFailed { at: None }),
            _ => None,
        };
        let mut order = Order::KeysFirst;
        loop {
            let mut resolved = order.resolve(&findings);
            resolved.rejected.extend(self.refused().rejected);
            let settled = self
                .settle(transaction, &resolved, order, hint.take())
                .await?;
            if settled.gave_up {
                return Ok(settled.into());
            }
            let lost_keeper = settled
                .rejected
                .keys()
                .any(|row| resolved.keepers.contains(row));
            if order == Order::KeysFirst && lost_keeper {
                order = Order::AsWritten;
                undo(transaction).await?;
                continue;
            }
            if order != Order::ChecksAtOnce
                && let Err(trouble) = check_constraints(transaction).await
            {
                trouble.refused()?;
                order = Order::ChecksAtOnce;
                undo(transaction).await?;
                continue;
            }
            return Ok(settled.into());
        }
    }

    /// Writes all rows that are not rejected yet, cutting pieces that fail.
    async fn settle(
        &mut self,
        transaction: &mut Transaction,
        resolved: &Resolved,
        order: Order,
        hint: Option<WholeFailed>,
    ) -> Result<Settling, StoreError> {
        let n_rows = self.request.batch.rows.n_rows();
        let rows: Vec<usize> = (0..n_rows)
            .filter(|row| !resolved.rejected.contains_key(row))
            .collect();
        let mut settling = Settling {
            counts: RowCounts::default(),
            rejected: resolved.rejected.clone(),
            gave_up: self.upsert.as_ref().is_some_and(Upsert::gave_up),
        };
        if settling.gave_up {
            return Ok(settling);
        }
        let whole = 0..rows.len();
        let mut n_cuts = 0;
        // A stack: the piece that comes first in source order is on top.
        let mut pieces = match hint {
            Some(WholeFailed { at }) => cut(whole, at, &mut n_cuts),
            None => vec![whole],
        };
        simple(transaction, "SAVEPOINT rowlift_piece").await?;
        while let Some(piece) = pieces.pop() {
            if piece.is_empty() {
                continue;
            }
            let mut written = self.write(transaction, &rows[piece.clone()]).await;
            if order == Order::ChecksAtOnce
                && written.is_ok()
                && let Err(refused) = check_constraints(transaction).await
            {
                written = Err(refused);
            }
            let failed = match written {
                Ok(written) => {
                    let next = "RELEASE SAVEPOINT rowlift_piece; SAVEPOINT rowlift_piece";
                    simple(transaction, next).await?;
                    settling.counts += written.counts;
                    settling.rejected.extend(written.rejected);
                    continue;
                }
                Err(NotWritten::Fatal(fatal)) => return Err(fatal),
                Err(failed) => failed,
            };
            simple(transaction, "ROLLBACK TO SAVEPOINT rowlift_piece").await?;
            if piece.len() > 1 {
                let at = match failed {
                    NotWritten::Refused(_, at) => at,
                    _ => None,
                };
                pieces.extend(cut(piece, at, &mut n_cuts));
                continue;
            }
            let row = rows[piece.start];
            settling.rejected.insert(row, self.violation(failed)?);
            if is_past_limit(self.request, &settling.rejected, row) {
                settling.gave_up = true;
                break;
            }
        }
        Ok(settling)
    }

    fn violation(&self, failed: NotWritten) -> Result<RowViolation, StoreError> {
        match failed {
            NotWritten::Refused(refusal, _) => Ok(refusal.violation(&self.request.plan.table)),
            NotWritten::Swallowed => Ok(error::swallowed()),
            NotWritten::Fatal(fatal) => Err(fatal),
        }
    }
}

/// Whether the batch's rejected rows up to `row` alone are more than the import may have: the
/// rest need not be tried, because it will not be written.
pub(super) fn is_past_limit(
    request: WriteRequest<'_>,
    rejected: &BTreeMap<usize, RowViolation>,
    row: usize,
) -> bool {
    let WriteRequest { batch, rejects, .. } = request;
    let Some(limit) = rejects.limit() else {
        return false;
    };
    let at_most = (batch.rejected.len() + rejected.len()) as u64;
    if at_most <= limit {
        return false;
    }
    let ordinal = batch.sources[row].ordinal;
    let unmapped = batch
        .rejected
        .partition_point(|rejected| rejected.ordinal <= ordinal);
    let refused = rejected.range(..=row).count();
    (unmapped + refused) as u64 > limit
}

impl AddAssign for Written {
    fn add_assign(&mut self, other: Written) {
        self.counts += other.counts;
        self.rejected.extend(other.rejected);
    }
}

impl From<Settling> for Isolated {
    fn from(settling: Settling) -> Isolated {
        Isolated {
            counts: settling.counts,
            rejected: settling.rejected,
            gave_up: settling.gave_up,
        }
    }
}

impl NotWritten {
    /// Only a fatal error is an error here.
    fn refused(self) -> Result<(), StoreError> {
        match self {
            NotWritten::Fatal(fatal) => Err(fatal),
            _ => Ok(()),
        }
    }
}

/// Checks deferred constraints now, while a failure can still be put down to rows.
pub(super) async fn check_constraints(transaction: &mut Transaction) -> Result<(), NotWritten> {
    match transaction.simple(CHECK_CONSTRAINTS).await {
        Ok(_) => Ok(()),
        Err(error) => Err(not_written(error, |_| None)),
    }
}

/// Back to before the batch's first row.
pub(super) async fn undo(transaction: &mut Transaction) -> Result<(), StoreError> {
    simple(transaction, "ROLLBACK TO SAVEPOINT rowlift_rows").await
}

async fn simple(transaction: &mut Transaction, sql: &str) -> Result<(), StoreError> {
    transaction.simple(sql).await.map_err(error::of_ledger)?;
    Ok(())
}

/// What a failed statement that writes rows means.
pub(super) fn not_written(
    error: sqlx::Error,
    position: impl FnOnce(&Refusal) -> Option<usize>,
) -> NotWritten {
    match error::while_writing(error) {
        Trouble::Refused(refusal) => {
            let at = position(&refusal);
            NotWritten::Refused(refusal, at)
        }
        Trouble::Fatal(fatal) => NotWritten::Fatal(fatal),
    }
}

/// Cuts a piece of more than one row that failed, into pieces for a stack: last one first.
pub(super) fn cut(piece: Range<usize>, at: Option<usize>, n_cuts: &mut usize) -> Vec<Range<usize>> {
    let at = at.map(|at| piece.start + at).filter(|at| *at < piece.end);
    if let Some(at) = at
        && (*n_cuts < CUTS_AT_LINE_MAX || piece.len() <= PIECE_ROWS_MAX)
    {
        *n_cuts += 1;
        return vec![at + 1..piece.end, at..at + 1, piece.start..at];
    }
    if piece.len() > PIECE_ROWS_MAX {
        let starts = piece.clone().step_by(PIECE_ROWS_MAX).rev();
        return starts
            .map(|start| start..(start + PIECE_ROWS_MAX).min(piece.end))
            .collect();
    }
    let middle = piece.start + piece.len() / 2;
    vec![middle..piece.end, piece.start..middle]
}

#[cfg(test)]
mod tests;
