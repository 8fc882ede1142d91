//! Room for unnamed temporary files, of all imports and other calls together.
//!
//! In: bytes to be kept. Out: a [`SpoolFile`] that takes them, or [`Full`]. Bounded by the setting
//! `spool_bytes_max`. Nobody waits for room: two imports that each hold what the other one still
//! needs would wait for ever. A file has no name: dropping it, or the end of the process however
//! it comes, frees its space. Room is given back once the file is closed. Whoever has several files
//! takes them from one [`SpoolDir::for_one`]: whether they ever fit is judged by their sum.

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
    /// What its files take; `None`: each is somebody else's.
    holder: Option<Holder>,
}

/// Bytes that one import, or one other call, has of the room; never more than are used.
type Holder = Arc<AtomicU64>;

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
    holder: Holder,
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
    /// It would not fit if its holder were alone.
    #[error("spool_bytes_max exceeded: {value} is above {limit}")]
    Ever {
        /// What its holder needs, bytes.
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
            holder: None,
        }
    }

    /// The same directory and room for one import, or one other call: all files of what is
    /// returned, and of its clones, have to fit together.
    #[must_use]
    pub fn for_one(&self) -> SpoolDir {
        SpoolDir {
            holder: Some(Holder::default()),
            ..self.clone()
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
            holder: self.holder.clone().unwrap_or_default(),
            n_bytes: 0,
        }
    }

    /// Room for `n_bytes` that could be in memory as well; `None` unless at least half of all room
    /// stays free for what has no other place.
    pub fn spare(&self, n_bytes: u64) -> Option<Reservation> {
        let mut reservation = self.reservation();
        let limit = self.room.limit() / 2;
        reservation.take(n_bytes, limit).then_some(reservation)
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
        if self.take(n_more, self.room.limit()) {
            Ok(())
        } else {
            Err(self.full(n_more))
        }
    }

    /// Takes `n_more` bytes, unless more than `limit` were used then.
    fn take(&mut self, n_more: u64, limit: u64) -> bool {
        let used = &self.room.used;
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            grown(used, n_more, limit)
        });
        if taken.is_err() {
            return false;
        }
        self.holder.fetch_add(n_more, Ordering::Relaxed);
        self.n_bytes += n_more;
        true
    }

    /// Whether it could hold `n_bytes` now. Takes nothing.
    pub fn check(&self, n_bytes: u64) -> Result<(), Full> {
        let n_more = n_bytes.saturating_sub(self.n_bytes);
        let used = self.room.used.load(Ordering::Relaxed);
        match grown(used, n_more, self.room.limit()) {
            Some(_) => Ok(()),
            None => Err(self.full(n_more)),
        }
    }

    /// Holds at most `n_bytes` from now on.
    pub fn shrink_to(&mut self, n_bytes: u64) {
        let n_less = self.n_bytes.saturating_sub(n_bytes);
        self.holder.fetch_sub(n_less, Ordering::Relaxed);
        self.room.used.fetch_sub(n_less, Ordering::Relaxed);
        self.n_bytes -= n_less;
    }

    /// Why there is no room for `n_more` bytes.
    fn full(&self, n_more: u64) -> Full {
        let limit = self.room.limit();
        let value = self.holder.load(Ordering::Relaxed).saturating_add(n_more);
        if value > limit {
            Full::Ever { value, limit }
        } else {
            Full::Now { limit }
        }
    }
}

// === impl Room ===

impl Room {
    fn limit(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }
}

/// What is used once `n_more` bytes are; `None`: they do not fit.
fn grown(used: u64, n_more: u64, limit: u64) -> Option<u64> {
    used.checked_add(n_more).filter(|sum| *sum <= limit)
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

// === impl SpoolFile ===

impl SpoolFile {
    /// Whether there is room for `n_bytes` now, see [`Reservation::check`].
    pub fn check(&self, n_bytes: u64) -> Result<(), Full> {
        self.reservation.check(n_bytes)
    }

    /// The file for somebody else to read, who closes it before this one's room is given back. The
    /// two share a position.
    pub fn share(&self) -> io::Result<File> {
        self.file.try_clone()
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
