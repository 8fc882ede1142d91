//! One part of a workbook, inflated in windows.
//!
//! In: an [`Entry`] of the directory. Out: its bytes, as many at a time as there is room for; at
//! the end they have been as many as the directory says, with its checksum. Bounded while
//! reading: all parts together by `inflated_bytes_max`, each by `inflate_ratio_max`. Parts may be
//! read side by side, each by its own thread. Cancelled by dropping.

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::sheet::file::SharedFile;
use crate::decode::xlsx::directory::{Directory, Entry};
use crate::decode::xlsx::{broken, count};

/// Packed bytes are read in pieces of this size.
const INPUT_BYTES: usize = 64 * 1024;

/// Inflated bytes below which no ratio is suspicious.
const RATIO_FREE_BYTES: u64 = 1 << 20;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Counts what all parts of one workbook inflate to.
#[derive(Debug, Clone)]
pub(crate) struct InflateBudget {
    total_bytes: Arc<AtomicU64>,
    total_bytes_max: u64,
    ratio_max: u64,
}

/// Reads one part.
#[derive(Debug)]
pub(crate) struct Part {
    name: String,
    source: SharedFile,
    /// Packed bytes that are not read from the file yet.
    n_packed_left: u64,
    packed_bytes: u64,
    input: Vec<u8>,
    input_at: usize,
    packing: Packing,
    budget: InflateBudget,
    n_inflated: u64,
    inflated_bytes: u64,
    crc: Crc,
    crc_wanted: u32,
    is_at_end: bool,
}

#[derive(Debug)]
enum Packing {
    Stored,
    Deflated(Decompress),
}

// === impl InflateBudget ===

impl InflateBudget {
    /// Nothing is inflated yet.
    pub(crate) fn new(limits: &Limits) -> InflateBudget {
        InflateBudget {
            total_bytes: Arc::default(),
            total_bytes_max: limits.inflated_bytes_max,
            ratio_max: limits.inflate_ratio_max,
        }
    }

    /// Counts `n_bytes` more of a part that has inflated to `n_inflated` by now.
    fn count(&self, n_bytes: u64, n_inflated: u64, packed: u64) -> Result<(), DecodeError> {
        let total = self.total_bytes.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes;
        if total > self.total_bytes_max {
            return Err(DecodeError::limit(
                "inflated_bytes_max",
                total,
                self.total_bytes_max,
            ));
        }
        let bound = packed.saturating_mul(self.ratio_max).max(RATIO_FREE_BYTES);
        if n_inflated > bound {
            return Err(DecodeError::limit(
                "inflate_ratio_max",
                n_inflated.div_ceil(packed.max(1)),
                self.ratio_max,
            ));
        }
        Ok(())
    }
}

// === impl Part ===

impl Part {
    /// Opens an entry of `directory`.
    pub(crate) fn open(
        directory: &Directory,
        entry: &Entry,
        budget: &InflateBudget,
    ) -> Result<Part, DecodeError> {
        if entry.is_encrypted {
            return Err(DecodeError::Encrypted {
                how: "a part of the zip is encrypted".to_owned(),
            });
        }
        let packing = match entry.method {
            STORED => Packing::Stored,
            DEFLATED => Packing::Deflated(Decompress::new(false)),
            method => {
                let what = format!("is packed by method {method}, not by deflate");
                return Err(broken(&entry.name, what));
            }
        };
        let mut source = directory.file().reader();
        source
            .seek(SeekFrom::Start(entry.data_at))
            .map_err(|error| DecodeError::io("read the spool", &error))?;
        Ok(Part {
            name: entry.name.clone(),
            source,
            n_packed_left: entry.packed_bytes,
            packed_bytes: entry.packed_bytes,
            input: Vec::new(),
            input_at: 0,
            packing,
            budget: budget.clone(),
            n_inflated: 0,
            inflated_bytes: entry.inflated_bytes,
            crc: Crc::new(),
            crc_wanted: entry.crc,
            is_at_end: false,
        })
    }

    /// The part's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the directory says that it inflates to; not to be believed.
    pub(crate) fn inflated_bytes(&self) -> u64 {
        self.inflated_bytes
    }

    /// Puts bytes to the front of `out`, which has room, and says how many; 0 at the end, which
    /// is checked by then.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, DecodeError> {
        debug_assert!(!out.is_empty(), "no room");
        while !self.is_at_end {
            if self.input_at == self.input.len() {
                self.read_input()?;
            }
            let n_out = self.inflate(out)?;
            if n_out > 0 {
                self.take_account(&out[..n_out])?;
                return Ok(n_out);
            }
        }
        Ok(0)
    }

    /// Inflates what is left without a look at it.
    pub(crate) fn skip_rest(&mut self, scratch: &mut [u8]) -> Result<(), DecodeError> {
        while self.read(scratch)? > 0 {}
        Ok(())
    }

    fn read_input(&mut self) -> Result<(), DecodeError> {
        let n_wanted = self.n_packed_left.min(count(INPUT_BYTES));
        self.input
            .resize(usize::try_from(n_wanted).unwrap_or(INPUT_BYTES), 0);
        self.input_at = 0;
        self.source
            .read_exact(&mut self.input)
            .map_err(|error| DecodeError::io("read the spool", &error))?;
        self.n_packed_left -= n_wanted;
        Ok(())
    }

    /// Moves on by at least one byte of input or output, or to the end.
    fn inflate(&mut self, out: &mut [u8]) -> Result<usize, DecodeError> {
        let input = &self.input[self.input_at..];
        let is_input_over = input.is_empty() && self.n_packed_left == 0;
        match &mut self.packing {
            Packing::Stored => {
                let n_bytes = input.len().min(out.len());
                out[..n_bytes].copy_from_slice(&input[..n_bytes]);
                self.input_at += n_bytes;
                if is_input_over {
                    self.end()?;
                }
                Ok(n_bytes)
            }
            Packing::Deflated(inflater) => {
                let (in_before, out_before) = (inflater.total_in(), inflater.total_out());
                let status = inflater
                    .decompress(input, out, FlushDecompress::None)
                    .map_err(|error| broken(&self.name, error))?;
                let n_in = usize::try_from(inflater.total_in() - in_before);
                let n_in = n_in.expect("it reads from a slice");
                let n_out = usize::try_from(inflater.total_out() - out_before);
                let n_out = n_out.expect("it writes into a slice");
                self.input_at += n_in;
                match status {
                    Status::StreamEnd if n_out == 0 => self.end()?,
                    Status::StreamEnd => {
                        // The end is reported by the next call, which has nothing to inflate.
                        self.packing = Packing::Stored;
                        if self.input_at < self.input.len() || self.n_packed_left > 0 {
                            return Err(broken(&self.name, "goes on behind its end"));
                        }
                    }
                    Status::Ok | Status::BufError if n_in == 0 && n_out == 0 && is_input_over => {
                        return Err(broken(&self.name, "is cut"));
                    }
                    Status::Ok | Status::BufError => {}
                }
                Ok(n_out)
            }
        }
    }

    fn take_account(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let n_bytes = count(bytes.len());
        self.n_inflated += n_bytes;
        self.budget
            .count(n_bytes, self.n_inflated, self.packed_bytes)?;
        if self.n_inflated > self.inflated_bytes {
            return Err(broken(&self.name, "is longer than the directory says"));
        }
        self.crc.update(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), DecodeError> {
        self.is_at_end = true;
        if self.input_at < self.input.len() || self.n_packed_left > 0 {
            return Err(broken(&self.name, "goes on behind its end"));
        }
        if self.n_inflated != self.inflated_bytes {
            return Err(broken(&self.name, "is shorter than the directory says"));
        }
        if self.crc.sum() != self.crc_wanted {
            return Err(broken(&self.name, "does not have its checksum"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
