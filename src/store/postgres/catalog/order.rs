//! Whether it may show in which order rows of a table were written, beyond what its own unique keys,
//! foreign keys and exclusion constraints say.
//!
//! In: tables by object id. Out: the same, of rows that are inserted and of rows that are updated;
//! and which tables refuse rows by unique keys that are none of their own. Careful rather than
//! exact: code of users may do anything, so all of it counts that is run for a row. One query, where
//! the tables have any of it at all.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use sqlx::postgres::PgArguments;

use crate::model::table::Table;

use super::super::arguments;
use super::super::connection::Transaction;

// Of a partitioned table its partitions count too: triggers, foreign keys from one to another, and
// keys that the table as a whole does not have; of a partition, foreign keys to what it is a part of.
// An index that is not valid, because it is being built, refuses rows like others. Functions of
// defaults and checks count unless they are built in (those are not in `pg_depend`), are written in C
// as extensions are, or read nothing.
// 4, 8, 16 in `tgtype`: INSERT, DELETE, UPDATE; a row that moves to another partition is deleted.
// PostgreSQL 14 calls triggers internal that a partition has from its parent; those that really are
// call functions of its own.
const SQL: &str = "
WITH RECURSIVE relation AS (
    SELECT c.oid AS id, p.oid
    FROM pg_catalog.pg_class c
    CROSS JOIN LATERAL (
        SELECT c.oid UNION SELECT t.relid::oid
        FROM pg_catalog.pg_partition_tree(c.oid) t WHERE c.relkind = 'p'
    ) AS p(oid)
    WHERE c.oid = ANY ($1::int8[]::oid[])
), domain AS (
    SELECT r.id, a.atttypid AS type
    FROM relation r
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND t.typtype = 'd'
    UNION
    SELECT d.id, b.oid
    FROM domain d
    JOIN pg_catalog.pg_type t ON t.oid = d.type
    JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype AND b.typtype = 'd'
), called AS (
    SELECT r.id, d.refobjid AS function
    FROM relation r
    JOIN pg_catalog.pg_attrdef e ON e.adrelid = r.oid
    JOIN pg_catalog.pg_depend d
        ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = e.oid
    WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
    UNION ALL
    SELECT r.id, d.refobjid
    FROM relation r
    JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid AND k.contype = 'c'
    JOIN pg_catalog.pg_depend d
        ON d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid = k.oid
    WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
    UNION ALL
    SELECT r.id, d.refobjid
    FROM domain r
    LEFT JOIN pg_catalog.pg_constraint k ON k.contypid = r.type
    JOIN pg_catalog.pg_depend d
        ON (d.classid, d.objid) IN (('pg_catalog.pg_type'::regclass, r.type),
                                    ('pg_catalog.pg_constraint'::regclass, k.oid))
    WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
), reason AS (
    SELECT r.id, g.tgtype & 4 <> 0 AS on_insert, g.tgtype & 24 <> 0 AS on_update,
           false AS by_key
    FROM relation r JOIN pg_catalog.pg_trigger g ON g.tgrelid = r.oid
    WHERE (NOT g.tgisinternal OR g.tgfoid >= 16384) AND g.tgenabled <> 'D'
    UNION ALL
    SELECT r.id, true, true, false
    FROM relation r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.oid
    UNION ALL
    SELECT r.id, true, true, false
    FROM relation r
    JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid AND k.contype = 'f'
    WHERE (r.oid, k.confrelid) <> (r.id, r.id)
      AND (EXISTS (SELECT FROM relation f WHERE f.id = r.id AND f.oid = k.confrelid)
           OR EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(r.id) a
                      WHERE a.relid::oid = k.confrelid))
    UNION ALL
    SELECT r.id, true, true, true
    FROM relation r JOIN pg_catalog.pg_index x ON x.indrelid = r.oid
    WHERE (x.indisunique OR x.indisexclusion) AND (NOT x.indisvalid OR r.oid <> r.id AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = x.indexrelid))
    UNION ALL
    SELECT c.id, true, true, false
    FROM called c
    JOIN pg_catalog.pg_proc p ON p.oid = c.function
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE p.provolatile <> 'i' AND l.lanname NOT IN ('internal', 'c')
)
SELECT id::int8, bool_or(on_insert), bool_or(on_update), bool_or(by_key) FROM reason GROUP BY id";

/// Notes it in the tables.
pub(super) async fn note(
    transaction: &mut Transaction,
    suspects: &BTreeSet<i64>,
    tables: &mut BTreeMap<i64, Table>,
) -> Result<(), sqlx::Error> {
    if suspects.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = suspects.iter().copied().collect();
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, ids);
    for row in transaction.fetch(SQL, parameters).await? {
        if let Some(table) = tables.get_mut(&row.try_get(0)?) {
            table.order_shows_on_insert = row.try_get(1)?;
            table.order_shows_on_update = row.try_get(2)?;
            if row.try_get(3)? {
                // Which of them such a key reads is not told.
                let columns = table.columns.iter();
                table.excluded_columns = columns.map(|column| column.name.clone()).collect();
            }
        }
    }
    Ok(())
}
