//! Looking into files: what is in one, and all of its rows, without an import and without writing.
//!
//! In: a call's messages, header first. Out: an [`Inspection`](inspect::Inspection), or a stream
//! of what every row is turned into. Bounded by places of its own ([`LookupConfig`]): however many
//! files are looked into, imports keep theirs, and all but one of the decoders where there are
//! several. A call ends when its caller is gone, stays silent or reads nothing for the idle
//! timeout, when its deadline passes, and at the end of a drain; then its child is dead and its
//! spool is gone.
//!
//! ```text
//! messages ─▶ receive (async) ═ input ═▶ decode, inspect (blocking thread) ═ output ═▶ caller
//! ```
//!
//! A CSV is read as it arrives and never spooled; a workbook is spooled and read by a child. A
//! caller that reads slowly holds the thread back, the thread the input, and that the caller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::access::Caller;
use crate::model::import::{Failure, Reason};
use crate::session::Sessions;
use crate::session::admission::overloaded;
use crate::session::inbound::{Chunk, Totals};
use crate::session::places::{self, Places};
use crate::shutdown::Tasks;

pub mod decode;
pub mod inspect;
mod receive;
pub mod sheet;
mod stop;

/// Bounds on looking into files.
#[derive(Debug, Clone, Copy)]
pub struct LookupConfig {
    /// Files that are looked into at once.
    pub lookups_max: usize,
    /// Child processes for them, out of those of all calls.
    pub decoders_max: usize,
}

/// What all calls of a server share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lookups {
    sessions: Arc<Sessions>,
    tasks: Tasks,
    places: Places,
    /// Held besides one of the server's, so that calls that are read slowly leave some.
    decoders: Arc<Semaphore>,
}

/// A call's place; given back with its thread.
#[derive(Debug, Clone)]
pub struct Place {
    _place: Arc<places::Place>,
}

/// One call, admitted.
#[derive(Debug)]
pub struct Call {
    /// Its place.
    pub place: Place,
    /// Whose tables it sees.
    pub caller: Arc<Caller>,
    /// From `grpc-timeout`.
    pub deadline: Option<Instant>,
}

/// One message of a caller.
#[derive(Debug)]
pub enum Message<H> {
    /// The first.
    Header(Box<H>),
    /// Bytes of the file.
    Chunk(Chunk),
    /// Everything is sent.
    Finish(Totals),
}

// === impl Lookups ===

impl Lookups {
    /// No call yet.
    pub fn new(sessions: Arc<Sessions>, tasks: Tasks, config: LookupConfig) -> Lookups {
        Lookups {
            sessions,
            tasks,
            places: Places::new("files to look into", config.lookups_max),
            decoders: Arc::new(Semaphore::new(config.decoders_max)),
        }
    }

    /// A place for a call, at once or never: OVERLOADED, or DRAINING while the server stops.
    pub fn enter(&self, caller: &Caller) -> Result<Place, Failure> {
        self.sessions.admission.check_open()?;
        let place = self.places.enter(caller)?;
        Ok(Place {
            _place: Arc::new(place),
        })
    }

    /// How long a caller that is waited for may be silent.
    fn idle_timeout(&self) -> Duration {
        self.sessions.config.idle_timeout
    }
}

/// The caller cancelled or its connection was lost.
fn caller_gone() -> Failure {
    Failure::new(Reason::CancelledByCaller, "the caller is gone")
}

/// Waits for a permit of each of `pools`, in their order, for at most `bound`, unless `stop` comes
/// first.
fn wait_for(
    runtime: &tokio::runtime::Handle,
    pools: [Arc<Semaphore>; 2],
    bound: Duration,
    stop: &CancellationToken,
) -> Result<[OwnedSemaphorePermit; 2], Failure> {
    let [first, second] = pools;
    let both = async {
        let first = first.acquire_owned().await.map_err(|_| caller_gone())?;
        let second = second.acquire_owned().await.map_err(|_| caller_gone())?;
        Ok([first, second])
    };
    runtime.block_on(async {
        tokio::select! {
            // A dropped wait gives back what it holds.
            permits = both => permits,
            () = stop.cancelled() => Err(caller_gone()),
            () = tokio::time::sleep(bound) => Err(overloaded(
                "every decoder is at work, try again later",
            )),
        }
    })
}
