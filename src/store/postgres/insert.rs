//! INSERT: many rows a statement (BATCH), or one (SEQUENTIAL, CONCURRENT).
//!
//! In: some rows of a batch. Out: how many the table took, or whose fault it was. Every parameter
//! is cast to its column's type without modifier, so that too long a text is an error and not
//! cut; a value left unset is DEFAULT. At most [`PARAMETERS_MAX`] parameters and [`ROWS_MAX`]
//! rows a statement.

use std::fmt::Write as _;

use sqlx::postgres::PgArguments;

use crate::model::batch::Batch;
use crate::model::plan::WritePlan;
use crate::model::value::Value;
use crate::store::identifier::{QualifiedName, quoted_list};

use super::arguments::{self, Field};
use super::connection::Transaction;
use super::types::TableTypes;

/// The protocol counts parameters in 16 bits.
pub(super) const PARAMETERS_MAX: usize = 65_535;

/// Beyond so many, statements only grow slower to plan.
pub(super) const ROWS_MAX: usize = 1_000;

/// Inserts rows in statements of at most `rows_per_statement`; `on_statement` is told how many
/// rows each statement held and how many the table took.
pub(super) async fn insert_rows(
    transaction: &mut Transaction,
    plan: &WritePlan,
    batch: &Batch,
    rows: &[usize],
    types: &TableTypes,
    size: StatementSize,
) -> Result<u64, InsertError> {
    let n_columns = plan.columns.len();
    let chunk = match size {
        StatementSize::OneRow => 1,
        StatementSize::ManyRows => ROWS_MAX.min(PARAMETERS_MAX / n_columns).max(1),
    };
    let mut sql = String::new();
    let mut n_taken = 0;
    for (at, chunk_rows) in rows.chunks(chunk).enumerate() {
        let parameters = statement(&mut sql, plan, batch, chunk_rows, types);
        let taken = transaction.execute(&sql, parameters).await;
        n_taken += taken.map_err(|error| InsertError {
            error,
            first: at * chunk,
            n_rows: chunk_rows.len(),
        })?;
    }
    Ok(n_taken)
}

/// Rows a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatementSize {
    /// SEQUENTIAL and CONCURRENT.
    OneRow,
    /// BATCH.
    ManyRows,
}

/// An INSERT that failed, with the rows that it held.
#[derive(Debug)]
pub(super) struct InsertError {
    /// The database's answer.
    pub(super) error: sqlx::Error,
    /// Position of its first row.
    pub(super) first: usize,
    /// Rows in the statement.
    pub(super) n_rows: usize,
}

/// Writes one INSERT into `sql` and returns its parameters.
fn statement(
    sql: &mut String,
    plan: &WritePlan,
    batch: &Batch,
    rows: &[usize],
    types: &TableTypes,
) -> PgArguments {
    let n_columns = plan.columns.len();
    let names = (0..n_columns).map(|column| plan.column(column).name.as_str());
    sql.clear();
    write(
        sql,
        format_args!(
            "INSERT INTO {} ({}) VALUES ",
            QualifiedName::from(&plan.table.name),
            quoted_list(names)
        ),
    );
    let mut parameters = PgArguments::default();
    let mut n_parameters = 0;
    for (at, index) in rows.iter().enumerate() {
        sql.push_str(if at == 0 { "(" } else { ", (" });
        for (column, value) in batch.rows.row(*index).values().enumerate() {
            if column > 0 {
                sql.push_str(", ");
            }
            if value == Value::Unset {
                sql.push_str("DEFAULT");
                continue;
            }
            n_parameters += 1;
            let ty = &types.columns[column];
            let through_text = if ty.is_binary { "" } else { "::text" };
            write(
                sql,
                format_args!("${n_parameters}{through_text}::{}", ty.name),
            );
            let field = Field {
                ty: &plan.column(column).ty,
                value,
                is_binary: ty.is_binary,
            };
            arguments::add(&mut parameters, field);
        }
        sql.push(')');
    }
    parameters
}

fn write(sql: &mut String, arguments: std::fmt::Arguments<'_>) {
    sql.write_fmt(arguments)
        .expect("writing into a string cannot fail");
}
