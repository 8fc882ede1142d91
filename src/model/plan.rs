//! Which source feeds which column: the mapping once it is resolved, as the stores need it.
//!
//! Made once an import by [`crate::mapping`], shared by every batch of the import.

use std::sync::Arc;

use crate::model::import::WriteMethod;
use crate::model::table::{Column, Table, UniqueKey};

pub mod overlap;

/// Where and how the rows of an import are written.
#[derive(Debug, Clone)]
pub struct WritePlan {
    /// The target as it was when the mapping was resolved.
    pub table: Arc<Table>,
    /// The mapped columns, in the order of the values in a row. Never empty.
    pub columns: Vec<PlannedColumn>,
    /// The method that runs: the one asked for, or the nearest that the store and table have.
    pub method: WriteMethod,
    /// What a row does that meets an existing key.
    pub on_conflict: OnConflict,
}

/// What a row does that meets an existing key. The columns that the key reads are mapped and never
/// NULL or unset in a row of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnConflict {
    /// It is rejected.
    Reject,
    /// It is left out and counted as skipped, where it meets this key; any other refuses it.
    Skip {
        /// Index into [`Table::unique_keys`].
        key: usize,
    },
    /// The row with the key takes its values: of mapped columns, but for those that are
    /// `insert_only`, part of the key, or unset in the row.
    Update {
        /// Index into [`Table::unique_keys`].
        key: usize,
        /// What a row does whose key is not in the table.
        on_missing: OnMissing,
    },
}

/// What a row does under UPDATE whose key is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnMissing {
    /// It is a new row. A value that is unset in a column that takes no NULL and has no default
    /// is then REQUIRED_MISSING.
    Insert,
    /// It is rejected with NO_MATCH.
    Reject,
    /// It is left out and counted as skipped.
    Skip,
}

/// One mapped column.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedColumn {
    /// Index into [`Table::columns`].
    pub table_column: usize,
    /// Index of the cell in the source row, 0-based; `None` for constants and row contexts.
    pub source_index: Option<usize>,
    /// The header above the cell, as the file spells it; empty where there is none.
    pub source_name: String,
    /// UPDATE: written for new rows only.
    pub insert_only: bool,
}

impl WritePlan {
    /// The catalogue's description of the mapped column at `index`.
    pub fn column(&self, index: usize) -> &Column {
        &self.table.columns[self.columns[index].table_column]
    }

    /// Index of the mapped column with this name in the table.
    pub fn index_of(&self, column_name: &str) -> Option<usize> {
        (0..self.columns.len()).find(|index| self.column(*index).name == column_name)
    }

    /// The key by which rows meet, unless they are rejected when they do.
    pub fn conflict_key(&self) -> Option<&UniqueKey> {
        match self.on_conflict {
            OnConflict::Reject => None,
            OnConflict::Skip { key } | OnConflict::Update { key, .. } => {
                Some(&self.table.unique_keys[key])
            }
        }
    }
}
