//! Declared types: SQLite stores any text as a column's type, this is what Rowlift takes it for.

use crate::model::table::{ColumnType, NumericBounds};

/// The type that a declaration such as `VARCHAR(80)` stands for; names are those of SQL,
/// PostgreSQL and SQLite's documentation. `INT` and `INTEGER` are 64 bits wide, as SQLite stores
/// them; a declaration that no name fits is [`ColumnType::Other`].
pub(super) fn column_type(declared: &str) -> ColumnType {
    let (name, arguments) = split(declared);
    let length = arguments.first().and_then(|it| u32::try_from(*it).ok());
    match name.as_str() {
        "" | "TEXT" | "CLOB" | "CITEXT" | "LONGTEXT" | "MEDIUMTEXT" | "TINYTEXT" => {
            ColumnType::Text
        }
        "VARCHAR"
        | "CHARACTER VARYING"
        | "VARYING CHARACTER"
        | "NVARCHAR"
        | "VARCHAR2"
        | "NATIONAL CHARACTER VARYING" => ColumnType::Varchar(length),
        "CHAR" | "CHARACTER" | "NCHAR" | "NATIVE CHARACTER" | "NATIONAL CHARACTER" | "BPCHAR" => {
            length.map_or(ColumnType::Varchar(None), ColumnType::Char)
        }
        "SMALLINT" | "INT2" | "TINYINT" | "SMALLSERIAL" => ColumnType::Int2,
        "INT4" | "MEDIUMINT" | "SERIAL" => ColumnType::Int4,
        "INT" | "INTEGER" | "BIGINT" | "INT8" | "BIGSERIAL" => ColumnType::Int8,
        "NUMERIC" | "DECIMAL" | "DEC" => ColumnType::Numeric(numeric_bounds(&arguments)),
        "FLOAT4" => ColumnType::Float4,
        "REAL" | "DOUBLE" | "DOUBLE PRECISION" | "FLOAT" | "FLOAT8" => ColumnType::Float8,
        "BOOLEAN" | "BOOL" => ColumnType::Bool,
        "DATE" => ColumnType::Date,
        "TIME" | "TIME WITHOUT TIME ZONE" => ColumnType::Time,
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" => ColumnType::Timestamp,
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" | "DATETIMEOFFSET" => ColumnType::TimestampTz,
        "UUID" | "UNIQUEIDENTIFIER" => ColumnType::Uuid,
        "JSON" => ColumnType::Json,
        "JSONB" => ColumnType::Jsonb,
        "BLOB" | "BYTEA" | "BINARY" | "VARBINARY" => ColumnType::Bytea,
        _ => ColumnType::Other,
    }
}

/// Upper-case name with single spaces, and the numbers in parentheses.
fn split(declared: &str) -> (String, Vec<i32>) {
    let upper = declared.to_ascii_uppercase();
    let (before, rest) = upper.split_once('(').unwrap_or((&upper, ""));
    let (inside, after) = rest.split_once(')').unwrap_or((rest, ""));
    let words = before.split_whitespace().chain(after.split_whitespace());
    let name = words.collect::<Vec<&str>>().join(" ");
    let arguments: Option<Vec<i32>> = inside.split(',').map(|it| it.trim().parse().ok()).collect();
    (name, arguments.unwrap_or_default())
}

fn numeric_bounds(arguments: &[i32]) -> Option<NumericBounds> {
    let precision = *arguments.first()?;
    let scale = arguments.get(1).copied().unwrap_or(0);
    Some(NumericBounds { precision, scale })
}

#[cfg(test)]
mod tests;
