//! The rows of a batch, on their way into the table.
//!
//! In: a batch inside an open transaction. Out: rows in the table, and for each of the others
//! why not. Rows go in runs that leave the same columns to their defaults (SQLite has no DEFAULT
//! in VALUES), runs in pieces whose widths are powers of two, so that few statements are prepared
//! and all are used again.
//!
//! ```text
//! piece ─▶ one INSERT of all rows ─┬─ in
//!                                  └─ refused, undone ─▶ one INSERT a row, many in one command
//!                                                        ▲   ├─ in
//!            table with triggers or conflict clauses ────┘   └─ this row is refused; on with the next
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::refuse;
use crate::model::import::WriteMethod;
use crate::model::plan::WritePlan;
use crate::model::reject::{RowErrorCode, RowViolation};
use crate::model::value::{Row, Value};
use crate::store::identifier::{QualifiedName, quoted_list};
use crate::store::sqlite::catalog::has_conflict_clause;
use crate::store::sqlite::encode;
use crate::store::sqlite::error::{internal, refusal, store_error};
use crate::store::sqlite::sql::{execute, fetch_optional, run_many, try_execute, try_run};
use crate::store::{StoreError, WriteRequest};

/// Rows of a batch that are not in the table, by index in the batch.
pub(super) type Refused = BTreeMap<usize, RowViolation>;

/// SQLite's limit on parameters of a statement.
const PARAMETERS_MAX: usize = 32_766;
/// Rows of one INSERT; 128 are about a tenth slower.
const ROWS_TOGETHER_MAX: usize = 512;
/// Statements of one command where each row has its own.
const ROWS_SINGLY_MAX: usize = 32;

/// Whether the transaction still stands.
pub(super) enum Inserted {
    /// Every row is in the table or refused.
    All,
    /// A trigger rolled all of it back; the row that did it is refused from now on.
    RolledBack,
}

/// What of a table decides how rows are inserted.
#[derive(Debug)]
pub(super) struct TableFacts {
    /// A trigger may swallow a row or undo more than it: rows go one by one, each under its own
    /// savepoint.
    has_triggers: bool,
    /// Constraints say themselves what a conflict does. ABORT overrides them, in triggers too.
    has_conflict_clauses: bool,
    /// Rows go one by one.
    singly: bool,
}

/// Rows that fill the same columns.
struct Run<'a> {
    plan: &'a WritePlan,
    facts: &'a TableFacts,
    /// Indexes of the planned columns that are written.
    columns: Vec<usize>,
    /// `INSERT INTO t (a, b) VALUES `.
    head: String,
    /// `(?,?)`; empty for DEFAULT VALUES.
    group: String,
}

// === impl TableFacts ===

impl TableFacts {
    /// Reads them from the catalogue.
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        request: &WriteRequest<'_>,
    ) -> Result<TableFacts, StoreError> {
        let sql = "SELECT sql, EXISTS (SELECT 1 FROM sqlite_master t WHERE t.type = 'trigger' \
                   AND t.tbl_name = m.name COLLATE NOCASE) \
                   FROM sqlite_master m WHERE m.type = 'table' AND m.name = ?";
        let name = &request.plan.table.name.name;
        let row = fetch_optional(connection, sqlx::query(sql).bind(name)).await?;
        // A table that is gone shows in the first INSERT.
        let has_triggers = row.as_ref().is_some_and(|row| row.get::<bool, _>(1));
        let has_conflict_clauses = row
            .as_ref()
            .is_some_and(|row| has_conflict_clause(row.get(0)));
        let is_row_method = matches!(
            request.plan.method,
            WriteMethod::Sequential | WriteMethod::Concurrent
        );
        Ok(TableFacts {
            has_triggers,
            has_conflict_clauses,
            singly: is_row_method || request.probe_first || has_triggers || has_conflict_clauses,
        })
    }
}

/// Inserts all rows that are not refused already, in order.
pub(super) async fn insert_rows(
    connection: &mut SqliteConnection,
    request: &WriteRequest<'_>,
    facts: &TableFacts,
    refused: &mut Refused,
) -> Result<Inserted, StoreError> {
    let (plan, rows) = (request.plan, &request.batch.rows);
    let checked = encode::columns_to_check(plan);
    if !checked.is_empty() {
        for (index, row) in rows.rows().enumerate() {
            if let Some(violation) = encode::unstorable(plan, row, &checked) {
                refused.insert(index, violation);
            }
        }
    }
    let defaulted: Vec<usize> = (0..plan.columns.len())
        .filter(|index| plan.column(*index).has_default)
        .collect();
    let mut at = 0;
    while at < rows.n_rows() {
        if refused.contains_key(&at) {
            at += 1;
            continue;
        }
        let first = rows.row(at);
        let next_refused = refused.range(at..).next().map_or(rows.n_rows(), |it| *it.0);
        let end = (at + 1..next_refused)
            .find(|index| !same_columns(first, rows.row(*index), &defaulted))
            .unwrap_or(next_refused);
        let run = Run::new(plan, facts, first, &defaulted);
        if let Inserted::RolledBack = run.insert(connection, request, at..end, refused).await? {
            return Ok(Inserted::RolledBack);
        }
        at = end;
    }
    Ok(Inserted::All)
}

/// Whether two rows leave the same columns to their defaults.
fn same_columns(a: Row<'_>, b: Row<'_>, defaulted: &[usize]) -> bool {
    let mut columns = defaulted.iter();
    columns.all(|index| is_unset(a, *index) == is_unset(b, *index))
}

fn is_unset(row: Row<'_>, index: usize) -> bool {
    matches!(row.value(index), Value::Unset)
}

/// The largest power of two that is at most `n_rows` and `max`.
fn piece_width(n_rows: usize, max: usize) -> usize {
    1 << n_rows.min(max).max(1).ilog2()
}

// === impl Run ===

impl<'a> Run<'a> {
    /// `first` is any of the rows. Columns without a default are always written: unset is NULL.
    fn new(
        plan: &'a WritePlan,
        facts: &'a TableFacts,
        first: Row<'_>,
        defaulted: &[usize],
    ) -> Run<'a> {
        let is_left = |index: &usize| defaulted.contains(index) && is_unset(first, *index);
        let columns: Vec<usize> = (0..plan.columns.len()).filter(|it| !is_left(it)).collect();
        let verb = if facts.has_conflict_clauses {
            "INSERT OR ABORT INTO"
        } else {
            "INSERT INTO"
        };
        let table = QualifiedName::from(&plan.table.name);
        let names = columns
            .iter()
            .map(|index| plan.column(*index).name.as_str());
        let (head, group) = match columns.len() {
            0 => (format!("{verb} {table} DEFAULT VALUES"), String::new()),
            n_columns => {
                let names = quoted_list(names);
                let group = format!("({})", vec!["?"; n_columns].join(","));
                (format!("{verb} {table} ({names}) VALUES "), group)
            }
        };
        Run {
            plan,
            facts,
            columns,
            head,
            group,
        }
    }

    async fn insert(
        &self,
        connection: &mut SqliteConnection,
        request: &WriteRequest<'_>,
        rows: Range<usize>,
        refused: &mut Refused,
    ) -> Result<Inserted, StoreError> {
        let width_max = (PARAMETERS_MAX / self.columns.len().max(1)).clamp(1, ROWS_TOGETHER_MAX);
        let singly = self.facts.singly || self.columns.is_empty();
        let mut at = rows.start;
        while at < rows.end {
            let piece = at..at + piece_width(rows.end - at, width_max);
            at = piece.end;
            if !singly
                && self
                    .insert_together(connection, request, piece.clone())
                    .await?
            {
                continue;
            }
            let inserted = self
                .insert_singly(connection, request, piece, refused)
                .await?;
            if let Inserted::RolledBack = inserted {
                return Ok(Inserted::RolledBack);
            }
        }
        Ok(Inserted::All)
    }

    /// One INSERT; false if it was refused because of a row, in which case none is in.
    async fn insert_together(
        &self,
        connection: &mut SqliteConnection,
        request: &WriteRequest<'_>,
        piece: Range<usize>,
    ) -> Result<bool, StoreError> {
        let mut sql = self.head.clone();
        for index in 0..piece.len() {
            sql.push_str(if index == 0 { "" } else { "," });
            sql.push_str(&self.group);
        }
        let arguments = self.arguments(request, piece.clone());
        let query = sqlx::query_with(&sql, arguments);
        match try_run(connection, query).await {
            Ok(n_rows) if n_rows == piece.len() as u64 => Ok(true),
            Ok(_) => Err(internal("an INSERT wrote fewer rows than it was given")),
            Err(sqlx::Error::Database(error)) => refusal(error.as_ref()).map(|_| false),
            Err(error) => Err(store_error(error)),
        }
    }

    /// One INSERT a row: each is in or refused.
    async fn insert_singly(
        &self,
        connection: &mut SqliteConnection,
        request: &WriteRequest<'_>,
        piece: Range<usize>,
        refused: &mut Refused,
    ) -> Result<Inserted, StoreError> {
        let mut at = piece.start;
        while at < piece.end {
            let command = at..at + piece_width(piece.end - at, ROWS_SINGLY_MAX);
            let sql = self.single_statements(command.len());
            let arguments = self.arguments(request, command.clone());
            let (changed, ended) = run_many(connection, sqlx::query_with(&sql, arguments)).await;
            for (statement, n_rows) in changed.iter().enumerate() {
                if self.is_insert(statement) && *n_rows == 0 {
                    refused.insert(at + statement / self.statements_a_row(), swallowed());
                }
            }
            let Err(error) = ended else {
                at = command.end;
                continue;
            };
            let row = at + changed.len() / self.statements_a_row();
            let violation = refuse::by_error(connection, self.plan, request, row, error).await?;
            refused.insert(row, violation);
            if self.facts.has_triggers {
                let undo = "ROLLBACK TO rowlift_row; RELEASE rowlift_row";
                if try_execute(connection, undo).await.is_err() {
                    // RAISE(ROLLBACK): the savepoint went with the transaction.
                    execute(connection, "ROLLBACK").await.ok();
                    return Ok(Inserted::RolledBack);
                }
            }
            at = row + 1;
        }
        Ok(Inserted::All)
    }

    fn single_statements(&self, n_rows: usize) -> String {
        let (head, group) = (&self.head, &self.group);
        let statements = if self.facts.has_triggers {
            format!("SAVEPOINT rowlift_row;{head}{group};RELEASE rowlift_row;")
        } else {
            format!("{head}{group};")
        };
        statements.repeat(n_rows)
    }

    fn statements_a_row(&self) -> usize {
        if self.facts.has_triggers { 3 } else { 1 }
    }

    fn is_insert(&self, statement: usize) -> bool {
        !self.facts.has_triggers || statement % 3 == 1
    }

    fn arguments<'q>(&self, request: &WriteRequest<'q>, rows: Range<usize>) -> SqliteArguments<'q> {
        let mut arguments = SqliteArguments::default();
        for row in rows {
            let row = request.batch.rows.row(row);
            for index in &self.columns {
                let ty = &self.plan.column(*index).ty;
                encode::bind(&mut arguments, row.value(*index), ty);
            }
        }
        arguments
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
