//! SKIP and UPDATE: rows that may meet others by a key, whatever the method.
//!
//! In: a batch inside its transaction, staged once in a temporary table. Out: some of its rows in
//! the table, and what became of them as the database tells, or whose fault it was.
//!
//! ```text
//! stage ─▶ rows ─┬─ one pattern, no key twice ─▶ one statement
//!                ├─ else, order cannot show ───▶ rounds by repeats, a statement a pattern
//!                ├─ else ──────────────────────▶ segments in source order
//!                └─ triggers before each row ──▶ one by one
//! statement: INSERT ... ON CONFLICT; where a new row cannot be: find and lock, then UPDATE
//! ```
//!
//! `xmax = 0` tells a new row from an updated one: ON CONFLICT DO UPDATE locks the row that it
//! met before it updates it, also one that the same transaction has inserted.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;

use crate::model::import::{Failure, Reason};
use crate::model::plan::OnConflict;
use crate::model::reject::RowViolation;
use crate::model::stats::RowCounts;
use crate::model::table::UniqueKey;
use crate::store::copying::CopyFormat;
use crate::store::{StoreError, WriteRequest};

use super::connection::Transaction;
use super::error;
use super::isolate::{NotWritten, Written, not_written};
use super::types::{self, TableTypes};
use answer::{inserted_updated, pairs, watched};
use pattern::Patterns;
use schedule::Step;
use stage::Staged;
use statement::Statements;
use target::Target;

mod answer;
mod existing;
mod fill;
mod pattern;
mod schedule;
mod stage;
mod statement;
mod target;

/// Statements in one round trip.
const STATEMENTS_MAX: usize = 64;

/// SQLSTATE of an ON CONFLICT that met one row twice.
const MET_TWICE: &str = "21000";

/// Where single rows can be gone back to.
const TRY: &str = "SAVEPOINT rowlift_try";
const TRY_OVER: &str = "RELEASE SAVEPOINT rowlift_try";
const TRY_UNDO: &str = "ROLLBACK TO SAVEPOINT rowlift_try; RELEASE SAVEPOINT rowlift_try";

/// A staged batch.
#[derive(Debug)]
pub(super) struct Upsert<'a> {
    request: WriteRequest<'a>,
    key: &'a UniqueKey,
    types: TableTypes,
    target: Target,
    patterns: Patterns,
    staged: Staged,
    shared: Shared,
}

/// Rows that are not alone with their key, each with the first row that has it.
#[derive(Debug)]
enum Shared {
    /// Not looked for.
    Unknown,
    /// Of the whole batch.
    Known(BTreeMap<usize, usize>),
    /// A value keeps the database from telling.
    Refused,
}

/// Stages the batch. The savepoint that rows go back to is set anew behind it.
pub(super) async fn prepare<'a>(
    transaction: &mut Transaction,
    request: WriteRequest<'a>,
    key: &'a UniqueKey,
    copies: Option<CopyFormat>,
) -> Result<Upsert<'a>, StoreError> {
    let WriteRequest { plan, batch, .. } = request;
    if key.columns.iter().any(|it| plan.index_of(it).is_none()) {
        let message = format!("nothing maps all columns of unique key \"{}\"", key.name);
        return Err(StoreError::Failed(Failure::new(
            Reason::NoUniqueKey,
            message,
        )));
    }
    let types = types::look_up(transaction, plan).await;
    let types = types.map_err(error::of_ledger)?;
    let target = target::look_up(transaction, plan).await;
    let target = target.map_err(error::of_ledger)?;
    let patterns = pattern::group(plan, batch, target.has_row_triggers_before);
    let statements = Statements::new(plan, key, &target, &types);
    let staged = stage::stage(transaction, request, &statements, &patterns, copies).await?;
    simple(
        transaction,
        "RELEASE SAVEPOINT rowlift_rows; SAVEPOINT rowlift_rows",
    )
    .await?;
    Ok(Upsert {
        request,
        key,
        types,
        target,
        patterns,
        staged,
        shared: Shared::Unknown,
    })
}

impl Upsert<'_> {
    /// Rows that no statement need try.
    pub(super) fn refused(&self) -> &BTreeMap<usize, RowViolation> {
        &self.staged.refused
    }

    /// The limit of the import is passed by these alone.
    pub(super) fn gave_up(&self) -> bool {
        self.staged.gave_up
    }

    /// Single rows are about to be looked for, the transaction being back at its savepoint.
    pub(super) async fn prepare_pieces(
        &self,
        transaction: &mut Transaction,
    ) -> Result<(), StoreError> {
        let index = self.statements().index_stage();
        let sql = format!("{index}; RELEASE SAVEPOINT rowlift_rows; SAVEPOINT rowlift_rows");
        simple(transaction, &sql).await
    }

    /// Writes staged `rows` (indexes into the batch, ascending).
    pub(super) async fn write(
        &mut self,
        transaction: &mut Transaction,
        rows: &[usize],
    ) -> Result<Written, NotWritten> {
        let [row] = rows else {
            return self.write_several(transaction, rows).await;
        };
        let pattern = self.patterns.of_row[*row];
        let is_update = matches!(self.request.plan.on_conflict, OnConflict::Update { .. });
        if !is_update || self.patterns.all[pattern].updates_only {
            return self.write_several(transaction, rows).await;
        }
        // The database checks the row as a new one before it looks whether it meets another,
        // whose own values may be what the check wants.
        fatal(simple(transaction, TRY).await)?;
        let written = self.write_several(transaction, rows).await;
        match written {
            Err(NotWritten::Refused(refusal, at)) if refusal.is_of_new_row() => {
                fatal(simple(transaction, TRY_UNDO).await)?;
                let found = self.update(transaction, pattern, rows).await?;
                match found {
                    Some(found) if found.unmatched.is_empty() => Ok(Written {
                        counts: found.counts,
                        rejected: BTreeMap::new(),
                    }),
                    _ => Err(NotWritten::Refused(refusal, at)),
                }
            }
            Ok(written) => {
                fatal(simple(transaction, TRY_OVER).await)?;
                Ok(written)
            }
            refused => refused,
        }
    }

    async fn write_several(
        &mut self,
        transaction: &mut Transaction,
        rows: &[usize],
    ) -> Result<Written, NotWritten> {
        let refers_to_itself = self.request.plan.table.refers_to_itself();
        if self.target.has_row_triggers_before || refers_to_itself {
            return self.one_by_one(transaction, rows).await;
        }
        let pattern_of = &self.patterns.of_row;
        let has_one_pattern = rows
            .windows(2)
            .all(|two| pattern_of[two[0]] == pattern_of[two[1]]);
        if has_one_pattern
            && !matches!(self.shared, Shared::Known(_))
            && let Some(written) = self.at_once(transaction, rows).await?
        {
            return Ok(written);
        }
        let shared = self.shared(transaction, rows).await?;
        let pattern_of = &self.patterns.of_row;
        let steps = if self.order_shows() {
            schedule::segments(rows, pattern_of, &shared)
        } else {
            schedule::rounds(rows, pattern_of, &shared)
        };
        self.run(transaction, &steps).await
    }

    /// Writes rows of one pattern by one statement; `None`, with nothing done, if a key repeats.
    async fn at_once(
        &mut self,
        transaction: &mut Transaction,
        rows: &[usize],
    ) -> Result<Option<Written>, NotWritten> {
        let pattern = self.patterns.of_row[rows[0]];
        if self.patterns.all[pattern].updates_only {
            let found = self.update(transaction, pattern, rows).await?;
            return Ok(found.map(|found| self.judge(pattern, found)));
        }
        let statements = self.statements();
        let sql = statements.insert(
            &self.patterns.all[pattern],
            &self.filter(&statements, pattern, rows),
        );
        // Where nothing is updated, the second row with a key meets the first without an error.
        let meets_twice = rows.len() > 1 && statements.sets_any(&self.patterns.all[pattern]);
        let sql = if meets_twice {
            format!("{TRY}; {sql}; {TRY_OVER}")
        } else {
            sql
        };
        match transaction.simple(&sql).await {
            Ok(answer) => Ok(Some(Written {
                counts: self.counts(&answer, rows.len())?,
                rejected: BTreeMap::new(),
            })),
            Err(error) if meets_twice && error::sql_state(&error) == Some(MET_TWICE) => {
                fatal(simple(transaction, TRY_UNDO).await)?;
                Ok(None)
            }
            Err(error) => Err(not_written(error, |_| None)),
        }
    }

    /// Writes steps in their order, several in one round trip.
    async fn run(
        &self,
        transaction: &mut Transaction,
        steps: &[Step],
    ) -> Result<Written, NotWritten> {
        let statements = self.statements();
        let mut written = Written::default();
        let mut bundle = String::new();
        let (mut n_statements, mut n_rows) = (0, 0);
        for (at, Step { pattern, rows }) in steps.iter().enumerate() {
            if self.patterns.all[*pattern].updates_only {
                match self.update(transaction, *pattern, rows).await? {
                    Some(found) => written += self.judge(*pattern, found),
                    // The index takes two keys for one that the types tell apart: cut.
                    None => return Err(NotWritten::Swallowed),
                }
                continue;
            }
            let filter = self.filter(&statements, *pattern, rows);
            bundle.push_str(&statements.insert(&self.patterns.all[*pattern], &filter));
            bundle.push(';');
            n_statements += 1;
            n_rows += rows.len();
            let is_last = steps
                .get(at + 1)
                .is_none_or(|next| self.patterns.all[next.pattern].updates_only);
            if is_last || n_statements == STATEMENTS_MAX {
                let answer = transaction.simple(&bundle).await;
                let answer = answer.map_err(|error| not_written(error, |_| None))?;
                written.counts += self.counts(&answer, n_rows)?;
                bundle.clear();
                (n_statements, n_rows) = (0, 0);
            }
        }
        Ok(written)
    }

    /// Writes each row by a statement of its own, and sees whether a trigger left it out.
    async fn one_by_one(
        &self,
        transaction: &mut Transaction,
        rows: &[usize],
    ) -> Result<Written, NotWritten> {
        let statements = self.statements();
        let mut written = Written::default();
        let mut bundle = String::new();
        let mut bundled: Vec<usize> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let pattern = self.patterns.of_row[*row];
            if self.patterns.all[pattern].updates_only {
                match self.update(transaction, pattern, &[*row]).await? {
                    Some(found) => written += self.judge(pattern, found),
                    None => return Err(NotWritten::Swallowed),
                }
                continue;
            }
            let filter = statements.filter(&[*row], None);
            bundle.push_str(&statements.insert_watched(&self.patterns.all[pattern], &filter));
            bundle.push(';');
            bundled.push(*row);
            let is_last = rows
                .get(at + 1)
                .is_none_or(|next| self.patterns.all[self.patterns.of_row[*next]].updates_only);
            if is_last || bundled.len() == STATEMENTS_MAX {
                let answer = transaction.simple(&bundle).await;
                let answer = answer.map_err(|error| not_written(error, |_| None))?;
                written.counts += self.watched(transaction, &bundled, &answer).await?;
                bundle.clear();
                bundled.clear();
            }
        }
        Ok(written)
    }

    /// Counts rows that were written one by one.
    async fn watched(
        &self,
        transaction: &mut Transaction,
        rows: &[usize],
        answer: &[PgRow],
    ) -> Result<RowCounts, NotWritten> {
        let mut counts = RowCounts::default();
        for (row, answer) in rows.iter().zip(answer) {
            let watched = decoded(watched(answer))?;
            counts.inserted += watched.inserted;
            counts.updated += watched.updated;
            if watched.inserted + watched.updated > 0 {
                continue;
            }
            let met = watched.met || self.is_refused_as_new(transaction, *row).await?;
            if !met {
                return Err(NotWritten::Swallowed);
            }
            *self.unwritten(&mut counts) += 1;
        }
        Ok(counts)
    }

    /// SKIP: whether a row that was not written meets one whose key a trigger has changed to.
    async fn is_refused_as_new(
        &self,
        transaction: &mut Transaction,
        row: usize,
    ) -> Result<bool, NotWritten> {
        if !matches!(self.request.plan.on_conflict, OnConflict::Skip { .. }) {
            return Ok(false);
        }
        let statements = self.statements();
        let pattern = &self.patterns.all[self.patterns.of_row[row]];
        let insert = statements.insert_only(pattern, &statements.filter(&[row], None));
        fatal(simple(transaction, "SAVEPOINT rowlift_look").await)?;
        let inserted = transaction.simple(&insert).await;
        let is_refused = match inserted {
            Ok(_) => false,
            Err(error) => {
                let is_unique = error::is_unique_violation(&error);
                if let NotWritten::Fatal(fatal) = not_written(error, |_| None) {
                    return Err(NotWritten::Fatal(fatal));
                }
                is_unique
            }
        };
        let back = "ROLLBACK TO SAVEPOINT rowlift_look; RELEASE SAVEPOINT rowlift_look";
        fatal(simple(transaction, back).await)?;
        Ok(is_refused)
    }

    /// Rows among `rows` that are not alone with their key.
    async fn shared(
        &mut self,
        transaction: &mut Transaction,
        rows: &[usize],
    ) -> Result<BTreeMap<usize, usize>, NotWritten> {
        let statements = self.statements();
        if matches!(self.shared, Shared::Unknown) {
            fatal(simple(transaction, TRY).await)?;
            let answer = transaction.simple(&statements.repeats("true")).await;
            let shared = match answer.map_err(|error| not_written(error, |_| None)) {
                Ok(answer) => {
                    fatal(simple(transaction, TRY_OVER).await)?;
                    Shared::Known(decoded(pairs(&answer))?)
                }
                Err(NotWritten::Fatal(fatal)) => return Err(NotWritten::Fatal(fatal)),
                Err(_) => {
                    fatal(simple(transaction, TRY_UNDO).await)?;
                    Shared::Refused
                }
            };
            self.shared = shared;
        }
        if let Shared::Known(shared) = &self.shared {
            return Ok(shared.clone());
        }
        if rows.len() == 1 {
            return Ok(BTreeMap::new());
        }
        let statements = self.statements();
        let repeats = statements.repeats(&statements.filter(rows, None));
        let answer = transaction.simple(&repeats).await;
        let answer = answer.map_err(|error| not_written(error, |_| None))?;
        decoded(pairs(&answer))
    }

    /// Whether the order in which rows of different keys are written could show in the table.
    fn order_shows(&self) -> bool {
        let plan = self.request.plan;
        let is_fed = |key: &UniqueKey| {
            key.columns.is_empty() || key.columns.iter().any(|it| plan.index_of(it).is_some())
        };
        self.target.has_triggers
            || self.target.has_exclusions
            || plan
                .table
                .unique_keys
                .iter()
                .any(|key| key != self.key && is_fed(key))
    }

    /// Counts rows by the answers of INSERTs.
    fn counts(&self, answer: &[PgRow], n_rows: usize) -> Result<RowCounts, NotWritten> {
        let mut counts = RowCounts::default();
        for row in answer {
            let (inserted, updated) = decoded(inserted_updated(row))?;
            counts.inserted += inserted;
            counts.updated += updated;
        }
        let n_written = counts.inserted + counts.updated;
        *self.unwritten(&mut counts) += (n_rows as u64).saturating_sub(n_written);
        Ok(counts)
    }

    /// The count of rows that met one and left it as it is.
    fn unwritten<'c>(&self, counts: &'c mut RowCounts) -> &'c mut u64 {
        match self.request.plan.on_conflict {
            OnConflict::Update { .. } => &mut counts.unchanged,
            _ => &mut counts.skipped,
        }
    }

    fn filter(&self, statements: &Statements<'_>, pattern: usize, rows: &[usize]) -> String {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return statements.filter(rows, None);
        };
        let is_of_pattern = |row: &usize| {
            self.patterns.of_row[*row] == pattern && !self.staged.refused.contains_key(row)
        };
        let is_whole = (*first..=*last).filter(is_of_pattern).count() == rows.len();
        statements.filter(rows, is_whole.then_some(pattern))
    }

    fn statements(&self) -> Statements<'_> {
        Statements::new(self.request.plan, self.key, &self.target, &self.types)
    }
}

async fn simple(transaction: &mut Transaction, sql: &str) -> Result<(), StoreError> {
    transaction.simple(sql).await.map_err(error::of_ledger)?;
    Ok(())
}

fn fatal<T>(result: Result<T, StoreError>) -> Result<T, NotWritten> {
    result.map_err(NotWritten::Fatal)
}

fn decoded<T>(result: Result<T, sqlx::Error>) -> Result<T, NotWritten> {
    fatal(result.map_err(error::of_ledger))
}
