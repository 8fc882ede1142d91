//! What the rows of a run have in common: which columns they leave to their defaults.
//!
//! In: rows in source order. Out: a [`Shape`], for which the statements are the same. Values that
//! only keep what is there share a statement with those that do not, unless a NULL stands among
//! them, so that cells left blank here and there do not cut a batch into single rows.

use crate::model::plan::{OnConflict, OnMissing, WritePlan};
use crate::model::table::Column;
use crate::model::value::{Row, Value};

/// How the rows of a run fill the planned columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// By planned column.
    pub(super) columns: Vec<Treatment>,
    /// No row of the run can be a new one.
    pub(super) is_update_only: bool,
}

/// What a run does to one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Not written: a new row takes the default, an updated one keeps what is there.
    Left,
    /// Written.
    Given,
    /// Written, and neither NULL nor unset so far.
    Present,
    /// No default to speak of: what is unset is NULL in a new row, and kept in an updated one.
    Kept,
    /// The column's default, in an updated row too.
    Default,
}

impl Shape {
    /// That of one row.
    pub(super) fn of(plan: &WritePlan, row: Row<'_>) -> Shape {
        let columns = row.values().enumerate();
        let columns = columns.map(|(index, value)| treatment(plan, plan.column(index), value));
        Shape {
            columns: columns.collect(),
            is_update_only: is_update_only(plan, row),
        }
    }

    /// Takes one more row in, unless it needs other statements.
    pub(super) fn takes(&mut self, plan: &WritePlan, row: Row<'_>) -> bool {
        use Treatment::{Given, Kept, Present};

        if is_update_only(plan, row) != self.is_update_only {
            return false;
        }
        for (index, known) in self.columns.iter_mut().enumerate() {
            let other = treatment(plan, plan.column(index), row.value(index));
            match (*known, other) {
                (known, other) if known == other => {}
                (Given | Kept, Present) => {}
                (Present, Given | Kept) => *known = other,
                _ => return false,
            }
        }
        true
    }
}

fn treatment(plan: &WritePlan, column: &Column, value: Value<'_>) -> Treatment {
    let updates = matches!(plan.on_conflict, OnConflict::Update { .. });
    match value {
        Value::Default if column.has_default && updates => Treatment::Default,
        Value::Unset | Value::Default if column.has_default => Treatment::Left,
        _ if column.has_default || !updates => Treatment::Given,
        Value::Unset => Treatment::Kept,
        Value::Null | Value::Default => Treatment::Given,
        _ => Treatment::Present,
    }
}

fn is_update_only(plan: &WritePlan, row: Row<'_>) -> bool {
    match plan.on_conflict {
        OnConflict::Reject | OnConflict::Skip { .. } => false,
        OnConflict::Update {
            on_missing: OnMissing::Reject | OnMissing::Skip,
            ..
        } => true,
        OnConflict::Update {
            on_missing: OnMissing::Insert,
            ..
        } => missing_column(plan, row).is_some(),
    }
}

/// The first column that a new row cannot do without, and that the row leaves unset.
pub(super) fn missing_column(plan: &WritePlan, row: Row<'_>) -> Option<usize> {
    let mut columns = row.values().enumerate();
    let missing = columns.find(|(index, value)| {
        let column = plan.column(*index);
        matches!(value, Value::Unset) && !column.nullable && !column.has_default
    });
    missing.map(|(index, _)| index)
}
