//! Chunks of strings in an unnamed file.
//!
//! In: chunks, written once, one behind the other. Out: [`Spilled`], which reads one of them, or a
//! string of it, back from whatever thread. Bounded by the file's [`SpillRoom`]. The file goes when
//! the last of them does.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::decode::error::DecodeError;
use crate::decode::sheet::rows::SpillRoom;
use crate::decode::xlsx::count;
use crate::decode::xlsx::strings::piece::Chunk;

/// The file, and how long it is.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: Arc<File>,
    n_bytes: u64,
    n_bytes_max: u64,
    buffer: Vec<u8>,
}

/// A chunk in the file.
#[derive(Debug, Clone)]
pub(crate) struct Spilled {
    file: Arc<File>,
    at: u64,
    n_ends: usize,
    n_text_bytes: usize,
}

// === impl SpillFile ===

impl SpillFile {
    /// An empty file without a name.
    pub(crate) fn new(room: &SpillRoom) -> Result<SpillFile, DecodeError> {
        let file = tempfile::tempfile_in(&room.dir)
            .map_err(|error| DecodeError::io("open a file for shared strings", &error))?;
        Ok(SpillFile::over(file, room.n_bytes))
    }

    fn over(file: File, n_bytes_max: u64) -> SpillFile {
        SpillFile {
            file: Arc::new(file),
            n_bytes: 0,
            n_bytes_max,
            buffer: Vec::new(),
        }
    }

    /// Writes a chunk; `None`: there is no room for it, here or on the disk.
    pub(crate) fn write(&mut self, chunk: &Chunk) -> Result<Option<Spilled>, DecodeError> {
        let n_bytes = self.n_bytes + count(chunk.n_bytes());
        if n_bytes > self.n_bytes_max {
            return Ok(None);
        }
        let (text, ends) = chunk.parts();
        self.buffer.clear();
        for end in ends {
            self.buffer.extend_from_slice(&end.to_le_bytes());
        }
        self.buffer.extend_from_slice(text.as_bytes());
        match self.file.write_all_at(&self.buffer, self.n_bytes) {
            Ok(()) => {}
            Err(error) if is_full(&error) => return Ok(None),
            Err(error) => return Err(DecodeError::io("write shared strings", &error)),
        }
        let spilled = Spilled {
            file: Arc::clone(&self.file),
            at: self.n_bytes,
            n_ends: ends.len(),
            n_text_bytes: text.len(),
        };
        self.n_bytes = n_bytes;
        Ok(Some(spilled))
    }
}

fn is_full(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

// === impl Spilled ===

impl Spilled {
    /// How many strings the chunk has.
    pub(crate) fn n_strings(&self) -> u64 {
        count(self.n_ends)
    }

    /// Reads the chunk.
    pub(crate) fn read(&self) -> Result<Chunk, DecodeError> {
        let mut ends = vec![0; self.n_ends_bytes()];
        self.read_at(&mut ends, 0)?;
        // Read where it stays: most of the bytes are text.
        let mut text = vec![0; self.n_text_bytes];
        self.read_at(&mut text, self.n_ends_bytes())?;
        let (ends, _) = ends.as_chunks();
        let ends = ends.iter().map(|end| u32::from_le_bytes(*end)).collect();
        let text = String::from_utf8(text).map_err(|_| not_as_written())?;
        Chunk::new(text.into_boxed_str(), ends).ok_or_else(not_as_written)
    }

    /// Reads the string at this position into `text`.
    pub(crate) fn read_string(&self, index: usize, text: &mut String) -> Result<(), DecodeError> {
        // Where it begins, which is where the one before it ends, and where it ends itself.
        let mut range = [0; 2 * size_of::<u32>()];
        if let Some(before) = index.checked_sub(1) {
            self.read_at(&mut range, before * size_of::<u32>())?;
        } else {
            // The first one begins at 0.
            self.read_at(&mut range[size_of::<u32>()..], 0)?;
        }
        let ([begin, end], _) = range.as_chunks() else {
            return Err(not_as_written());
        };
        let [begin, end] = [begin, end].map(|at| u32::from_le_bytes(*at));
        let [begin, end] = [begin, end].map(|at| usize::try_from(at).expect("32 bits fit"));
        if begin > end || end > self.n_text_bytes {
            return Err(not_as_written());
        }
        let mut bytes = std::mem::take(text).into_bytes();
        bytes.resize(end - begin, 0);
        self.read_at(&mut bytes, self.n_ends_bytes() + begin)?;
        *text = String::from_utf8(bytes).map_err(|_| not_as_written())?;
        Ok(())
    }

    fn n_ends_bytes(&self) -> usize {
        self.n_ends * size_of::<u32>()
    }

    fn read_at(&self, bytes: &mut [u8], offset: usize) -> Result<(), DecodeError> {
        self.file
            .read_exact_at(bytes, self.at + count(offset))
            .map_err(|error| DecodeError::io("read shared strings", &error))
    }
}

fn not_as_written() -> DecodeError {
    DecodeError::Io {
        what: "read shared strings: they are not what was written".to_owned(),
    }
}

#[cfg(test)]
mod tests;
