//! One transaction over all batches of an import: ATOMIC imports and dry runs.
//!
//! In: batches, one after the other. Out: their receipts; then everything is committed, or
//! nothing. SQLite has one writer, and this holds it from the first statement to the last: other
//! imports, heartbeats, cancel requests and takeovers wait meanwhile, in this process for the
//! writer and in others for the file; of a database in memory, reads wait too. A lease may run
//! out under it, but nobody can take the import over before the transaction ends.
//!
//! Bounded by the call's deadline, else each call as a batch is; a statement that
//! outlasts it is interrupted and the connection closed, which rolls back.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::connection::{Bound, Connections, Lease};
use super::error::{internal, is_deferred_violation, store_error};
use super::ledger::{self, batches, rejects};
use super::sql::{execute, try_execute};
use super::write;
use crate::model::batch::{Batch, Overdrawn, Receipt};
use crate::store::{AtomicRequest, AtomicWrite, StoreError, WholeRange, WriteRequest};

/// How long a COMMIT may take where no deadline says so: it cannot be interrupted, and carries
/// the log of the whole import over to the database.
const COMMIT_TIMEOUT_MIN: Duration = Duration::from_mins(1);

/// The transaction.
pub(super) struct Atomic<'a> {
    /// `None` once it has ended.
    lease: Option<Lease<'a>>,
    request: AtomicRequest<'a>,
    control_timeout: Duration,
}

/// Takes the writer and begins.
pub(super) async fn begin<'a>(
    connections: &'a Connections,
    request: AtomicRequest<'a>,
    control_timeout: Duration,
) -> Result<Atomic<'a>, StoreError> {
    write::refuse_settings(request.settings)?;
    let bound = Bound::new(request.deadline, write::timeout(control_timeout));
    let mut lease = connections.writer(bound).await?;
    let begun = bound.within(async {
        execute(&mut lease, "BEGIN IMMEDIATE").await?;
        ledger::fence(&mut lease, request.key).await
    });
    let begun = begun.await;
    if !matches!(begun, Ok(Ok(()))) {
        lease.settle(bound, begun).await?;
        return Err(internal("a transaction that did not begin"));
    }
    Ok(Atomic {
        lease: Some(lease),
        request,
        control_timeout,
    })
}

#[async_trait]
impl AtomicWrite for Atomic<'_> {
    async fn write(&mut self, batch: &Batch, probe_first: bool) -> Result<Receipt, StoreError> {
        let bound = self.bound();
        let mut lease = self.take()?;
        let written = bound.within(write_batch(&mut lease, &self.request, batch, probe_first));
        match written.await {
            Ok(Ok(receipt)) => {
                self.lease = Some(lease);
                Ok(receipt)
            }
            failed => lease.settle(bound, failed).await,
        }
    }

    async fn commit(mut self: Box<Self>, whole: &WholeRange) -> Result<(), StoreError> {
        let bound = Bound::new(
            self.request.deadline,
            self.control_timeout.max(COMMIT_TIMEOUT_MIN),
        );
        let mut lease = self.take()?;
        let committed = bound.within(commit(&mut lease, &self.request, whole)).await;
        lease.settle(bound, committed).await
    }

    async fn rollback(mut self: Box<Self>) -> Result<(), StoreError> {
        let Some(mut lease) = self.lease.take() else {
            return Ok(());
        };
        let bound = Bound::new(None, self.control_timeout);
        let rolled_back = bound.within(execute(&mut lease, "ROLLBACK")).await;
        lease.settle(bound, rolled_back).await
    }
}

impl<'a> Atomic<'a> {
    fn bound(&self) -> Bound {
        Bound::new(self.request.deadline, write::timeout(self.control_timeout))
    }

    /// The connection, for as long as a call lasts: one that is cut leaves none.
    fn take(&mut self) -> Result<Lease<'a>, StoreError> {
        let lease = self.lease.take();
        lease.ok_or_else(|| internal("the transaction of the import has ended"))
    }
}

/// One batch in a savepoint, begun anew until its rows are known to hold.
async fn write_batch(
    connection: &mut SqliteConnection,
    request: &AtomicRequest<'_>,
    batch: &Batch,
    probe_first: bool,
) -> Result<Receipt, StoreError> {
    let write = WriteRequest {
        key: request.key,
        plan: request.plan,
        batch,
        rejects: request.rejects,
        settings: request.settings,
        probe_first,
        deadline: request.deadline,
    };
    let (counts, mut rejected) = write::write_in_savepoint(connection, &write).await?;
    match request
        .rejects
        .reserve(batch.range.start, rejected.len() as u64)
    {
        Ok(reservation) => reservation.keep(),
        Err(Overdrawn::Again) => {
            let recorded = Vec::new();
            return Err(StoreError::RejectLimit { recorded });
        }
        Err(Overdrawn::First { n_recorded }) => {
            rejected.truncate(usize::try_from(n_recorded).unwrap_or(usize::MAX));
            return Err(StoreError::RejectLimit { recorded: rejected });
        }
    }
    if !request.validate_only {
        let import = request.key.import;
        rejects::insert(connection, import, &request.rejects.kept(&rejected)).await?;
    }
    execute(connection, "RELEASE rowlift_batch").await?;
    Ok(Receipt {
        range: batch.range.clone(),
        counts,
        rejected,
        retries: 0,
    })
}

async fn commit(
    connection: &mut SqliteConnection,
    request: &AtomicRequest<'_>,
    whole: &WholeRange,
) -> Result<(), StoreError> {
    ledger::fence(connection, request.key).await?;
    if !batches::insert_whole(connection, request.key.import, whole).await? {
        // An earlier transaction of this session is in, whose answer was lost.
        return Err(internal("the rows of the import are committed already"));
    }
    match try_execute(connection, "COMMIT").await {
        Ok(()) => Ok(()),
        Err(error) if is_deferred_violation(&error) => Err(internal(
            "a deferred foreign key fails, but for no row of the import",
        )),
        Err(error) => Err(store_error(error)),
    }
}
