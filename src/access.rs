//! Who may do what: callers, and the policy that says it of them.
//!
//! In: a principal, as its credentials name it, and the policy file. Out: a [`Caller`], whose name
//! in the ledger is the policy's and stays when credentials change, with its verbs, tables and
//! columns. Pure. What the policy does not grant is refused; a table that it does not name does
//! not exist for the caller.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use crate::config::value;
use crate::model::table::{Table, TableName, glob};

/// An owner's bytes at least: its shares of them hold batches that are larger than a decoder's frame.
const BYTES_IN_FLIGHT_MIN: usize = 1 << 20;

#[cfg(test)]
mod tests;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Writes rows: Import, ImportRows.
    Import,
    /// Reads what the ledger and the catalogue know, rejected rows included.
    Read,
    /// Looks into files: InspectFile, DecodeFile.
    Inspect,
    /// CancelImport.
    Cancel,
    /// DeleteImport.
    Delete,
}

/// The policy: the first rule that fits a principal holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    callers: Vec<Arc<Rule>>,
}

/// As the file spells it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    callers: Vec<Rule>,
}

/// What some principals may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Principals, such as `spiffe://cluster.local/ns/shop/sa/*`; `*` stands for any run of
    /// characters.
    pub principals: Vec<String>,
    /// Whose imports are theirs: a stable name in the ledger, shared by all of them.
    pub owner: String,
    /// Tables, such as `sales.orders` or `tenant_*.contacts`.
    pub tables: Vec<String>,
    /// Columns that may be filled; unset: all that the configuration lets callers fill.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// What they may do.
    pub verbs: Vec<Verb>,
    /// Imports of the owner at once, running or waiting; unset: the server's bound.
    #[serde(default)]
    pub imports_max: Option<usize>,
    /// Bytes of the owner's batches in flight, 1 MiB at least; unset: the server's bound.
    #[serde(default, deserialize_with = "size")]
    pub bytes_in_flight_max: Option<usize>,
    /// Calls of the owner at once that are no imports, of each kind: files looked into, exports,
    /// watches. Unset: all of the server's places for them but one.
    #[serde(default)]
    pub calls_max: Option<usize>,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    principal: String,
    /// `None`: nobody is identified here, and everybody may do everything.
    rule: Option<Arc<Rule>>,
}

impl Policy {
    /// Parses a policy file; the error names the line. Tables without a schema are those of
    /// `default_schema`.
    pub fn parse(text: &str, default_schema: &str) -> Result<Policy, String> {
        let file: PolicyFile = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut callers = Vec::new();
        for mut rule in file.callers {
            if rule.owner.is_empty() || rule.owner.contains('\0') {
                return Err(format!("the rule for {:?} has no owner", rule.principals));
            }
            for table in &mut rule.tables {
                if !table.contains('.') {
                    *table = format!("{default_schema}.{table}");
                }
            }
            callers.push(Arc::new(rule));
        }
        Ok(Policy { callers })
    }

    /// The caller that a principal is; `None`: no rule fits.
    pub fn caller(&self, principal: &str) -> Option<Caller> {
        let fits = |rule: &&Arc<Rule>| {
            let mut patterns = rule.principals.iter();
            patterns.any(|pattern| glob(pattern, principal))
        };
        let rule = self.callers.iter().find(fits)?;
        Some(Caller {
            principal: principal.to_owned(),
            rule: Some(Arc::clone(rule)),
        })
    }
}

impl Caller {
    /// Everybody, where callers are not identified.
    pub fn anybody() -> Caller {
        Caller {
            principal: String::new(),
            rule: None,
        }
    }

    /// A caller without any right.
    pub fn nobody() -> Caller {
        let rule = Rule {
            principals: Vec::new(),
            owner: String::from("\u{0}"),
            tables: Vec::new(),
            columns: None,
            verbs: Vec::new(),
            imports_max: Some(0),
            bytes_in_flight_max: None,
            calls_max: Some(0),
        };
        Caller {
            principal: String::new(),
            rule: Some(Arc::new(rule)),
        }
    }

    /// As the credentials name it; empty where callers are not identified.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Whose imports are its own, in the ledger.
    pub fn owner(&self) -> &str {
        self.rule.as_ref().map_or("", |rule| rule.owner.as_str())
    }

    /// Whether it may do this at all.
    pub fn may(&self, verb: Verb) -> bool {
        let rule = self.rule.as_ref();
        rule.is_none_or(|rule| rule.verbs.contains(&verb))
    }

    /// Imports that its owner may have at once.
    pub fn imports_max(&self) -> Option<usize> {
        self.rule.as_ref().and_then(|rule| rule.imports_max)
    }

    /// Bytes of batches that its owner may have in flight.
    pub fn bytes_in_flight_max(&self) -> Option<usize> {
        self.rule.as_ref().and_then(|rule| rule.bytes_in_flight_max)
    }

    /// Calls of each kind, imports apart, that its owner may have at once.
    pub fn calls_max(&self) -> Option<usize> {
        self.rule.as_ref().and_then(|rule| rule.calls_max)
    }

    /// Whether callers are told apart.
    pub fn is_identified(&self) -> bool {
        self.rule.is_some()
    }

    /// The table as this caller may see it: with the columns that it may fill; `None`: not at all.
    pub fn view(&self, table: &Arc<Table>) -> Option<Arc<Table>> {
        let Some(rule) = &self.rule else {
            return Some(Arc::clone(table));
        };
        if !rule.names(&table.name) {
            return None;
        }
        let Some(columns) = &rule.columns else {
            return Some(Arc::clone(table));
        };
        let mut table = Table::clone(table);
        for column in &mut table.columns {
            let is_granted = columns.contains(&column.name);
            column.importable &= is_granted;
            column.assignable &= is_granted;
        }
        Some(Arc::new(table))
    }
}

/// A number of bytes, or a text such as `"64MiB"`.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let size = toml::Value::deserialize(deserializer)?;
    match value::bytes(&size) {
        Ok(size) if size < BYTES_IN_FLIGHT_MIN => Err(de::Error::custom(format!(
            "{size} bytes are too few, at least 1MiB is expected: smaller bounds make a transaction of each row"
        ))),
        Ok(size) => Ok(Some(size)),
        Err(message) => Err(de::Error::custom(message)),
    }
}

impl Rule {
    fn names(&self, table: &TableName) -> bool {
        let mut patterns = self.tables.iter();
        // Each has its schema.
        patterns.any(|pattern| table.fits(pattern, ""))
    }
}
