//! One batch, one transaction: fence, rows, rejected rows, range, COMMIT.
//!
//! In: a [`WriteRequest`]. Out: its [`Receipt`]. `BEGIN IMMEDIATE` takes SQLite's write lock, so
//! the fence cannot change before COMMIT. Bounded by the call's deadline, else by a minute, or
//! the control timeout if that is longer; on cancel the statement is interrupted and the connection
//! closed, which rolls back.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;

use self::facts::TableFacts;
use self::rows::{Written, write_rows};
use self::verdicts::Verdicts;
use super::connection::{Bound, Connections};
use super::error::{internal, is_deferred_violation, store_error};
use super::ledger::{self, batches, rejects};
use super::sql::{execute, try_execute};
use crate::model::batch::{Batch, Overdrawn, Receipt};
use crate::model::import::{Failure, Reason};
use crate::model::reject::RejectedRow;
use crate::model::stats::RowCounts;
use crate::store::{StoreError, WriteRequest};

mod facts;
mod key;
mod refuse;
mod rows;
mod shape;
mod statements;
mod verdicts;

/// How long a batch may take where no deadline says so, with its wait for the batch of another import:
/// each may be tens of thousands of rows, and its COMMIT carries the log over to the file.
const BATCH_TIMEOUT_MIN: Duration = Duration::from_mins(1);
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

/// How long a batch may take where no deadline says so.
pub(super) fn timeout(control_timeout: Duration) -> Duration {
    control_timeout.max(BATCH_TIMEOUT_MIN)
}

/// Writes a batch, or finds that it is in.
pub(super) async fn write_batch(
    connections: &Connections,
    request: &WriteRequest<'_>,
    bound: Bound,
) -> Result<Receipt, StoreError> {
    refuse_settings(request.settings)?;
    let mut verdicts = Verdicts::default();
    for _ in 0..RESTARTS_MAX {
        let mut lease = connections.writer(bound).await?;
        let attempted = bound
            .within(attempt(&mut lease, request, &mut verdicts))
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
    verdicts: &mut Verdicts,
) -> Result<Attempt, StoreError> {
    let batch = request.batch;
    execute(connection, "BEGIN IMMEDIATE").await?;
    ledger::fence(connection, request.key).await?;
    if let Some(receipt) = batches::receipt(connection, request.key.import, batch).await? {
        execute(connection, "ROLLBACK").await?;
        // The attempt that wrote it never learned of its COMMIT and gave its rejects back.
        if let Ok(reservation) = request
            .rejects
            .reserve(request.batch.range.start, receipt.counts.rejected)
        {
            reservation.keep();
        }
        return Ok(Attempt::In(receipt));
    }

    let facts = TableFacts::read(connection, request).await?;
    match write_rows(connection, request, &facts, verdicts).await? {
        Written::All => {}
        Written::RolledBack => return Ok(Attempt::Again),
        Written::Undo => {
            execute(connection, "ROLLBACK").await?;
            return Ok(Attempt::Again);
        }
    }
    let mut rejected = all_rejected(request, verdicts);
    let n_rejected = rejected.len() as u64;
    let reservation = match request
        .rejects
        .reserve(request.batch.range.start, n_rejected)
    {
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
    let counts = counts(batch, verdicts)?;
    let import = request.key.import;
    rejects::insert(connection, import, &request.rejects.kept(&rejected)).await?;
    batches::insert(connection, request.key.import, batch, counts).await?;
    match try_execute(connection, "COMMIT").await {
        Ok(()) => {}
        Err(error) if is_deferred_violation(&error) => {
            let late = refuse::by_deferred_keys(connection, request, verdicts).await?;
            execute(connection, "ROLLBACK").await?;
            if late.is_empty() {
                return Err(internal(
                    "a deferred foreign key fails, but for no row of the batch",
                ));
            }
            verdicts.refuse_late(late);
            return Ok(Attempt::Again);
        }
        Err(error) => {
            reservation.keep_in_doubt(batch.range.start);
            return Err(store_error(error));
        }
    }
    reservation.keep();
    Ok(Attempt::In(Receipt {
        range: batch.range.clone(),
        counts,
        rejected,
        retries: 0,
    }))
}

/// Writes the rows of a batch inside an open transaction, and leaves the savepoint
/// `rowlift_batch` around them: what became of them, and the rejected rows. Deferred foreign keys
/// are judged now, since COMMIT cannot be tried.
pub(super) async fn write_in_savepoint(
    connection: &mut SqliteConnection,
    request: &WriteRequest<'_>,
) -> Result<(RowCounts, Vec<RejectedRow>), StoreError> {
    let facts = TableFacts::read(connection, request).await?;
    let mut verdicts = Verdicts::default();
    execute(connection, "SAVEPOINT rowlift_batch").await?;
    for _ in 0..RESTARTS_MAX {
        match write_rows(connection, request, &facts, &mut verdicts).await? {
            Written::All => {}
            Written::RolledBack => {
                return Err(internal(
                    "a trigger of the table rolled back the transaction of the import",
                ));
            }
            Written::Undo => {
                execute(connection, "ROLLBACK TO rowlift_batch").await?;
                continue;
            }
        }
        let late = refuse::by_deferred_keys(connection, request, &verdicts).await?;
        if late.is_empty() {
            let counts = counts(request.batch, &verdicts)?;
            return Ok((counts, all_rejected(request, &verdicts)));
        }
        verdicts.refuse_late(late);
        execute(connection, "ROLLBACK TO rowlift_batch").await?;
    }
    Err(internal("the rows of a batch undo each other too often"))
}

/// SQLite has no settings of a transaction.
pub(super) fn refuse_settings(settings: &BTreeMap<String, String>) -> Result<(), StoreError> {
    let Some((name, _)) = settings.first_key_value() else {
        return Ok(());
    };
    let message = format!("setting \"{name}\": SQLite has no settings of a transaction");
    Err(StoreError::Failed(Failure::new(
        Reason::InvalidOption,
        message,
    )))
}

/// What became of the batch's ordinals: each has one verdict.
fn counts(batch: &Batch, verdicts: &Verdicts) -> Result<RowCounts, StoreError> {
    let counts = RowCounts {
        rejected: (batch.rejected.len() + verdicts.refused.len()) as u64,
        blank: batch.n_blank(),
        ..verdicts.counts()
    };
    if counts.total() != batch.range.end - batch.range.start {
        return Err(internal("the rows of a batch do not add up"));
    }
    Ok(counts)
}

/// Mapping's and database's rejected rows, by ordinal.
fn all_rejected(request: &WriteRequest<'_>, verdicts: &Verdicts) -> Vec<RejectedRow> {
    let Batch {
        sheet, source_kind, ..
    } = request.batch;
    let mut rejected = request.batch.rejected.clone();
    rejected.extend(verdicts.refused.iter().map(|(index, violation)| {
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
    let kept = request.rejects.kept(rows);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut lease = connections.writer(bound).await?;
        let recorded = bound.within(ledger::record_rejects(&mut lease, request.key, &kept));
        let recorded = recorded.await;
        match lease.settle(bound, recorded).await {
            Err(StoreError::Transient { .. }) if attempts < RECORD_ATTEMPTS_MAX => {}
            settled => return settled,
        }
    }
}
