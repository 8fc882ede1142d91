//! The synchronous half of a session: from bytes or rows to batches, on a blocking thread.
//!
//! In: [`Input`]s through a bounded channel. Out: [`Output`]s through another one; batches carry
//! the bytes that they pay for. Ends when either channel closes or `stop` is cancelled; whoever
//! cancels also kills the decoder's child, which [`Output::Decoding`] hands over.

use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::batch::{BatchLimits, Batcher};
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::protocol::WorkbookRequest;
use crate::decode::sandbox::{Killer, Sandbox};
use crate::decode::{Decoded, SourceHeader};
use crate::mapping::{EffectiveColumn, Mapping, SourceColumns};
use crate::model::batch::Batch;
use crate::model::import::{Failure, Reason, WriteMethod};
use crate::model::plan::WritePlan;
use crate::model::table::Table;
use crate::session::inbound::{PackRows, Totals};
use crate::session::intake::{Intake, Received};
use crate::session::spec::{FileSpec, ImportSpec, SourceSpec};
use crate::writer::QueuedBatch;

/// One permit of the memory budget pays for so many bytes.
pub const MEMORY_UNIT_BYTES: usize = 1024;

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
    Rows {
        /// Ordinal of the first row that is new.
        first: u64,
        /// Rows before it that were received already.
        skip: usize,
        /// Ordinal after the last row.
        end: u64,
        /// The caller's place there; empty: none.
        position: Bytes,
        /// Packs them.
        pack: PackRows,
    },
    /// Close the open batch: nothing came for a while.
    Flush,
    /// Nothing follows.
    Finish(Totals),
}

/// What the session gets.
#[derive(Debug)]
pub enum Output {
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
    /// Bounds on the file.
    pub limits: Limits,
    /// Bounds on batches.
    pub batch_limits: BatchLimits,
    /// Bytes in flight of all imports, in units of [`MEMORY_UNIT_BYTES`].
    pub memory: Arc<Semaphore>,
    /// Permits of `memory` in all.
    pub memory_units: usize,
    /// Child processes of all imports.
    pub decoders: Arc<Semaphore>,
    /// The program that decodes workbooks.
    pub decoder_program: PathBuf,
    /// Where workbooks are spooled.
    pub spool_dir: PathBuf,
    /// Cancelled when the session stops.
    pub stop: CancellationToken,
    /// The runtime, for waits on semaphores.
    pub runtime: Handle,
}

/// Why the thread ends early.
enum Stop {
    Failed(Failure),
    /// The session does not listen any more.
    Gone,
}

/// The pipeline once the mapping is known.
struct Mapped {
    mapping: Arc<Mapping>,
    batcher: Batcher,
}

struct Run {
    pipeline: Pipeline,
    output: Sender<Output>,
    mapped: Option<Mapped>,
}

// === impl Pipeline ===

impl Pipeline {
    /// Runs to the end; for a blocking thread.
    pub fn run(self, input: Receiver<Input>, output: Sender<Output>) {
        let spec = Arc::clone(&self.spec);
        let mut run = Run {
            pipeline: self,
            output,
            mapped: None,
        };
        let result = match &spec.source {
            SourceSpec::File(file) => run.file(file, input),
            SourceSpec::Rows(_) => run.rows(input),
        };
        let last = match result {
            Ok(end) => end,
            Err(Stop::Failed(failure)) => Output::Failed(failure),
            Err(Stop::Gone) => return,
        };
        // A closed channel means that the session has stopped: it has nothing to learn.
        let _ = run.output.blocking_send(last);
    }
}

// === impl Run ===

impl Run {
    fn rows(&mut self, mut input: Receiver<Input>) -> Result<Output, Stop> {
        let mapping = self
            .pipeline
            .mapping
            .clone()
            .expect("row imports come with a mapping");
        self.begin(mapping, None)?;
        loop {
            match input.blocking_recv() {
                Some(Input::Rows {
                    first,
                    skip,
                    end,
                    position,
                    pack,
                }) => {
                    let mapped = self.mapped.as_mut().expect("begun above");
                    if !position.is_empty() {
                        mapped.batcher.note_position(end, position);
                    }
                    for frame in pack(first, skip)? {
                        self.decoded(Decoded::Rows(frame))?;
                    }
                }
                Some(Input::Flush) => self.flush()?,
                Some(Input::Finish(totals)) => {
                    self.flush()?;
                    let received_rows = self.received_rows();
                    check_rows(totals, received_rows)?;
                    return Ok(Output::End {
                        received_rows,
                        sha256: None,
                    });
                }
                Some(Input::Chunk { .. }) => unreachable!("the session refuses chunks of rows"),
                None => return Err(Stop::Gone),
            }
        }
    }

    fn file(&mut self, file: &FileSpec, mut input: Receiver<Input>) -> Result<Output, Stop> {
        let mut intake = Intake::new(file, &self.pipeline.limits, &self.pipeline.spool_dir);
        let totals = loop {
            match input.blocking_recv() {
                Some(Input::Chunk { data, crc32c }) => {
                    check_crc(&data, crc32c)?;
                    self.collect(|stopped, each| intake.feed(&data, stopped, each))?;
                }
                Some(Input::Flush) => {
                    self.collect(|_, each| intake.flush(each))?;
                    self.flush()?;
                }
                Some(Input::Finish(totals)) => break totals,
                Some(Input::Rows { .. }) => unreachable!("the session refuses rows of a file"),
                None => return Err(Stop::Gone),
            }
        };
        let received = intake.received();
        check_file(file, totals, &received)?;
        let sha256 = Some(received.sha256);
        let mut workbook = None;
        self.collect(|_, each| {
            workbook = intake.finish(each)?;
            Ok(())
        })?;
        if let Some((spooled, request)) = workbook {
            self.workbook(spooled, &request)?;
        }
        self.flush()?;
        let received_rows = self.received_rows();
        check_rows(totals, received_rows)?;
        Ok(Output::End {
            received_rows,
            sha256,
        })
    }

    /// Lets a child process decode the spooled workbook.
    fn workbook(&mut self, spooled: std::fs::File, request: &WorkbookRequest) -> Result<(), Stop> {
        let _place = self.wait_for(Arc::clone(&self.pipeline.decoders), 1)?;
        let program = &self.pipeline.decoder_program;
        let mut decoder = Sandbox::start(program, spooled, request, &self.pipeline.limits)?;
        self.send(Output::Decoding(decoder.killer()))?;
        while let Some(decoded) = decoder.next()? {
            self.decoded(decoded)?;
        }
        Ok(())
    }

    /// Runs a decoder step and takes in what it yields. What goes wrong with a row that was
    /// yielded is the reason, whatever the step says afterwards.
    fn collect(
        &mut self,
        step: impl FnOnce(&dyn Fn() -> bool, &mut dyn FnMut(Decoded)) -> Result<(), DecodeError>,
    ) -> Result<(), Stop> {
        let failed = Cell::new(false);
        let stop = self.pipeline.stop.clone();
        let mut taken = Ok(());
        let stepped = step(&|| failed.get() || stop.is_cancelled(), &mut |decoded| {
            if taken.is_ok() {
                taken = self.decoded(decoded);
                failed.set(taken.is_err());
            }
        });
        taken?;
        if stop.is_cancelled() {
            return Err(Stop::Gone);
        }
        Ok(stepped?)
    }

    fn decoded(&mut self, decoded: Decoded) -> Result<(), Stop> {
        match decoded {
            Decoded::Header(header) => {
                let spec = &self.pipeline.spec;
                let mapping_spec = spec.mapping_spec(self.pipeline.create_time_ms, &header.sheet);
                let sheet = format!("sheet {:?}", header.sheet);
                let columns = SourceColumns {
                    names: &header.names,
                    has_header: header.has_header,
                    where_: if header.sheet.is_empty() { "" } else { &sheet },
                };
                let mapping = Mapping::resolve(&self.pipeline.table, &mapping_spec, columns)?;
                self.begin(Arc::new(mapping), Some(header))
            }
            Decoded::Rows(frame) => {
                let mut mapped = self.mapped.take().expect("the header comes first");
                let result = mapped
                    .batcher
                    .add(frame, &mapped.mapping, |batch| self.emit(batch));
                self.mapped = Some(mapped);
                result
            }
        }
    }

    fn begin(&mut self, mapping: Arc<Mapping>, header: Option<SourceHeader>) -> Result<(), Stop> {
        let plan = Arc::new(WritePlan {
            table: Arc::clone(&self.pipeline.table),
            columns: mapping.planned_columns(),
            method: self.pipeline.method,
            on_conflict: mapping.on_conflict(),
        });
        let effective = mapping.effective().to_vec();
        let sheet = header.as_ref().map_or("", |header| header.sheet.as_str());
        let kind = self.pipeline.spec.source_kind();
        let batcher = Batcher::new(self.pipeline.batch_limits, &mapping, 0, sheet, kind);
        self.mapped = Some(Mapped { mapping, batcher });
        self.send(Output::Mapped(Box::new(MappedSource {
            plan,
            effective,
            header,
        })))
    }

    fn flush(&mut self) -> Result<(), Stop> {
        match self
            .mapped
            .as_mut()
            .and_then(|mapped| mapped.batcher.flush())
        {
            Some(batch) => self.emit(batch),
            None => Ok(()),
        }
    }

    fn received_rows(&self) -> u64 {
        self.mapped
            .as_ref()
            .map_or(0, |mapped| mapped.batcher.end())
    }

    /// Hands a batch out once its bytes are paid for.
    fn emit(&self, batch: Batch) -> Result<(), Stop> {
        let units = batch
            .n_bytes()
            .div_ceil(MEMORY_UNIT_BYTES)
            .clamp(1, self.pipeline.memory_units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let bytes = self.wait_for(Arc::clone(&self.pipeline.memory), units)?;
        self.send(Output::Batch(Box::new(QueuedBatch { batch, bytes })))
    }

    fn send(&self, output: Output) -> Result<(), Stop> {
        self.output.blocking_send(output).map_err(|_| Stop::Gone)
    }

    fn wait_for(&self, permits: Arc<Semaphore>, n: u32) -> Result<OwnedSemaphorePermit, Stop> {
        let stop = &self.pipeline.stop;
        self.pipeline.runtime.block_on(async {
            tokio::select! {
                // A dropped wait holds no permit.
                permit = permits.acquire_many_owned(n) => permit.map_err(|_| Stop::Gone),
                () = stop.cancelled() => Err(Stop::Gone),
            }
        })
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Chunk { data, .. } => write!(f, "Chunk({} bytes)", data.len()),
            Input::Rows { first, end, .. } => write!(f, "Rows({first}..{end})"),
            Input::Flush => f.write_str("Flush"),
            Input::Finish(totals) => write!(f, "Finish({totals:?})"),
        }
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

fn check_crc(data: &[u8], expected: Option<u32>) -> Result<(), Failure> {
    let actual = crc32c::crc32c(data);
    if expected.is_none_or(|expected| expected == actual) {
        return Ok(());
    }
    let message = format!("a chunk's CRC-32C is {actual:#010x}, not what the caller sent with it");
    Err(Failure::new(Reason::ChecksumMismatch, message)
        .with_field("chunk.crc32c", "does not match"))
}

fn check_file(file: &FileSpec, totals: Totals, received: &Received) -> Result<(), Failure> {
    if let Some(expected) = totals.bytes
        && expected != received.n_bytes
    {
        let message = format!("{} bytes received, {expected} announced", received.n_bytes);
        return Err(Failure::new(Reason::ChecksumMismatch, message)
            .with_field("finish.total_bytes", "does not match the bytes received"));
    }
    let hashes = [
        ("finish.sha256", totals.sha256),
        ("header.file.sha256", file.sha256),
    ];
    for (path, expected) in hashes {
        if expected.is_some_and(|expected| expected != received.sha256) {
            return Err(Failure::new(
                Reason::ChecksumMismatch,
                "the file's SHA-256 does not match",
            )
            .with_field(path, "does not match the bytes received"));
        }
    }
    Ok(())
}

fn check_rows(totals: Totals, received: u64) -> Result<(), Failure> {
    match totals.rows {
        Some(expected) if expected != received => {
            let message = format!("{received} rows received, {expected} announced");
            Err(Failure::new(Reason::ChecksumMismatch, message)
                .with_field("finish.total_row_count", "does not match the rows received"))
        }
        _ => Ok(()),
    }
}
