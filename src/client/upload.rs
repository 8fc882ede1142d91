//! A reader as a stream of chunks and, at its end, the finish that proves them.
//!
//! In: bytes, read on a blocking thread. Out: [`Part`]s, each chunk with its offset and CRC-32C,
//! then size and SHA-256 of the whole. The next chunk is read while the previous one is sent, so
//! two are in memory. A reader that fails ends the stream early; the error is in [`ReadError`].

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::Stream;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use crate::proto::{FileChunk, Finish};

/// A message of an upload.
#[derive(Debug)]
pub(super) enum Part {
    /// The next bytes.
    Chunk(FileChunk),
    /// All bytes were sent.
    Finish(Finish),
}

/// The error with which a reader failed, if it did.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadError(Arc<Mutex<Option<io::Error>>>);

/// A reader and what has been learnt from it.
pub(super) struct Upload {
    reader: Box<dyn Read + Send>,
    chunk_bytes: usize,
    offset: u64,
    sha256: Sha256,
    error: ReadError,
}

/// The upload comes back with the chunk; an empty one is the end.
type Reading = JoinHandle<io::Result<(Upload, Bytes)>>;

/// Where the stream is.
enum Progress {
    /// Nothing has been read.
    Begin(Upload),
    /// The next chunk is being read.
    Reading(Reading),
    /// Nothing is left to send.
    Done,
}

// === impl Upload ===

impl Upload {
    /// An upload from byte 0 in chunks of `chunk_bytes`.
    ///
    /// # Panics
    /// If `chunk_bytes` is 0.
    pub(super) fn new(
        reader: impl Read + Send + 'static,
        chunk_bytes: usize,
    ) -> (Upload, ReadError) {
        assert!(chunk_bytes > 0, "a chunk has at least one byte");
        let error = ReadError::default();
        let upload = Upload {
            reader: Box::new(reader),
            chunk_bytes,
            offset: 0,
            sha256: Sha256::new(),
            error: error.clone(),
        };
        (upload, error)
    }

    /// The parts; polled inside a tokio runtime.
    pub(super) fn into_stream(self) -> impl Stream<Item = Part> + Send + 'static {
        let error = self.error.clone();
        futures::stream::unfold(Progress::Begin(self), move |progress| {
            next_part(progress, error.clone())
        })
    }

    /// Reads the next chunk on a blocking thread, which hashes it too.
    fn read_ahead(mut self) -> Reading {
        let chunk_bytes = self.chunk_bytes;
        tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(chunk_bytes);
            let limit = u64::try_from(chunk_bytes).unwrap_or(u64::MAX);
            self.reader.by_ref().take(limit).read_to_end(&mut chunk)?;
            self.sha256.update(&chunk);
            Ok((self, Bytes::from(chunk)))
        })
    }

    fn finish(self) -> Finish {
        Finish {
            total_row_count: None,
            total_bytes: i64::try_from(self.offset).ok(),
            sha256: self.sha256.finalize().to_vec(),
        }
    }
}

async fn next_part(progress: Progress, error: ReadError) -> Option<(Part, Progress)> {
    let read = match progress {
        Progress::Begin(upload) => upload.read_ahead(),
        Progress::Reading(read) => read,
        Progress::Done => return None,
    };
    let read = read
        .await
        .unwrap_or_else(|join| Err(io::Error::other(join)));
    let (mut upload, data) = match read {
        Ok(read) => read,
        Err(cause) => {
            error.set(cause);
            return None;
        }
    };
    if data.is_empty() {
        return Some((Part::Finish(upload.finish()), Progress::Done));
    }
    let chunk = FileChunk {
        offset: i64::try_from(upload.offset).ok(),
        crc32c: Some(crc32c::crc32c(&data)),
        data,
    };
    upload.offset += u64::try_from(chunk.data.len()).unwrap_or(u64::MAX);
    Some((Part::Chunk(chunk), Progress::Reading(upload.read_ahead())))
}

// === impl ReadError ===

impl ReadError {
    /// The error, once.
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}
