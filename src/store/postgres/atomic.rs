//! One transaction over all batches of an import: ATOMIC, and the dry run of any.
//!
//! In: batches one after the other, then the range of everything. Out: receipts that hold once the
//! COMMIT is answered. One connection of the writers' pool; each batch in a savepoint of its own,
//! isolated like any other. The import's row is not locked until the end: a takeover need not
//! wait for a transaction that may take minutes, and the COMMIT then finds the fence closed.
//!
//! Bounded by the call's deadline, each statement also inside the database; the pause between batches by
//! [`IDLE_MAX`]. Dropped, or after any error, the connection is closed and the database rolls
//! back.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::model::batch::{Batch, Overdrawn, Receipt};
use crate::model::import::{Failure, Reason};
use crate::store::copying::CopyFormat;
use crate::store::failpoint;
use crate::store::{AtomicRequest, AtomicWrite, StoreError, WholeRange, WriteRequest};

use super::checkpoint::{self, Stored};
use super::connection::{Limits, Transaction};
use super::isolate::{Isolated, NotWritten, RowWriter, check_constraints, undo};
use super::outcome::Outcome;
use super::write::{Time, apply_settings};
use super::{PgStore, error};

/// How long the transaction may wait for its next batch.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// Constraints that wait for the COMMIT unless they are told otherwise.
const DEFERRED_SQL: &str = "SELECT coalesce(string_agg(DISTINCT \
    pg_catalog.format('%I.%I', n.nspname, k.conname), ', '), '') \
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace \
    WHERE k.condeferred AND k.conrelid <> 0 \
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND n.nspname NOT LIKE 'pg\\_%' \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conname = k.conname \
    AND o.connamespace = k.connamespace AND NOT o.condeferred)";

/// An open transaction; see [`crate::store::AtomicWrite`].
#[derive(Debug)]
pub(super) struct PgAtomicWrite<'a> {
    request: AtomicRequest<'a>,
    checks_client: bool,
    copies: Option<CopyFormat>,
    /// `None` after an error: dropped, its connection is closed.
    transaction: Option<Transaction>,
    /// Sent after each batch, whose constraints were checked at its end.
    defer_again: String,
}

/// Begins; see [`crate::store::Store::begin_atomic`].
pub(super) async fn begin<'a>(
    store: &PgStore,
    request: AtomicRequest<'a>,
) -> Result<PgAtomicWrite<'a>, StoreError> {
    let time = Time::until(request.deadline)?;
    let begin = async {
        let limits = Limits {
            statement: time.statement,
            checks_client: store.checks_client().await?,
        };
        let open = checkpoint::is_open(request.key);
        let prologue = format!("{}{open}; {DEFERRED_SQL}", limits.begin_idle(IDLE_MAX));
        let begun = Transaction::begin(&store.writers, &prologue).await;
        let (mut transaction, rows) = begun.map_err(error::of_ledger)?;
        let (is_open, deferred) = facts(&rows).map_err(error::of_ledger)?;
        if !is_open {
            transaction.rollback().await.map_err(error::of_ledger)?;
            return Err(StoreError::Fenced);
        }
        if !request.settings.is_empty() {
            apply_settings(&mut transaction, request.settings).await?;
        }
        let defer_again = if deferred.is_empty() {
            String::new()
        } else {
            format!("; SET CONSTRAINTS {deferred} DEFERRED")
        };
        Ok(PgAtomicWrite {
            request,
            checks_client: limits.checks_client,
            copies: store.copying().anywhere(),
            transaction: Some(transaction),
            defer_again,
        })
    };
    time.bound(begin).await
}

#[async_trait]
impl AtomicWrite for PgAtomicWrite<'_> {
    async fn write(&mut self, batch: &Batch, probe_first: bool) -> Result<Receipt, StoreError> {
        let time = Time::until(self.request.deadline)?;
        // Taken out: whatever goes wrong, a dropped future included, drops it.
        let Some(transaction) = self.transaction.take() else {
            return Err(over());
        };
        let write = self.write_batch(transaction, batch, probe_first, time);
        let (transaction, receipt) = time.bound(write).await?;
        self.transaction = Some(transaction);
        Ok(receipt)
    }

    async fn commit(mut self: Box<Self>, whole: &WholeRange) -> Result<(), StoreError> {
        let time = Time::until(self.request.deadline)?;
        let Some(transaction) = self.transaction.take() else {
            return Err(over());
        };
        time.bound(self.finish(transaction, whole, time)).await
    }

    async fn rollback(mut self: Box<Self>) -> Result<(), StoreError> {
        let Some(transaction) = self.transaction.take() else {
            return Ok(());
        };
        let time = Time::until(None)?;
        let rollback = async { transaction.rollback().await.map_err(error::of_ledger) };
        time.bound(rollback).await
    }
}

impl PgAtomicWrite<'_> {
    async fn write_batch(
        &self,
        mut transaction: Transaction,
        batch: &Batch,
        probe_first: bool,
        time: Time,
    ) -> Result<(Transaction, Receipt), StoreError> {
        let AtomicRequest { key, rejects, .. } = self.request;
        let request = WriteRequest {
            key,
            plan: self.request.plan,
            batch,
            rejects,
            settings: self.request.settings,
            probe_first,
            deadline: self.request.deadline,
        };
        let begin = format!("{}; SAVEPOINT rowlift_rows", self.statement_timeout(time));
        simple(&mut transaction, &begin).await?;
        let isolated = write_rows(&mut transaction, request, self.copies).await?;
        let outcome = Outcome::of(request, &isolated);
        match rejects.reserve(batch.range.start, outcome.counts.rejected) {
            Ok(reservation) if !outcome.gave_up => reservation.keep(),
            Ok(_) => return Err(error::lost("the limit on rejected rows changed meanwhile")),
            Err(overdrawn) => {
                transaction.rollback().await.map_err(error::of_ledger)?;
                let n_recorded = match overdrawn {
                    Overdrawn::First { n_recorded } => n_recorded,
                    Overdrawn::Again => 0,
                };
                let mut rejected = outcome.rejected;
                rejected.truncate(usize::try_from(n_recorded).unwrap_or(usize::MAX));
                return Err(StoreError::RejectLimit { recorded: rejected });
            }
        }
        let end = format!("RELEASE SAVEPOINT rowlift_rows{}", self.defer_again);
        simple(&mut transaction, &end).await?;
        if !self.request.validate_only {
            let kept = rejects.kept(&outcome.rejected);
            checkpoint::insert_rejects(&mut transaction, key.import, &kept)
                .await
                .map_err(error::of_ledger)?;
        }
        Ok((transaction, outcome.receipt(request)))
    }

    async fn finish(
        &self,
        mut transaction: Transaction,
        whole: &WholeRange,
        time: Time,
    ) -> Result<(), StoreError> {
        let key = self.request.key;
        let fence = checkpoint::fence(key, 0);
        let fence = format!("{}; {fence}", self.statement_timeout(time));
        let rows = transaction.simple(&fence).await;
        let rows = rows.map_err(error::of_ledger)?;
        if rows.is_empty() {
            transaction.rollback().await.map_err(error::of_ledger)?;
            return Err(StoreError::Fenced);
        }
        if whole.end > 0 {
            let range = checkpoint::insert_range(key, &Stored::of_whole(whole));
            match transaction.simple(&range).await {
                Ok(_) => {}
                // An earlier attempt, whose COMMIT was not answered, is in after all.
                Err(error) if error::is_unique_violation(&error) => {
                    return Err(error::lost("another attempt has stored the import's range"));
                }
                Err(error) => return Err(error::of_ledger(error)),
            }
        }
        failpoint::hit("atomic-before-commit").await?;
        transaction.commit().await.map_err(error::of_ledger)?;
        failpoint::hit("atomic-after-commit").await
    }

    fn statement_timeout(&self, time: Time) -> String {
        let limits = Limits {
            statement: time.statement,
            checks_client: self.checks_client,
        };
        limits.statement_timeout()
    }
}

/// Writes the rows of one batch and checks deferred constraints, the transaction being at its
/// savepoint.
async fn write_rows(
    transaction: &mut Transaction,
    request: WriteRequest<'_>,
    copies: Option<CopyFormat>,
) -> Result<Isolated, StoreError> {
    let mut writer = RowWriter::new(request, copies);
    writer.prepare(transaction).await?;
    let mut failed = None;
    if !request.probe_first {
        let written = match writer.write_all(transaction).await {
            Ok(whole) => check_constraints(transaction).await.map(|()| whole),
            Err(refused) => Err(refused),
        };
        match written {
            Ok(whole) => return Ok(whole),
            Err(NotWritten::Fatal(fatal)) => return Err(fatal),
            Err(refused) => failed = Some(refused),
        }
    }
    undo(transaction).await?;
    writer.isolate(transaction, failed).await
}

async fn simple(transaction: &mut Transaction, sql: &str) -> Result<(), StoreError> {
    transaction.simple(sql).await.map_err(error::of_ledger)?;
    Ok(())
}

/// Whether the fence is open, and the constraints that are deferred.
fn facts(rows: &[PgRow]) -> Result<(bool, String), sqlx::Error> {
    match rows {
        [open, deferred] => Ok((open.try_get(0)?, deferred.try_get(0)?)),
        _ => Err(sqlx::Error::RowNotFound),
    }
}

fn over() -> StoreError {
    let message = "the transaction of the import is over";
    StoreError::Failed(Failure::new(Reason::Internal, message))
}
