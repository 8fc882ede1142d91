//! A target table as the database's catalogue describes it: what mapping decides by.

use std::fmt;
use std::sync::Arc;

/// Schema and name of a table, each exactly as the catalogue spells it. SQLite's schema is `main`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Name inside the schema.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl TableName {
    /// Whether a pattern such as `tenant_*.contacts` names it; one without a schema means tables of
    /// `default_schema`.
    pub fn fits(&self, pattern: &str, default_schema: &str) -> bool {
        let (schema, name) = pattern.split_once('.').unwrap_or((default_schema, pattern));
        glob(schema, &self.schema) && glob(name, &self.name)
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Which one.
    pub name: TableName,
    /// In the order of the catalogue, all of them: generated and identity columns too.
    pub columns: Vec<Column>,
    /// Primary key first, then by name.
    pub unique_keys: Vec<UniqueKey>,
    /// In the order of the catalogue.
    pub foreign_keys: Vec<ForeignKey>,
    /// Check constraints with the columns they read.
    pub checks: Vec<CheckConstraint>,
    /// Row-level security applies to the role that Rowlift connects as: COPY is not possible.
    pub row_security: bool,
    /// Columns by which rows may meet in what `unique_keys` do not tell: exclusion constraints,
    /// where expressions may read any and count as all, and unique indexes that a partition has by
    /// itself or that are not valid, which count as all.
    pub excluded_columns: Vec<String>,
    /// What becomes of a new row may depend on other rows by more than `unique_keys`, foreign keys
    /// and `excluded_columns` say: triggers, rules, functions in defaults and checks.
    /// Always set by stores whose imports have one writer.
    pub order_shows_on_insert: bool,
    /// The same of a row that is updated: triggers and rules.
    pub order_shows_on_update: bool,
}

impl Table {
    /// A table of these columns alone: without keys, constraints or triggers, its order does not show.
    pub fn bare(schema: &str, name: &str, columns: Vec<Column>) -> Table {
        Table {
            name: TableName {
                schema: schema.to_owned(),
                name: name.to_owned(),
            },
            columns,
            unique_keys: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            row_security: false,
            excluded_columns: Vec::new(),
            order_shows_on_insert: false,
            order_shows_on_update: false,
        }
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the catalogue by itself"
)]
pub struct Column {
    /// As the catalogue spells it.
    pub name: String,
    /// What values it takes; a domain is resolved to its base type.
    pub ty: ColumnType,
    /// As the database spells it, e.g. `character varying(80)`; a domain by its own name.
    pub type_name: String,
    /// Whether NULL may be stored.
    pub nullable: bool,
    /// Whether leaving it out gives something else than NULL: a default or an identity.
    pub has_default: bool,
    /// GENERATED ALWAYS, stored or as identity: never written.
    pub generated: bool,
    /// The configuration lets files and row batches fill it.
    pub importable: bool,
    /// The configuration lets a header fill it with a constant or a row context.
    pub assignable: bool,
    /// Other header names that the configuration declares for it.
    pub aliases: Vec<String>,
}

/// The types that Rowlift converts to itself; all others go through the database's own input
/// function as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// `text`, `citext`-like types without a length.
    Text,
    /// `varchar(n)`: at most n characters; `None`: without a bound.
    Varchar(Option<u32>),
    /// `char(n)`: at most n characters.
    Char(u32),
    /// 16-bit integer.
    Int2,
    /// 32-bit integer.
    Int4,
    /// 64-bit integer.
    Int8,
    /// `numeric`, with precision and scale where declared (scale may be negative or above
    /// precision).
    Numeric(Option<NumericBounds>),
    /// 32-bit float.
    Float4,
    /// 64-bit float.
    Float8,
    /// Boolean.
    Bool,
    /// Calendar date.
    Date,
    /// Time of day without zone.
    Time,
    /// Date and time without zone.
    Timestamp,
    /// Point in time.
    TimestampTz,
    /// UUID.
    Uuid,
    /// `json`: kept as text by the database.
    Json,
    /// `jsonb`.
    Jsonb,
    /// Bytes; cells are hex, with or without `\x`.
    Bytea,
    /// An enum with its labels in order.
    Enum(Arc<[String]>),
    /// Any other scalar: text through the type's input function.
    Other,
    /// An array: refused when mapped.
    Array,
}

/// `numeric(precision, scale)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumericBounds {
    /// Significant digits.
    pub precision: i32,
    /// Digits after the point.
    pub scale: i32,
}

/// A unique index, constraint or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    /// Name of the constraint, else of the index.
    pub name: String,
    /// Plain columns of the key, in order; for an expression index those it reads.
    pub columns: Vec<String>,
    /// The primary key.
    pub primary: bool,
    /// A plain index: no expression, no predicate, checked at once, NULLs distinct.
    pub plain: bool,
    /// The index as the database spells it.
    pub definition: String,
    /// What the key compares, in order, as SQL over the table's own columns: quoted names, and
    /// expressions in parentheses. Empty where the store cannot spell them.
    pub terms: Vec<String>,
    /// Which rows a partial index holds, as SQL over the table's own columns; empty: all.
    pub predicate: String,
    /// SKIP and UPDATE may go by it: it is checked at once, whether plain or not.
    pub arbiter: bool,
    /// Which rows meet in it.
    pub meets: Meets,
}

/// Which rows meet in a unique key, as far as their [`Value`](super::value::Value)s tell; of a partial
/// index as if it held every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// Those whose columns of the key are all the same, numbers by their worth. A row with a NULL
    /// among them meets none.
    NullsApart,
    /// The same, and NULL is the same as NULL.
    NullsAlike,
    /// Only the database can tell: expressions, operators of the index's own, collations that take
    /// different text for the same, types that pad, fold or round.
    Untold,
    /// The same, and by columns that the key does not name: one that it names is generated.
    Derived,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Name of the constraint.
    pub name: String,
    /// Referencing columns of this table.
    pub columns: Vec<String>,
    /// Referenced table.
    pub foreign_table: TableName,
    /// Referenced columns, in the order of `columns`.
    pub foreign_columns: Vec<String>,
    /// Checked at COMMIT rather than at once.
    pub deferred: bool,
}

/// A check constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckConstraint {
    /// Name of the constraint.
    pub name: String,
    /// Columns that it reads.
    pub columns: Vec<String>,
}

impl Column {
    /// Whether a new row cannot do without a value that a caller could give.
    pub fn is_required(&self) -> bool {
        let needs_value = !self.nullable && !self.has_default && !self.generated;
        needs_value && (self.importable || self.assignable)
    }
}

impl Table {
    /// Index of the column with exactly this name.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Whether a foreign key that is checked at once refers to the table's own rows.
    pub fn refers_to_itself(&self) -> bool {
        let mut keys = self.foreign_keys.iter();
        keys.any(|key| key.foreign_table == self.name && !key.deferred)
    }

    /// Columns of the unique key, foreign key or check with this name; empty if there is none.
    pub fn constraint_columns(&self, constraint: &str) -> &[String] {
        let unique = self.unique_keys.iter().map(|key| (&key.name, &key.columns));
        let foreign = self
            .foreign_keys
            .iter()
            .map(|key| (&key.name, &key.columns));
        let checks = self
            .checks
            .iter()
            .map(|check| (&check.name, &check.columns));
        unique
            .chain(foreign)
            .chain(checks)
            .find(|(name, _)| *name == constraint)
            .map_or(&[], |(_, columns)| columns)
    }
}

#[cfg(test)]
mod tests;
