//! One batch, one transaction: fence, rows, rejected rows, range, COMMIT.
//!
//! In: a [`WriteRequest`]. Out: a [`Receipt`]. A clean batch takes four round trips: the begin with
//! its fence and savepoint, COPY and its data, and the range with COMMIT.
//!
//! ```text
//! BEGIN, limits, fence, savepoint ─┬─ no row: Fenced
//!                                  ├─ range is in: its receipt
//!                                  └─ rows ─┬─ clean ───────────────▶ range, COMMIT
//!                                           ├─ some rejected ─▶ range, reserve, rejects, COMMIT
//!                                           │    └─ overdrawn ─▶ ROLLBACK, store the
//!                                           │       first rejects ─▶ RejectLimit
//!                                           └─ refused ─▶ isolate, then as with some rejected
//! ```
//!
//! Bounded by the request's deadline, else by [`BATCH_TIME_MAX`]; each statement by
//! [`STATEMENT_TIME_MAX`] in the database itself. A dropped future closes the connection.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::postgres::PgArguments;
use tracing::Instrument;

use crate::model::batch::{Overdrawn, Receipt, RejectReservation};
use crate::model::import::{Failure, Reason, WriteMethod};
use crate::model::reject::RejectedRow;
use crate::store::failpoint;
use crate::store::{StoreError, WriteRequest};

use super::checkpoint::{self, Fence};
use super::connection::{Limits, Transaction};
use super::error::{self, Trouble};
use super::isolate::{CHECK_CONSTRAINTS, NotWritten, RowWriter, undo};
use super::outcome::Outcome;
use super::{PgStore, arguments, measure};

/// No statement of a batch runs longer.
const STATEMENT_TIME_MAX: Duration = Duration::from_mins(1);

/// A batch without a deadline is given up after this time: its connection hangs.
const BATCH_TIME_MAX: Duration = Duration::from_mins(10);

/// SQLSTATE of a statement that was stopped, by us or by an administrator.
const QUERY_CANCELED: &str = "57014";

/// Writes the batch; see [`crate::store::Store::write_batch`].
pub(super) async fn write_batch(
    store: &PgStore,
    request: WriteRequest<'_>,
) -> Result<Receipt, StoreError> {
    let time = Time::until(request.deadline)?;
    time.bound(attempt(store, request, time.statement)).await
}

/// How long the work on one batch may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    /// All of it.
    left: Duration,
    /// One statement.
    pub(super) statement: Duration,
    /// The caller's deadline is the bound.
    is_deadline: bool,
}

impl Time {
    /// What is left now; an error if nothing is.
    pub(super) fn until(deadline: Option<Instant>) -> Result<Time, StoreError> {
        let left = match deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => BATCH_TIME_MAX,
        };
        if left.is_zero() {
            return Err(StoreError::Deadline);
        }
        Ok(Time {
            left,
            statement: left.min(STATEMENT_TIME_MAX),
            is_deadline: deadline.is_some(),
        })
    }

    /// Holds work to it. What is given up is dropped, and its connection closed.
    pub(super) async fn bound<T>(
        self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.left, work).await {
            Err(_) if self.is_deadline => Err(StoreError::Deadline),
            Err(_) => Err(error::lost("the database took too long over a batch")),
            Ok(Err(StoreError::Transient { sql_state, .. }))
                if self.is_deadline
                    && sql_state == QUERY_CANCELED
                    && self.statement == self.left =>
            {
                Err(StoreError::Deadline)
            }
            Ok(result) => result,
        }
    }
}

async fn attempt(
    store: &PgStore,
    request: WriteRequest<'_>,
    statement: Duration,
) -> Result<Receipt, StoreError> {
    let limits = Limits {
        statement,
        checks_client: store.checks_client().await?,
    };
    let fence = checkpoint::fence(request.key, request.batch.range.start);
    let bare = format!("{}{fence}", limits.begin());
    let prologue = format!("{bare}; SAVEPOINT rowlift_rows");
    let copying = store.copying();
    // A first COPY without a savepoint, where the engine takes none behind one.
    let is_bare = !copying.behind_savepoints
        && copying.format.is_some()
        && request.plan.method == WriteMethod::Copy
        && request.plan.conflict_key().is_none()
        && !request.probe_first;
    failpoint::hit("batch-before-begin").await?;
    let first = if is_bare { &bare } else { &prologue };
    let begun = Transaction::begin(&store.writers, first).await;
    let (mut transaction, rows) = begun.map_err(error::of_ledger)?;
    match checkpoint::passed(&rows, request.batch).map_err(error::of_ledger)? {
        Fence::Open => {}
        fence => return not_open(transaction, request, &fence).await,
    }
    set(&mut transaction, request, !is_bare).await?;

    let copies = if is_bare {
        copying.format
    } else {
        copying.anywhere()
    };
    let mut writer = RowWriter::new(request, copies);
    writer.prepare(&mut transaction).await?;
    let mut failed = None;
    if !request.probe_first {
        let write = writer.write_all(&mut transaction);
        match measure::rows(store, request.plan, copies, write).await {
            Ok(whole) => {
                let outcome = Outcome::of(request, &whole);
                match store_range(&mut transaction, request, &outcome).await? {
                    RangeEnd::Committed => {
                        failpoint::hit("batch-after-commit").await?;
                        transaction.ended();
                        return Ok(outcome.receipt(request));
                    }
                    RangeEnd::Stored => {
                        return commit_with_rejects(transaction, request, outcome, &prologue).await;
                    }
                    RangeEnd::Repeated => {
                        return repeated_after(transaction, request, &prologue).await;
                    }
                    RangeEnd::Refused(refused) => failed = Some(refused),
                }
            }
            Err(NotWritten::Fatal(fatal)) => return Err(fatal),
            Err(refused) => failed = Some(refused),
        }
    }
    if is_bare {
        let begun = transaction.restart(&prologue).await;
        let rows = begun.map_err(error::of_ledger)?;
        match checkpoint::passed(&rows, request.batch).map_err(error::of_ledger)? {
            Fence::Open => {}
            fence => return not_open(transaction, request, &fence).await,
        }
        set(&mut transaction, request, true).await?;
        writer.insert_only();
    } else {
        undo(&mut transaction).await?;
    }
    let isolated = writer.isolate(&mut transaction, failed).await?;
    let outcome = Outcome::of(request, &isolated);
    commit_isolated(transaction, request, outcome, &prologue).await
}

/// Nothing is to be written: another session holds the import, or the batch is in.
async fn not_open(
    transaction: Transaction,
    request: WriteRequest<'_>,
    fence: &Fence,
) -> Result<Receipt, StoreError> {
    if *fence == Fence::Repeated {
        return repeated(transaction, request).await;
    }
    transaction.rollback().await.map_err(error::of_ledger)?;
    Err(StoreError::Fenced)
}

/// Applies the caller's settings; rows go back to a savepoint behind them, if there is one.
async fn set(
    transaction: &mut Transaction,
    request: WriteRequest<'_>,
    has_savepoint: bool,
) -> Result<(), StoreError> {
    if request.settings.is_empty() {
        return Ok(());
    }
    apply_settings(transaction, request.settings).await?;
    if has_savepoint {
        let anew = "RELEASE SAVEPOINT rowlift_rows; SAVEPOINT rowlift_rows";
        transaction.simple(anew).await.map_err(error::of_ledger)?;
    }
    Ok(())
}

/// What became of the statements that check constraints and store a batch's range.
enum RangeEnd {
    /// With COMMIT: there was nothing else to store.
    Committed,
    /// Rejects are to follow.
    Stored,
    /// Another attempt at the batch committed it.
    Repeated,
    /// A deferred constraint failed, or something else did that does not name the ledger.
    Refused(NotWritten),
}

/// Constraints and range, without rejects COMMIT as well, in one round trip.
async fn store_range(
    transaction: &mut Transaction,
    request: WriteRequest<'_>,
    outcome: &Outcome,
) -> Result<RangeEnd, StoreError> {
    let sql = format!("{CHECK_CONSTRAINTS}; {}", outcome.range(request));
    let stored = if outcome.rejected.is_empty() {
        failpoint::hit("batch-before-commit").await?;
        let sql = format!("{sql}; COMMIT");
        let commit = transaction.simple(&sql).instrument(measure::commit());
        commit.await.map(|_| RangeEnd::Committed)
    } else {
        transaction.simple(&sql).await.map(|_| RangeEnd::Stored)
    };
    let error = match stored {
        Ok(stored) => return Ok(stored),
        Err(error) => error,
    };
    let is_conflict = error::is_unique_violation(&error);
    match error::while_writing(error) {
        Trouble::Refused(refusal) if refusal.concerns("rowlift", "import_batches") => {
            if is_conflict {
                return Ok(RangeEnd::Repeated);
            }
            Err(StoreError::Failed(Failure::new(
                Reason::Internal,
                "the ledger refused a batch's range",
            )))
        }
        Trouble::Refused(refusal) => Ok(RangeEnd::Refused(NotWritten::Refused(refusal, None))),
        Trouble::Fatal(fatal) => Err(fatal),
    }
}

/// Range, reservation, rejects and COMMIT. Constraints were checked while rows were isolated: that the
/// range is refused concerns nothing else, whatever the engine's error names.
async fn commit_isolated(
    mut transaction: Transaction,
    request: WriteRequest<'_>,
    outcome: Outcome,
    prologue: &str,
) -> Result<Receipt, StoreError> {
    match transaction.simple(&outcome.range(request)).await {
        Ok(_) => commit_with_rejects(transaction, request, outcome, prologue).await,
        Err(error) if error::is_unique_violation(&error) => {
            repeated_after(transaction, request, prologue).await
        }
        Err(error) => Err(error::of_ledger(error)),
    }
}

/// Reservation, rejects and COMMIT, the range being stored. That one comes before the reservation: a
/// repeated batch must not reserve its rejects a second time.
async fn commit_with_rejects(
    mut transaction: Transaction,
    request: WriteRequest<'_>,
    outcome: Outcome,
    prologue: &str,
) -> Result<Receipt, StoreError> {
    let batch = request.batch;
    let reservation = match request
        .rejects
        .reserve(batch.range.start, outcome.counts.rejected)
    {
        Ok(reservation) if !outcome.gave_up => reservation,
        // Rows were given up because the limit is passed for certain; if the budget thinks
        // otherwise, the batch must not be taken for complete.
        Ok(_) => return Err(error::lost("the limit on rejected rows changed meanwhile")),
        Err(overdrawn) => {
            return overdraw(transaction, request, prologue, outcome.rejected, overdrawn).await;
        }
    };
    checkpoint::insert_rejects(
        &mut transaction,
        request.key.import,
        &request.rejects.kept(&outcome.rejected),
    )
    .await
    .map_err(error::of_ledger)?;
    failpoint::hit("batch-before-commit").await?;
    let committed = async {
        transaction.commit().await.map_err(error::of_ledger)?;
        failpoint::hit("batch-after-commit").await
    };
    if let Err(error) = committed.instrument(measure::commit()).await {
        reservation.keep_in_doubt(batch.range.start);
        return Err(error);
    }
    reservation.keep();
    Ok(outcome.receipt(request))
}

/// The limit is passed: nothing of the batch stays but the rejected rows up to the one beyond.
async fn overdraw(
    mut transaction: Transaction,
    request: WriteRequest<'_>,
    prologue: &str,
    mut rejected: Vec<RejectedRow>,
    overdrawn: Overdrawn,
) -> Result<Receipt, StoreError> {
    let Overdrawn::First { n_recorded } = overdrawn else {
        transaction.rollback().await.map_err(error::of_ledger)?;
        return Err(StoreError::RejectLimit {
            recorded: Vec::new(),
        });
    };
    rejected.truncate(usize::try_from(n_recorded).unwrap_or(usize::MAX));
    let begun = transaction.restart(prologue).await;
    let rows = begun.map_err(error::of_ledger)?;
    if rows.is_empty() {
        transaction.rollback().await.map_err(error::of_ledger)?;
        return Err(StoreError::Fenced);
    }
    checkpoint::insert_rejects(
        &mut transaction,
        request.key.import,
        &request.rejects.kept(&rejected),
    )
    .await
    .map_err(error::of_ledger)?;
    transaction.commit().await.map_err(error::of_ledger)?;
    Err(StoreError::RejectLimit { recorded: rejected })
}

/// The batch turned out to be in while it was being written.
async fn repeated_after(
    mut transaction: Transaction,
    request: WriteRequest<'_>,
    prologue: &str,
) -> Result<Receipt, StoreError> {
    let begun = transaction.restart(prologue).await;
    let rows = begun.map_err(error::of_ledger)?;
    match checkpoint::passed(&rows, request.batch).map_err(error::of_ledger)? {
        Fence::Repeated => repeated(transaction, request).await,
        Fence::Closed => {
            transaction.rollback().await.map_err(error::of_ledger)?;
            Err(StoreError::Fenced)
        }
        // The range begins where another one does, but is not inside it: cut otherwise.
        Fence::Open => Err(StoreError::Failed(Failure::new(
            Reason::Internal,
            "a committed range overlaps the batch",
        ))),
    }
}

/// The batch is in: its receipt, with its rejects charged to the budget.
async fn repeated(
    mut transaction: Transaction,
    request: WriteRequest<'_>,
) -> Result<Receipt, StoreError> {
    let receipt = checkpoint::recall(&mut transaction, request).await?;
    transaction.rollback().await.map_err(error::of_ledger)?;
    match request
        .rejects
        .reserve(request.batch.range.start, receipt.counts.rejected)
    {
        Ok(reservation) => {
            RejectReservation::keep(reservation);
            Ok(receipt)
        }
        Err(_) => Err(StoreError::RejectLimit {
            recorded: Vec::new(),
        }),
    }
}

/// Applies the caller's settings for the transaction.
pub(super) async fn apply_settings(
    transaction: &mut Transaction,
    settings: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    const SQL: &str = "SELECT pg_catalog.set_config(name, value, true)::text \
        FROM unnest($1::text[], $2::text[]) AS s(name, value)";
    let names: Vec<&str> = settings.keys().map(String::as_str).collect();
    let values: Vec<&str> = settings.values().map(String::as_str).collect();
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, names);
    arguments::add(&mut parameters, values);
    let Err(error) = transaction.fetch(SQL, parameters).await else {
        return Ok(());
    };
    let state = error::sql_state(&error).unwrap_or_default().to_owned();
    Err(match state.get(..2) {
        Some("22" | "42") => StoreError::Failed(
            Failure::new(Reason::InvalidOption, "the database refused a setting")
                .with("sql_state", state),
        ),
        _ => error::of_ledger(error),
    })
}
