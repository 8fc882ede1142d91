//! Rejected rows of a transaction that has not ended: they outlive it, in an unnamed file.
//!
//! In: rejected rows, in order. Out: the same, some at a time. Bounded by the limit on rejected
//! rows, and by the room for temporary files; the file is made with the first row.

use std::io::{BufRead, BufReader, BufWriter, Seek, Write};

use crate::disk::{Full, SpoolDir, SpoolFile};
use crate::model::import::{Failure, Reason};
use crate::model::reject::RejectedRow;
use crate::store::StoreError;

/// Rows that are handed back at once.
const CHUNK_ROWS: usize = 500;
/// Bytes of rows that are handed back at once, but for the last row.
const CHUNK_BYTES: usize = 1 << 20;

/// The rows so far.
#[derive(Debug)]
pub(super) struct Spill {
    dir: SpoolDir,
    writer: Option<BufWriter<SpoolFile>>,
    n_rows: u64,
}

/// The rows, read back.
#[derive(Debug)]
pub(super) struct Spilled {
    reader: Option<BufReader<SpoolFile>>,
}

impl Spill {
    pub(super) fn new(dir: SpoolDir) -> Spill {
        Spill {
            dir,
            writer: None,
            n_rows: 0,
        }
    }

    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Appends rows; for a blocking thread.
    pub(super) fn push(&mut self, rows: &[RejectedRow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => BufWriter::new(self.dir.file().map_err(disk)?),
        };
        for row in rows {
            serde_json::to_writer(&mut writer, row).map_err(|error| disk(error.into()))?;
            writer.write_all(b"\n").map_err(disk)?;
        }
        self.writer = Some(writer);
        self.n_rows += rows.len() as u64;
        Ok(())
    }

    /// Reads them back from the first.
    pub(super) fn finish(self) -> Result<Spilled, StoreError> {
        let Some(writer) = self.writer else {
            return Ok(Spilled { reader: None });
        };
        let file = writer.into_inner();
        let mut file = file.map_err(|error| disk(error.into_error()))?;
        file.rewind().map_err(disk)?;
        Ok(Spilled {
            reader: Some(BufReader::new(file)),
        })
    }
}

impl Spilled {
    /// The next rows; none at the end. For a blocking thread.
    pub(super) fn chunk(&mut self) -> Result<Vec<RejectedRow>, StoreError> {
        let Some(reader) = &mut self.reader else {
            return Ok(Vec::new());
        };
        let mut rows = Vec::new();
        let mut n_bytes = 0;
        let mut line = Vec::new();
        while rows.len() < CHUNK_ROWS && n_bytes < CHUNK_BYTES {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(disk)? == 0 {
                break;
            }
            n_bytes += line.len();
            let row = serde_json::from_slice(&line).map_err(|error| disk(error.into()))?;
            rows.push(row);
        }
        Ok(rows)
    }
}

fn disk(error: std::io::Error) -> StoreError {
    if let Some(full) = Full::of(&error) {
        return StoreError::Failed(full.into());
    }
    let reason = match error.kind() {
        std::io::ErrorKind::StorageFull => Reason::DiskFull,
        _ => Reason::Internal,
    };
    StoreError::Failed(Failure::new(
        reason,
        format!("rejected rows could not be kept aside: {error}"),
    ))
}

#[cfg(test)]
mod tests;
