//! Probes: which rows of a batch would break a unique key or a foreign key, found by asking
//! rather than by failing. A failed statement costs its batch and writes values into the
//! database's log; a probe does neither.
//!
//! In: a batch inside its transaction. Out: [`Findings`]. A probe that the database refuses (no right
//! to read the referenced table, text that a type does not take) finds nothing; what it missed
//! shows when the rows are written. Nothing is ever found that writing row by row would not
//! reject: where triggers could change that, there is no probing.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};

use crate::model::batch::Batch;
use crate::model::plan::WritePlan;
use crate::model::reject::{RowErrorCode, RowViolation};
use crate::model::table::{ForeignKey, UniqueKey};
use crate::store::StoreError;
use crate::store::identifier::{Identifier, QualifiedName};

use super::connection::Transaction;
use super::error::{self, Trouble};
use super::types::TableTypes;
use super::{arguments, text};

/// What the probes found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Rows that conflict with the database as it is, whatever becomes of the batch.
    certain: BTreeMap<usize, RowViolation>,
    /// Rows of the batch that share a key, for each key that was probed.
    shared: Vec<SharedKey>,
}

/// Rows of a batch that have the same values in a unique key.
#[derive(Debug)]
struct SharedKey {
    violation: RowViolation,
    /// First row with the value, by row.
    first_of: BTreeMap<usize, usize>,
}

/// Rows that need not be written.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// By index into the batch.
    pub(super) rejected: BTreeMap<usize, RowViolation>,
    /// Rows because of which others are rejected: should one of them be rejected after all, the
    /// others must be judged anew.
    pub(super) keepers: BTreeSet<usize>,
}

impl Findings {
    /// Only what is certain: no row is rejected for another row of the batch.
    pub(super) fn certain(&self) -> Resolved {
        Resolved {
            rejected: self.certain.clone(),
            keepers: BTreeSet::new(),
        }
    }

    /// Everything, as if the rows were written one by one: of rows that share a key the first
    /// that is not rejected itself is kept.
    pub(super) fn resolve(&self) -> Resolved {
        let mut resolved = self.certain();
        let rows: BTreeSet<usize> = self
            .shared
            .iter()
            .flat_map(|key| key.first_of.keys().copied())
            .collect();
        let mut kept: Vec<BTreeMap<usize, usize>> = vec![BTreeMap::new(); self.shared.len()];
        for row in rows {
            if resolved.rejected.contains_key(&row) {
                continue;
            }
            let conflict = self.shared.iter().zip(&kept).find_map(|(key, kept)| {
                let keeper = kept.get(key.first_of.get(&row)?)?;
                Some((*keeper, key.violation.clone()))
            });
            if let Some((keeper, violation)) = conflict {
                resolved.keepers.insert(keeper);
                resolved.rejected.insert(row, violation);
                continue;
            }
            for (key, kept) in self.shared.iter().zip(&mut kept) {
                if let Some(first) = key.first_of.get(&row) {
                    kept.insert(*first, row);
                }
            }
        }
        resolved
    }

    /// Whether there is nothing to reject.
    pub(super) fn is_empty(&self) -> bool {
        self.certain.is_empty() && self.shared.iter().all(|key| key.first_of.is_empty())
    }
}

/// Probes every plain unique key and every foreign key whose columns are all mapped.
pub(super) async fn probe(
    transaction: &mut Transaction,
    plan: &WritePlan,
    batch: &Batch,
    types: &TableTypes,
) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    if batch.rows.n_rows() == 0 {
        return Ok(findings);
    }
    if !types.has_before_triggers {
        for key in &plan.table.unique_keys {
            let Some(columns) = mapped(plan, &key.columns) else {
                continue;
            };
            if key.plain {
                let probed = Probed::new(plan, batch, types, &columns);
                probe_unique(transaction, &mut findings, &probed, key).await?;
            }
        }
    }
    if !types.has_triggers {
        for key in &plan.table.foreign_keys {
            let Some(columns) = mapped(plan, &key.columns) else {
                continue;
            };
            // Rows of the batch may refer to each other.
            if key.foreign_table != plan.table.name {
                let probed = Probed::new(plan, batch, types, &columns);
                probe_foreign(transaction, &mut findings, &probed, key).await?;
            }
        }
    }
    Ok(findings)
}

/// Indexes of the mapped columns with these names; `None` unless there are some, all mapped.
fn mapped(plan: &WritePlan, names: &[String]) -> Option<Vec<usize>> {
    let columns: Option<Vec<usize>> = names.iter().map(|name| plan.index_of(name)).collect();
    columns.filter(|columns| !columns.is_empty())
}

/// The values of some columns, as a table expression with its parameters.
struct Probed<'a> {
    plan: &'a WritePlan,
    partitioned: bool,
    /// `u(ord, k0, k1...)` with the columns' types, rows with NULL left out.
    values_sql: String,
    parameters: PgArguments,
    n_columns: usize,
}

impl<'a> Probed<'a> {
    fn new(
        plan: &'a WritePlan,
        batch: &'a Batch,
        types: &TableTypes,
        columns: &[usize],
    ) -> Probed<'a> {
        let mut parameters = PgArguments::default();
        for column in columns {
            let ty = &plan.column(*column).ty;
            let values: Vec<Option<String>> = batch
                .rows
                .rows()
                .map(|row| text::render(ty, row.value(*column)))
                .collect();
            arguments::add(&mut parameters, values);
        }
        let list = |each: &dyn Fn(usize) -> String, separator: &str| {
            (0..columns.len())
                .map(each)
                .collect::<Vec<_>>()
                .join(separator)
        };
        let casts = list(
            &|at| format!("r{at}::{} AS k{at}", types.columns[columns[at]].name),
            ", ",
        );
        let arrays = list(&|at| format!("${}::text[]", at + 1), ", ");
        let names = list(&|at| format!("r{at}"), ", ");
        let present = list(&|at| format!("r{at} IS NOT NULL"), " AND ");
        Probed {
            plan,
            partitioned: types.partitioned,
            values_sql: format!(
                "SELECT ord, {casts} FROM ROWS FROM (unnest({arrays})) WITH ORDINALITY \
                 AS u({names}, ord) WHERE {present}"
            ),
            parameters,
            n_columns: columns.len(),
        }
    }

    /// `t."a" = v.k0 AND ...`.
    fn equals(table_columns: &[String]) -> String {
        let pairs = table_columns.iter().enumerate();
        let pairs: Vec<String> = pairs
            .map(|(at, name)| format!("t.{} = v.k{at}", Identifier::new(name)))
            .collect();
        pairs.join(" AND ")
    }
}

async fn probe_unique(
    transaction: &mut Transaction,
    findings: &mut Findings,
    probed: &Probed<'_>,
    key: &UniqueKey,
) -> Result<(), StoreError> {
    // Inherited tables share no index with their parent; partitions share their table's.
    let only = if probed.partitioned { "" } else { "ONLY " };
    let keys: Vec<String> = (0..probed.n_columns).map(|at| format!("v.k{at}")).collect();
    let keys = keys.join(", ");
    let sql = format!(
        "WITH v AS ({values}), f AS (SELECT v.ord, first_value(v.ord) OVER w AS first, \
         count(*) OVER w AS n, EXISTS (SELECT FROM {only}{table} t WHERE {equals}) AS taken \
         FROM v WINDOW w AS (PARTITION BY {keys} ORDER BY v.ord \
         ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) \
         SELECT ord, first, taken FROM f WHERE taken OR n > 1",
        values = probed.values_sql,
        table = QualifiedName::from(&probed.plan.table.name),
        equals = Probed::equals(&key.columns),
    );
    let violation = violation(RowErrorCode::UniqueViolation, &key.name);
    let mut first_of = BTreeMap::new();
    for row in ask(transaction, &sql, &probed.parameters).await? {
        let (ord, first, taken) = decode_unique(&row).map_err(error::of_ledger)?;
        if taken {
            findings
                .certain
                .entry(ord)
                .or_insert_with(|| violation.clone());
        } else {
            first_of.insert(ord, first);
        }
    }
    findings.shared.push(SharedKey {
        violation,
        first_of,
    });
    Ok(())
}

async fn probe_foreign(
    transaction: &mut Transaction,
    findings: &mut Findings,
    probed: &Probed<'_>,
    key: &ForeignKey,
) -> Result<(), StoreError> {
    // The constraint's own check is not bound by row-level security and does not see inherited
    // tables; partitions it does.
    let sql = format!(
        "WITH v AS ({values}), parent AS (SELECT c.oid, c.relkind FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = ${schema} AND c.relname = ${name}) \
         SELECT v.ord, v.ord, true FROM v WHERE \
         (SELECT NOT pg_catalog.row_security_active(oid) FROM parent) AND NOT EXISTS (\
         SELECT FROM {table} t WHERE {equals} AND (t.tableoid = (SELECT oid FROM parent) \
         OR (SELECT relkind = 'p' FROM parent)))",
        values = probed.values_sql,
        schema = probed.n_columns + 1,
        name = probed.n_columns + 2,
        table = QualifiedName::from(&key.foreign_table),
        equals = Probed::equals(&key.foreign_columns),
    );
    let mut parameters = probed.parameters.clone();
    arguments::add(&mut parameters, key.foreign_table.schema.as_str());
    arguments::add(&mut parameters, key.foreign_table.name.as_str());
    let violation = violation(RowErrorCode::ForeignKeyViolation, &key.name);
    for row in ask(transaction, &sql, &parameters).await? {
        let (ord, ..) = decode_unique(&row).map_err(error::of_ledger)?;
        findings
            .certain
            .entry(ord)
            .or_insert_with(|| violation.clone());
    }
    Ok(())
}

/// Asks inside a savepoint; an answer that concerns values or rights is no answer.
async fn ask(
    transaction: &mut Transaction,
    sql: &str,
    parameters: &PgArguments,
) -> Result<Vec<PgRow>, StoreError> {
    let begun = transaction.simple("SAVEPOINT rowlift_probe").await;
    begun.map_err(error::of_ledger)?;
    match transaction.fetch(sql, parameters.clone()).await {
        Ok(rows) => {
            let released = transaction.simple("RELEASE SAVEPOINT rowlift_probe").await;
            released.map_err(error::of_ledger)?;
            Ok(rows)
        }
        Err(error) => {
            let refused = error::sql_state(&error).is_some_and(|state| state.starts_with("42"));
            match error::while_writing(error) {
                Trouble::Fatal(fatal) if !refused => Err(fatal),
                _ => {
                    let back =
                        "ROLLBACK TO SAVEPOINT rowlift_probe; RELEASE SAVEPOINT rowlift_probe";
                    transaction.simple(back).await.map_err(error::of_ledger)?;
                    Ok(Vec::new())
                }
            }
        }
    }
}

/// Row, first row with the same key, whether the table has the key. Rows count from 1 there.
fn decode_unique(row: &PgRow) -> Result<(usize, usize, bool), sqlx::Error> {
    let index = |column: usize| -> Result<usize, sqlx::Error> {
        let ordinality: i64 = row.try_get(column)?;
        let position = usize::try_from(ordinality - 1);
        position.map_err(|error| sqlx::Error::Decode(Box::new(error)))
    };
    Ok((index(0)?, index(1)?, row.try_get(2)?))
}

fn violation(code: RowErrorCode, constraint: &str) -> RowViolation {
    RowViolation {
        code,
        constraint: constraint.to_owned(),
        column: String::new(),
        sql_state: String::new(),
        message: error::explain(code, constraint, ""),
    }
}

#[cfg(test)]
mod tests;
