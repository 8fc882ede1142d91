//! Room for unnamed temporary files, of all imports and other calls together.
//!
//! In: bytes to be kept. Out: a [`SpoolFile`] that takes them, or [`Full`]. Bounded by the setting
//! `spool_bytes_max`. Nobody waits for room: two imports that each hold what the other one still
//! needs would wait for ever. A file has no name: dropping it, or the end of the process however
//! it comes, frees its space. Room is given back once the file is closed.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::import::{Failure, Reason};

/// The setting that bounds the room.
const LIMIT: &str = "spool_bytes_max";

/// Where files are made, and what is left for them. Cheap to clone; clones share the room.
#[derive(Debug, Clone)]
pub struct SpoolDir {
    path: Arc<Path>,
    room: Arc<Room>,
}

/// What all files of a directory may take.
#[derive(Debug)]
struct Room {
    used: AtomicU64,
    /// Bytes; `None`: as many as the disk has.
    limit: Option<u64>,
}

/// Bytes of the room that are spoken for; given back by dropping.
#[derive(Debug)]
pub struct Reservation {
    room: Arc<Room>,
    n_bytes: u64,
}

/// An unnamed file, and the room that it takes. Writing takes more room as it is needed.
#[derive(Debug)]
pub struct SpoolFile {
    // Closed before its room is given back.
    file: File,
    reservation: Reservation,
    /// Bytes written.
    n_bytes: u64,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Full {
    /// Others hold what is needed, for now.
    #[error("the {limit} bytes that the server has for temporary files are taken, try again later")]
    Now {
        /// Bytes.
        limit: u64,
    },
    /// It would not fit if it were alone.
    #[error("spool_bytes_max exceeded: {value} is above {limit}")]
    Ever {
        /// What is needed, bytes.
        value: u64,
        /// Bytes.
        limit: u64,
    },
}

// === impl SpoolDir ===

impl SpoolDir {
    /// The directory `path`, whose files take at most `bytes_max` together; `None`: as much as the
    /// disk has.
    pub fn new(path: impl Into<PathBuf>, bytes_max: Option<u64>) -> SpoolDir {
        SpoolDir {
            path: path.into().into(),
            room: Arc::new(Room {
                used: AtomicU64::new(0),
                limit: bytes_max,
            }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An empty file.
    pub fn file(&self) -> io::Result<SpoolFile> {
        let file = tempfile::tempfile_in(&self.path)?;
        Ok(self.adopt(file))
    }

    /// `file` as one of this directory's.
    pub fn adopt(&self, file: File) -> SpoolFile {
        SpoolFile {
            file,
            reservation: self.reservation(),
            n_bytes: 0,
        }
    }

    /// Room for a file that somebody else makes here; none yet.
    pub fn reservation(&self) -> Reservation {
        Reservation {
            room: Arc::clone(&self.room),
            n_bytes: 0,
        }
    }

    /// Bytes that are spoken for.
    pub fn used_bytes(&self) -> u64 {
        self.room.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be; `None`: no bound.
    pub fn limit_bytes(&self) -> Option<u64> {
        self.room.limit
    }
}

// === impl Reservation ===

impl Reservation {
    /// Holds at least `n_bytes` from now on, or what it held before.
    pub fn grow_to(&mut self, n_bytes: u64) -> Result<(), Full> {
        let n_more = n_bytes.saturating_sub(self.n_bytes);
        if n_more == 0 {
            return Ok(());
        }
        let limit = self.room.limit.unwrap_or(u64::MAX);
        if n_bytes > limit {
            let value = n_bytes;
            return Err(Full::Ever { value, limit });
        }
        let grown = |used: u64| used.checked_add(n_more).filter(|sum| *sum <= limit);
        let used = &self.room.used;
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .map_err(|_| Full::Now { limit })?;
        self.n_bytes = n_bytes;
        Ok(())
    }

    /// Holds at most `n_bytes` from now on.
    pub fn shrink_to(&mut self, n_bytes: u64) {
        let n_less = self.n_bytes.saturating_sub(n_bytes);
        self.room.used.fetch_sub(n_less, Ordering::Relaxed);
        self.n_bytes -= n_less;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

// === impl SpoolFile ===

impl SpoolFile {
    /// Holds room for `n_bytes` before they are there.
    pub fn reserve(&mut self, n_bytes: u64) -> Result<(), Full> {
        self.reservation.grow_to(n_bytes)
    }

    /// Gives back room that was reserved and is not used.
    pub fn trim(&mut self) {
        self.reservation.shrink_to(self.n_bytes);
    }

    /// The file, and its room, which is to be dropped after it.
    pub fn into_parts(self) -> (File, Reservation) {
        (self.file, self.reservation)
    }
}

impl Write for SpoolFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_bytes = self.n_bytes.saturating_add(bytes.len() as u64);
        self.reservation.grow_to(n_bytes)?;
        let n_written = self.file.write(bytes)?;
        self.n_bytes += n_written as u64;
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for SpoolFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes)
    }
}

impl Seek for SpoolFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

// === impl Full ===

impl Full {
    /// What an error of a [`SpoolFile`] hides, if it is this.
    pub fn of(error: &io::Error) -> Option<Full> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Full> for io::Error {
    fn from(full: Full) -> io::Error {
        io::Error::new(ErrorKind::QuotaExceeded, full)
    }
}

/// The server's shortage passes and is no fault of the caller's; what never fits is one.
impl From<Full> for Failure {
    fn from(full: Full) -> Failure {
        let message = full.to_string();
        match full {
            Full::Now { limit } => Failure::new(Reason::Overloaded, message)
                .with("limit", LIMIT)
                .with("bound", limit),
            Full::Ever { value, limit } => Failure::new(Reason::LimitExceeded, message)
                .with("limit", LIMIT)
                .with("value", value)
                .with("bound", limit),
        }
    }
}

#[cfg(test)]
mod tests;
