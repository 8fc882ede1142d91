//! WatchImport: the state of an import now and after every change, from the ledger alone.
//!
//! In: an import's id. Out: its record whenever it has changed, and at least every
//! [`UNCHANGED_MAX`], until its state is terminal. Any server answers, whichever runs the import:
//! the ledger is asked once in `min_interval`, [`INTERVAL_MIN`] at least. Bounded by
//! [`WATCHES_MAX`]; whoever drops the stream stops the asking.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Caller;
use crate::grpc::header::{duration, tenant};
use crate::grpc::service::imports::{is_of_tenant, named_import, unknown_import};
use crate::model::import::{Failure, ImportRecord, Reason};
use crate::proto;
use crate::session::places::{Place, Places};
use crate::session::{Sessions, ending};
use crate::store::StoreError;

/// Watches of this server at once: each asks the ledger twice a second.
pub const WATCHES_MAX: usize = 256;
/// The shortest time between two questions to the ledger.
const INTERVAL_MIN: Duration = Duration::from_millis(500);
/// A state that does not change is told again after this time: proxies cut silent streams.
const UNCHANGED_MAX: Duration = Duration::from_secs(15);
/// How long a ledger that does not answer is asked again before the watch ends.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Begins a watch with the state that the ledger has now.
pub async fn begin(
    sessions: &Sessions,
    places: &Places,
    caller: &Caller,
    deadline: Option<std::time::Instant>,
    request: &proto::WatchImportRequest,
) -> Result<impl Stream<Item = Result<ImportRecord, Failure>> + Send + use<>, Failure> {
    let tenant = tenant("tenant", request.tenant.clone())?;
    let id = named_import(&request.import_id)?;
    let interval = duration("min_interval", request.min_interval)?.unwrap_or_default();
    if sessions.drained.is_cancelled() {
        return Err(draining());
    }
    let place = places.enter(caller)?;
    let owner = caller.owner().to_owned();
    let store = Arc::clone(&sessions.store);
    let asked = id.clone();
    let ask = move || {
        let (store, owner, id) = (Arc::clone(&store), owner.clone(), asked.clone());
        let tenant = tenant.clone();
        async move {
            let record = store.import(&owner, &id).await?;
            Ok(record.filter(|record| is_of_tenant(record, &tenant)))
        }
    };
    let mut watch = Watch {
        ask,
        id,
        pace: Pace {
            interval: interval.clamp(INTERVAL_MIN, UNCHANGED_MAX),
            ..Pace::DEFAULT
        },
        deadline: deadline.map(Instant::from_std),
        drained: sessions.drained.clone(),
        _place: place,
    };
    let first = watch.look().await?;
    Ok(follow(watch, first))
}

/// One import that is watched.
struct Watch<A> {
    /// Asks the ledger.
    ask: A,
    id: String,
    pace: Pace,
    deadline: Option<Instant>,
    /// The server stops.
    drained: CancellationToken,
    /// Given back with the stream.
    _place: Place,
}

/// How often a watch asks and tells.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Between two questions.
    interval: Duration,
    /// After a question without an answer.
    retry: Duration,
    /// See [`UNCHANGED_MAX`].
    unchanged_max: Duration,
    /// See [`SILENCE_MAX`].
    silence_max: Duration,
}

impl Pace {
    const DEFAULT: Pace = Pace {
        interval: INTERVAL_MIN,
        retry: INTERVAL_MIN,
        unchanged_max: UNCHANGED_MAX,
        silence_max: SILENCE_MAX,
    };
}

/// Where a watch stands.
enum Position {
    /// This is to be told first.
    Begin(Box<ImportRecord>),
    /// This was told last, then.
    Told(Box<ImportRecord>, Instant),
    /// Nothing follows.
    Ended,
}

/// `first`, then every change until a terminal state, or why the watch ends before.
fn follow<A, F>(
    watch: Watch<A>,
    first: ImportRecord,
) -> impl Stream<Item = Result<ImportRecord, Failure>> + Send
where
    A: FnMut() -> F + Send,
    F: Future<Output = Result<Option<ImportRecord>, StoreError>> + Send,
{
    let begin = (watch, Position::Begin(Box::new(first)));
    futures::stream::unfold(begin, |(mut watch, position)| async move {
        let record = match position {
            Position::Begin(first) => *first,
            Position::Told(told, _) if told.state.is_terminal() => return None,
            Position::Told(told, at) => match watch.change(&told, at).await {
                Ok(record) => record,
                Err(failure) => return Some((Err(failure), (watch, Position::Ended))),
            },
            Position::Ended => return None,
        };
        let told = Position::Told(Box::new(record.clone()), Instant::now());
        Some((Ok(record), (watch, told)))
    })
}

impl<A, F> Watch<A>
where
    A: FnMut() -> F + Send,
    F: Future<Output = Result<Option<ImportRecord>, StoreError>> + Send,
{
    /// Waits for another state than `told`, or until that one is to be told again.
    async fn change(
        &mut self,
        told: &ImportRecord,
        told_at: Instant,
    ) -> Result<ImportRecord, Failure> {
        let drained = self.drained.clone();
        let deadline = self.deadline;
        let looking = async {
            loop {
                let left = self.pace.unchanged_max.saturating_sub(told_at.elapsed());
                tokio::time::sleep(self.pace.interval.min(left)).await;
                let now = self.look().await?;
                if is_change(told, &now) || told_at.elapsed() >= self.pace.unchanged_max {
                    return Ok(now);
                }
            }
        };
        tokio::select! {
            // Nothing is lost: the ledger keeps what was not read.
            biased;
            () = drained.cancelled() => Err(draining()),
            () = sleep_until(deadline) => Err(Failure::new(
                Reason::Deadline,
                "the call's deadline passed, which says nothing about the import; watch again",
            )),
            now = looking => now,
        }
    }

    /// What the ledger has now. One that does not answer is asked again for a while.
    async fn look(&mut self) -> Result<ImportRecord, Failure> {
        let begun = Instant::now();
        loop {
            let error = match (self.ask)().await {
                Ok(Some(record)) => return Ok(record),
                Ok(None) => return Err(unknown_import(&self.id)),
                // The store's own bound: this question has no deadline.
                Err(StoreError::Deadline) => StoreError::Transient {
                    sql_state: "57014".to_owned(),
                    message: "the ledger did not answer in time".to_owned(),
                },
                Err(error) => error,
            };
            let may_pass = matches!(error, StoreError::Transient { .. });
            if !may_pass || begun.elapsed() >= self.pace.silence_max {
                return Err(ending::failure_of(error));
            }
            tokio::time::sleep(self.pace.retry).await;
        }
    }
}

/// Whether there is news. That a session grows older is none.
fn is_change(told: &ImportRecord, now: &ImportRecord) -> bool {
    let mut same_age = now.clone();
    same_age.stats.elapsed_ms = told.stats.elapsed_ms;
    same_age != *told
}

fn draining() -> Failure {
    Failure::new(
        Reason::Draining,
        "the server is stopping, which says nothing about the import; watch through another one",
    )
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
