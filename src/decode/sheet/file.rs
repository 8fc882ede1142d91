//! One file read from several places at once.
//!
//! In: an open file. Out: readers with a position of their own, so that a sheet's part can be
//! inflated twice in step. Reads with `pread`; the descriptor's own position is never used.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A reader of a shared file; clones start at the beginning.
#[derive(Debug)]
pub(crate) struct SharedFile {
    file: Arc<File>,
    length: u64,
    position: u64,
}

// === impl SharedFile ===

impl SharedFile {
    /// Takes `file` at the length that it has now.
    pub(crate) fn new(file: File) -> io::Result<SharedFile> {
        let length = file.metadata()?.len();
        Ok(SharedFile {
            file: Arc::new(file),
            length,
            position: 0,
        })
    }

    /// Another reader of the same file, at its beginning.
    pub(crate) fn reader(&self) -> SharedFile {
        SharedFile {
            file: Arc::clone(&self.file),
            length: self.length,
            position: 0,
        }
    }

    /// The file's length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The first `N` bytes, or as many as there are.
    pub(crate) fn head<const N: usize>(&self) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(N);
        let n_bytes = u64::try_from(N).unwrap_or(u64::MAX);
        self.reader().take(n_bytes).read_to_end(&mut head)?;
        Ok(head)
    }
}

impl Read for SharedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = self.file.read_at(buffer, self.position)?;
        self.position += u64::try_from(n_read).map_err(io::Error::other)?;
        Ok(n_read)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
