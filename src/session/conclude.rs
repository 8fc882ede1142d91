//! How a session ends: stop what runs, take stock in the ledger, tell the caller.
//!
//! In: a session that is done, or why it is not. Out: the outcome in the ledger and, as the last
//! event, to the caller. Bounded by [`LEDGER_BOUND`], by [`DEADLINE_BOUND`] where the call's deadline
//! has passed already, and by [`LEDGER_AFTER_GRACE`] at the end of a stop: the ledger then learns the
//! end from the lease.

use std::future::Future;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::metrics::counted::ImportEnd;
use crate::model::import::{Failure, ImportOutcome, ImportState, Reason};
use crate::model::stats::ImportStats;
use crate::progress::ResultEvent;
use crate::session::ending::{self, Ending};
use crate::session::live::{Live, cancelled_by_request};
use crate::session::pipeline::Output;
use crate::store::{Committed, StoreError};
use crate::writer;

/// How long the ledger may take for the end of an import.
const LEDGER_BOUND: Duration = Duration::from_secs(10);
/// Further attempts at a question to the ledger.
const LEDGER_RETRIES_MAX: u32 = 20;
/// Before the first of them; grows with each.
const LEDGER_PAUSE: Duration = Duration::from_millis(25);
/// The least that the ledger gets, even once the deadline has passed.
const DEADLINE_BOUND: Duration = Duration::from_millis(120);
/// The most that the ledger gets once a stop's grace has ended. With the wait for writes before it
/// this stays below what the server waits for its sessions, so that the caller is told.
const LEDGER_AFTER_GRACE: Duration = Duration::from_millis(1500);

/// Ends the session: successfully, or for `failure`.
pub(super) async fn conclude(mut live: Live, failure: Option<Failure>) {
    let mut failure = failure;
    if failure
        .as_ref()
        .is_some_and(|it| it.reason == Reason::CancelledByCaller)
        && live.cancel_was_requested()
    {
        // Whoever asked for the cancel was told that it would come.
        failure = Some(cancelled_by_request());
    }
    if let Some(late) = stop(&mut live, failure.as_ref()).await {
        failure = Some(late);
    }
    let left = live
        .bound()
        .map(|at| at.saturating_duration_since(Instant::now()));
    let bound = left.map_or(LEDGER_BOUND, |left| {
        left.clamp(DEADLINE_BOUND, LEDGER_BOUND)
    });
    let settled = tokio::select! {
        biased;
        settled = settle(&live, failure.clone()) => Ok(settled),
        // What is dropped may have come through: a later session finds out.
        () = tokio::time::sleep(bound) => Err(match live.bound() {
            Some(_) => ending::deadline().with("phase", "COMMITTING"),
            None => Failure::new(Reason::DatabaseUnavailable, "the ledger did not answer"),
        }),
        () = after_grace(&live) => Err(writer::stopping()),
    };
    let stored = settled.is_ok();
    let outcome = settled.unwrap_or_else(|late| {
        let told = live.tally.watermark();
        let mut outcome = outcome(&live, live.stats(), told, Some(failure.unwrap_or(late)));
        outcome.state = ImportState::Suspended;
        outcome
    });
    log(&live, &outcome, stored);
    count(&live, &outcome);
    let result = ResultEvent {
        import_id: live.held.spec.import_id.clone(),
        outcome,
    };
    // Places are free before the caller learns the end: it may call again at once.
    let outbox = live.give_back();
    outbox.finish(result);
}

/// Ends [`LEDGER_AFTER_GRACE`] after the grace of a stop, or after now if that is over.
async fn after_grace(live: &Live) {
    live.sessions.drained.cancelled().await;
    tokio::time::sleep(LEDGER_AFTER_GRACE).await;
}

/// Nothing of the session runs afterwards: no child, no thread, no statement. Returns what else
/// ended it meanwhile.
async fn stop(live: &mut Live, failure: Option<&Failure>) -> Option<Failure> {
    live.stop.cancel();
    if let Some(killer) = live.killer.take() {
        killer.kill();
    }
    live.close_input();
    live.output.close();
    live.end_whole(failure);
    let waits_for_writers = failure.is_none_or(|failure| {
        failure.reason == Reason::Draining || ending::of(failure.reason) == Ending::Failed
    });
    let late = if waits_for_writers {
        live.finish_writes().await
    } else {
        None
    };
    live.writes_cut = !live.writes.is_empty();
    live.writes.shutdown().await;
    while let Some(output) = live.output.recv().await {
        if let Output::Decoding(killer) = output {
            killer.kill();
        }
    }
    if let Some(thread) = live.thread.take()
        && let Err(error) = thread.await
    {
        let _ = ending::lost_task(&live.held.spec.import_id, "the pipeline", &error);
    }
    late
}

/// Takes stock in the ledger and stores the outcome there.
async fn settle(live: &Live, failure: Option<Failure>) -> ImportOutcome {
    let mut failure = failure;
    let mut stats = live.stats();
    // The ledger may have more: batches that were in flight when the session ended.
    let mut watermark = live.tally.watermark();
    let key = live.registration.key();
    let store = &live.sessions.store;
    if failure
        .as_ref()
        .is_some_and(|failure| ending::of(failure.reason) == Ending::Unchanged)
    {
        return outcome(live, stats, watermark, failure);
    }
    let mut told: Option<(Committed, ImportOutcome)> = None;
    // Twice at most: once the outcome is stored no batch of this session can commit any more, but
    // one that was cut short may have committed just before.
    for _ in 0..2 {
        let asked = retried(|| {
            if live.writes_cut {
                store.settled(key)
            } else {
                store.committed(key)
            }
        });
        let committed = match asked.await {
            Ok(committed) => committed,
            Err(error) => {
                // Without the ledger's counts nothing is final; the lease ends the session.
                let failure = failure.unwrap_or_else(|| ending::failure_of(error));
                let mut outcome = outcome(live, stats, watermark, Some(failure));
                outcome.state = ImportState::Suspended;
                return outcome;
            }
        };
        if let Some((known, outcome)) = &told
            && *known == committed
        {
            return outcome.clone();
        }
        watermark = committed.watermark;
        stats.rows = committed.counts;
        stats.batches = committed.n_batches;
        // Rows that broke the reject limit are stored outside of any committed range.
        stats.rows.rejected += live.tally.n_beyond_limit();
        stats.received_rows = stats.received_rows.max(stats.rows.total());
        if live.is_all_in(&committed) {
            // The COMMIT of an ATOMIC import came through before what was to stop it.
            failure = None;
        }
        failure = failure.or_else(|| verify(live, stats, watermark));
        let outcome = ImportOutcome {
            rejected_by_code: committed.rejected_by_code.clone(),
            ..outcome(live, stats, watermark, failure.clone())
        };
        if let Err(error) = retried(|| store.end_import(key, &outcome)).await {
            warn!(%error, import.id = %live.held.spec.import_id, "the outcome could not be stored");
            let failure = match (error, failure) {
                (StoreError::Fenced, _) => ending::failure_of(StoreError::Fenced),
                (_, Some(failure)) => failure,
                (error, None) => ending::failure_of(error),
            };
            return ImportOutcome {
                state: ImportState::Suspended,
                failure: Some(with_offset(failure, watermark)),
                ..outcome
            };
        }
        if !live.writes_cut {
            return outcome;
        }
        told = Some((committed, outcome));
    }
    match told {
        Some((_, outcome)) => outcome,
        None => outcome(live, stats, watermark, failure),
    }
}

/// Asks the ledger again after a transient error, for as long as the caller waits for it.
async fn retried<T, F>(mut ask: impl FnMut() -> F + Send) -> Result<T, StoreError>
where
    T: Send,
    F: Future<Output = Result<T, StoreError>> + Send,
{
    let mut attempt = 0;
    loop {
        match ask().await {
            Err(StoreError::Transient { .. }) if attempt < LEDGER_RETRIES_MAX => {
                attempt += 1;
                tokio::time::sleep(LEDGER_PAUSE * attempt).await;
            }
            result => return result,
        }
    }
}

/// The conservation law, from the ledger's own counts; and whether any row went in at all.
fn verify(live: &Live, stats: ImportStats, watermark: u64) -> Option<Failure> {
    let decided = stats.rows.total();
    if decided != live.received_rows || watermark != live.received_rows {
        let context = format!(
            "conservation law: {} received, {decided} decided, watermark {watermark}",
            live.received_rows
        );
        return Some(ending::internal(&live.held.spec.import_id, &context));
    }
    let rows = stats.rows;
    if rows.rejected > 0 && rows.rejected + rows.blank == decided {
        let message = format!("all {} rows were rejected", rows.rejected);
        return Some(Failure::new(Reason::AllRowsRejected, message));
    }
    None
}

fn outcome(
    live: &Live,
    stats: ImportStats,
    watermark: u64,
    failure: Option<Failure>,
) -> ImportOutcome {
    let state = match &failure {
        None => ImportState::Succeeded,
        Some(failure) => ending::of(failure.reason).state(),
    };
    ImportOutcome {
        state,
        stats,
        committed_offset: watermark,
        failure: failure.map(|failure| with_offset(failure, watermark)),
        rejected_by_code: live.tally.rejected_by_code().clone(),
        write_method: live.held.method,
        file_sha256: live.file_sha256(),
        duplicate_of_import_id: live.duplicate_of.clone().unwrap_or_default(),
        validate_only: live.held.spec.validate_only,
    }
}

fn with_offset(failure: Failure, watermark: u64) -> Failure {
    failure.with("committed_offset", watermark)
}

/// Counts what is left to be counted. Rows beyond a limit count once the import has failed for them.
fn count(live: &Live, outcome: &ImportOutcome) {
    let mut stats = outcome.stats;
    let mut by_code = live.tally.rejected_by_code();
    if outcome.state != ImportState::Failed {
        let n_beyond = live.tally.n_beyond_limit();
        stats.rows.rejected = stats.rows.rejected.saturating_sub(n_beyond);
        by_code = live.tally.decided_by_code();
    }
    let end = ImportEnd {
        state: outcome.state,
        format: live.format_name(),
        stats: &stats,
        rejected_by_code: by_code,
    };
    live.counted.clone().end(&live.sessions.metrics, &end);
}

fn log(live: &Live, outcome: &ImportOutcome, stored: bool) {
    let rows = outcome.stats.rows;
    let reason = outcome.failure.as_ref().map(|it| it.reason.name());
    info!(
        import.id = %live.held.spec.import_id,
        table = %live.held.table.name,
        state = outcome.state.name(),
        reason = reason.as_deref(),
        received = outcome.stats.received_rows,
        inserted = rows.inserted,
        rejected = rows.rejected,
        blank = rows.blank,
        unprocessed = outcome.stats.unprocessed_rows(),
        elapsed_ms = outcome.stats.elapsed_ms,
        stored,
        "import ended"
    );
}
