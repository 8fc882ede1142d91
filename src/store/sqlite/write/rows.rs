//! The rows of a batch, on their way into the table.
//!
//! In: a batch inside an open transaction. Out: rows in the table, and for each of the others
//! why not. Rows go in runs that fill the same columns (SQLite has no DEFAULT in VALUES), runs in
//! pieces whose widths are powers of two, so that few statements are prepared and all are used
//! again.
//!
//! ```text
//! piece ─▶ one INSERT of all rows ─┬─ in; UPDATE: one more for those that are there
//!                                  ├─ a row is refused, those before it are in ─▶ those behind it:
//!                                  └─ refused, undone ─▶ statements for each row, many in one command
//!                                                        ▲   ├─ in
//!            table with triggers or conflict clauses ────┘   └─ this row is refused; on with the next
//! ```
//!
//! See [`together`] for the statements of many rows.

use std::ops::Range;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::facts::{Pieces, TableFacts};
use super::key::MeetingKey;
use super::refuse;
use super::shape::{Shape, missing_column};
use super::statements::{Statements, Step};
use super::verdicts::{Fate, Verdicts};
use crate::model::plan::{OnConflict, OnMissing};
use crate::model::reject::{RowErrorCode, RowViolation};
use crate::model::value::Value;
use crate::store::sqlite::encode;
use crate::store::sqlite::sql::{Ran, execute, run_many, try_execute};
use crate::store::{StoreError, WriteRequest};

use together::Together;

mod together;

/// SQLite's limit on parameters of a statement.
const PARAMETERS_MAX: usize = 32_766;
/// Rows of one INSERT; 128 are about a tenth slower.
const ROWS_TOGETHER_MAX: usize = 512;
/// Rows below which the savepoint around two statements costs more than they save.
const ROWS_MERGED_MIN: usize = 8;
/// Rows of one command where each has statements of its own.
const ROWS_SINGLY_MAX: usize = 32;
/// Shapes of rows whose statements are kept while a batch is written.
const SHAPES_MAX: usize = 64;

/// Whether the transaction still stands.
pub(super) enum Written {
    /// Every row has its verdict.
    All,
    /// A trigger rolled all of it back; the row that did it is refused from now on.
    RolledBack,
    /// Some rows are in and not known which: they are to be undone, and the batch begun anew.
    Undo,
}

/// Rows that fill the same columns.
struct Run<'a> {
    request: &'a WriteRequest<'a>,
    facts: &'a TableFacts,
    key: Option<&'a MeetingKey<'a>>,
    is_update_only: bool,
    statements: Statements,
}

/// How a run of single rows ended.
enum Ended {
    /// All have their verdicts.
    All,
    /// See [`Written::RolledBack`].
    RolledBack,
    /// This row cannot be a new one as it is, but may update one.
    AsUpdate(usize, RowViolation),
}

/// What the statements of a row came to.
enum Verdict {
    Fate(Fate),
    Refused(RowViolation),
    /// It can only update, and there is no row with its key.
    Missing,
}

/// Writes all rows that are not refused already, in order.
pub(super) async fn write_rows(
    connection: &mut SqliteConnection,
    request: &WriteRequest<'_>,
    facts: &TableFacts,
    verdicts: &mut Verdicts,
) -> Result<Written, StoreError> {
    let (plan, rows) = (request.plan, &request.batch.rows);
    let key = MeetingKey::of(plan)?;
    verdicts.begin();
    let checked = encode::columns_to_check(plan);
    if !checked.is_empty() {
        for (index, row) in rows.rows().enumerate() {
            if let Some(violation) = encode::unstorable(plan, row, &checked) {
                verdicts.refused.insert(index, violation);
            }
        }
    }
    let mut runs: Vec<(Shape, Run<'_>)> = Vec::new();
    let mut at = 0;
    while at < rows.n_rows() {
        if verdicts.refused.contains_key(&at) {
            at += 1;
            continue;
        }
        let mut shape = Shape::of(plan, rows.row(at));
        let next_refused = verdicts.refused.range(at..).next();
        let next_refused = next_refused.map_or(rows.n_rows(), |it| *it.0);
        let end = (at + 1..next_refused)
            .find(|index| !shape.takes(plan, rows.row(*index)))
            .unwrap_or(next_refused);
        let known = runs.iter().position(|(known, _)| *known == shape);
        let known = known.unwrap_or_else(|| {
            if runs.len() == SHAPES_MAX {
                runs.clear();
            }
            let run = Run::new(request, facts, key.as_ref(), &shape);
            runs.push((shape, run));
            runs.len() - 1
        });
        let run = &runs[known].1;
        match run.write(connection, at..end, verdicts).await? {
            Written::All => at = end,
            ended => return Ok(ended),
        }
    }
    Ok(Written::All)
}

/// The largest power of two that is at most `n_rows` and `max`.
fn piece_width(n_rows: usize, max: usize) -> usize {
    1 << n_rows.min(max).max(1).ilog2()
}

// === impl Run ===

impl<'a> Run<'a> {
    fn new(
        request: &'a WriteRequest<'a>,
        facts: &'a TableFacts,
        key: Option<&'a MeetingKey<'a>>,
        shape: &Shape,
    ) -> Run<'a> {
        Run {
            request,
            facts,
            key,
            is_update_only: shape.is_update_only,
            statements: Statements::new(request.plan, facts, key, shape),
        }
    }

    async fn write(
        &self,
        connection: &mut SqliteConnection,
        rows: Range<usize>,
        verdicts: &mut Verdicts,
    ) -> Result<Written, StoreError> {
        let width_max = PARAMETERS_MAX / self.statements.n_inserted().max(1);
        let width_max = width_max.clamp(1, ROWS_TOGETHER_MAX);
        let updates = matches!(self.request.plan.on_conflict, OnConflict::Update { .. });
        let together = self.facts.pieces != Pieces::Singly
            && !self.is_update_only
            && self.statements.n_inserted() > 0
            && (!updates || self.statements.update(1).is_some());
        let width_min = if updates { ROWS_MERGED_MIN } else { 1 };
        let mut at = rows.start;
        while at < rows.end {
            let piece = at..at + piece_width(rows.end - at, width_max);
            at = piece.end;
            let mut rest = piece;
            if together && rest.len() >= width_min {
                match self.together(connection, rest.clone(), verdicts).await? {
                    Together::In => continue,
                    Together::Refused => {}
                    Together::UpTo(row) => rest.start = row + 1,
                    Together::Undo => return Ok(Written::Undo),
                }
            }
            if let Written::RolledBack = self.one_by_one(connection, rest, verdicts).await? {
                return Ok(Written::RolledBack);
            }
        }
        Ok(Written::All)
    }

    /// Statements for each row: each has its verdict.
    async fn one_by_one(
        &self,
        connection: &mut SqliteConnection,
        piece: Range<usize>,
        verdicts: &mut Verdicts,
    ) -> Result<Written, StoreError> {
        let mut at = piece.start;
        loop {
            let ended = self.singly(connection, at..piece.end, verdicts).await?;
            let (row, violation) = match ended {
                Ended::All => return Ok(Written::All),
                Ended::RolledBack => return Ok(Written::RolledBack),
                Ended::AsUpdate(row, violation) => (row, violation),
            };
            let values = self.request.batch.rows.row(row);
            let shape = Shape {
                is_update_only: true,
                ..Shape::of(self.request.plan, values)
            };
            let update = Run::new(self.request, self.facts, self.key, &shape);
            match update.singly(connection, row..row + 1, verdicts).await? {
                Ended::RolledBack => return Ok(Written::RolledBack),
                Ended::All | Ended::AsUpdate(..) => {}
            }
            if let Some(known) = verdicts.refused.get_mut(&row) {
                *known = violation;
            }
            at = row + 1;
        }
    }

    async fn singly(
        &self,
        connection: &mut SqliteConnection,
        piece: Range<usize>,
        verdicts: &mut Verdicts,
    ) -> Result<Ended, StoreError> {
        let plan = self.request.plan;
        let n_steps = self.statements.steps().len();
        let mut at = piece.start;
        while at < piece.end {
            let command = at..at + piece_width(piece.end - at, ROWS_SINGLY_MAX);
            let sql = self.statements.singly(command.len());
            let mut arguments = SqliteArguments::default();
            for row in command.clone() {
                let row = self.request.batch.rows.row(row);
                self.statements
                    .bind_singly(plan, self.key, row, &mut arguments);
            }
            let (ran, ended) = run_many(connection, sqlx::query_with(&sql, arguments)).await;
            for (row, ran) in (at..).zip(ran.chunks_exact(n_steps)) {
                match self.verdict(ran) {
                    Verdict::Fate(fate) => verdicts.decide(row, fate),
                    Verdict::Refused(violation) => {
                        verdicts.refused.insert(row, violation);
                    }
                    Verdict::Missing => self.miss(row, verdicts),
                }
            }
            let Err(error) = ended else {
                at = command.end;
                continue;
            };
            let row = at + ran.len() / n_steps;
            let violation = refuse::by_error(connection, plan, self.request, row, error).await?;
            if self.facts.has_triggers {
                let undo = "ROLLBACK TO rowlift_row; RELEASE rowlift_row";
                if try_execute(connection, undo).await.is_err() {
                    // RAISE(ROLLBACK): the savepoint went with the transaction.
                    execute(connection, "ROLLBACK").await.ok();
                    verdicts.refused.insert(row, violation);
                    return Ok(Ended::RolledBack);
                }
            }
            if self.may_yet_update(row, &violation) {
                return Ok(Ended::AsUpdate(row, violation));
            }
            verdicts.refused.insert(row, violation);
            at = row + 1;
        }
        Ok(Ended::All)
    }

    /// Whether a check may only have failed for what the row leaves to the row that is there.
    fn may_yet_update(&self, row: usize, violation: &RowViolation) -> bool {
        matches!(self.request.plan.on_conflict, OnConflict::Update { .. })
            && !self.is_update_only
            && violation.code == RowErrorCode::CheckViolation
            && self
                .request
                .batch
                .rows
                .row(row)
                .values()
                .any(|it| it == Value::Unset)
    }

    fn verdict(&self, ran: &[Ran]) -> Verdict {
        let mut changed = [0, 0];
        let mut seen = None;
        let mut has_looked = false;
        for (step, ran) in self.statements.steps().zip(ran) {
            match step {
                Step::Insert => changed[0] = ran.changed,
                Step::Update => changed[1] = ran.changed,
                Step::Look => {
                    has_looked = true;
                    seen = ran.first;
                }
                Step::Open | Step::Close => {}
            }
        }
        let settled = match self.request.plan.on_conflict {
            _ if changed[0] > 0 => return Verdict::Fate(Fate::Inserted),
            OnConflict::Reject => return Verdict::Refused(swallowed()),
            OnConflict::Skip { .. } => Fate::Skipped,
            OnConflict::Update { .. } if changed[1] > 0 => return Verdict::Fate(Fate::Updated),
            OnConflict::Update { .. } => Fate::Unchanged,
        };
        match seen {
            _ if !has_looked => Verdict::Fate(settled),
            Some(0) => Verdict::Fate(settled),
            None if self.is_update_only => Verdict::Missing,
            Some(_) | None => Verdict::Refused(swallowed()),
        }
    }

    /// The verdict on a row that finds none to update.
    fn miss(&self, row: usize, verdicts: &mut Verdicts) {
        let plan = self.request.plan;
        let key = self.key.map(MeetingKey::key);
        let violation = match plan.on_conflict {
            OnConflict::Update {
                on_missing: OnMissing::Skip,
                ..
            } => return verdicts.decide(row, Fate::Skipped),
            OnConflict::Update {
                on_missing: OnMissing::Reject,
                ..
            } => refuse::no_match(key),
            _ => {
                let column = missing_column(plan, self.request.batch.rows.row(row));
                refuse::required(plan, column)
            }
        };
        verdicts.refused.insert(row, violation);
    }
}

/// A row that the database took without an error and without storing it.
fn swallowed() -> RowViolation {
    RowViolation {
        code: RowErrorCode::Database,
        constraint: String::new(),
        column: String::new(),
        sql_state: String::new(),
        message: "a trigger of the table left the row out".to_owned(),
    }
}

#[cfg(test)]
mod tests;
