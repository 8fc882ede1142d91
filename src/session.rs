//! One import from header to result: admission, phases, deadline, endings.
//!
//! In: a [`Call`] with its messages. Out: events in the call's [`Outbox`] and rows in the store.
//! Bounded by [`admission`] (imports), [`memory`] (batches of all imports and of each owner's),
//! [`Tables`] (batches of a table) and small channels of one import. A session stops when its caller is gone, when its
//! deadline passes, when it is fenced, cancelled or drained; then its child is dead and none of
//! its statements runs.
//!
//! ```text
//! messages ─▶ live (async) ═ input ═▶ pipeline (blocking thread) ═ output ═▶ live ─▶ writer × n
//!               │ outbox ◀── acks, progress, samples ◀── tally ◀── receipts ◀────────────┘
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use crate::access::Caller;
use crate::batch::BatchLimits;
use crate::decode::limits::Limits;
use crate::disk::SpoolDir;
use crate::metrics::{Metrics, observed};
use crate::model::import::{Failure, Phase};
use crate::progress::Outbox;
use crate::session::admission::{Admission, Ticket};
use crate::session::inbound::Inbound;
use crate::session::memory::Memory;
use crate::session::registry::Registry;
use crate::session::spec::ImportSpec;
use crate::store::Store;
use crate::writer::tables::Tables;
use crate::writer::{RetryPolicy, WriterPool};

pub mod admission;
pub mod checks;
pub mod conclude;
pub mod ending;
pub mod inbound;
pub mod intake;
pub mod live;
pub mod memory;
pub mod open;
pub mod pipeline;
pub mod places;
pub mod purge;
pub mod registry;
mod shares;
pub mod spec;
pub mod tally;

/// Phases as metrics name them.
const PHASES: [(Phase, &str); 5] = [
    (Phase::Queued, "queued"),
    (Phase::Receiving, "receiving"),
    (Phase::Decoding, "decoding"),
    (Phase::Writing, "writing"),
    (Phase::Committing, "committing"),
];

/// Bounds on sessions.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Running imports.
    pub imports_max: usize,
    /// How long an import waits to run.
    pub queue_wait: Duration,
    /// How long the server waits for a header.
    pub header_timeout: Duration,
    /// How long it waits for any later message.
    pub idle_timeout: Duration,
    /// Rejected rows of an import whose header names no limit.
    pub rejected_rows_max: u64,
    /// Batches of all imports, bytes.
    pub bytes_in_flight_max: usize,
    /// Sizes of batches.
    pub batches: BatchLimits,
    /// How long a batch is tried again.
    pub retry: RetryPolicy,
    /// Bounds on files.
    pub limits: Limits,
    /// The program that decodes workbooks.
    pub decoder_program: PathBuf,
    /// Where temporary files are made, and what they may take together.
    pub spool_dir: SpoolDir,
    /// What running imports are told when the server stops.
    pub drain_grace: Duration,
    /// Time between two progress events, where the header names none.
    pub progress_interval: Duration,
    /// How long a row waits for its batch to start, where the header names no time.
    pub max_ack_delay: Duration,
    /// Name of this server, for people.
    pub server: String,
    /// Settings of the database that a header may name.
    pub settings_allowed: Vec<String>,
    /// How long an import is known after its end, and its values at most.
    pub id_retention: Duration,
}

/// What all sessions of a server share.
#[derive(Debug)]
pub struct Sessions {
    /// Bounds.
    pub config: SessionConfig,
    /// Rows and ledger.
    pub store: Arc<dyn Store>,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// Places for imports.
    pub admission: Admission,
    /// Live sessions.
    pub registry: Registry,
    /// Places for writers.
    pub writers: WriterPool,
    /// What single tables bear.
    pub tables: Tables,
    /// Bytes in flight.
    pub memory: Memory,
    /// Places for child processes.
    pub decoders: Arc<Semaphore>,
    /// The server is stopping: imports are told, none is accepted.
    pub draining: CancellationToken,
    /// The grace is over: no new batch starts.
    pub drained: CancellationToken,
}

impl Sessions {
    /// What there is now, read without waiting.
    pub fn state(&self) -> observed::State {
        let phases = self.registry.phases();
        let imports = PHASES.map(|(phase, name)| {
            let n_imports = phases.iter().filter(|it| **it == phase).count();
            (name, n_imports as u64)
        });
        let (memory, writers) = (&self.memory, &self.writers);
        let queue_capacity = self.config.imports_max * self.store.writers().per_import;
        observed::State {
            imports: imports.to_vec(),
            imports_limit: self.config.imports_max as u64,
            queue_depth: writers.n_waiting() as u64,
            queue_capacity: queue_capacity as u64,
            writers_busy: writers.n_busy() as u64,
            writers_limit: writers.n_writers() as u64,
            memory_used: (memory.batches.used_bytes() + memory.whole.used_bytes()) as u64,
            memory_limit: (memory.batches.limit_bytes() + memory.whole.limit_bytes()) as u64,
            spool_used: self.config.spool_dir.used_bytes(),
            spool_limit: self.config.spool_dir.limit_bytes(),
            pools: self.store.pools(),
        }
    }
}

/// One call, admitted.
#[derive(Debug)]
pub struct Call {
    /// Its place.
    pub ticket: Ticket,
    /// Who calls: its imports are its owner's.
    pub caller: Arc<Caller>,
    /// From `grpc-timeout`.
    pub deadline: Option<Instant>,
    /// Cancelled when nobody reads its answer.
    pub caller_gone: CancellationToken,
}

/// One message of a caller.
#[derive(Debug)]
pub enum Message {
    /// The first.
    Header(Box<ImportSpec>),
    /// The others.
    Inbound(Inbound),
}

/// Runs one call to its end. The future may be dropped: the session then stops as if its caller
/// were gone, but the ledger learns it only when the lease expires.
pub async fn run<S>(sessions: Arc<Sessions>, call: Call, mut messages: S, outbox: Outbox)
where
    S: futures::Stream<Item = Result<Message, Failure>> + Unpin + Send,
{
    let admit = info_span!("import.admit");
    let opened = open::open(&sessions, &call, &mut messages)
        .instrument(admit.clone())
        .await;
    match opened {
        Err(failure) => outbox.fail(failure),
        Ok(open::Opening::Ended(spec, record)) => {
            open::replay(outbox, &call, &spec, *record, &sessions.config);
        }
        Ok(open::Opening::Running(opening)) => {
            live::run(sessions, call, messages, outbox, *opening, admit).await;
        }
    }
}
