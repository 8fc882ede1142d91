//! What a database's error means: the one place that reads SQLSTATEs.
//!
//! In: [`sqlx::Error`]s. Out: a [`Refusal`] that concerns a row, or a [`StoreError`] that ends
//! the batch or the import (api.md, status codes).

use sqlx::postgres::PgDatabaseError;

use crate::model::import::{Failure, Reason};
use crate::model::reject::{RowErrorCode, RowViolation};
use crate::model::table::{Column, Table};
use crate::store::StoreError;

/// Characters of a database's message that are shown.
const MESSAGE_CHARS_MAX: usize = 256;

/// The database refused a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// SQLSTATE.
    pub(super) sql_state: String,
    /// As the database names it; a shard's suffix included.
    constraint: String,
    /// Column that the database names.
    column: String,
    /// The database's words.
    message: String,
    /// From a COPY's context: the line, from 1, and the rest of the context after it.
    copy_line: Option<(usize, String)>,
    /// `schema.table` that the error is about.
    table: (String, String),
}

/// Why statements that write rows did not succeed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A row is at fault; the transaction can go on from its last savepoint.
    Refused(Refusal),
    /// The batch cannot be written now, or ever.
    Fatal(StoreError),
}

impl Refusal {
    /// Index, among the rows of the statement, of the row at fault where the database tells.
    /// A hint: rows are rejected for what they do when written alone.
    pub(super) fn row_hint(&self) -> Option<usize> {
        self.copy_line.as_ref()?.0.checked_sub(1)
    }

    /// Whether the error is the ledger's own, e.g. a range that is in already.
    pub(super) fn concerns(&self, schema: &str, table: &str) -> bool {
        self.table.0 == schema && self.table.1 == table
    }

    /// Whether a row was refused for what it would be as a new one: by a check, or for NULL.
    pub(super) fn is_of_new_row(&self) -> bool {
        matches!(self.sql_state.as_str(), "23502" | "23514")
    }

    /// In the words that a rejected row is explained with.
    pub(super) fn violation(&self, table: &Table) -> RowViolation {
        let code = row_code(&self.sql_state);
        let constraint = catalogue_name(table, &self.constraint);
        let column = if self.column.is_empty() {
            self.copy_column(table).map(|column| column.name.clone())
        } else {
            Some(self.column.clone())
        };
        RowViolation {
            code,
            message: explain(code, &constraint, &self.message),
            constraint,
            column: column.unwrap_or_default(),
            sql_state: self.sql_state.clone(),
        }
    }

    /// The column that a COPY's context names: `, column NAME` or `, column NAME: "value"`.
    fn copy_column<'t>(&self, table: &'t Table) -> Option<&'t Column> {
        let rest = self.copy_line.as_ref()?.1.strip_prefix(", column ")?;
        table
            .columns
            .iter()
            .filter(|column| {
                rest.strip_prefix(column.name.as_str())
                    .is_some_and(|after| after.is_empty() || after.starts_with(": "))
            })
            .max_by_key(|column| column.name.len())
    }
}

/// What kept a row out although no statement failed: a trigger returned NULL for it.
pub(super) fn swallowed() -> RowViolation {
    RowViolation {
        code: RowErrorCode::Database,
        constraint: String::new(),
        column: String::new(),
        sql_state: String::new(),
        message: "the table took no row: a trigger or rule of it left the row out".to_owned(),
    }
}

/// The message for a constraint, the same whether a probe or an error found it.
pub(super) fn explain(code: RowErrorCode, constraint: &str, database_message: &str) -> String {
    let constraint = shown(constraint);
    match code {
        RowErrorCode::UniqueViolation if !constraint.is_empty() => {
            format!("another row has this value already (unique key \"{constraint}\")")
        }
        RowErrorCode::ForeignKeyViolation if !constraint.is_empty() => {
            format!("the referenced row does not exist (foreign key \"{constraint}\")")
        }
        RowErrorCode::CheckViolation if !constraint.is_empty() => {
            format!("refused by the check \"{constraint}\"")
        }
        RowErrorCode::ExclusionViolation if !constraint.is_empty() => {
            format!("conflicts with another row (exclusion constraint \"{constraint}\")")
        }
        RowErrorCode::RequiredMissing => "no value for a column that needs one".to_owned(),
        RowErrorCode::NoMatch => "no row has this key".to_owned(),
        _ => shown(database_message),
    }
}

/// The row's part of an error while rows are written; anything else ends the batch.
pub(super) fn while_writing(error: sqlx::Error) -> Trouble {
    match database_error(&error) {
        Some(database) if concerns_row(database.code()) => Trouble::Refused(refusal(database)),
        _ => Trouble::Fatal(fatal(error)),
    }
}

/// An error of the ledger or the catalogue, where no row is at fault.
pub(super) fn of_ledger(error: sqlx::Error) -> StoreError {
    let Some(database) = database_error(&error) else {
        return fatal(error);
    };
    let state = database.code();
    if !concerns_row(state) {
        return fatal(error);
    }
    let reason = match state.get(..2) {
        // Text that the database cannot hold, such as U+0000 in a label or an id.
        Some("22") => Reason::InvalidOption,
        _ => Reason::Internal,
    };
    let message = format!("the ledger refused a value: {}", shown(database.message()));
    StoreError::Failed(Failure::new(reason, message).with("sql_state", state))
}

/// Whether the error is a conflict on a unique key.
pub(super) fn is_unique_violation(error: &sqlx::Error) -> bool {
    database_error(error).is_some_and(|database| database.code() == "23505")
}

/// The SQLSTATE, if the database answered at all.
pub(super) fn sql_state(error: &sqlx::Error) -> Option<&str> {
    database_error(error).map(PgDatabaseError::code)
}

/// A connection that broke or could not be had.
pub(super) fn lost(message: &str) -> StoreError {
    StoreError::Transient {
        sql_state: "08006".to_owned(),
        message: message.to_owned(),
    }
}

fn database_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error
        .as_database_error()
        .and_then(|database| database.try_downcast_ref::<PgDatabaseError>())
}

/// Whether an error raised while a row is written concerns the row (api.md).
fn concerns_row(sql_state: &str) -> bool {
    !matches!(
        sql_state.get(..2),
        Some(
            "08" | "25"
                | "28"
                | "3D"
                | "3F"
                | "40"
                | "42"
                | "53"
                | "54"
                | "55"
                | "57"
                | "58"
                | "F0"
                | "XX"
        ) | None
    )
}

fn row_code(sql_state: &str) -> RowErrorCode {
    match sql_state {
        "23502" => RowErrorCode::RequiredMissing,
        "23505" => RowErrorCode::UniqueViolation,
        "23503" => RowErrorCode::ForeignKeyViolation,
        "23514" => RowErrorCode::CheckViolation,
        "23P01" => RowErrorCode::ExclusionViolation,
        "22001" => RowErrorCode::TooLong,
        "22003" => RowErrorCode::OutOfRange,
        "22P02" | "22007" | "22008" => RowErrorCode::TypeMismatch,
        "22021" => RowErrorCode::InvalidText,
        _ => RowErrorCode::Database,
    }
}

fn refusal(database: &PgDatabaseError) -> Refusal {
    let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
    Refusal {
        sql_state: database.code().to_owned(),
        constraint: text(database.constraint()),
        column: text(database.column()),
        message: database.message().to_owned(),
        copy_line: database.r#where().and_then(copy_line),
        table: (text(database.schema()), text(database.table())),
    }
}

/// The line that `COPY name, line N...` names, and what follows the number. A table's name may
/// itself hold such a text, so this is a hint only.
fn copy_line(context: &str) -> Option<(usize, String)> {
    let (_, copy) = context.rsplit_once("COPY ")?;
    let (_, rest) = copy.split_once(", line ")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    Some((number.parse().ok()?, after.to_owned()))
}

/// The catalogue's name of a constraint that may carry a shard's number (`name_102009`).
fn catalogue_name(table: &Table, constraint: &str) -> String {
    if !table.constraint_columns(constraint).is_empty() {
        return constraint.to_owned();
    }
    if let Some((name, shard)) = constraint.rsplit_once('_') {
        let numbered = !shard.is_empty() && shard.bytes().all(|byte| byte.is_ascii_digit());
        if numbered && !table.constraint_columns(name).is_empty() {
            return name.to_owned();
        }
    }
    constraint.to_owned()
}

fn fatal(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::PoolTimedOut => StoreError::Transient {
            sql_state: "53300".to_owned(),
            message: "no connection became free in time".to_owned(),
        },
        sqlx::Error::Configuration(_) => StoreError::Failed(Failure::new(
            Reason::Internal,
            "the database's configuration cannot be used",
        )),
        sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => StoreError::Failed(Failure::new(
            Reason::Internal,
            "the database's answer is not of the expected form",
        )),
        sqlx::Error::Database(_) => match database_error(&error) {
            Some(database) => fatal_state(database.code(), database.message()),
            None => lost("the database answered with an unknown error"),
        },
        // Io, Tls, Protocol, a closed pool, a crashed worker: the connection is gone.
        other => lost(&format!("connection to the database lost: {other}")),
    }
}

fn fatal_state(state: &str, message: &str) -> StoreError {
    let failed = |reason, message: String| {
        StoreError::Failed(Failure::new(reason, message).with("sql_state", state))
    };
    match state {
        "53100" => failed(Reason::DiskFull, "the database's disk is full".to_owned()),
        "42501" => failed(
            Reason::PermissionDenied,
            format!("the database does not permit it: {}", shown(message)),
        ),
        "42703" | "42P01" | "42804" | "42704" | "428C9" | "3F000" => failed(
            Reason::SchemaChanged,
            format!("the table is no longer what it was: {}", shown(message)),
        ),
        _ => match state.get(..2) {
            Some("54") => failed(
                Reason::LimitExceeded,
                format!("beyond a limit of the database: {}", shown(message)),
            ),
            Some("42") => failed(
                Reason::Internal,
                format!("the database refused a statement: {}", shown(message)),
            ),
            _ => StoreError::Transient {
                sql_state: state.to_owned(),
                message: condition(state).to_owned(),
            },
        },
    }
}

/// What a state means, for the log. The database's own words are not logged: a trigger may raise
/// any state with a row's values in its message.
fn condition(sql_state: &str) -> &'static str {
    match sql_state {
        "25006" => "the database takes no writes",
        "25P03" => "a transaction was idle for too long",
        "40001" => "the transaction could not be serialized",
        "40P01" => "a deadlock",
        "53200" => "the database is out of memory",
        "53300" => "the database has no connection free",
        "55P03" => "a lock was not available",
        "57014" => "the statement took too long, or was cancelled",
        "57P01" => "the connection was ended by an administrator",
        "57P02" => "the database crashed",
        "57P03" => "the database takes no connections now",
        _ => match sql_state.get(..2) {
            Some("08") => "the connection was lost",
            Some("28") => "the database does not let the service in",
            Some("53") => "the database lacks resources",
            Some("58") => "a fault of the database's system",
            Some("XX") => "a fault inside the database",
            _ => "the database did not do it; its own log may say why",
        },
    }
}

/// A text for people: control characters escaped, cut.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MESSAGE_CHARS_MAX));
    for (index, c) in text.chars().enumerate() {
        if index == MESSAGE_CHARS_MAX {
            shown.push('…');
            break;
        }
        if c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests;
