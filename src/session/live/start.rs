//! How a session begins: its pipeline's thread, its places, what earlier sessions left.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::access::Caller;
use crate::batch::BatchLimits;
use crate::batch::decided::DecidedRange;
use crate::disk::SpoolDir;
use crate::metrics::counted::Counted;
use crate::model::import::Phase;
use crate::progress::{Accepted, Outbox};
use crate::session::memory::Part;
use crate::session::open::Held;
use crate::session::pipeline::{DecidedBefore, Pipeline};
use crate::session::spec::{CommitMode, ImportSpec};
use crate::session::tally::Tally;
use crate::session::{Call, Sessions};
use crate::store::{OpenImport, Transactions};
use crate::writer::deadline::Deadline;

use super::in_flight::InFlight;
use super::whole::WholeWriter;
use super::{INPUTS_MAX, Live, OUTPUTS_MAX};

impl Live {
    pub(super) fn new(
        sessions: Arc<Sessions>,
        call: Call,
        mut outbox: Outbox,
        held: Held,
        admit: Span,
    ) -> Live {
        let registration =
            sessions
                .registry
                .enter(held.open.key, call.caller.owner(), &held.spec.import_id);
        let (input, input_receiver) = mpsc::channel(INPUTS_MAX);
        let (output_sender, output) = mpsc::channel(OUTPUTS_MAX);
        let stop = CancellationToken::new();
        let attempt = Arc::new(AtomicU64::new(0));
        let has_place = Arc::new(Semaphore::new(0));
        let spool_dir = sessions.config.spool_dir.for_one();
        let whole = is_whole(&held.spec).then(|| {
            let (attempt, has_place) = (Arc::clone(&attempt), Arc::clone(&has_place));
            WholeWriter::new(attempt, has_place, spool_dir.clone())
        });
        let (dealt_with_sender, dealt_with) = watch::channel(0);
        let ends = Ends {
            attempt,
            has_place,
            dealt_with: dealt_with_sender,
            spool_dir,
            stop: stop.clone(),
        };
        let pipeline = pipeline(&sessions, &call.caller, &held, ends);
        let span = Span::current();
        let thread = tokio::task::spawn_blocking(move || {
            span.in_scope(|| pipeline.run(input_receiver, output_sender));
        });
        outbox.allow_samples(held.spec.rejected_samples);
        let open = &held.open;
        let counted = Counted::new(&sessions.metrics, open.counts);
        let deadline = Deadline::new(call.deadline);
        Live {
            sessions,
            call,
            outbox,
            registration,
            slot: None,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            input: Some(input),
            output,
            thread: Some(thread),
            killer: None,
            pending: None,
            n_fed: 0,
            dealt_with,
            next_row: open.committed_offset,
            next_byte: 0,
            received_bytes: 0,
            duplicate_rows: 0,
            finish_received: false,
            messages_ended: false,
            waiting_since: Instant::now(),
            last_data_at: Instant::now(),
            flush_at: None,
            context: None,
            writes: JoinSet::new(),
            in_flight_max: 1,
            in_flight: InFlight::default(),
            whole,
            compacted_at: 0,
            compacting: false,
            deadline,
            detached: false,
            probe_first: false,
            tally: Tally::resume(open),
            counted,
            phase: Phase::Queued,
            received_rows: 0,
            ended: false,
            n_rows_hint: None,
            format: None,
            effective: Vec::new(),
            told_draining: false,
            file_sha256: None,
            duplicate_of: None,
            writes_cut: false,
            stage: admit,
            held,
        }
    }

    /// Tells the caller that the import is open.
    pub(super) fn accept(&self) {
        let open = &self.held.open;
        let config = &self.sessions.config;
        let deadline_in = self
            .call
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        let effective = self
            .held
            .mapping
            .as_ref()
            .map(|mapping| mapping.effective().to_vec());
        self.outbox.accepted(Accepted {
            import_id: self.held.spec.import_id.clone(),
            epoch: open.key.epoch,
            resumed: open.resumed,
            replayed: false,
            committed_offset: open.committed_offset,
            committed_position: open.committed_position.clone(),
            idle_timeout: config.idle_timeout,
            deadline_in,
            effective_columns: effective.unwrap_or_default(),
            rejected_rows_max: self.held.spec.rejects.limit(config.rejected_rows_max),
        });
    }
}

/// Whether all rows go through one transaction.
fn is_whole(spec: &ImportSpec) -> bool {
    spec.transactions() == Transactions::One
}

/// The pipeline's ends of what it shares with the session.
struct Ends {
    attempt: Arc<AtomicU64>,
    has_place: Arc<Semaphore>,
    dealt_with: watch::Sender<u64>,
    spool_dir: SpoolDir,
    stop: CancellationToken,
}

fn pipeline(sessions: &Sessions, caller: &Caller, held: &Held, ends: Ends) -> Pipeline {
    let config = &sessions.config;
    let is_whole = is_whole(&held.spec);
    let part = if is_whole { Part::Whole } else { Part::Batches };
    let purse = sessions.memory.purse(caller, part);
    let bytes_max = purse.batch_bytes_max(config.batches.bytes_max);
    Pipeline {
        spec: Arc::clone(&held.spec),
        table: Arc::clone(&held.table),
        method: held.method,
        mapping: held.mapping.clone(),
        create_time_ms: held.open.create_time_ms,
        decided: decided_before(&held.open),
        whole: is_whole,
        attempt: ends.attempt,
        limits: config.limits.clone(),
        batch_limits: match held.spec.commit_mode {
            CommitMode::OneBatch => BatchLimits::NONE,
            CommitMode::PerBatch | CommitMode::Atomic => BatchLimits {
                bytes_max,
                ..config.batches
            },
        },
        purse,
        gate: sessions.tables.gate(&held.table.name),
        dealt_with: ends.dealt_with,
        has_place: ends.has_place,
        decoders: Arc::clone(&sessions.decoders),
        metrics: sessions.metrics.clone(),
        decoder_program: config.decoder_program.clone(),
        spool_dir: ends.spool_dir,
        stop: ends.stop,
        runtime: tokio::runtime::Handle::current(),
    }
}

fn decided_before(open: &OpenImport) -> DecidedBefore {
    let ranges = open.committed_ranges.iter().map(|committed| DecidedRange {
        range: committed.range.clone(),
        rows_hash: committed.rows_hash,
    });
    DecidedBefore {
        offset: open.committed_offset,
        rows_hash: open.committed_hash,
        ranges: ranges.collect(),
        file_sha256: open.file_sha256,
    }
}
