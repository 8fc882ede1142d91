//! What a caller sends after the header, without the protocol's types.

use std::fmt;

use bytes::Bytes;

use crate::model::frame::Frame;
use crate::model::import::Failure;

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

impl fmt::Debug for InboundRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundRows")
            .field("offset", &self.offset)
            .field("n_rows", &self.n_rows)
            .field("n_bytes", &self.n_bytes)
            .finish_non_exhaustive()
    }
}
