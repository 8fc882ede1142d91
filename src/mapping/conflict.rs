//! By which key rows meet: once an import, when its columns are known.
//!
//! In: what the caller asks for, the table's unique keys, the mapped columns. Out: an
//! [`OnConflict`], or NO_UNIQUE_KEY with what could be done. Pure.

use crate::mapping::describe::quoted;
use crate::model::import::{Failure, Reason};
use crate::model::plan::{OnConflict, OnMissing};
use crate::model::table::{Table, UniqueKey};

/// What a row does that meets an existing key, as the caller asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConflictSpec {
    /// What it does.
    pub action: ConflictAction,
    /// Which key that is.
    pub key: KeyChoice,
}

/// What a row does that meets an existing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConflictAction {
    /// It is rejected.
    #[default]
    Reject,
    /// It is left out.
    Skip,
    /// The row with the key takes its values.
    Update(OnMissing),
}

/// Which unique key rows meet by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyChoice {
    /// The only one whose columns are all mapped.
    #[default]
    Automatic,
    /// The one over exactly these columns, in any order.
    Columns(Vec<String>),
    /// The one with this name; also partial and expression indexes.
    Name(String),
}

/// Finds the key; `mapped` are the names of the mapped columns.
pub(super) fn resolve(
    table: &Table,
    spec: &ConflictSpec,
    mapped: &[&str],
) -> Result<OnConflict, Failure> {
    if spec.action == ConflictAction::Reject {
        return Ok(OnConflict::Reject);
    }
    let key = match &spec.key {
        KeyChoice::Automatic => automatic(table, mapped)?,
        KeyChoice::Columns(columns) => by_columns(table, columns)?,
        KeyChoice::Name(name) => by_name(table, name)?,
    };
    let unmapped = table.unique_keys[key].columns.iter();
    let unmapped: Vec<String> = unmapped
        .filter(|column| !mapped.contains(&column.as_str()))
        .map(|column| quoted(column))
        .collect();
    if !unmapped.is_empty() {
        let name = quoted(&table.unique_keys[key].name);
        let columns = unmapped.join(", ");
        return Err(no_key(
            field(&spec.key),
            format!("unique key {name} reads {columns}, which nothing maps"),
        ));
    }
    Ok(match spec.action {
        ConflictAction::Reject => OnConflict::Reject,
        ConflictAction::Skip => OnConflict::Skip { key },
        ConflictAction::Update(on_missing) => OnConflict::Update { key, on_missing },
    })
}

fn automatic(table: &Table, mapped: &[&str]) -> Result<usize, Failure> {
    let is_candidate = |key: &UniqueKey| {
        key.plain
            && key.arbiter
            && !key.columns.is_empty()
            && key
                .columns
                .iter()
                .all(|column| mapped.contains(&column.as_str()))
    };
    let keys = table.unique_keys.iter().enumerate();
    let candidates: Vec<(usize, &UniqueKey)> = keys.filter(|(_, key)| is_candidate(key)).collect();
    match candidates.as_slice() {
        [(index, _)] => Ok(*index),
        [] => Err(no_key(
            "header.on_conflict",
            format!(
                "no unique key of table {} has all its columns mapped, so rows cannot meet; map one, \
                 or name a partial or expression index in conflict_key",
                table.name
            ),
        )),
        several => {
            let names: Vec<String> = several.iter().map(|(_, key)| quoted(&key.name)).collect();
            Err(no_key(
                "header.conflict_columns",
                format!(
                    "several unique keys are mapped ({}): name one in conflict_key",
                    names.join(", ")
                ),
            ))
        }
    }
}

fn by_columns(table: &Table, columns: &[String]) -> Result<usize, Failure> {
    let is_key = |key: &UniqueKey| {
        key.plain
            && key.arbiter
            && key.columns.len() == columns.len()
            && key.columns.iter().all(|column| columns.contains(column))
    };
    table.unique_keys.iter().position(is_key).ok_or_else(|| {
        let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        no_key(
            "header.conflict_columns",
            format!(
                "table {} has no unique key over exactly {}",
                table.name,
                columns.join(", ")
            ),
        )
    })
}

fn by_name(table: &Table, name: &str) -> Result<usize, Failure> {
    let found = table.unique_keys.iter().position(|key| key.name == name);
    let Some(index) = found else {
        let what = format!("table {} has no unique key {}", table.name, quoted(name));
        return Err(no_key("header.conflict_key", what));
    };
    if !table.unique_keys[index].arbiter {
        let what = format!(
            "unique key {} is deferrable or not valid, so rows cannot meet by it",
            quoted(name)
        );
        return Err(no_key("header.conflict_key", what));
    }
    Ok(index)
}

fn field(key: &KeyChoice) -> &'static str {
    match key {
        KeyChoice::Automatic => "header.on_conflict",
        KeyChoice::Columns(_) => "header.conflict_columns",
        KeyChoice::Name(_) => "header.conflict_key",
    }
}

fn no_key(path: &str, what: String) -> Failure {
    Failure::new(Reason::NoUniqueKey, what.clone()).with_field(path, what)
}
