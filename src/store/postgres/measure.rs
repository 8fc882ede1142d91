//! A span and a measurement for the statement that writes the rows of a batch.
//!
//! In: the write. Out: the same, inside a span of kind CLIENT with what the conventions want of a
//! database's client. Values never get here, only the table's name and SQLSTATE.

use std::time::Instant;

use tracing::{Instrument, Span, field, info_span};

use crate::model::import::WriteMethod;
use crate::model::plan::{OnConflict, WritePlan};
use crate::store::StoreError;
use crate::store::copying::CopyFormat;

use super::PgStore;
use super::isolate::NotWritten;

/// `db.system.name`.
const SYSTEM: &str = "postgresql";

/// Runs the statements that write rows into the plan's table, copied as `copies` says.
pub(super) async fn rows<T>(
    store: &PgStore,
    plan: &WritePlan,
    copies: Option<CopyFormat>,
    write: impl Future<Output = Result<T, NotWritten>> + Send,
) -> Result<T, NotWritten> {
    let operation = operation(plan, copies);
    let span = span(operation, plan);
    let begun = Instant::now();
    let written = write.instrument(span.clone()).await;
    let sql_state = match &written {
        Ok(_) | Err(NotWritten::Swallowed) => None,
        Err(NotWritten::Refused(refusal, _)) => Some(refusal.sql_state.as_str()),
        Err(NotWritten::Fatal(StoreError::Transient { sql_state, .. })) => Some(sql_state.as_str()),
        // Ours, not the database's.
        Err(NotWritten::Fatal(error)) => Some(error.kind()),
    };
    if let Some(sql_state) = sql_state {
        span.record("db.response.status_code", sql_state);
        span.record("otel.status_code", "ERROR");
        span.record("error.type", sql_state);
    }
    if let Some(metrics) = store.metrics.get() {
        metrics.rows_written(SYSTEM, operation, begun.elapsed(), sql_state);
    }
    written
}

/// The span of the end of a transaction.
pub(super) fn commit() -> Span {
    info_span!("import.commit")
}

fn span(operation: &str, plan: &WritePlan) -> Span {
    let table = &plan.table.name;
    info_span!(
        "db",
        otel.name = format!("{operation} {}", table.name),
        otel.kind = "client",
        otel.status_code = field::Empty,
        error.type = field::Empty,
        db.system.name = SYSTEM,
        db.operation.name = operation,
        db.collection.name = %table,
        db.response.status_code = field::Empty,
    )
}

fn operation(plan: &WritePlan, copies: Option<CopyFormat>) -> &'static str {
    match (plan.method, &plan.on_conflict) {
        (WriteMethod::Copy, OnConflict::Reject) if copies.is_some() => "COPY",
        _ => "INSERT",
    }
}

#[cfg(test)]
mod tests;
