//! Names of tables and columns on their way into SQL.
//!
//! In: names as the database's catalogue spells them, never as a caller does. Out: quoted
//! identifiers. Nothing else in the stores puts a name into a statement.

use std::fmt;

use crate::model::table::TableName;

/// A name that prints quoted, so that no character in it means anything to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identifier<'a>(&'a str);

/// `"schema"."name"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QualifiedName<'a> {
    schema: Identifier<'a>,
    name: Identifier<'a>,
}

impl<'a> Identifier<'a> {
    /// A name out of the catalogue.
    ///
    /// # Panics
    /// If the name is empty or holds U+0000, which no catalogue has.
    pub fn new(name: &'a str) -> Identifier<'a> {
        assert!(
            !name.is_empty() && !name.contains('\0'),
            "no catalogue has the name {name:?}"
        );
        Identifier(name)
    }
}

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl<'a> From<&'a TableName> for QualifiedName<'a> {
    fn from(table: &'a TableName) -> QualifiedName<'a> {
        QualifiedName {
            schema: Identifier::new(&table.schema),
            name: Identifier::new(&table.name),
        }
    }
}

impl fmt::Display for QualifiedName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// `"a", "b", "c"`.
pub fn quoted_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names
        .into_iter()
        .map(|name| Identifier::new(name).to_string())
        .collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests;
