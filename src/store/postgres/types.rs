//! How to spell the types of mapped columns in statements, and what of a table forbids probing.
//!
//! In: a plan, inside the transaction that writes. Out: names that the same session reads back
//! as the same types, whatever its search path. One query for each use; nothing is cached, so a
//! type that was renamed meanwhile is spelled anew.

use sqlx::Row as _;
use sqlx::postgres::PgArguments;

use crate::model::plan::WritePlan;
use crate::model::table::ColumnType;

use super::arguments;
use super::connection::Transaction;

/// Object ids of types whose binary form [`super::binary`] writes.
const BINARY_TYPE_IDS: &[i64] = &[
    16, 17, 20, 21, 23, 25, 114, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1700, 2950, 3802,
];

/// What statements need to know beyond the plan.
#[derive(Debug)]
pub(super) struct TableTypes {
    /// For each mapped column.
    pub(super) columns: Vec<TypeName>,
    /// Triggers that see a row before it is in: what a probe would compare may change there.
    pub(super) has_before_triggers: bool,
    /// Any triggers on INSERT: they may make the rows that foreign keys refer to.
    pub(super) has_triggers: bool,
    /// Rows live in partitions: `ONLY` would find none.
    pub(super) partitioned: bool,
}

/// A type without its modifier: a cast to `varchar(3)` would cut silently, the assignment to the
/// column that follows does not.
#[derive(Debug)]
pub(super) struct TypeName {
    /// A domain's base type.
    pub(super) name: String,
    /// A parameter of it may be sent in binary; otherwise it is sent as text.
    pub(super) is_binary: bool,
}

const COLUMNS_SQL: &str = "
WITH RECURSIVE target AS (
    SELECT c.oid, c.relkind = 'p' AS partitioned
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2
), base AS (
    SELECT a.attname, a.atttypid AS type_id, 0 AS depth
    FROM pg_catalog.pg_attribute a JOIN target ON a.attrelid = target.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attname, t.typbasetype, b.depth + 1
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type_id
    WHERE t.typtype = 'd'
)
SELECT b.attname::text, b.type_id::int8, pg_catalog.format_type(b.type_id, -1),
       (SELECT partitioned FROM target),
       EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN target ON g.tgrelid = target.oid
                   OR g.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(target.oid))
               WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 4 <> 0),
       EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN target ON g.tgrelid = target.oid
                   OR g.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(target.oid))
               WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 4 <> 0
                 AND g.tgtype & 2 <> 0)
FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type_id
WHERE t.typtype <> 'd'";

/// Looks up what the plan's columns are called now.
pub(super) async fn look_up(
    transaction: &mut Transaction,
    plan: &WritePlan,
) -> Result<TableTypes, sqlx::Error> {
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, plan.table.name.schema.as_str());
    arguments::add(&mut parameters, plan.table.name.name.as_str());
    let rows = transaction.fetch(COLUMNS_SQL, parameters).await?;
    let mut found = Vec::with_capacity(rows.len());
    let mut types = TableTypes {
        columns: Vec::with_capacity(plan.columns.len()),
        has_before_triggers: false,
        has_triggers: false,
        partitioned: false,
    };
    for row in &rows {
        let name: String = row.try_get(0)?;
        let type_id: i64 = row.try_get(1)?;
        let type_name: String = row.try_get(2)?;
        types.partitioned = row.try_get(3)?;
        types.has_triggers = row.try_get(4)?;
        types.has_before_triggers = row.try_get(5)?;
        found.push((name, type_id, type_name));
    }
    for index in 0..plan.columns.len() {
        let column = plan.column(index);
        let known = found.iter().find(|(name, ..)| *name == column.name);
        let (is_binary, name) = match known {
            Some((_, type_id, name)) => (BINARY_TYPE_IDS.contains(type_id), name.clone()),
            // The column is gone: the statement says so better than this could.
            None => (false, "text".to_owned()),
        };
        types.columns.push(TypeName {
            name,
            is_binary: is_binary && !matches!(column.ty, ColumnType::Other | ColumnType::Array),
        });
    }
    Ok(types)
}
