//! Cuts the rows of an import into batches.
//!
//! In: frames, in ascending order of their ordinals. Out: [`Batch`]es whose ranges follow each
//! other without a gap: blank ordinals belong to the batch of the next row with content, so rows
//! after the last row with content do not exist. Rows that earlier sessions decided are passed
//! over ([`decided`]), and batches end where such rows begin, so that cuts and sizes may differ
//! from session to session. Bounded by [`BatchLimits`]; synchronous, pure; dropping a batcher
//! drops the rows of its open batch.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::decided::{Decided, Met, Mismatch};
use crate::mapping::{Mapping, Verdict};
use crate::model::batch::{Batch, RowSource};
use crate::model::frame::{Frame, FrameRow};
use crate::model::reject::{RejectedRow, SourceKind};
use crate::model::value::RowBuffer;

pub mod decided;
pub mod keys;

/// When a batch is complete. Batches grow from `rows_first` by doubling, so that small imports
/// have early progress and several writers, and large ones few transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Rows of the first batch, rejected ones included.
    pub rows_first: usize,
    /// Rows of a batch at most, rejected ones included.
    pub rows_max: usize,
    /// Bytes of a batch, frames included; passed by one row at most.
    pub bytes_max: usize,
}

impl BatchLimits {
    /// One batch for everything, for callers that bound it themselves.
    pub const NONE: BatchLimits = BatchLimits {
        rows_first: usize::MAX,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
    };
}

/// The open batch of an import and what is needed to close it.
#[derive(Debug)]
pub struct Batcher {
    limits: BatchLimits,
    rows_target: usize,
    next_index: u64,
    sheet: Arc<str>,
    source_kind: SourceKind,
    /// First ordinal of the open batch.
    start: u64,
    /// One past the last ordinal with content.
    end: u64,
    /// Rows below were met before.
    next_ordinal: u64,
    rows: RowBuffer,
    sources: Vec<RowSource>,
    frames: Vec<Arc<Frame>>,
    frames_bytes: usize,
    rejected: Vec<RejectedRow>,
    rejected_bytes: usize,
    rows_hash: u128,
    decided: Decided,
    /// The caller's places, each with the ordinal that follows its row batch.
    positions: VecDeque<(u64, Bytes)>,
}

impl Batcher {
    /// A batcher whose first batch begins at ordinal `start`; rows before it are left out.
    /// `decided` are the ranges from there on that need no batch any more.
    pub fn new(
        limits: BatchLimits,
        mapping: &Mapping,
        start: u64,
        decided: Decided,
        sheet: &str,
        source_kind: SourceKind,
    ) -> Batcher {
        Batcher {
            limits,
            rows_target: limits.rows_first.clamp(1, limits.rows_max),
            next_index: 0,
            sheet: Arc::from(sheet),
            source_kind,
            start,
            end: start,
            next_ordinal: start,
            rows: RowBuffer::new(mapping.effective().len()),
            sources: Vec::new(),
            frames: Vec::new(),
            frames_bytes: 0,
            rejected: Vec::new(),
            rejected_bytes: 0,
            rows_hash: 0,
            decided,
            positions: VecDeque::new(),
        }
    }

    /// Notes the caller's place after the row batch that ends before ordinal `end`. To be called
    /// before the rows of that row batch are added.
    pub fn note_position(&mut self, end: u64, position: Bytes) {
        self.positions.push_back((end, position));
    }

    /// Maps the rows of a frame; every batch that becomes complete goes to `emit`, whose error
    /// ends the import. Rows that were there before are left out.
    pub fn add<E: From<Mismatch>>(
        &mut self,
        frame: Frame,
        mapping: &Mapping,
        mut emit: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        let frame = Arc::new(frame);
        for row in frame.rows() {
            if row.ordinal < self.next_ordinal {
                continue;
            }
            self.next_ordinal = row.ordinal + 1;
            if self.is_decided(row, mapping, &mut emit)? {
                continue;
            }
            self.add_row(row, &frame, mapping);
            if self.is_complete() {
                emit(self.close())?;
            }
        }
        Ok(())
    }

    /// Closes the open batch, if it holds a row. Room for more is taken when they come: a stream may
    /// be silent for hours, and nobody counts what is held for its next batch.
    pub fn flush(&mut self) -> Option<Batch> {
        let batch = (self.n_rows() > 0).then(|| self.close());
        self.rows = self.rows.like(0);
        self.sources = Vec::new();
        batch
    }

    /// The source has no more rows: those that earlier sessions decided must all have been there.
    /// The open batch is to be [flushed](Self::flush) afterwards.
    pub fn finish<E: From<Mismatch>>(&mut self) -> Result<(), E> {
        Ok(self.decided.finish()?)
    }

    /// Whether all rows that earlier sessions decided have been passed, and were the same.
    pub fn is_past_decided(&self) -> bool {
        self.decided.is_passed()
    }

    /// One past the last ordinal with content: the rows received so far.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Passes a row that an earlier session decided; the open batch ends where those begin.
    fn is_decided<E: From<Mismatch>>(
        &mut self,
        row: FrameRow<'_>,
        mapping: &Mapping,
        emit: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<bool, E> {
        if self.decided.is_passed() {
            return Ok(false);
        }
        if mapping.is_blank(row) {
            return Ok(true);
        }
        loop {
            match self.decided.meet(row.ordinal, || row.hash())? {
                Met::Open => return Ok(false),
                Met::Decided => return Ok(true),
                Met::Entered(range) => {
                    if range.start > self.start {
                        self.end = range.start;
                        emit(self.close())?;
                    }
                    self.start = range.end;
                    self.end = range.end;
                }
            }
        }
    }

    fn add_row(&mut self, row: FrameRow<'_>, frame: &Arc<Frame>, mapping: &Mapping) {
        debug_assert!(row.ordinal >= self.end, "ordinals ascend");
        match mapping.map_row(row, &mut self.rows) {
            Verdict::Blank => return,
            Verdict::Rejected(rejected) => {
                self.rejected_bytes += rejected.n_bytes();
                self.rejected.push(rejected);
            }
            Verdict::Mapped => {
                let source = RowSource {
                    frame: self.frame_index(frame),
                    start: u32::try_from(row.start).expect("a frame is below 4 GiB"),
                    ordinal: row.ordinal,
                };
                self.sources.push(source);
            }
        }
        self.rows_hash = self.rows_hash.wrapping_add(row.hash());
        self.end = row.ordinal + 1;
    }

    /// The frame's index among those of the open batch, which keeps it from now on.
    fn frame_index(&mut self, frame: &Arc<Frame>) -> u32 {
        let is_open = self
            .frames
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, frame));
        if !is_open {
            self.frames_bytes += frame.as_bytes().len();
            self.frames.push(Arc::clone(frame));
        }
        u32::try_from(self.frames.len() - 1).expect("fewer frames than bytes_max")
    }

    fn n_rows(&self) -> usize {
        self.rows.n_rows() + self.rejected.len()
    }

    fn is_complete(&self) -> bool {
        self.n_rows() >= self.rows_target
            || self.frames_bytes + self.rejected_bytes + self.rows.n_bytes()
                >= self.limits.bytes_max
    }

    fn close(&mut self) -> Batch {
        self.rows_target = self.rows_target.saturating_mul(2).min(self.limits.rows_max);
        let n_rows_next = self.n_rows_expected();
        let fresh_rows = self.rows.like(n_rows_next);
        let fresh_sources = Vec::with_capacity(n_rows_next);
        let batch = Batch {
            index: self.next_index,
            range: self.start..self.end,
            rows: std::mem::replace(&mut self.rows, fresh_rows),
            sources: std::mem::replace(&mut self.sources, fresh_sources),
            frames: std::mem::take(&mut self.frames),
            rejected: std::mem::take(&mut self.rejected),
            rows_hash: std::mem::take(&mut self.rows_hash),
            sheet: Arc::clone(&self.sheet),
            source_kind: self.source_kind,
            position: self.take_position(),
        };
        self.frames_bytes = 0;
        self.rejected_bytes = 0;
        self.next_index += 1;
        self.start = self.end;
        batch
    }

    /// Rows that the next batch will have, if they are like those of the open one; 0: not known.
    fn n_rows_expected(&self) -> usize {
        let n_rows = self.rows.n_rows();
        if n_rows == 0 || self.rows_target == usize::MAX {
            return 0;
        }
        let row_bytes = (self.frames_bytes + self.rows.n_bytes()).div_ceil(n_rows);
        self.rows_target.min(self.limits.bytes_max / row_bytes + 1)
    }

    /// The last place whose row batch ends within the batch that is being closed.
    fn take_position(&mut self) -> Option<Bytes> {
        let mut last = None;
        while self
            .positions
            .front()
            .is_some_and(|(end, _)| *end <= self.end)
        {
            last = self.positions.pop_front().map(|(_, position)| position);
        }
        last
    }
}

#[cfg(test)]
mod tests;
