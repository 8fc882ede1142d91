//! Rows of a piece in one statement, or two.
//!
//! In: a piece of a batch inside an open transaction. Out: what became of it.
//!
//! An INSERT that may be undone copies each page before it changes it, some 10 KiB a row with random
//! keys; so one that keeps the rows before the one it fails at is taken where the number of
//! rows that are in says which one that is. Where it does not, the whole batch begins anew with
//! statements that do all or nothing.
//!
//! The two statements of an UPDATE do what the rows would one by one, or fail: an INSERT that
//! finds a key leaves its row to the second statement, which changes nothing of a row that the
//! first has put there, and rows with one key stay in their order.

use std::ops::Range;

use sqlx::Row as _;
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::Run;
use crate::model::plan::OnConflict;
use crate::store::StoreError;
use crate::store::sqlite::error::{Refusal, internal, refusal, store_error};
use crate::store::sqlite::sql::{execute, fetch_one, try_run};
use crate::store::sqlite::write::facts::Pieces;
use crate::store::sqlite::write::refuse;
use crate::store::sqlite::write::verdicts::{Fate, Verdicts};

/// What became of a piece that went in one statement.
pub(super) enum Together {
    /// All of it has its verdicts.
    In,
    /// A row was refused, and none is in.
    Refused,
    /// All up to this row have their verdicts.
    UpTo(usize),
    /// See [`Undo`](super::Written::Undo).
    Undo,
}

impl Run<'_> {
    /// One statement, or two.
    pub(super) async fn together(
        &self,
        connection: &mut SqliteConnection,
        piece: Range<usize>,
        verdicts: &mut Verdicts,
    ) -> Result<Together, StoreError> {
        let n_rows = piece.len() as u64;
        match self.request.plan.on_conflict {
            OnConflict::Reject | OnConflict::Skip { .. } => {
                if self.facts.pieces == Pieces::Kept && !verdicts.is_careful {
                    return self.keep_together(connection, piece, verdicts).await;
                }
                let Some(n_inserted) = self.insert_whole(connection, piece).await? else {
                    return Ok(Together::Refused);
                };
                self.count_inserted(n_rows, n_inserted, verdicts)?;
            }
            OnConflict::Update { .. } => {
                execute(connection, "SAVEPOINT rowlift_piece").await?;
                let merged = self.merge(connection, piece).await?;
                end_piece(connection, merged.is_some()).await?;
                let Some((n_inserted, n_updated)) = merged else {
                    return Ok(Together::Refused);
                };
                let n_unchanged = n_rows.checked_sub(n_inserted + n_updated);
                let n_unchanged =
                    n_unchanged.ok_or_else(|| internal("an upsert wrote more rows than it has"))?;
                verdicts.count(Fate::Inserted, n_inserted);
                verdicts.count(Fate::Updated, n_updated);
                verdicts.count(Fate::Unchanged, n_unchanged);
            }
        }
        Ok(Together::In)
    }

    /// Rows of one INSERT; `None` if a row was refused, in which case none is in. SQLite undoes what a
    /// statement did before it failed only where it was prepared for that, and it is not for the type
    /// of a strict table that has no other constraint.
    async fn insert_whole(
        &self,
        connection: &mut SqliteConnection,
        piece: Range<usize>,
    ) -> Result<Option<u64>, StoreError> {
        let sql = self.statements.insert(piece.len());
        if piece.len() == 1 {
            return Ok(self.try_many(connection, &sql, piece).await?.ok());
        }
        execute(connection, "SAVEPOINT rowlift_piece").await?;
        let inserted = self.try_many(connection, &sql, piece).await?;
        end_piece(connection, inserted.is_ok()).await?;
        Ok(inserted.ok())
    }

    /// One INSERT that keeps the rows before the one that it fails at.
    async fn keep_together(
        &self,
        connection: &mut SqliteConnection,
        piece: Range<usize>,
        verdicts: &mut Verdicts,
    ) -> Result<Together, StoreError> {
        let plan = self.request.plan;
        let sql = self.statements.insert_together(piece.len());
        let error = match self.try_many(connection, &sql, piece.clone()).await? {
            Ok(n_inserted) => {
                self.count_inserted(piece.len() as u64, n_inserted, verdicts)?;
                return Ok(Together::In);
            }
            Err(error) => error,
        };
        // Other errors, such as a function's, come without a count; and rows that were skipped
        // are not counted.
        let is_counted = plan.on_conflict == OnConflict::Reject
            && matches!(
                refusal(error.as_ref())?,
                Refusal::Unique | Refusal::NotNull | Refusal::Check
            );
        if !is_counted {
            verdicts.is_careful = true;
            return Ok(Together::Undo);
        }
        let counted = fetch_one(connection, sqlx::query("SELECT changes()")).await?;
        let n_inserted: i64 = counted.get(0);
        let n_inserted = usize::try_from(n_inserted).unwrap_or(usize::MAX);
        let row = piece.start.saturating_add(n_inserted);
        if row >= piece.end {
            return Err(internal("an INSERT failed after its last row"));
        }
        verdicts.count(Fate::Inserted, n_inserted as u64);
        let error = sqlx::Error::Database(error);
        let violation = refuse::by_error(connection, plan, self.request, row, error).await?;
        verdicts.refused.insert(row, violation);
        Ok(Together::UpTo(row))
    }

    /// Counts the rows of an INSERT that did not fail: what is not in was skipped.
    fn count_inserted(
        &self,
        n_rows: u64,
        n_inserted: u64,
        verdicts: &mut Verdicts,
    ) -> Result<(), StoreError> {
        verdicts.count(Fate::Inserted, n_inserted);
        match n_rows.checked_sub(n_inserted) {
            Some(0) => {}
            Some(n_skipped) if self.key.is_some() => verdicts.count(Fate::Skipped, n_skipped),
            _ => return Err(internal("an INSERT wrote fewer rows than it was given")),
        }
        Ok(())
    }

    /// Rows inserted and rows updated; `None` if a row was refused.
    async fn merge(
        &self,
        connection: &mut SqliteConnection,
        piece: Range<usize>,
    ) -> Result<Option<(u64, u64)>, StoreError> {
        let n_rows = piece.len();
        let sql = self.statements.insert(n_rows);
        let Ok(n_inserted) = self.try_many(connection, &sql, piece.clone()).await? else {
            return Ok(None);
        };
        let sql = self.statements.update(n_rows).unwrap_or_default();
        if n_inserted == n_rows as u64 || sql.is_empty() {
            return Ok(Some((n_inserted, 0)));
        }
        let updated = self.try_many(connection, &sql, piece).await?;
        Ok(updated.ok().map(|n_updated| (n_inserted, n_updated)))
    }

    /// Rows that a statement of many changed, or why it was refused because of one.
    async fn try_many(
        &self,
        connection: &mut SqliteConnection,
        sql: &str,
        piece: Range<usize>,
    ) -> Result<Result<u64, Box<dyn DatabaseError>>, StoreError> {
        let mut arguments = SqliteArguments::default();
        for row in piece {
            let row = self.request.batch.rows.row(row);
            self.statements.bind(self.request.plan, row, &mut arguments);
        }
        match try_run(connection, sqlx::query_with(sql, arguments)).await {
            Ok(n_rows) => Ok(Ok(n_rows)),
            Err(sqlx::Error::Database(error)) => refusal(error.as_ref()).map(|_| Err(error)),
            Err(error) => Err(store_error(error)),
        }
    }
}

/// Ends a piece's savepoint, with all that was done in it or with nothing.
async fn end_piece(connection: &mut SqliteConnection, is_in: bool) -> Result<(), StoreError> {
    if !is_in {
        execute(connection, "ROLLBACK TO rowlift_piece").await?;
    }
    execute(connection, "RELEASE rowlift_piece").await
}
