//! Chunks of strings in an unnamed file.
//!
//! In: chunks, written once, one behind the other. Out: [`Spilled`], which reads one of them back
//! from whatever thread. The file goes when the last of them does.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::decode::error::DecodeError;
use crate::decode::xlsx::count;
use crate::decode::xlsx::strings::piece::Chunk;

/// The file, and how long it is.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: Arc<File>,
    n_bytes: u64,
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
    /// An empty file in `dir`, without a name.
    pub(crate) fn new(dir: &Path) -> Result<SpillFile, DecodeError> {
        let file = tempfile::tempfile_in(dir)
            .map_err(|error| DecodeError::io("open a file for shared strings", &error))?;
        Ok(SpillFile {
            file: Arc::new(file),
            n_bytes: 0,
            buffer: Vec::new(),
        })
    }

    /// Writes a chunk.
    pub(crate) fn write(&mut self, chunk: &Chunk) -> Result<Spilled, DecodeError> {
        let (text, ends) = chunk.parts();
        self.buffer.clear();
        for end in ends {
            self.buffer.extend_from_slice(&end.to_le_bytes());
        }
        self.buffer.extend_from_slice(text.as_bytes());
        self.file
            .write_all_at(&self.buffer, self.n_bytes)
            .map_err(|error| DecodeError::io("write shared strings", &error))?;
        let spilled = Spilled {
            file: Arc::clone(&self.file),
            at: self.n_bytes,
            n_ends: ends.len(),
            n_text_bytes: text.len(),
        };
        self.n_bytes += count(self.buffer.len());
        Ok(spilled)
    }
}

// === impl Spilled ===

impl Spilled {
    /// How many strings the chunk has.
    pub(crate) fn n_strings(&self) -> u64 {
        count(self.n_ends)
    }

    /// Reads the chunk.
    pub(crate) fn read(&self) -> Result<Chunk, DecodeError> {
        let n_ends_bytes = self.n_ends * size_of::<u32>();
        let mut bytes = vec![0; n_ends_bytes + self.n_text_bytes];
        self.file
            .read_exact_at(&mut bytes, self.at)
            .map_err(|error| DecodeError::io("read shared strings", &error))?;
        let (ends, text) = bytes.split_at(n_ends_bytes);
        let (ends, _) = ends.as_chunks();
        let ends = ends.iter().map(|end| u32::from_le_bytes(*end)).collect();
        let text = std::str::from_utf8(text).ok();
        text.and_then(|text| Chunk::new(text.into(), ends))
            .ok_or_else(|| DecodeError::Io {
                what: "read shared strings: they are not what was written".to_owned(),
            })
    }
}
