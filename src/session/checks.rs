//! What a caller says about its input, compared with what came.

use crate::model::import::{Failure, Reason};
use crate::session::inbound::Totals;
use crate::session::intake::Received;
use crate::session::spec::FileSpec;

/// CRC-32C of a chunk.
pub fn check_crc(data: &[u8], expected: Option<u32>) -> Result<(), Failure> {
    let actual = crc32c::crc32c(data);
    if expected.is_none_or(|expected| expected == actual) {
        return Ok(());
    }
    let message = format!("a chunk's CRC-32C is {actual:#010x}, not what the caller sent with it");
    Err(Failure::new(Reason::ChecksumMismatch, message)
        .with_field("chunk.crc32c", "does not match"))
}

/// Size and hash of a whole file; `committed` is the hash that an earlier session noted.
pub fn check_file(
    file: &FileSpec,
    committed: Option<[u8; 32]>,
    totals: Totals,
    received: &Received,
) -> Result<(), Failure> {
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
    if committed.is_some_and(|committed| committed != received.sha256) {
        return Err(other_file());
    }
    Ok(())
}

/// Rows in all.
pub fn check_rows(totals: Totals, received: u64) -> Result<(), Failure> {
    match totals.rows {
        Some(expected) if expected != received => {
            let message = format!("{received} rows received, {expected} announced");
            Err(Failure::new(Reason::ChecksumMismatch, message)
                .with_field("finish.total_row_count", "does not match the rows received"))
        }
        _ => Ok(()),
    }
}

/// An import is resumed with another file than it began with.
pub fn other_file() -> Failure {
    Failure::new(
        Reason::IdConflict,
        "this is not the file that the import began with, which ends the import; rows that are in stay",
    )
}
