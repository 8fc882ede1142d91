//! The synchronous half of a session: from bytes or rows to batches, on a blocking thread.
//!
//! In: [`Input`]s through a bounded channel. Out: how many of them are dealt with, and [`Output`]s
//! through another one; batches carry the bytes that they pay for, and have waited for the rate and
//! a writer of their table ([`dues`]): what waits for a table holds nothing that other owners want
//! but the next batch of its own import, and its input. Ends when either channel closes or `stop`
//! is cancelled; whoever cancels also kills the decoder's child, which [`Output::Decoding`] hands
//! over.
//!
//! Streaming, rows are decoded as they arrive. Whole (ATOMIC, dry runs), the input waits in an
//! unnamed file until `finish` is verified; then it is decoded, and decoded again whenever
//! [`Input::Again`] asks for it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::batch::BatchLimits;
use crate::batch::decided::{DecidedRange, Mismatch};
use crate::decode::SourceHeader;
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::sandbox::Killer;
use crate::disk::SpoolDir;
use crate::mapping::{EffectiveColumn, Mapping};
use crate::metrics::Metrics;
use crate::model::import::{Failure, Reason, WriteMethod};
use crate::model::layout::SourceLayout;
use crate::model::plan::WritePlan;
use crate::model::table::Table;
use crate::session::inbound::{PackRows, Totals};
use crate::session::memory::Purse;
use crate::session::spec::{ImportSpec, SourceSpec};
use crate::writer::QueuedBatch;
use crate::writer::tables::Gate;

use run::Run;

mod decode_stage;
mod dues;
mod hold;
mod run;
mod sent_again;
mod source;

/// What the session hands in.
pub enum Input {
    /// The next bytes of the file.
    Chunk {
        /// The bytes.
        data: Bytes,
        /// CRC-32C of `data`.
        crc32c: Option<u32>,
    },
    /// The next rows.
    Rows(InputRows),
    /// Close the open batch: nothing came for a while.
    Flush,
    /// Nothing follows.
    Finish(Totals),
    /// Whole: decode everything once more, as this attempt.
    Again(u64),
}

/// The rows of a message.
pub struct InputRows {
    /// Where they stand; rows that were received before may be among them.
    pub ordinals: Range<u64>,
    /// The caller's place at their end; empty: none.
    pub position: Bytes,
    /// Packs them.
    pub pack: PackRows,
}

/// What the session gets.
#[derive(Debug)]
pub enum Output {
    /// Whole: what follows belongs to this attempt.
    Attempt(u64),
    /// A file that is not decoded as it arrives has been received; precedes its first batch.
    Received {
        /// SHA-256 of the file as sent.
        sha256: [u8; 32],
    },
    /// The mapping is resolved; precedes every batch.
    Mapped(Box<MappedSource>),
    /// A workbook is being decoded by a child process.
    Decoding(Killer),
    /// A batch to write.
    Batch(Box<QueuedBatch>),
    /// Everything is handed out.
    End {
        /// Distinct ordinals.
        received_rows: u64,
        /// SHA-256 of a file as sent.
        sha256: Option<[u8; 32]>,
    },
    /// The import cannot go on.
    Failed(Failure),
}

/// What is known once the mapping is resolved.
#[derive(Debug)]
pub struct MappedSource {
    /// Where and how rows are written.
    pub plan: Arc<WritePlan>,
    /// For the caller.
    pub effective: Vec<EffectiveColumn>,
    /// What the decoder said; `None` for row imports.
    pub header: Option<SourceHeader>,
    /// How the file is laid out; `None` for row imports, whose layout is known before.
    pub layout: Option<SourceLayout>,
}

/// Everything that the thread needs.
#[derive(Debug)]
pub struct Pipeline {
    /// What the caller asked for.
    pub spec: Arc<ImportSpec>,
    /// The target.
    pub table: Arc<Table>,
    /// How rows are written.
    pub method: WriteMethod,
    /// Row imports: resolved before the import was opened.
    pub mapping: Option<Arc<Mapping>>,
    /// When the import began, milliseconds since 1970.
    pub create_time_ms: i64,
    /// What earlier sessions decided.
    pub decided: DecidedBefore,
    /// Decode only once everything is there.
    pub whole: bool,
    /// The attempt that is wanted; an older one is given up.
    pub attempt: Arc<AtomicU64>,
    /// Bounds on the file.
    pub limits: Limits,
    /// Bounds on batches.
    pub batch_limits: BatchLimits,
    /// Pays for batches.
    pub purse: Purse,
    /// The way of batches into the table.
    pub gate: Gate,
    /// Inputs that are dealt with: what was to be handed out of them is.
    pub dealt_with: watch::Sender<u64>,
    /// Whole: a permit for each attempt whose transaction has its writer; batches wait for it.
    pub has_place: Arc<Semaphore>,
    /// Child processes of all imports.
    pub decoders: Arc<Semaphore>,
    /// What is measured of them.
    pub metrics: Metrics,
    /// The program that decodes workbooks.
    pub decoder_program: PathBuf,
    /// Where input waits that is not decoded as it arrives.
    pub spool_dir: SpoolDir,
    /// Cancelled when the session stops.
    pub stop: CancellationToken,
    /// The runtime, for waits on semaphores.
    pub runtime: Handle,
}

/// What earlier sessions of the import decided.
#[derive(Debug, Clone, Default)]
pub struct DecidedBefore {
    /// First ordinal that is not decided.
    pub offset: u64,
    /// Hash sum of the rows below it.
    pub rows_hash: u128,
    /// Decided ranges above it.
    pub ranges: Vec<DecidedRange>,
    /// SHA-256 of the file.
    pub file_sha256: Option<[u8; 32]>,
}

/// Why the thread ends early.
enum Stop {
    Failed(Failure),
    /// The session does not listen any more.
    Gone,
    /// The session wants another attempt.
    Abandoned,
}

// === impl Pipeline ===

impl Pipeline {
    /// Runs to the end; for a blocking thread.
    pub fn run(self, input: Receiver<Input>, output: Sender<Output>) {
        let spec = Arc::clone(&self.spec);
        let whole = self.whole;
        let mut run = Run::new(self, output);
        let result = match (&spec.source, whole) {
            (SourceSpec::File(file), false) if run.holds_file(file) => {
                run.held_back_file(file, input)
            }
            (SourceSpec::File(file), false) => run.file(file, input),
            (SourceSpec::File(file), true) => run.whole_file(file, input),
            (SourceSpec::Rows(_), false) => run.rows(input),
            (SourceSpec::Rows(_), true) => run.whole_rows(input),
        };
        let last = match result {
            Ok(end) => end,
            Err(Stop::Failed(failure)) => Output::Failed(failure),
            Err(Stop::Gone | Stop::Abandoned) => return,
        };
        run.tell_last(last);
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Chunk { data, .. } => write!(f, "Chunk({} bytes)", data.len()),
            Input::Rows(rows) => write!(f, "Rows({rows:?})"),
            Input::Flush => f.write_str("Flush"),
            Input::Finish(totals) => write!(f, "Finish({totals:?})"),
            Input::Again(attempt) => write!(f, "Again({attempt})"),
        }
    }
}

impl fmt::Debug for InputRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.ordinals)
    }
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Stop {
        Stop::Failed(error.into())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// Rows of a file; a stream of rows says it in its own words.
impl From<Mismatch> for Stop {
    fn from(mismatch: Mismatch) -> Stop {
        Stop::Failed(Failure::new(
            Reason::DuplicateContentMismatch,
            mismatch.to_string(),
        ))
    }
}
