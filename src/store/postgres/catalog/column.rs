//! A table's columns.
//!
//! In: rows of [`SQL`], a column each. Out: [`Column`]s, and [`Facts`] of them that keys need.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::model::table::{Column, ColumnType, NumericBounds};

use super::Facts;

/// `varchar(n)` and `char(n)` count their modifier from here; `numeric` too.
const MODIFIER_OFFSET: i32 = 4;

/// The modifier of times that keep what a [`Value`](crate::model::value::Value) holds.
const MICROSECONDS: i32 = 6;

/// Columns of tables by object id, in their order. Text is the same where its bytes are, by
/// deterministic collations, as long as it is stored as it was sent; not all encodings have a
/// character of their own for each of ours.
pub(super) const SQL: &str = "
WITH RECURSIVE base AS (
    SELECT a.attrelid, a.attnum, a.atttypid AS type_id, a.atttypmod AS modifier,
           false AS not_null, false AS has_default
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($1::int8[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attrelid, b.attnum, t.typbasetype,
           CASE WHEN b.modifier = -1 THEN t.typtypmod ELSE b.modifier END,
           b.not_null OR t.typnotnull, b.has_default OR t.typdefault IS NOT NULL
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type_id
    WHERE t.typtype = 'd'
)
SELECT a.attrelid::int8, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
       NOT (a.attnotnull OR b.not_null),
       a.atthasdef OR a.attidentity <> '' OR b.has_default,
       a.attgenerated <> '' OR a.attidentity = 'a',
       t.typname::text, b.modifier, t.typtype::text, n.nspname = 'pg_catalog',
       t.typcategory = 'A',
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid
             ORDER BY e.enumsortorder),
       a.attgenerated <> '', a.atttypid <> b.type_id,
       a.attcollation = 0 OR coalesce((to_jsonb(l) ->> 'collisdeterministic')::boolean, true)
           AND pg_catalog.getdatabaseencoding() IN ('UTF8', 'SQL_ASCII')
FROM base b
JOIN pg_catalog.pg_type t ON t.oid = b.type_id AND t.typtype <> 'd'
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = b.attrelid AND a.attnum = b.attnum
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
ORDER BY a.attrelid, a.attnum";

/// A row of the query as a column; what else it says goes into `facts`.
pub(super) fn read(row: &PgRow, facts: &mut Facts) -> Result<Column, sqlx::Error> {
    let base = base_type(row)?;
    let name: String = row.try_get(1)?;
    let place = (row.try_get::<i64, _>(0)?, name.clone());
    if row.try_get(13)? {
        // A domain's default and checks may call functions.
        facts.suspects.insert(place.0);
    }
    if row.try_get(12)? {
        facts.computed.insert(place);
    } else if base.is_exact() && row.try_get(14)? {
        facts.exact.insert(place);
    }
    Ok(Column {
        name,
        ty: column_type(base),
        type_name: row.try_get(2)?,
        nullable: row.try_get(3)?,
        has_default: row.try_get(4)?,
        generated: row.try_get(5)?,
        importable: false,
        assignable: false,
        aliases: Vec::new(),
    })
}

fn base_type(row: &PgRow) -> Result<BaseType, sqlx::Error> {
    Ok(BaseType {
        name: row.try_get(6)?,
        modifier: row.try_get(7)?,
        is_enum: row.try_get::<String, _>(8)? == "e",
        is_builtin: row.try_get(9)?,
        is_array: row.try_get(10)?,
        labels: row.try_get(11)?,
    })
}

/// A column's type, below its domains.
#[derive(Debug)]
struct BaseType {
    name: String,
    modifier: i32,
    is_enum: bool,
    is_builtin: bool,
    is_array: bool,
    labels: Vec<String>,
}

impl BaseType {
    /// Whether the database takes values for the same exactly where they are the same as
    /// [`Value`](crate::model::value::Value)s, numbers by their worth; of text, as far as its
    /// collation does.
    fn is_exact(&self) -> bool {
        if self.is_enum || !self.is_builtin || self.is_array {
            return self.is_enum;
        }
        match self.name.as_str() {
            // Fewer digits of a second are rounded by the database.
            "time" | "timestamp" | "timestamptz" => matches!(self.modifier, -1 | MICROSECONDS),
            "text" | "varchar" | "int2" | "int4" | "int8" | "numeric" | "float4" | "float8"
            | "bool" | "date" | "uuid" | "bytea" => true,
            // Blanks at its end, digits of its numbers, input that only the database reads.
            _ => false,
        }
    }
}

fn column_type(base: BaseType) -> ColumnType {
    if base.is_enum {
        return ColumnType::Enum(base.labels.into());
    }
    if base.is_array {
        return ColumnType::Array;
    }
    if !base.is_builtin {
        // The extension's type: its binary form is that of text.
        return if base.name == "citext" {
            ColumnType::Text
        } else {
            ColumnType::Other
        };
    }
    let length = u32::try_from(base.modifier - MODIFIER_OFFSET).ok();
    match base.name.as_str() {
        "text" => ColumnType::Text,
        "varchar" => ColumnType::Varchar(length),
        // Without a length it is `bpchar`, which holds any.
        "bpchar" => length.map_or(ColumnType::Varchar(None), ColumnType::Char),
        "int2" => ColumnType::Int2,
        "int4" => ColumnType::Int4,
        "int8" => ColumnType::Int8,
        "numeric" => ColumnType::Numeric(numeric_bounds(base.modifier)),
        "float4" => ColumnType::Float4,
        "float8" => ColumnType::Float8,
        "bool" => ColumnType::Bool,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time,
        "timestamp" => ColumnType::Timestamp,
        "timestamptz" => ColumnType::TimestampTz,
        "uuid" => ColumnType::Uuid,
        "json" => ColumnType::Json,
        "jsonb" => ColumnType::Jsonb,
        "bytea" => ColumnType::Bytea,
        _ => ColumnType::Other,
    }
}

/// Precision in the upper 16 bits, scale in the lower 11, negative from 15 on.
fn numeric_bounds(modifier: i32) -> Option<NumericBounds> {
    let packed = modifier
        .checked_sub(MODIFIER_OFFSET)
        .filter(|it| *it >= 0)?;
    Some(NumericBounds {
        precision: (packed >> 16) & 0xFFFF,
        scale: ((packed & 0x7FF) ^ 1024) - 1024,
    })
}

#[cfg(test)]
mod tests;
