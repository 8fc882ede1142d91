//! The allow-list: which tables exist for callers, and which of their columns may be filled.
//!
//! In: entries of the configuration. Out: a catalogue's [`Table`] with `importable`,
//! `assignable` and `aliases` set, or nothing where no entry matches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::table::{Table, TableName};

/// One entry of the configuration's `[[tables]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedTable {
    /// `[schema.]table`; `*` stands for any run of characters in either part.
    pub name: String,
    /// Columns that files and row batches may fill; unset: all that are not generated.
    #[serde(default)]
    pub importable: Option<Vec<String>>,
    /// Columns that a header may fill with constants and row contexts.
    #[serde(default)]
    pub assignable: Vec<String>,
    /// Other header names, by column.
    #[serde(default)]
    pub aliases: BTreeMap<String, Vec<String>>,
}

/// All entries; the first that matches a table counts.
#[derive(Debug, Clone, Default)]
pub struct AllowList {
    entries: Vec<AllowedTable>,
    default_schema: String,
}

impl AllowList {
    /// A list in which names without a schema mean `default_schema`.
    pub fn new(entries: Vec<AllowedTable>, default_schema: &str) -> AllowList {
        AllowList {
            entries,
            default_schema: default_schema.to_owned(),
        }
    }

    /// The schema of names that give none.
    pub fn default_schema(&self) -> &str {
        &self.default_schema
    }

    /// The entry for a table, if callers may see it.
    pub fn entry(&self, name: &TableName) -> Option<&AllowedTable> {
        self.entries
            .iter()
            .find(|entry| name.fits(&entry.name, &self.default_schema))
    }

    /// Sets what the configuration says of the table's columns; `None` if callers may not see it.
    pub fn apply(&self, mut table: Table) -> Option<Table> {
        let entry = self.entry(&table.name)?;
        for column in &mut table.columns {
            let listed = entry
                .importable
                .as_ref()
                .is_none_or(|list| list.contains(&column.name));
            column.importable = listed && !column.generated;
            column.assignable = entry.assignable.contains(&column.name) && !column.generated;
            column.aliases = entry.aliases.get(&column.name).cloned().unwrap_or_default();
        }
        Some(table)
    }
}
