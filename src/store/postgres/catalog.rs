//! Target tables as the system catalogue describes them.
//!
//! In: an allow-list, a name or none. Out: [`Table`]s with what the list says of their columns.
//! Only ordinary and partitioned tables exist for callers, and none of the system's or the ledger's
//! schemas, whatever the list's patterns. Five queries for any number of tables, in one
//! transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};

use crate::model::table::{
    CheckConstraint, Column, ColumnType, ForeignKey, NumericBounds, Table, TableName, UniqueKey,
};
use crate::store::StoreError;
use crate::store::allow::AllowList;

use super::connection::{Limits, Transaction};
use super::pool::Pool;
use super::{arguments, error};

/// Tables that a caller may see at most: beyond, the allow-list's patterns are too wide.
const TABLES_MAX: usize = 10_000;

/// `varchar(n)` and `char(n)` count their modifier from here; `numeric` too.
const MODIFIER_OFFSET: i32 = 4;

const LIST_SQL: &str = "
SELECT c.oid::int8, n.nspname::text, c.relname::text, pg_catalog.row_security_active(c.oid),
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid
             AND a.attnum > 0 AND NOT a.attisdropped AND EXISTS (
             SELECT FROM pg_catalog.pg_constraint x WHERE x.conrelid = c.oid AND x.contype = 'x'
             AND (a.attnum = ANY (x.conkey) OR 0 = ANY (x.conkey))))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('information_schema', 'rowlift')
  AND n.nspname !~ '^pg_' ";

const COLUMNS_SQL: &str = "
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
             ORDER BY e.enumsortorder)
FROM base b
JOIN pg_catalog.pg_type t ON t.oid = b.type_id AND t.typtype <> 'd'
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = b.attrelid AND a.attnum = b.attnum
ORDER BY a.attrelid, a.attnum";

// `indnullsnotdistinct` exists from PostgreSQL 15 on: read through JSON it may be missing. An
// index whose operators or collation are not its columns' own does not compare as `=` does.
// An index depends on the columns of its predicate, too: those that only the predicate reads are
// told apart by the expressions' trees.
const UNIQUE_SQL: &str = "
SELECT x.indrelid::int8, coalesce(k.conname, i.relname)::text, x.indisprimary,
       x.indpred IS NULL AND x.indexprs IS NULL AND x.indimmediate
           AND NOT coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false)
           AND NOT EXISTS (
               SELECT FROM generate_series(0, x.indnkeyatts - 1) AS p(at)
               JOIN pg_catalog.pg_attribute a
                   ON a.attrelid = x.indrelid AND a.attnum = x.indkey[p.at]
               JOIN pg_catalog.pg_opclass o ON o.oid = x.indclass[p.at]
               WHERE NOT o.opcdefault OR x.indcollation[p.at] NOT IN (0, a.attcollation)),
       pg_catalog.pg_get_indexdef(x.indexrelid),
       ARRAY(SELECT a.attname::text FROM generate_series(0, x.indnkeyatts - 1) AS p(at)
             JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = x.indrelid AND a.attnum = x.indkey[p.at] ORDER BY p.at),
       ARRAY(SELECT DISTINCT a.attname::text FROM pg_catalog.pg_depend d
             JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE x.indexprs IS NOT NULL AND d.classid = 'pg_catalog.pg_class'::regclass
               AND d.objid = x.indexrelid AND d.refclassid = 'pg_catalog.pg_class'::regclass
               AND d.refobjid = x.indrelid AND d.refobjsubid > 0
               AND (x.indpred IS NULL OR x.indexprs::text !~ '[{]VAR :varno 1 :varattno '
                    OR x.indexprs::text
                        ~ concat('[{]VAR :varno 1 :varattno ', d.refobjsubid, ' '))),
       ARRAY(SELECT CASE
                 WHEN a.attname IS NOT NULL
                     THEN concat('\"', replace(a.attname::text, '\"', '\"\"'), '\"')
                 WHEN e.term LIKE '(%' THEN e.term
                 ELSE concat('(', e.term, ')') END
             FROM generate_series(0, x.indnkeyatts - 1) AS p(at)
             CROSS JOIN LATERAL pg_catalog.pg_get_indexdef(x.indexrelid, p.at + 1, false)
                 AS e(term)
             LEFT JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = x.indrelid AND a.attnum = x.indkey[p.at] AND a.attnum > 0
             ORDER BY p.at),
       coalesce(pg_catalog.pg_get_expr(x.indpred, x.indrelid), ''),
       x.indisvalid AND x.indimmediate
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_catalog.pg_constraint k
    ON k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u')
WHERE x.indrelid = ANY ($1::int8[]::oid[]) AND x.indisunique AND x.indisvalid
ORDER BY x.indrelid, x.indisprimary DESC, 2";

const FOREIGN_SQL: &str = "
SELECT k.conrelid::int8, k.conname::text, n.nspname::text, c.relname::text, k.condeferred,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS p(num, ord)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.num
             ORDER BY p.ord),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS p(num, ord)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.num
             ORDER BY p.ord)
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conrelid = ANY ($1::int8[]::oid[])
ORDER BY k.conrelid, k.oid";

// A domain's checks count as checks of the columns of that domain.
const CHECKS_SQL: &str = "
WITH RECURSIVE domains AS (
    SELECT a.attrelid, a.attname, a.atttypid AS type_id
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($1::int8[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT d.attrelid, d.attname, t.typbasetype
    FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.type_id WHERE t.typtype = 'd'
)
SELECT k.conrelid::int8, k.conname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) AS p(num)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.num
             ORDER BY a.attnum)
FROM pg_catalog.pg_constraint k
WHERE k.contype = 'c' AND k.conrelid = ANY ($1::int8[]::oid[])
UNION ALL
SELECT d.attrelid::int8, k.conname::text, array_agg(d.attname::text)
FROM domains d JOIN pg_catalog.pg_constraint k ON k.contypid = d.type_id AND k.contype = 'c'
GROUP BY d.attrelid, k.conname
ORDER BY 1, 2";

/// All tables that callers may see, by name.
pub(super) async fn tables(
    pool: &Pool,
    limits: Limits,
    allow: &AllowList,
) -> Result<Vec<Arc<Table>>, StoreError> {
    let loaded = load(pool, limits, allow, None).await;
    loaded.map_err(error::of_ledger)
}

/// One table by `[schema.]name`.
pub(super) async fn table(
    pool: &Pool,
    limits: Limits,
    allow: &AllowList,
    name: &str,
) -> Result<Option<Arc<Table>>, StoreError> {
    if name.contains('\0') {
        return Ok(None);
    }
    let found = load(pool, limits, allow, Some(name)).await;
    let mut found = found.map_err(error::of_ledger)?;
    // A name with a dot may be one in the default schema, too: the schema's goes first.
    let first = found
        .iter()
        .position(|table| table.name.to_string() == name)
        .unwrap_or(0);
    Ok((!found.is_empty()).then(|| found.swap_remove(first)))
}

async fn load(
    pool: &Pool,
    limits: Limits,
    allow: &AllowList,
    name: Option<&str>,
) -> Result<Vec<Arc<Table>>, sqlx::Error> {
    let (mut transaction, _) = Transaction::begin(pool, &limits.begin()).await?;
    let mut tables = list(&mut transaction, allow, name).await?;
    if !tables.is_empty() {
        let ids: Vec<i64> = tables.keys().copied().collect();
        for row in fetch(&mut transaction, COLUMNS_SQL, &ids).await? {
            with_table(&mut tables, &row, |table| {
                table.columns.push(column(&row)?);
                Ok(())
            })?;
        }
        for row in fetch(&mut transaction, UNIQUE_SQL, &ids).await? {
            with_table(&mut tables, &row, |table| {
                table.unique_keys.push(unique_key(&row)?);
                Ok(())
            })?;
        }
        for row in fetch(&mut transaction, FOREIGN_SQL, &ids).await? {
            with_table(&mut tables, &row, |table| {
                table.foreign_keys.push(foreign_key(&row)?);
                Ok(())
            })?;
        }
        for row in fetch(&mut transaction, CHECKS_SQL, &ids).await? {
            with_table(&mut tables, &row, |table| {
                table.checks.push(CheckConstraint {
                    name: row.try_get(1)?,
                    columns: row.try_get(2)?,
                });
                Ok(())
            })?;
        }
    }
    transaction.commit().await?;
    let allowed = tables.into_values().filter_map(|table| allow.apply(table));
    let mut allowed: Vec<Arc<Table>> = allowed.map(Arc::new).collect();
    allowed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(allowed)
}

/// Tables by object id, without their columns and constraints.
async fn list(
    transaction: &mut Transaction,
    allow: &AllowList,
    name: Option<&str>,
) -> Result<BTreeMap<i64, Table>, sqlx::Error> {
    let rows = match name {
        None => transaction.simple(LIST_SQL).await?,
        Some(name) => {
            let mut candidates: Vec<(&str, &str)> = vec![(allow.default_schema(), name)];
            for (at, _) in name.match_indices('.') {
                let (schema, rest) = name.split_at(at);
                candidates.push((schema, rest.strip_prefix('.').unwrap_or(rest)));
            }
            let (schemas, names): (Vec<&str>, Vec<&str>) = candidates.into_iter().unzip();
            let mut parameters = PgArguments::default();
            arguments::add(&mut parameters, schemas);
            arguments::add(&mut parameters, names);
            let sql = format!(
                "{LIST_SQL} AND (n.nspname::text, c.relname::text) IN \
                 (SELECT * FROM ROWS FROM (unnest($1::text[], $2::text[])) AS s(a, b))"
            );
            transaction.fetch(&sql, parameters).await?
        }
    };
    let mut tables = BTreeMap::new();
    for row in rows {
        let name = TableName {
            schema: row.try_get(1)?,
            name: row.try_get(2)?,
        };
        if allow.entry(&name).is_none() || tables.len() == TABLES_MAX {
            continue;
        }
        let table = Table {
            name,
            columns: Vec::new(),
            unique_keys: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            row_security: row.try_get(3)?,
            excluded_columns: row.try_get(4)?,
        };
        tables.insert(row.try_get(0)?, table);
    }
    Ok(tables)
}

async fn fetch(
    transaction: &mut Transaction,
    sql: &str,
    ids: &[i64],
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, ids);
    transaction.fetch(sql, parameters).await
}

/// Hands the table that the row's first column names.
fn with_table(
    tables: &mut BTreeMap<i64, Table>,
    row: &PgRow,
    fill: impl FnOnce(&mut Table) -> Result<(), sqlx::Error>,
) -> Result<(), sqlx::Error> {
    let id: i64 = row.try_get(0)?;
    match tables.get_mut(&id) {
        Some(table) => fill(table),
        None => Ok(()),
    }
}

fn column(row: &PgRow) -> Result<Column, sqlx::Error> {
    let base = BaseType {
        name: row.try_get(6)?,
        modifier: row.try_get(7)?,
        is_enum: row.try_get::<String, _>(8)? == "e",
        is_builtin: row.try_get(9)?,
        is_array: row.try_get(10)?,
        labels: row.try_get(11)?,
    };
    Ok(Column {
        name: row.try_get(1)?,
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

fn unique_key(row: &PgRow) -> Result<UniqueKey, sqlx::Error> {
    let mut columns: Vec<String> = row.try_get(5)?;
    let read: Vec<String> = row.try_get(6)?;
    for column in read {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(UniqueKey {
        name: row.try_get(1)?,
        columns,
        primary: row.try_get(2)?,
        plain: row.try_get(3)?,
        definition: row.try_get(4)?,
        terms: row.try_get(7)?,
        predicate: row.try_get(8)?,
        arbiter: row.try_get(9)?,
    })
}

fn foreign_key(row: &PgRow) -> Result<ForeignKey, sqlx::Error> {
    Ok(ForeignKey {
        name: row.try_get(1)?,
        columns: row.try_get(5)?,
        foreign_table: TableName {
            schema: row.try_get(2)?,
            name: row.try_get(3)?,
        },
        foreign_columns: row.try_get(6)?,
        deferred: row.try_get(4)?,
    })
}

#[cfg(test)]
mod tests;
