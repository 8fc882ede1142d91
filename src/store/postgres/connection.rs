//! One transaction on one connection of a pool.
//!
//! In: statements. Out: rows. A connection goes back to its pool only after COMMIT or ROLLBACK
//! was answered; in every other case, a dropped future included, it is detached and its socket
//! closed. A dropped COPY or statement would otherwise come back desynchronised, and
//! a dropped [`sqlx::Transaction`] only queues its ROLLBACK behind it. The server notices the closed
//! socket within `client_connection_check_interval` and rolls back.
//!
//! Statements without parameters go as simple queries; those with parameters are unnamed and run
//! inside the explicit transaction that this type is, so that a transaction-pooling PgBouncer may
//! stand in between.

use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgArguments, PgConnection, PgCopyIn, PgRow};

use super::pool::{Lease, Pool};

/// How long a transaction may wait for its client, which sends one statement after the other.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Notices are the words of triggers, which may quote rows: none is sent.
const QUIET: &str = "SET LOCAL client_min_messages = error; ";

/// An open transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    connection: Lease,
}

/// What a transaction may take, as the database itself enforces it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For each statement.
    pub(super) statement: Duration,
    /// The server has `client_connection_check_interval` (PostgreSQL 14 and newer).
    pub(super) checks_client: bool,
}

impl Limits {
    /// `BEGIN` with the limits, to be followed by more statements of the same simple query.
    pub(super) fn begin(self) -> String {
        self.begin_idle(IDLE_MAX)
    }

    /// The same for a transaction that waits for its client between statements, for at most `idle`.
    pub(super) fn begin_idle(self, idle: Duration) -> String {
        let idle_ms = idle.as_millis();
        let statement = self.statement_timeout();
        let check = if self.checks_client {
            "SET LOCAL client_connection_check_interval = 500; "
        } else {
            ""
        };
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; {statement}; \
             SET LOCAL idle_in_transaction_session_timeout = {idle_ms}; {QUIET}{check}"
        )
    }
}

impl Limits {
    /// The bound on statements alone, for a transaction that goes on.
    pub(super) fn statement_timeout(self) -> String {
        let statement_ms = self.statement.as_millis().max(1);
        format!("SET LOCAL statement_timeout = {statement_ms}")
    }
}

impl Transaction {
    /// Takes a connection and sends `prologue`, which begins the transaction.
    pub(super) async fn begin(
        pool: &Pool,
        prologue: &str,
    ) -> Result<(Transaction, Vec<PgRow>), sqlx::Error> {
        let mut transaction = Transaction {
            connection: pool.acquire().await?,
        };
        let rows = transaction.simple(prologue).await?;
        Ok((transaction, rows))
    }

    /// Sends statements without parameters and returns the rows of all of them.
    pub(super) async fn simple(&mut self, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        self.connection().fetch_all(sqlx::raw_sql(sql)).await
    }

    /// Sends one statement with parameters and returns its rows.
    pub(super) async fn fetch(
        &mut self,
        sql: &str,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let query = sqlx::query_with(sql, arguments).persistent(false);
        self.connection().fetch_all(query).await
    }

    /// Sends one statement with parameters and returns how many rows it touched.
    pub(super) async fn execute(
        &mut self,
        sql: &str,
        arguments: PgArguments,
    ) -> Result<u64, sqlx::Error> {
        let query = sqlx::query_with(sql, arguments).persistent(false);
        let done = self.connection().execute(query).await?;
        Ok(done.rows_affected())
    }

    /// Begins `COPY ... FROM STDIN`.
    pub(super) async fn copy_in(
        &mut self,
        sql: &str,
    ) -> Result<PgCopyIn<&mut PgConnection>, sqlx::Error> {
        self.connection().copy_in_raw(sql).await
    }

    /// Commits; the connection goes back to its pool.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end_with("COMMIT").await
    }

    /// Rolls back; the connection goes back to its pool.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.end_with("ROLLBACK").await
    }

    /// Sends statements of which the last one ends the transaction.
    pub(super) async fn end_with(mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.simple(sql).await?;
        self.ended();
        Ok(())
    }

    /// The transaction has ended by a statement that was answered.
    pub(super) fn ended(self) {
        self.connection.give_back();
    }

    /// Rolls back and begins anew on the same connection.
    pub(super) async fn restart(&mut self, prologue: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        self.simple("ROLLBACK").await?;
        self.simple(prologue).await
    }

    fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
