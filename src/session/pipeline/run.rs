//! One run of a pipeline: inputs in, batches out.
//!
//! In: chunks or rows. Out: the mapping, batches that are paid for, the end. Batches of a file
//! wait until the rows that earlier sessions decided have been seen to be the same: another file
//! is refused before a row of it is written. What waits is no more than what those sessions had
//! in flight.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::batch::Batcher;
use crate::batch::decided::{Decided, DecidedRange, Mismatch};
use crate::batch::keys::KeyHasher;
use crate::decode::error::DecodeError;
use crate::decode::protocol::WorkbookRequest;
use crate::decode::returned::Returned;
use crate::decode::sandbox::Sandbox;
use crate::decode::{Decoded, SourceHeader};
use crate::mapping::Mapping;
use crate::model::batch::Batch;
use crate::model::frame::Frame;
use crate::model::plan::WritePlan;
use crate::model::reject::SourceKind;
use crate::session::checks::{check_crc, check_file, check_rows, other_file};
use crate::session::inbound::Totals;
use crate::session::intake::{self, Intake};
use crate::session::spec::{DuplicateFile, FileSpec};
use crate::writer::QueuedBatch;

use super::decode_stage::DecodeStage;
use super::dues;
use super::sent_again::SentAgain;
use super::source;
use super::{Input, InputRows, MappedSource, Output, Pipeline, Stop};

mod held;

/// The state of a run.
pub(super) struct Run {
    pipeline: Pipeline,
    output: Sender<Output>,
    mapped: Option<Mapped>,
    /// What a file is being decoded as.
    decode: Option<DecodeStage>,
    /// The file is an export of rejected rows.
    returned: Option<Returned>,
    /// Complete batches that are not handed out yet.
    waiting: Vec<Batch>,
    /// Rows: the next ordinal that is new.
    next_row: u64,
    sent_again: SentAgain,
    /// Whole: which attempt this is.
    attempt: u64,
    /// Whole: its transaction has a writer.
    has_place: bool,
}

/// A run once the mapping is known.
struct Mapped {
    mapping: Arc<Mapping>,
    batcher: Batcher,
    hasher: KeyHasher,
}

impl Run {
    pub(super) fn new(pipeline: Pipeline, output: Sender<Output>) -> Run {
        let decided = &pipeline.decided;
        Run {
            next_row: decided.offset,
            sent_again: SentAgain::from(decided.offset, decided.rows_hash),
            pipeline,
            output,
            mapped: None,
            decode: None,
            returned: None,
            waiting: Vec::new(),
            attempt: 0,
            has_place: false,
        }
    }

    /// Whether none of the file may be written before all of it is there: its hash is noted, or it is
    /// to be refused if it is a duplicate, and its hash is not announced. An announced one was compared
    /// with that of the note before.
    pub(super) fn holds_file(&self, file: &FileSpec) -> bool {
        let refuses = self.pipeline.spec.duplicate_file == DuplicateFile::Refuse;
        let is_noted = self.pipeline.decided.file_sha256.is_some();
        (is_noted || refuses) && file.sha256.is_none()
    }

    /// The last output.
    pub(super) fn tell_last(self, output: Output) {
        // A closed channel means that the session has stopped: it has nothing to learn.
        let _ = self.output.blocking_send(output);
    }

    // Streaming.

    pub(super) fn rows(&mut self, mut input: Receiver<Input>) -> Result<Output, Stop> {
        self.begin_rows()?;
        let totals = self.receive(&mut input, |run, input| match input {
            Input::Rows(rows) => {
                if let Some((end, position)) = run.new_position(&rows) {
                    let mapped = run.mapped.as_mut().expect("begun above");
                    mapped.batcher.note_position(end, position);
                }
                let frames = run.packed(rows)?;
                let mut frames = frames.into_iter().map(Decoded::Rows);
                frames.try_for_each(|frame| run.decoded(frame))
            }
            Input::Flush => run.flush(),
            _ => unreachable!("the session refuses chunks of rows"),
        })?;
        self.end(totals, totals.sha256)
    }

    pub(super) fn file(
        &mut self,
        file: &FileSpec,
        mut input: Receiver<Input>,
    ) -> Result<Output, Stop> {
        let mut intake = Intake::new(file, &self.pipeline.limits, &self.pipeline.spool_dir);
        let totals = self.receive(&mut input, |run, input| match input {
            Input::Chunk { data, crc32c } => {
                check_crc(&data, crc32c)?;
                run.collect(|stopped, each| intake.feed(&data, stopped, each))
            }
            Input::Flush => {
                run.collect(|_, each| intake.flush(each))?;
                run.flush()
            }
            _ => unreachable!("the session refuses rows of a file"),
        })?;
        self.finish_file(file, intake, totals)
    }

    /// Lets `take` have what arrives, until the finish.
    fn receive(
        &mut self,
        input: &mut Receiver<Input>,
        mut take: impl FnMut(&mut Run, Input) -> Result<(), Stop>,
    ) -> Result<Totals, Stop> {
        loop {
            match input.blocking_recv() {
                Some(Input::Finish(totals)) => return Ok(totals),
                // Of an attempt that ended before all was there.
                Some(Input::Again(_)) => {}
                Some(input) => take(self, input)?,
                None => return Err(Stop::Gone),
            }
            self.pipeline.dealt_with.send_modify(|n| *n += 1);
        }
    }

    /// The caller's place after these rows, if there is one and they are not all known.
    fn new_position(&self, rows: &InputRows) -> Option<(u64, Bytes)> {
        let is_new = !rows.position.is_empty() && rows.ordinals.end > self.next_row;
        is_new.then(|| (rows.ordinals.end, rows.position.clone()))
    }

    /// Whole: the session has begun another attempt.
    fn is_given_up(&self) -> bool {
        self.pipeline.attempt.load(Ordering::Acquire) > self.attempt
    }

    // Decoding.

    fn begin_rows(&mut self) -> Result<(), Stop> {
        let mapping = self.pipeline.mapping.clone();
        self.begin(mapping.expect("row imports come with a mapping"), None)
    }

    /// A message's rows as frames, once those that came before are known to be the same.
    fn packed(&mut self, rows: InputRows) -> Result<Vec<Frame>, Stop> {
        let InputRows { ordinals, pack, .. } = rows;
        let frames = pack(ordinals.start, 0)?;
        let (mut repeated, mut fresh) = (0_u128, 0_u128);
        for row in frames.iter().flat_map(Frame::rows) {
            let sum = if row.ordinal < self.next_row {
                &mut repeated
            } else {
                &mut fresh
            };
            *sum = sum.wrapping_add(row.hash());
        }
        let known_end = ordinals.end.min(self.next_row);
        if ordinals.start < known_end {
            self.sent_again
                .repeat(ordinals.start..known_end, repeated)?;
        }
        if ordinals.end > self.next_row {
            self.sent_again.remember(self.next_row..ordinals.end, fresh);
            self.next_row = ordinals.end;
        }
        Ok(frames)
    }

    fn finish_file(
        &mut self,
        file: &FileSpec,
        intake: Intake,
        totals: Totals,
    ) -> Result<Output, Stop> {
        let received = intake.received();
        check_file(file, self.pipeline.decided.file_sha256, totals, &received)?;
        let sha256 = received.sha256;
        if intake.is_workbook() {
            self.send(Output::Received { sha256 })?;
        }
        let mut workbook = None;
        self.collect(|_, each| {
            workbook = intake.finish(each)?;
            Ok(())
        })?;
        if let Some((spooled, request)) = workbook {
            // The child has the file until the decoder is dropped, which is before its room is.
            let (file, _room) = spooled.into_parts();
            self.workbook(file, &request)?;
        }
        self.end(totals, Some(sha256))
    }

    /// Lets a child process decode a workbook, which is gone afterwards.
    fn workbook(&mut self, file: File, request: &WorkbookRequest) -> Result<(), Stop> {
        let _place = self.wait_for(Arc::clone(&self.pipeline.decoders))?;
        self.decode = Some(DecodeStage::begin());
        let sandbox = Sandbox {
            program: &self.pipeline.decoder_program,
            limits: &self.pipeline.limits,
            spool_dir: &self.pipeline.spool_dir,
        };
        let mut decoder = sandbox.start(file, request)?;
        self.send(Output::Decoding(decoder.killer()))?;
        loop {
            let next = decoder.next();
            if let (Some(stage), Ok(None) | Err(_)) = (&self.decode, &next) {
                stage.decoder_ended(&self.pipeline.metrics, next.as_ref().err());
            }
            match next? {
                Some(decoded) => self.decoded(decoded)?,
                None => return Ok(()),
            }
        }
    }

    /// Runs a decoder step and takes in what it yields.
    fn collect(
        &mut self,
        step: impl FnOnce(&dyn Fn() -> bool, &mut dyn FnMut(Decoded)) -> Result<(), DecodeError>,
    ) -> Result<(), Stop> {
        let stop = self.pipeline.stop.clone();
        match intake::collect(&|| stop.is_cancelled(), step, |it| self.decoded(it)) {
            Err(Stop::Failed(_)) | Ok(()) if stop.is_cancelled() => Err(Stop::Gone),
            result => result,
        }
    }

    fn decoded(&mut self, decoded: Decoded) -> Result<(), Stop> {
        match decoded {
            Decoded::Header(mut header) => {
                let stage = self.decode.take();
                let stage = stage.unwrap_or_else(DecodeStage::begin);
                self.decode = Some(stage.of(&header));
                let (mapping, returned) = source::open(&self.pipeline, &mut header)?;
                self.returned = returned;
                self.begin(Arc::new(mapping), Some(header))
            }
            Decoded::Rows(frame) => {
                let frame = match &self.returned {
                    Some(returned) => returned.rows(&frame),
                    None => frame,
                };
                let mut mapped = self.mapped.take().expect("the header comes first");
                let waiting = &mut self.waiting;
                let result =
                    mapped
                        .batcher
                        .add(frame, &mapped.mapping, |batch| -> Result<(), Mismatch> {
                            waiting.push(batch);
                            Ok(())
                        });
                self.mapped = Some(mapped);
                result.map_err(|mismatch| self.mismatch(mismatch))?;
                self.hand_out()
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
        let layout = header
            .as_ref()
            .map(|header| source::layout(header, &mapping));
        let sheet = header.as_ref().map_or("", |header| header.sheet.as_str());
        let kind = self.pipeline.spec.source_kind();
        let before = &self.pipeline.decided;
        let (start, below) = match kind {
            // A file is sent again from its first byte.
            SourceKind::File => (0, Some(before.offset)),
            SourceKind::Rows => (before.offset, None),
        };
        let below = below.map(|end| DecidedRange {
            range: 0..end,
            rows_hash: before.rows_hash,
        });
        let decided = Decided::new(below.into_iter().chain(before.ranges.iter().cloned()));
        let limits = self.pipeline.batch_limits;
        let batcher = Batcher::new(limits, &mapping, start, decided, sheet, kind);
        // All rows in one transaction are written in their order.
        let hasher = if self.pipeline.whole {
            KeyHasher::default()
        } else {
            KeyHasher::new(plan.overlap())
        };
        self.mapped = Some(Mapped {
            mapping,
            batcher,
            hasher,
        });
        self.send(Output::Mapped(Box::new(MappedSource {
            plan,
            effective,
            header,
            layout,
        })))
    }

    /// Closes the open batch: nothing came for a while.
    fn flush(&mut self) -> Result<(), Stop> {
        if let Some(mapped) = &mut self.mapped {
            self.waiting.extend(mapped.batcher.flush());
        }
        self.hand_out()
    }

    /// Every row is there.
    fn end(&mut self, totals: Totals, sha256: Option<[u8; 32]>) -> Result<Output, Stop> {
        let mut received_rows = 0;
        if let Some(mapped) = &mut self.mapped {
            let passed: Result<(), Mismatch> = mapped.batcher.finish();
            received_rows = mapped.batcher.end();
            passed.map_err(|mismatch| self.mismatch(mismatch))?;
        }
        if let Some(stage) = self.decode.take() {
            stage.end(received_rows);
        }
        self.flush()?;
        check_rows(totals, received_rows)?;
        Ok(Output::End {
            received_rows,
            sha256,
        })
    }

    fn mismatch(&self, mismatch: Mismatch) -> Stop {
        match self.pipeline.spec.source_kind() {
            SourceKind::Rows => mismatch.into(),
            SourceKind::File => Stop::Failed(other_file().with(
                "rows",
                format!("{}..{}", mismatch.range.start, mismatch.range.end),
            )),
        }
    }

    /// Hands out what waits, unless a file may yet turn out to be another one.
    fn hand_out(&mut self) -> Result<(), Stop> {
        let is_sure = match (&self.mapped, self.pipeline.spec.source_kind()) {
            (Some(mapped), SourceKind::File) => mapped.batcher.is_past_decided(),
            _ => true,
        };
        if !is_sure {
            return Ok(());
        }
        for batch in std::mem::take(&mut self.waiting) {
            self.emit(batch)?;
        }
        Ok(())
    }

    /// Hands a batch out once its bytes are paid for.
    fn emit(&mut self, batch: Batch) -> Result<(), Stop> {
        if self.is_given_up() {
            return Err(Stop::Abandoned);
        }
        if self.pipeline.whole && !self.has_place {
            // A batch that waits for a writer must not hold memory that a running one needs.
            self.wait_for(Arc::clone(&self.pipeline.has_place))?
                .forget();
            self.has_place = true;
        }
        let pipeline = &self.pipeline;
        let mapped = self.mapped.as_ref().expect("batches follow the mapping");
        let keys = mapped.hasher.keys(&batch.rows);
        let n_rows = batch.rows.n_rows();
        let n_bytes = batch.n_bytes() + keys.n_bytes();
        let gate = (!pipeline.whole).then_some(&pipeline.gate);
        let dues = self.wait(dues::pay(&pipeline.purse, gate, n_rows, n_bytes))?;
        let queued = QueuedBatch {
            batch,
            keys,
            bytes: dues.bytes,
            own_bytes: dues.own_bytes,
            table: dues.table,
        };
        self.send(Output::Batch(Box::new(queued)))
    }

    fn send(&self, output: Output) -> Result<(), Stop> {
        self.output.blocking_send(output).map_err(|_| Stop::Gone)
    }

    fn wait_for(&self, permits: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Stop> {
        self.wait(permits.acquire_owned())?.map_err(|_| Stop::Gone)
    }

    /// Waits on this thread, until the session stops.
    fn wait<T>(&self, wait: impl Future<Output = T>) -> Result<T, Stop> {
        let stop = &self.pipeline.stop;
        self.pipeline.runtime.block_on(async {
            tokio::select! {
                // A dropped wait holds nothing.
                done = wait => Ok(done),
                () = stop.cancelled() => Err(Stop::Gone),
            }
        })
    }
}
