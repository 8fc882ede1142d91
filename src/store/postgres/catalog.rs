//! Target tables as the system catalogue describes them.
//!
//! In: an allow-list, a name or none. Out: [`Table`]s with what the list says of their columns.
//! Only ordinary and partitioned tables exist for callers, and none of the system's or the ledger's
//! schemas, whatever the list's patterns. Five queries for any number of tables, six where
//! some have code of their own, in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};

use crate::model::table::{CheckConstraint, ForeignKey, Meets, Table, TableName, UniqueKey};
use crate::store::StoreError;
use crate::store::allow::AllowList;

use super::connection::{Limits, Transaction};
use super::pool::Pool;
use super::{arguments, error};

mod column;
mod order;

/// Tables that a caller may see at most: beyond, the allow-list's patterns are too wide.
const TABLES_MAX: usize = 10_000;

/// What is of interest only while tables are read. Columns are told by their table's id and their
/// name.
#[derive(Debug, Default)]
struct Facts {
    /// Columns whose values are the same to the database exactly where they are the same as
    /// [`Value`](crate::model::value::Value)s, numbers by their worth.
    exact: BTreeSet<(i64, String)>,
    /// Columns that are generated from others.
    computed: BTreeSet<(i64, String)>,
    /// Tables of which [`order`] may have something to tell; for all others it need not be asked.
    suspects: BTreeSet<i64>,
}

const LIST_SQL: &str = "
SELECT c.oid::int8, n.nspname::text, c.relname::text, pg_catalog.row_security_active(c.oid),
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid
             AND a.attnum > 0 AND NOT a.attisdropped AND EXISTS (
             SELECT FROM pg_catalog.pg_constraint x WHERE x.conrelid = c.oid AND x.contype = 'x'
             AND (a.attnum = ANY (x.conkey) OR 0 = ANY (x.conkey) OR EXISTS (
                 SELECT FROM pg_catalog.pg_attribute g WHERE g.attrelid = c.oid
                 AND g.attgenerated <> '' AND g.attnum = ANY (x.conkey))))),
       c.relkind = 'p' OR c.relispartition OR c.relhasrules OR c.relchecks > 0
           OR c.relhastriggers AND EXISTS (
               SELECT FROM pg_catalog.pg_trigger g
               WHERE g.tgrelid = c.oid AND (NOT g.tgisinternal OR g.tgfoid >= 16384))
           OR EXISTS (
               SELECT FROM pg_catalog.pg_attrdef e JOIN pg_catalog.pg_depend d
                   ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = e.oid
               WHERE e.adrelid = c.oid AND d.refclassid = 'pg_catalog.pg_proc'::regclass)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('information_schema', 'rowlift')
  AND n.nspname !~ '^pg_' ";

// `indnullsnotdistinct` exists from PostgreSQL 15 on: read through JSON it may be missing. An
// index whose operators or collation are not its columns' own does not compare as `=` does.
// An index depends on the columns of its predicate, too: those that only the predicate reads are
// told apart by the expressions' trees.
const UNIQUE_SQL: &str = "
SELECT x.indrelid::int8, coalesce(k.conname, i.relname)::text, x.indisprimary,
       x.indpred IS NULL AND x.indexprs IS NULL AND x.indimmediate
           AND NOT coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false),
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
       x.indisvalid AND x.indimmediate,
       NOT EXISTS (
           SELECT FROM generate_series(0, x.indnkeyatts - 1) AS p(at)
           JOIN pg_catalog.pg_attribute a
               ON a.attrelid = x.indrelid AND a.attnum = x.indkey[p.at]
           JOIN pg_catalog.pg_opclass o ON o.oid = x.indclass[p.at]
           WHERE NOT o.opcdefault OR x.indcollation[p.at] NOT IN (0, a.attcollation)),
       x.indexprs IS NULL,
       coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false),
       x.indisvalid
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_catalog.pg_constraint k
    ON k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u')
WHERE x.indrelid = ANY ($1::int8[]::oid[]) AND x.indisunique
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
    let mut facts = Facts::default();
    let mut tables = list(&mut transaction, allow, name, &mut facts).await?;
    if !tables.is_empty() {
        let ids: Vec<i64> = tables.keys().copied().collect();
        for row in fetch(&mut transaction, column::SQL, &ids).await? {
            with_table(&mut tables, &row, |table| {
                table.columns.push(column::read(&row, &mut facts)?);
                Ok(())
            })?;
        }
        for row in fetch(&mut transaction, UNIQUE_SQL, &ids).await? {
            with_table(&mut tables, &row, |table| {
                table.unique_keys.extend(unique_key(&row, &mut facts)?);
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
        order::note(&mut transaction, &facts.suspects, &mut tables).await?;
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
    facts: &mut Facts,
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
            order_shows_on_insert: false,
            order_shows_on_update: false,
        };
        let id = row.try_get(0)?;
        if row.try_get(5)? {
            facts.suspects.insert(id);
        }
        tables.insert(id, table);
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

/// A key; `None`: its index refuses rows, but is not valid for anything else.
fn unique_key(row: &PgRow, facts: &mut Facts) -> Result<Option<UniqueKey>, sqlx::Error> {
    let table: i64 = row.try_get(0)?;
    if !row.try_get::<bool, _>(13)? {
        facts.suspects.insert(table);
        return Ok(None);
    }
    let mut columns: Vec<String> = row.try_get(5)?;
    let read: Vec<String> = row.try_get(6)?;
    for column in read {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let has = |set: &BTreeSet<(i64, String)>, name: &String| set.contains(&(table, name.clone()));
    let is_simple: bool = row.try_get(3)?;
    let compares_as_types_do: bool = row.try_get(10)?;
    let reads_columns_alone: bool = row.try_get(11)?;
    let meets = if columns.iter().any(|name| has(&facts.computed, name)) {
        Meets::Derived
    } else if !reads_columns_alone
        || !compares_as_types_do
        || !columns.iter().all(|name| has(&facts.exact, name))
    {
        Meets::Untold
    } else if row.try_get(12)? {
        Meets::NullsAlike
    } else {
        Meets::NullsApart
    };
    Ok(Some(UniqueKey {
        name: row.try_get(1)?,
        columns,
        primary: row.try_get(2)?,
        plain: is_simple && compares_as_types_do,
        definition: row.try_get(4)?,
        terms: row.try_get(7)?,
        predicate: row.try_get(8)?,
        arbiter: row.try_get(9)?,
        meets,
    }))
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
