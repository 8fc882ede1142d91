//! What a caller sends after the header, without the protocol's types.

use std::fmt;

use bytes::Bytes;

use crate::model::frame::Frame;
use crate::model::import::{Failure, Reason};

/// One message.
#[derive(Debug)]
pub enum Inbound {
    /// Bytes of a file.
    Chunk(Chunk),
    /// Rows.
    Rows(InboundRows),
    /// The caller is alive.
    Heartbeat,
    /// Everything is sent.
    Finish(Totals),
    /// The caller gives up.
    Abort {
        /// For people.
        reason: String,
    },
}

/// Bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Position in the file; `None`: right after the previous chunk.
    pub offset: Option<u64>,
    /// The bytes.
    pub data: Bytes,
    /// CRC-32C of `data`.
    pub crc32c: Option<u32>,
}

/// Rows, still in the caller's encoding: packing them is work for a blocking thread.
pub struct InboundRows {
    /// Ordinal of the first row; `None`: append.
    pub offset: Option<u64>,
    /// How many.
    pub n_rows: u64,
    /// Size as received.
    pub n_bytes: u64,
    /// The caller's own place after these rows; empty: none.
    pub position: Bytes,
    /// Packs the rows into frames, all but the first `skip` of them.
    pub pack: PackRows,
}

/// `(ordinal of the first packed row, rows to skip) -> frames`, each of about
/// [`FRAME_BYTES_TARGET`](crate::model::frame::FRAME_BYTES_TARGET).
pub type PackRows = Box<dyn FnOnce(u64, usize) -> Result<Vec<Frame>, Failure> + Send + Sync>;

/// What the caller says about the whole, to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Rows of the import over all sessions.
    pub rows: Option<u64>,
    /// Bytes of the file as sent.
    pub bytes: Option<u64>,
    /// SHA-256 of the file as sent. Of rows that came in one call: kept as it is, so that a
    /// repetition with other rows can be told.
    pub sha256: Option<[u8; 32]>,
}

impl Chunk {
    /// The bytes from `next_byte` on, with their checksum unless the chunk begins before them;
    /// `None`: they were received before. Beyond it, OFFSET_GAP.
    pub fn fresh(self, next_byte: u64) -> Result<Option<(Bytes, Option<u32>)>, Failure> {
        let offset = self.offset.unwrap_or(next_byte);
        let Some(known) = next_byte.checked_sub(offset) else {
            return Err(offset_gap("byte", offset, next_byte));
        };
        if known >= self.data.len() as u64 {
            return Ok(None);
        }
        let known = usize::try_from(known).expect("less than a chunk");
        let crc32c = self.crc32c.filter(|_| known == 0);
        Ok(Some((self.data.slice(known..), crc32c)))
    }
}

/// An offset beyond the one that is expected.
pub fn offset_gap(unit: &str, offset: u64, expected: u64) -> Failure {
    Failure::new(
        Reason::OffsetGap,
        format!("{unit} offset {offset} leaves a gap, {expected} is the next; send from there"),
    )
    .with("expected_offset", expected)
}

impl fmt::Debug for InboundRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundRows")
            .field("offset", &self.offset)
            .field("n_rows", &self.n_rows)
            .field("n_bytes", &self.n_bytes)
            .finish_non_exhaustive()
    }
}
