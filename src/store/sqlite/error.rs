//! What SQLite's errors mean for a batch or an import: the one place that reads result codes.
//!
//! In: errors of SQLx. Out: [`StoreError`]s, or, while a row is written, the verdict that the row
//! itself is refused. SQLite has no SQLSTATE; the ones given are the standard's for the same
//! condition.

use std::fmt::Write;

use sqlx::error::DatabaseError;

use crate::model::import::{Failure, Reason};
use crate::store::StoreError;

// Primary result codes, https://www.sqlite.org/rescode.html.
const ERROR: i32 = 1;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const SCHEMA: i32 = 17;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;

// Extended result codes of CONSTRAINT.
const CONSTRAINT_CHECK: i32 = 275;
const CONSTRAINT_FOREIGNKEY: i32 = 787;
const CONSTRAINT_NOTNULL: i32 = 1299;
const CONSTRAINT_PRIMARYKEY: i32 = 1555;
const CONSTRAINT_UNIQUE: i32 = 2067;
const CONSTRAINT_ROWID: i32 = 2579;
const CONSTRAINT_DATATYPE: i32 = 3091;

/// Why SQLite refuses one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A unique key, the primary key or the rowid.
    Unique,
    /// A foreign key, which SQLite does not name.
    ForeignKey,
    /// A check.
    Check,
    /// NOT NULL.
    NotNull,
    /// A strict table's type, or a key that is no integer.
    Datatype,
    /// Longer than SQLite stores.
    TooBig,
    /// Anything else: RAISE in a trigger, a function's error.
    Other,
}

/// Sorts an error of SQLx; rows are not at fault here.
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(error) => database_error(error.as_ref()),
        sqlx::Error::Io(error) => transient("08006", &error.to_string()),
        sqlx::Error::PoolTimedOut => transient("53300", "no SQLite connection is free"),
        sqlx::Error::WorkerCrashed => transient("08006", "the SQLite connection broke"),
        sqlx::Error::PoolClosed => unavailable("the store is closed"),
        other => internal(&other.to_string()),
    }
}

/// Why a row is refused, or the error if it is not the row's fault.
pub(super) fn refusal(error: &dyn DatabaseError) -> Result<Refusal, StoreError> {
    let code = code(error);
    match code & 0xff {
        CONSTRAINT => Ok(match code {
            CONSTRAINT_UNIQUE | CONSTRAINT_PRIMARYKEY | CONSTRAINT_ROWID => Refusal::Unique,
            CONSTRAINT_FOREIGNKEY => Refusal::ForeignKey,
            CONSTRAINT_CHECK => Refusal::Check,
            CONSTRAINT_NOTNULL => Refusal::NotNull,
            CONSTRAINT_DATATYPE => Refusal::Datatype,
            _ => Refusal::Other,
        }),
        MISMATCH => Ok(Refusal::Datatype),
        TOOBIG => Ok(Refusal::TooBig),
        // Functions in checks, triggers and generated columns raise with this code, and so do
        // statements that do not fit the schema.
        ERROR if !is_schema_message(error.message()) => Ok(Refusal::Other),
        _ => Err(database_error(error)),
    }
}

/// Whether COMMIT failed because a deferred foreign key does not hold.
pub(super) fn is_deferred_violation(error: &sqlx::Error) -> bool {
    let database = error.as_database_error();
    database.is_some_and(|error| code(error) == CONSTRAINT_FOREIGNKEY)
}

/// A broken invariant or something that SQLite should not say.
pub(super) fn internal(message: &str) -> StoreError {
    StoreError::Failed(Failure::new(Reason::Internal, shown(message)))
}

/// The database can't be used.
pub(super) fn unavailable(message: &str) -> StoreError {
    StoreError::Failed(Failure::new(Reason::DatabaseUnavailable, shown(message)))
}

/// Text of a database as it may be shown: control characters escaped, 256 characters at most.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (n_chars, char) in text.chars().enumerate() {
        if n_chars == 256 {
            shown.push('…');
            break;
        }
        if char.is_control() {
            write!(shown, "{}", char.escape_default()).expect("a string takes all that is written");
        } else {
            shown.push(char);
        }
    }
    shown
}

fn database_error(error: &dyn DatabaseError) -> StoreError {
    let failed = |reason| StoreError::Failed(Failure::new(reason, shown(error.message())));
    match code(error) & 0xff {
        BUSY | LOCKED => transient("55P03", error.message()),
        IOERR => transient("58030", error.message()),
        INTERRUPT => StoreError::Deadline,
        READONLY => failed(Reason::ReadOnly),
        FULL => failed(Reason::DiskFull),
        SCHEMA => failed(Reason::SchemaChanged),
        ERROR if is_schema_message(error.message()) => failed(Reason::SchemaChanged),
        // CANTOPEN, CORRUPT, NOTADB, PERM, AUTH, PROTOCOL: nothing that a retry mends.
        CANTOPEN | 3 | 11 | 15 | 23 | 26 => failed(Reason::DatabaseUnavailable),
        _ => failed(Reason::Internal),
    }
}

/// Whether a message says that table or column are gone.
fn is_schema_message(message: &str) -> bool {
    message.starts_with("no such table: ")
        || (message.starts_with("table ") && message.contains(" has no column named "))
        || (message.starts_with("table ") && message.contains(" values were supplied"))
        || message.starts_with("no such column: ")
        || message.starts_with("cannot INSERT into generated column ")
}

fn transient(sql_state: &str, message: &str) -> StoreError {
    StoreError::Transient {
        sql_state: sql_state.to_owned(),
        message: shown(message),
    }
}

/// The extended result code.
fn code(error: &dyn DatabaseError) -> i32 {
    let code = error.code().and_then(|code| code.parse().ok());
    code.unwrap_or(ERROR)
}
