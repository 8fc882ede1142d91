//! What a running import does with a message, an output of its pipeline, and a receipt.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinError;
use tracing::{Instrument, Span};

use crate::model::batch::RejectBudget;
use crate::model::import::{Failure, Phase, Reason};
use crate::model::keys::BatchKeys;
use crate::model::layout::SourceLayout;
use crate::model::plan::overlap::Overlap;
use crate::model::reject::RejectedRow;
use crate::progress::Ack;
use crate::session::inbound::{Chunk, Inbound, InboundRows, Totals, offset_gap};
use crate::session::live::whole::WholeWriter;
use crate::session::live::{COMPACT_BATCHES, CSV_FLUSH, Live, Written};
use crate::session::pipeline::{Input, InputRows, MappedSource, Output};
use crate::session::spec::{Disconnect, RejectPolicy};
use crate::session::{Message, ending};
use crate::store::{Store, StoreError};
use crate::telemetry;
use crate::writer::{self, QueuedBatch, WriteContext};

impl Live {
    /// A message of the caller, or the end of its stream.
    pub(super) async fn on_message(
        &mut self,
        message: Option<Result<Message, Failure>>,
    ) -> Result<(), Failure> {
        self.waiting_since = Instant::now();
        let inbound = match message {
            None if self.finish_received => {
                self.messages_ended = true;
                return Ok(());
            }
            None => return Err(incomplete_stream()),
            Some(Err(failure)) => return self.on_caller_gone(failure),
            Some(Ok(Message::Header(_))) => {
                return Err(Failure::new(Reason::DuplicateHeader, "a second header"));
            }
            Some(Ok(Message::Inbound(inbound))) => inbound,
        };
        match inbound {
            Inbound::Heartbeat => Ok(()),
            _ if self.finish_received => Err(Failure::new(
                Reason::MessageAfterFinish,
                "a message after finish",
            )),
            Inbound::Abort { reason } => Err(Failure::new(
                Reason::ClientAbort,
                "the caller aborted the import",
            )
            .with("abort_reason", reason)),
            Inbound::Chunk(chunk) if self.is_file() => self.on_chunk(chunk).await,
            Inbound::Rows(rows) if !self.is_file() => self.on_rows(rows).await,
            Inbound::Chunk(_) => Err(wrong_payload("a chunk", "rows")),
            Inbound::Rows(_) => Err(wrong_payload("rows", "a file")),
            Inbound::Finish(totals) => self.on_finish(totals).await,
        }
    }

    async fn on_chunk(&mut self, chunk: Chunk) -> Result<(), Failure> {
        // What was received already is dropped; the rest is new.
        let Some((data, crc32c)) = chunk.fresh(self.next_byte)? else {
            return Ok(());
        };
        self.next_byte += data.len() as u64;
        self.received_bytes += data.len() as u64;
        self.flush_at = Some(Instant::now() + CSV_FLUSH);
        self.hand_in(Input::Chunk { data, crc32c }).await
    }

    async fn on_rows(&mut self, rows: InboundRows) -> Result<(), Failure> {
        let offset = rows.offset.unwrap_or(self.next_row);
        if offset > self.next_row {
            return Err(offset_gap("row", offset, self.next_row));
        }
        let end = offset.checked_add(rows.n_rows).ok_or_else(|| {
            Failure::new(Reason::InvalidOption, "offset and rows exceed 64 bits")
                .with_field("rows.offset", "too large")
        })?;
        if rows.n_rows == 0 {
            return Ok(());
        }
        self.duplicate_rows += (self.next_row - offset).min(rows.n_rows);
        let is_new = end > self.next_row;
        self.next_row = self.next_row.max(end);
        self.received_rows = self.received_rows.max(end);
        self.received_bytes += rows.n_bytes;
        if is_new {
            let delay = self
                .held
                .spec
                .max_ack_delay
                .unwrap_or(self.sessions.config.max_ack_delay);
            let due = Instant::now() + delay;
            self.flush_at.get_or_insert(due);
        } else {
            self.acknowledge();
        }
        let InboundRows { position, pack, .. } = rows;
        // Rows that were sent before go along: they are compared with those of the first time.
        let rows = InputRows {
            ordinals: offset..end,
            position,
            pack,
        };
        self.hand_in(Input::Rows(rows)).await
    }

    async fn on_finish(&mut self, totals: Totals) -> Result<(), Failure> {
        self.finish_received = true;
        self.flush_at = None;
        let (rows, bytes) = (self.received_rows, self.received_bytes);
        self.stage.record("rows", telemetry::attribute(rows));
        self.stage.record("bytes", telemetry::attribute(bytes));
        self.stage = Span::none();
        if let Disconnect::Continue(bound) = self.held.spec.disconnect {
            // The writers outlast the caller from now on, by this bound at most.
            let call = self.call.deadline.unwrap_or_else(Instant::now);
            self.deadline.set(call.max(Instant::now()) + bound);
        }
        if self.is_file() {
            self.phase = Phase::Decoding;
        }
        self.hand_in(Input::Finish(totals)).await
    }

    /// Queues an input for the pipeline; an import that gave its slot back waits for one first.
    async fn hand_in(&mut self, input: Input) -> Result<(), Failure> {
        if self.slot.is_none() {
            self.take_slot().await?;
        }
        self.last_data_at = Instant::now();
        self.pending = Some(input);
        Ok(())
    }

    /// Something that the pipeline made.
    pub(super) async fn on_output(&mut self, output: Option<Output>) -> Result<(), Failure> {
        let is_given_up = self.whole.as_ref().is_some_and(WholeWriter::is_given_up);
        match output {
            Some(Output::Attempt(attempt)) => {
                if let Some(whole) = &mut self.whole {
                    whole.begin(attempt);
                }
            }
            Some(Output::Mapped(_) | Output::Batch(_) | Output::End { .. }) if is_given_up => {}
            Some(Output::Received { sha256 }) => self.on_received(sha256).await?,
            Some(Output::Mapped(mapped)) => self.on_mapped(*mapped).await?,
            Some(Output::Decoding(killer)) => self.killer = Some(killer),
            Some(Output::Batch(queued)) => self.on_batch(queued),
            Some(Output::End {
                received_rows,
                sha256,
            }) => {
                self.file_sha256 = sha256;
                self.received_rows = received_rows;
                self.ended = true;
                self.phase = Phase::Committing;
                self.complete_whole();
                if let (Some(sha256), true) = (sha256, self.is_file()) {
                    self.look_for_duplicate(sha256).await?;
                }
            }
            Some(Output::Failed(failure)) => return Err(failure),
            None => {
                let id = &self.held.spec.import_id;
                return Err(ending::internal(id, "the pipeline's thread was lost"));
            }
        }
        Ok(())
    }

    async fn on_mapped(&mut self, mapped: MappedSource) -> Result<(), Failure> {
        let MappedSource {
            plan,
            effective,
            header,
            layout,
        } = mapped;
        if let Some(layout) = layout {
            self.note_layout(&layout).await?;
        }
        self.in_flight_max = match plan.overlap() {
            Overlap::OneByOne => 1,
            Overlap::Free | Overlap::Keyed(_) => self.sessions.store.writers().per_import.max(1),
        };
        self.format = header.as_ref().map(|header| header.format);
        self.n_rows_hint = header.and_then(|header| header.n_rows_hint);
        self.effective = if self.is_file() {
            effective
        } else {
            Vec::new()
        };
        let limit = self
            .held
            .spec
            .rejects
            .limit(self.sessions.config.rejected_rows_max);
        let rejects = RejectBudget::new(limit, self.tally.counts().rejected);
        let rejects = match self.held.spec.rejects {
            RejectPolicy::AbortTellingAll => rejects.telling_all(),
            _ => rejects,
        };
        let rejects = if self.held.open.keeps_values {
            rejects
        } else {
            rejects.forgetting_values()
        };
        self.context = Some(Arc::new(WriteContext {
            store: Arc::clone(&self.sessions.store),
            key: self.registration.key(),
            plan,
            rejects,
            settings: self.held.spec.settings.clone(),
            deadline: self.deadline.clone(),
            stop: self.sessions.drained.clone(),
            retry: self.sessions.config.retry,
            metrics: self.sessions.metrics.clone(),
            gate: self.sessions.tables.gate(&self.held.table.name),
        }));
        self.start_whole();
        Ok(())
    }

    /// A file's header is read: the ledger remembers it, before a row of it is written.
    async fn note_layout(&mut self, layout: &SourceLayout) -> Result<(), Failure> {
        let key = self.registration.key();
        let note = |store: Arc<dyn Store>| async move { store.note_layout(key, layout).await };
        self.asked(note).await
    }

    fn on_batch(&mut self, mut queued: Box<QueuedBatch>) {
        self.phase = self.phase.max(Phase::Writing);
        self.received_rows = self.received_rows.max(queued.batch.range.end);
        if self.whole.is_some() {
            return self.write_in_whole(queued);
        }
        // They outlast the batch by as long as it takes to hear that it is decided.
        let keys = std::mem::replace(&mut queued.keys, BatchKeys::NONE);
        let start = queued.batch.range.start;
        if let Some(queued) = self.in_flight.begin(start, keys, queued) {
            self.write(queued);
        }
    }

    /// Writes the batch that waits, if nothing that it meets is being written any more.
    pub(super) fn write_next(&mut self) {
        if let Some(queued) = self.in_flight.next() {
            self.write(queued);
        }
    }

    fn write(&mut self, queued: Box<QueuedBatch>) {
        let context = Arc::clone(self.context.as_ref().expect("the mapping precedes batches"));
        let pool = self.sessions.writers.clone();
        let probe_first = self.probe_first;
        // Made here, as a child of the call's span; the task begins outside of it.
        let span = writer::span(&queued.batch);
        let write = async move {
            let start = queued.batch.range.start;
            let position = queued.batch.position.clone();
            let result = writer::write(&pool, &context, *queued, probe_first).await;
            Written::Batch {
                start,
                position,
                result,
            }
        };
        self.writes.spawn(write.instrument(span));
    }

    /// A batch is decided, or its import is.
    pub(in crate::session) fn on_written(
        &mut self,
        written: Result<Written, JoinError>,
    ) -> Result<(), Failure> {
        let written = match written {
            // A task that is not needed any more.
            Err(error) if error.is_cancelled() => return Ok(()),
            Err(error) => {
                let id = &self.held.spec.import_id;
                return Err(ending::lost_task(id, "a writer", &error));
            }
            Ok(written) => written,
        };
        let (position, result) = match written {
            Written::Batch {
                start,
                position,
                result,
            } => {
                self.in_flight.decided(start);
                (position, result)
            }
            Written::Whole(result) => return self.on_whole(result),
            Written::Compacted => {
                self.compacting = false;
                return Ok(());
            }
        };
        match result {
            Ok(receipt) => {
                self.probe_first |= receipt.rejected.iter().any(RejectedRow::is_from_database);
                self.tally.committed(&receipt, position);
                self.count();
                self.outbox.rejected(&receipt.rejected);
                self.acknowledge();
                self.compact();
                self.waiting_since = Instant::now();
                Ok(())
            }
            Err(StoreError::RejectLimit { recorded }) => {
                self.tally.rejected_beyond_limit(&recorded);
                self.outbox.rejected(&recorded);
                Err(self.reject_limit())
            }
            Err(error) => Err(ending::failure_of(error)),
        }
    }

    /// Now and then makes one of the ledger's ranges below the watermark. What goes wrong with it
    /// is of no consequence: the next time folds more.
    fn compact(&mut self) {
        let n_batches = self.tally.n_batches();
        if self.compacting || n_batches - self.compacted_at < COMPACT_BATCHES {
            return;
        }
        self.compacting = true;
        self.compacted_at = n_batches;
        let store = Arc::clone(&self.sessions.store);
        let key = self.registration.key();
        let watermark = self.tally.watermark();
        self.writes.spawn(async move {
            if let Err(error) = store.compact(key, watermark).await {
                tracing::debug!(%error, "the ledger's ranges were not folded");
            }
            Written::Compacted
        });
    }

    pub(super) fn acknowledge(&self) {
        self.outbox.ack(Ack {
            committed_offset: self.tally.watermark(),
            duplicate_rows: self.duplicate_rows,
            committed_position: self.tally.position(),
        });
    }

    pub(super) fn reject_limit(&self) -> Failure {
        if matches!(
            self.held.spec.rejects,
            RejectPolicy::Abort | RejectPolicy::AbortTellingAll
        ) {
            return Failure::new(
                Reason::RowRejected,
                "a row was rejected, and the import allows none",
            );
        }
        let limit = self
            .held
            .spec
            .rejects
            .limit(self.sessions.config.rejected_rows_max);
        let limit = limit.unwrap_or(u64::MAX);
        Failure::new(
            Reason::RejectLimitExceeded,
            format!("more than {limit} rows were rejected; see ListRejectedRows for the reasons"),
        )
        .with("max_rejected_row_count", limit)
    }
}

fn incomplete_stream() -> Failure {
    Failure::new(
        Reason::IncompleteStream,
        "the stream ended without finish; resume and send the rest",
    )
}

fn wrong_payload(sent: &str, source: &str) -> Failure {
    Failure::new(
        Reason::WrongPayload,
        format!("{sent} for an import whose source is {source}"),
    )
}
