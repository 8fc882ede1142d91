//! Which columns a row sets, which it leaves as they are, which to their defaults.
//!
//! In: the values of a batch. Out: rows grouped by that: one statement writes one group. Pure.
//!
//! Columns that are left blank here and there would make as many groups as there are ways to
//! leave some of them out. Where a column has no default and is never set to NULL on purpose, NULL
//! stands for "as it is" ([`Fill::Keep`]), and the rows stay one group.

use std::collections::HashMap;

use crate::model::batch::Batch;
use crate::model::plan::{OnConflict, OnMissing, WritePlan};
use crate::model::value::Value;

/// What a row does with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fill {
    /// Sets it, perhaps to NULL.
    Value,
    /// Sets it unless the value is NULL: then a new row holds NULL, one that is there its own.
    Keep,
    /// Leaves it: to its default in a new row, as it is in one that is there.
    Unset,
    /// Sets it to its default.
    Default,
}

/// Rows that do the same with each column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// For each mapped column.
    pub(super) fills: Vec<Fill>,
    /// A mapped column that a new row of this pattern would need a value in.
    pub(super) missing: Option<usize>,
    /// Its rows never become new rows.
    pub(super) updates_only: bool,
}

/// The patterns of a batch.
#[derive(Debug)]
pub(super) struct Patterns {
    /// In the order in which they first occur.
    pub(super) all: Vec<Pattern>,
    /// For each row of the batch.
    pub(super) of_row: Vec<usize>,
}

/// What of a mapped column decides its fills.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the column by itself"
)]
struct Traits {
    /// Left out, it is not NULL.
    has_default: bool,
    /// A new row needs a value.
    required: bool,
    /// An update sets it.
    settable: bool,
    /// NULL stands for the value that is there.
    keeps: bool,
}

/// The mapped columns that an update sets where the row sets them.
pub(super) fn settable(plan: &WritePlan, column: usize) -> bool {
    let OnConflict::Update { .. } = plan.on_conflict else {
        return false;
    };
    let name = &plan.column(column).name;
    let in_key = plan
        .conflict_key()
        .is_some_and(|key| key.columns.contains(name));
    !in_key && !plan.columns[column].insert_only
}

/// Groups the rows of a batch. With `triggers_before` a trigger may see NULL and set a value,
/// which then is not the column as it was.
pub(super) fn group(plan: &WritePlan, batch: &Batch, triggers_before: bool) -> Patterns {
    let mut traits = traits(plan);
    if !triggers_before {
        find_keeping(&mut traits, batch);
    }
    let on_missing = match plan.on_conflict {
        OnConflict::Update { on_missing, .. } => on_missing,
        _ => OnMissing::Insert,
    };
    let mut patterns = Patterns {
        all: Vec::new(),
        of_row: Vec::with_capacity(batch.rows.n_rows()),
    };
    let mut known: HashMap<Vec<Fill>, usize> = HashMap::new();
    let mut fills: Vec<Fill> = Vec::new();
    for row in batch.rows.rows() {
        fills.clear();
        fills.extend(row.values().zip(&traits).map(|(value, it)| it.fill(value)));
        let at = known.get(&fills).copied().unwrap_or_else(|| {
            let missing =
                (0..fills.len()).find(|at| fills[*at] == Fill::Unset && traits[*at].required);
            patterns.all.push(Pattern {
                fills: fills.clone(),
                missing,
                updates_only: on_missing != OnMissing::Insert || missing.is_some(),
            });
            known.insert(fills.clone(), patterns.all.len() - 1);
            patterns.all.len() - 1
        });
        patterns.of_row.push(at);
    }
    patterns
}

fn traits(plan: &WritePlan) -> Vec<Traits> {
    let is_update = matches!(plan.on_conflict, OnConflict::Update { .. });
    let each = (0..plan.columns.len()).map(|at| {
        let column = plan.column(at);
        Traits {
            has_default: column.has_default,
            // Left out where rows cannot be updated, it is NULL, and refused for that.
            required: is_update && !column.nullable && !column.has_default,
            settable: settable(plan, at),
            keeps: false,
        }
    });
    each.collect()
}

/// Marks the columns in which NULL may stand for "as it is".
fn find_keeping(traits: &mut [Traits], batch: &Batch) {
    for (at, it) in traits.iter_mut().enumerate() {
        if !it.settable || it.has_default || it.required {
            continue;
        }
        let has_unset = values_of(batch, at).any(|value| value == Value::Unset);
        let is_null = |value| matches!(value, Value::Null | Value::Default);
        it.keeps = has_unset && !values_of(batch, at).any(is_null);
    }
}

fn values_of(batch: &Batch, column: usize) -> impl Iterator<Item = Value<'_>> {
    batch.rows.rows().map(move |row| row.value(column))
}

impl Traits {
    fn fill(self, value: Value<'_>) -> Fill {
        if self.keeps {
            return Fill::Keep;
        }
        match value {
            Value::Unset if self.has_default || self.required => Fill::Unset,
            Value::Unset if self.settable => Fill::Unset,
            Value::Default if self.has_default && self.settable => Fill::Default,
            Value::Default if self.has_default => Fill::Unset,
            // Without a default, and where no update sets it: NULL.
            _ => Fill::Value,
        }
    }
}

#[cfg(test)]
mod tests;
