//! One batch, one transaction: fence, rows, rejected rows, range, COMMIT.
//!
//! In: a [`WriteRequest`]. Out: its [`Receipt`]. `BEGIN IMMEDIATE` takes SQLite's write lock, so
//! the fence cannot change before COMMIT. Bounded by the call's deadline, else by the control
//! timeout; on cancel the statement is interrupted and the connection closed, which rolls back.

use sqlx::sqlite::SqliteConnection;

use self::insert::{Inserted, Refused, TableFacts, insert_rows};
use super::connection::{Bound, Connections};
use super::error::{internal, is_deferred_violation, store_error};
use super::ledger::{self, batches, rejects};
use super::sql::{execute, try_execute};
use crate::model::batch::{Batch, Overdrawn, Receipt};
use crate::model::import::{Failure, Reason};
use crate::model::reject::RejectedRow;
use crate::model::stats::RowCounts;
use crate::store::{StoreError, WriteRequest};

mod insert;
mod refuse;

/// Times that a batch begins anew because a trigger rolled its transaction back or a deferred
/// key failed at COMMIT; each time at least one row more is known to be refused.
const RESTARTS_MAX: usize = 1000;
/// Attempts at recording the rows that went beyond the reject limit.
const RECORD_ATTEMPTS_MAX: usize = 3;

/// How an attempt ended; the connection is at rest.
enum Attempt {
    /// The batch is in.
    In(Receipt),
    /// More rows are known to be refused; nothing is written.
    Again,
    /// More rejects than allowed; nothing is written yet.
    Overdrawn(Vec<RejectedRow>),
}

/// Writes a batch, or finds that it is in.
pub(super) async fn write_batch(
    connections: &Connections,
    request: &WriteRequest<'_>,
    bound: Bound,
) -> Result<Receipt, StoreError> {
    if let Some((name, _)) = request.settings.first_key_value() {
        let message = format!("setting \"{name}\": SQLite has no settings of a transaction");
        return Err(StoreError::Failed(Failure::new(
            Reason::InvalidOption,
            message,
        )));
    }
    let mut refused = Refused::default();
    for _ in 0..RESTARTS_MAX {
        let mut lease = connections.writer(bound).await?;
        let attempted = bound
            .within(attempt(&mut lease, request, &mut refused))
            .await;
        match lease.settle(bound, attempted).await? {
            Attempt::In(receipt) => return Ok(receipt),
            Attempt::Again => {}
            Attempt::Overdrawn(rows) => {
                record_overdraft(connections, request, bound, &rows).await?;
                return Err(StoreError::RejectLimit { recorded: rows });
            }
        }
    }
    Err(internal("the rows of a batch undo each other too often"))
}

async fn attempt(
    connection: &mut SqliteConnection,
    request: &WriteRequest<'_>,
    refused: &mut Refused,
) -> Result<Attempt, StoreError> {
    let batch = request.batch;
    execute(connection, "BEGIN IMMEDIATE").await?;
    ledger::fence(connection, request.key).await?;
    if let Some(receipt) = batches::receipt(connection, request.key.import, batch).await? {
        execute(connection, "ROLLBACK").await?;
        // The attempt that wrote it never learned of its COMMIT and gave its rejects back.
        if let Ok(reservation) = request.rejects.reserve(receipt.counts.rejected) {
            reservation.keep();
        }
        return Ok(Attempt::In(receipt));
    }

    let facts = TableFacts::read(connection, request).await?;
    match insert_rows(connection, request, &facts, refused).await? {
        Inserted::All => {}
        Inserted::RolledBack => return Ok(Attempt::Again),
    }
    let mut rejected = all_rejected(request, refused);
    let n_rejected = rejected.len() as u64;
    let reservation = match request.rejects.reserve(n_rejected) {
        Ok(reservation) => reservation,
        Err(Overdrawn::Again) => {
            let recorded = Vec::new();
            return Err(StoreError::RejectLimit { recorded });
        }
        Err(Overdrawn::First { n_recorded }) => {
            execute(connection, "ROLLBACK").await?;
            rejected.truncate(usize::try_from(n_recorded).unwrap_or(usize::MAX));
            return Ok(Attempt::Overdrawn(rejected));
        }
    };
    let counts = RowCounts {
        inserted: (batch.rows.n_rows() - refused.len()) as u64,
        rejected: n_rejected,
        blank: batch.n_blank(),
        ..RowCounts::default()
    };
    rejects::insert(connection, request.key.import, &rejected).await?;
    batches::insert(connection, request.key.import, batch, counts).await?;
    match try_execute(connection, "COMMIT").await {
        Ok(()) => {}
        Err(error) if is_deferred_violation(&error) => {
            let n_known = refused.len();
            refuse::by_deferred_keys(connection, request, refused).await?;
            execute(connection, "ROLLBACK").await?;
            if refused.len() == n_known {
                return Err(internal(
                    "a deferred foreign key fails, but for no row of the batch",
                ));
            }
            return Ok(Attempt::Again);
        }
        Err(error) => return Err(store_error(error)),
    }
    reservation.keep();
    Ok(Attempt::In(Receipt {
        range: batch.range.clone(),
        counts,
        rejected,
        retries: 0,
    }))
}

/// Mapping's and database's rejected rows, by ordinal.
fn all_rejected(request: &WriteRequest<'_>, refused: &Refused) -> Vec<RejectedRow> {
    let Batch {
        sheet, source_kind, ..
    } = request.batch;
    let mut rejected = request.batch.rejected.clone();
    rejected.extend(refused.iter().map(|(index, violation)| {
        let row = request.batch.source_row(*index);
        RejectedRow::from_violation(request.plan, *source_kind, sheet, row, violation)
    }));
    rejected.sort_by_key(|row| row.ordinal);
    rejected
}

/// Stores the rows that the limit let through and the first one beyond, without their batch.
async fn record_overdraft(
    connections: &Connections,
    request: &WriteRequest<'_>,
    bound: Bound,
    rows: &[RejectedRow],
) -> Result<(), StoreError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut lease = connections.writer(bound).await?;
        let recorded = bound.within(async {
            execute(&mut lease, "BEGIN IMMEDIATE").await?;
            ledger::fence(&mut lease, request.key).await?;
            rejects::insert(&mut lease, request.key.import, rows).await?;
            execute(&mut lease, "COMMIT").await
        });
        let recorded = recorded.await;
        match lease.settle(bound, recorded).await {
            Err(StoreError::Transient { .. }) if attempts < RECORD_ATTEMPTS_MAX => {}
            settled => return settled,
        }
    }
}
