//! What of a table decides how rows that may meet others are written.
//!
//! In: a plan, inside the transaction that writes. Out: facts of the catalogue that the plan does
//! not hold. One query a batch; nothing is cached, like the types.

use sqlx::Row as _;
use sqlx::postgres::PgArguments;

use crate::model::plan::WritePlan;
use crate::store::identifier::Identifier;

use super::super::arguments;
use super::super::connection::Transaction;

/// Facts of the table as it is now.
#[derive(Debug)]
pub(super) struct Target {
    /// For each mapped column.
    pub(super) columns: Vec<TargetColumn>,
    /// Triggers that see each row before it is in, and may change it or leave it out.
    pub(super) has_row_triggers_before: bool,
    /// Any triggers on INSERT or UPDATE.
    pub(super) has_triggers: bool,
    /// Exclusion constraints.
    pub(super) has_exclusions: bool,
}

/// A mapped column.
#[derive(Debug, Default)]
pub(super) struct TargetColumn {
    /// What the column holds when it is left out of a new row, as SQL; empty: NULL.
    pub(super) default: String,
    /// The column's type with its modifier, or its domain.
    pub(super) full_type: String,
    /// ` COLLATE ...` where the collation is not the database's; else empty.
    pub(super) collate: String,
}

const SQL: &str = "
WITH target AS (
    SELECT c.oid, n.nspname, c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2
), triggers AS (
    SELECT bool_or(g.tgtype & 3 = 3) AS early, count(*) > 0 AS present
    FROM pg_catalog.pg_trigger g JOIN target ON g.tgrelid = target.oid
                   OR g.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(target.oid))
    WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 20 <> 0
)
SELECT a.attname::text,
       CASE WHEN a.attidentity <> '' THEN pg_catalog.format('nextval(%L::regclass)',
                pg_catalog.pg_get_serial_sequence(
                    pg_catalog.format('%I.%I', target.nspname, target.relname), a.attname))
            WHEN d.oid IS NOT NULL AND a.attgenerated = ''
                THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid)
            ELSE coalesce(pg_catalog.pg_get_expr(t.typdefaultbin, 0), '') END,
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       CASE WHEN l.oid IS NULL OR l.oid = 100 THEN ''
            ELSE pg_catalog.format(' COLLATE %I.%I', m.nspname, l.collname) END,
       coalesce((SELECT early FROM triggers), false), (SELECT present FROM triggers),
       EXISTS (SELECT FROM pg_catalog.pg_constraint k
               WHERE k.conrelid = target.oid AND k.contype = 'x')
FROM target
JOIN pg_catalog.pg_attribute a ON a.attrelid = target.oid
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace m ON m.oid = l.collnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped";

/// Looks up the facts.
pub(super) async fn look_up(
    transaction: &mut Transaction,
    plan: &WritePlan,
) -> Result<Target, sqlx::Error> {
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, plan.table.name.schema.as_str());
    arguments::add(&mut parameters, plan.table.name.name.as_str());
    let rows = transaction.fetch(SQL, parameters).await?;
    let mut target = Target {
        columns: Vec::with_capacity(plan.columns.len()),
        has_row_triggers_before: false,
        has_triggers: false,
        has_exclusions: false,
    };
    target
        .columns
        .resize_with(plan.columns.len(), TargetColumn::default);
    for row in &rows {
        target.has_row_triggers_before = row.try_get(4)?;
        target.has_triggers = row.try_get(5)?;
        target.has_exclusions = row.try_get(6)?;
        let name: String = row.try_get(0)?;
        if let Some(at) = plan.index_of(&name) {
            target.columns[at] = TargetColumn {
                default: row.try_get(1)?,
                full_type: row.try_get(2)?,
                collate: row.try_get(3)?,
            };
        }
    }
    Ok(target)
}

/// A name that no column of the plan's table has.
pub(super) fn free_name(plan: &WritePlan, wanted: &str) -> String {
    let mut name = wanted.to_owned();
    while plan.table.column_index(&name).is_some() {
        name.push('_');
    }
    Identifier::new(&name).to_string()
}
