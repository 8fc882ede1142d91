//! Why SQLite refuses a row, in the words of the catalogue.
//!
//! In: an error and the row that raised it. Out: a [`RowViolation`]. SQLite's messages give names
//! unquoted (`UNIQUE constraint failed: t.a, t.b`), so they are not taken apart: what a
//! constraint's message would be is put together and compared. Foreign keys are not named at
//! all: the referenced tables are asked.

use std::collections::BTreeMap;

use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::verdicts::{Fate, Verdicts};
use crate::model::plan::WritePlan;
use crate::model::reject::{RowErrorCode, RowViolation};
use crate::model::table::{ForeignKey, Table, UniqueKey};
use crate::model::value::{Row, Value};
use crate::store::identifier::{Identifier, QualifiedName};
use crate::store::sqlite::encode;
use crate::store::sqlite::error::{Refusal, refusal, shown, store_error};
use crate::store::sqlite::sql::fetch_optional;
use crate::store::{StoreError, WriteRequest};

/// What the error that row `index` of the batch raised says of it; an error that is not the
/// row's fault is returned as such.
pub(super) async fn by_error(
    connection: &mut SqliteConnection,
    plan: &WritePlan,
    request: &WriteRequest<'_>,
    index: usize,
    error: sqlx::Error,
) -> Result<RowViolation, StoreError> {
    let sqlx::Error::Database(error) = error else {
        return Err(store_error(error));
    };
    let refusal = refusal(error.as_ref())?;
    if refusal != Refusal::ForeignKey {
        return Ok(violation(&plan.table, refusal, error.as_ref()));
    }
    let row = request.batch.rows.row(index);
    for key in plan.table.foreign_keys.iter().filter(|key| !key.deferred) {
        if is_dangling(connection, plan, key, row).await? {
            return Ok(dangling(key));
        }
    }
    // A trigger's own rows, or a key fed by defaults.
    let code = RowErrorCode::ForeignKeyViolation;
    Ok(plain_violation(code, "23503", error.message()))
}

/// The rows that a deferred foreign key keeps from being committed.
pub(super) async fn by_deferred_keys(
    connection: &mut SqliteConnection,
    request: &WriteRequest<'_>,
    verdicts: &Verdicts,
) -> Result<BTreeMap<usize, RowViolation>, StoreError> {
    let plan = request.plan;
    let mut late = BTreeMap::new();
    for key in plan.table.foreign_keys.iter().filter(|key| key.deferred) {
        let kept_by_updates = key.columns.iter().any(|column| {
            let index = plan.index_of(column);
            index.is_some_and(|index| plan.columns[index].insert_only)
        });
        for (index, row) in request.batch.rows.rows().enumerate() {
            let is_written = match verdicts.fate(index) {
                Some(Fate::Inserted) => true,
                Some(Fate::Updated) => !kept_by_updates,
                Some(Fate::Unchanged | Fate::Skipped) | None => false,
            };
            if is_written
                && !late.contains_key(&index)
                && is_dangling(connection, plan, key, row).await?
            {
                late.insert(index, dangling(key));
            }
        }
    }
    Ok(late)
}

/// A row that finds none to update, where it may not be a new one.
pub(super) fn no_match(key: Option<&UniqueKey>) -> RowViolation {
    let name = key.map(|key| key.name.clone()).unwrap_or_default();
    RowViolation {
        code: RowErrorCode::NoMatch,
        message: format!("no row has this value, unique key \"{}\"", shown(&name)),
        constraint: name,
        column: String::new(),
        sql_state: String::new(),
    }
}

/// A new row without a value that it needs.
pub(super) fn required(plan: &WritePlan, column: Option<usize>) -> RowViolation {
    let column = column.map(|index| plan.column(index).name.clone());
    RowViolation {
        column: column.unwrap_or_default(),
        ..plain_violation(
            RowErrorCode::RequiredMissing,
            "23502",
            "no row has this key, and a new one needs a value",
        )
    }
}

/// Whether the row that `key` refers to is missing. A key with a NULL, or with a column that the
/// plan does not fill, is not looked at.
async fn is_dangling(
    connection: &mut SqliteConnection,
    plan: &WritePlan,
    key: &ForeignKey,
    row: Row<'_>,
) -> Result<bool, StoreError> {
    let mut arguments = SqliteArguments::default();
    let mut conditions = Vec::new();
    for (column, foreign) in key.columns.iter().zip(&key.foreign_columns) {
        let Some(index) = plan.index_of(column) else {
            return Ok(false);
        };
        let value = row.value(index);
        if matches!(value, Value::Null | Value::Unset | Value::Default) {
            return Ok(false);
        }
        encode::bind(&mut arguments, value, &plan.column(index).ty);
        conditions.push(format!("p.{} = ?", Identifier::new(foreign)));
    }
    // Qualified, because SQLite reads a quoted name that it does not know as a string.
    let table = QualifiedName::from(&key.foreign_table);
    let conditions = conditions.join(" AND ");
    let sql = format!("SELECT 1 FROM {table} AS p WHERE {conditions}");
    let query = sqlx::query_with(&sql, arguments);
    let found = fetch_optional(connection, query).await?;
    Ok(found.is_none())
}

fn dangling(key: &ForeignKey) -> RowViolation {
    RowViolation {
        code: RowErrorCode::ForeignKeyViolation,
        constraint: key.name.clone(),
        column: String::new(),
        sql_state: "23503".to_owned(),
        message: format!(
            "no row of \"{}\" has this value, foreign key \"{}\"",
            shown(&key.foreign_table.name),
            shown(&key.name)
        ),
    }
}

fn violation(table: &Table, refusal: Refusal, error: &dyn DatabaseError) -> RowViolation {
    let message = error.message();
    let plain = |code, sql_state| plain_violation(code, sql_state, message);
    match refusal {
        Refusal::Unique => match unique_key(table, message) {
            None => plain(RowErrorCode::UniqueViolation, "23505"),
            Some(key) => RowViolation {
                constraint: key.name.clone(),
                message: format!(
                    "another row has this value, unique key \"{}\"",
                    shown(&key.name)
                ),
                ..plain(RowErrorCode::UniqueViolation, "23505")
            },
        },
        Refusal::Check => {
            let name = message.strip_prefix("CHECK constraint failed: ");
            let check = name.and_then(|name| table.checks.iter().find(|it| it.name == name));
            RowViolation {
                constraint: check.map(|check| check.name.clone()).unwrap_or_default(),
                ..plain(RowErrorCode::CheckViolation, "23514")
            }
        }
        Refusal::NotNull => RowViolation {
            column: named_column(table, message, "NOT NULL constraint failed: "),
            ..plain(RowErrorCode::RequiredMissing, "23502")
        },
        Refusal::Datatype => RowViolation {
            column: named_column(table, message, " column "),
            ..plain(RowErrorCode::TypeMismatch, "22000")
        },
        Refusal::TooBig => plain(RowErrorCode::TooLong, "22001"),
        Refusal::ForeignKey => plain(RowErrorCode::ForeignKeyViolation, "23503"),
        Refusal::Other => plain(RowErrorCode::Database, ""),
    }
}

fn plain_violation(code: RowErrorCode, sql_state: &str, message: &str) -> RowViolation {
    RowViolation {
        code,
        constraint: String::new(),
        column: String::new(),
        sql_state: sql_state.to_owned(),
        message: shown(message),
    }
}

/// The key whose message this is. A plain key stands before a partial one on the same columns.
fn unique_key<'t>(table: &'t Table, message: &str) -> Option<&'t UniqueKey> {
    let named = message.strip_prefix("UNIQUE constraint failed: ")?;
    let is_named = |key: &&UniqueKey| {
        let table = &table.name.name;
        let columns = key.columns.iter().map(|column| format!("{table}.{column}"));
        named == columns.collect::<Vec<String>>().join(", ")
            || named == format!("index '{}'", key.name.replace('\'', "''"))
    };
    let keys = || table.unique_keys.iter().filter(is_named);
    keys().find(|key| key.plain).or_else(|| keys().next())
}

/// The column at the end of a message, behind `before`.
fn named_column(table: &Table, message: &str, before: &str) -> String {
    let is_named = |column: &&str| {
        let end = format!("{before}{}.{column}", table.name.name);
        message.ends_with(&end)
    };
    let names = table.columns.iter().map(|column| column.name.as_str());
    names
        .into_iter()
        .find(is_named)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests;
