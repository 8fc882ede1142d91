//! Statements, run: SQLx's calls with plain types.
//!
//! Boxed, because a future that holds SQLx's generic one across an await cannot be shown to be
//! `Send` for every lifetime, which a trait object's method has to be.

use futures::TryStreamExt;
use futures::future::BoxFuture;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Either, Executor, Row, Sqlite};

use super::error::store_error;
use crate::store::StoreError;

/// A statement with its parameters.
pub(super) type Statement<'q> = Query<'q, Sqlite, SqliteArguments<'q>>;

/// Runs a statement without parameters.
pub(super) fn execute<'a>(
    connection: &'a mut SqliteConnection,
    sql: &'static str,
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move { try_execute(connection, sql).await.map_err(store_error) })
}

/// Runs a statement without parameters, for callers that tell errors apart.
pub(super) fn try_execute<'a>(
    connection: &'a mut SqliteConnection,
    sql: &'static str,
) -> BoxFuture<'a, Result<(), sqlx::Error>> {
    Box::pin(async move { connection.execute(sql).await.map(|_| ()) })
}

/// Runs a statement that returns no rows.
pub(super) fn run<'a>(
    connection: &'a mut SqliteConnection,
    statement: Statement<'a>,
) -> BoxFuture<'a, Result<(), StoreError>> {
    Box::pin(async move {
        let done = try_run(connection, statement).await;
        done.map(|_| ()).map_err(store_error)
    })
}

/// Runs a statement and counts the rows it changed.
pub(super) fn run_counted<'a>(
    connection: &'a mut SqliteConnection,
    statement: Statement<'a>,
) -> BoxFuture<'a, Result<u64, StoreError>> {
    Box::pin(async move { try_run(connection, statement).await.map_err(store_error) })
}

/// Runs a statement and counts the rows it changed, for callers that tell errors apart.
pub(super) fn try_run<'a>(
    connection: &'a mut SqliteConnection,
    statement: Statement<'a>,
) -> BoxFuture<'a, Result<u64, sqlx::Error>> {
    Box::pin(async move {
        let done = statement.execute(connection).await?;
        Ok(done.rows_affected())
    })
}

/// What one of several statements did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ran {
    /// Rows that it changed; of a statement that changes none, those of the one before.
    pub(super) changed: u64,
    /// The number in the first column of its last row.
    pub(super) first: Option<i64>,
}

/// Runs several statements in one command up to the first that fails: what each of those that
/// ran did, and the error.
pub(super) fn run_many<'a>(
    connection: &'a mut SqliteConnection,
    statements: Statement<'a>,
) -> BoxFuture<'a, (Vec<Ran>, Result<(), sqlx::Error>)> {
    Box::pin(async move {
        let mut ran = Vec::new();
        let mut first = None;
        let mut results = connection.fetch_many(statements);
        loop {
            match results.try_next().await {
                Ok(Some(Either::Left(done))) => ran.push(Ran {
                    changed: done.rows_affected(),
                    first: first.take(),
                }),
                Ok(Some(Either::Right(row))) => first = Some(row.get_unchecked(0)),
                Ok(None) => return (ran, Ok(())),
                Err(error) => return (ran, Err(error)),
            }
        }
    })
}

/// All rows of a statement that returns a bounded number of them.
pub(super) fn fetch_all<'a>(
    connection: &'a mut SqliteConnection,
    statement: Statement<'a>,
) -> BoxFuture<'a, Result<Vec<SqliteRow>, StoreError>> {
    Box::pin(async move { statement.fetch_all(connection).await.map_err(store_error) })
}

/// The only row of a statement.
pub(super) fn fetch_one<'a>(
    connection: &'a mut SqliteConnection,
    statement: Statement<'a>,
) -> BoxFuture<'a, Result<SqliteRow, StoreError>> {
    Box::pin(async move { statement.fetch_one(connection).await.map_err(store_error) })
}

/// The first row of a statement, if it has any.
pub(super) fn fetch_optional<'a>(
    connection: &'a mut SqliteConnection,
    statement: Statement<'a>,
) -> BoxFuture<'a, Result<Option<SqliteRow>, StoreError>> {
    Box::pin(async move {
        let row = statement.fetch_optional(connection).await;
        row.map_err(store_error)
    })
}
