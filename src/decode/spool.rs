//! Where a workbook waits until it is complete: an unnamed temporary file.
//!
//! In: the workbook's bytes, as they arrive. Out: the file, rewound, for the decoder's child to
//! have as its standard input. Bounded by the limit on such files, and by the room that they share
//! ([`disk`](crate::disk)). Dropping it frees its space.

use std::io::{BufWriter, Seek, Write};

use crate::decode::error::DecodeError;
use crate::disk::{SpoolDir, SpoolFile};

#[cfg(test)]
mod tests;

/// Bytes that are collected before they are written: chunks may be of one byte.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// A workbook on its way to disk. Of no use after an error.
#[derive(Debug)]
pub struct Spool {
    writer: BufWriter<SpoolFile>,
    n_bytes: u64,
    /// Name and value of the limit that holds.
    limit: (&'static str, u64),
}

impl Spool {
    /// An empty spool in the directory `dir` for at most `bytes_max` bytes, the value of the
    /// [limit](super::limits::Limits) with the name `limit`.
    pub fn create(
        dir: &SpoolDir,
        limit: &'static str,
        bytes_max: u64,
    ) -> Result<Spool, DecodeError> {
        let file = dir
            .file()
            .map_err(|error| DecodeError::io("create the spool file", &error))?;
        Ok(Spool::over(file, (limit, bytes_max)))
    }

    fn over(file: SpoolFile, limit: (&'static str, u64)) -> Spool {
        Spool {
            writer: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
            n_bytes: 0,
            limit,
        }
    }

    /// Another limit holds from now on.
    pub fn set_limit(&mut self, limit: &'static str, bytes_max: u64) {
        self.limit = (limit, bytes_max);
    }

    /// Whether there is room now for `n_bytes` that are announced, so that a caller is refused
    /// before it sends them. Takes none: who announces and does not send keeps nobody out.
    pub fn check_room(&self, n_bytes: u64) -> Result<(), DecodeError> {
        let (_, bytes_max) = self.limit;
        Ok(self.writer.get_ref().check(n_bytes.min(bytes_max))?)
    }

    /// Bytes taken so far.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Appends `bytes`, all of them or, beyond the limit, none.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let n_bytes = self.n_bytes.saturating_add(bytes.len() as u64);
        let (name, bytes_max) = self.limit;
        if n_bytes > bytes_max {
            return Err(DecodeError::limit(name, n_bytes, bytes_max));
        }
        self.writer
            .write_all(bytes)
            .map_err(|error| DecodeError::io("write to the spool file", &error))?;
        self.n_bytes = n_bytes;
        Ok(())
    }

    /// The complete file, to be read from its beginning.
    pub fn into_file(self) -> Result<SpoolFile, DecodeError> {
        let mut file = self
            .writer
            .into_inner()
            .map_err(|error| DecodeError::io("write to the spool file", error.error()))?;
        file.rewind()
            .map_err(|error| DecodeError::io("rewind the spool file", &error))?;
        Ok(file)
    }
}
