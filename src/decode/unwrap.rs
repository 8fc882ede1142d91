//! Undoes gzip or zstd around a file while it arrives.
//!
//! In: an upload's chunks, cut anywhere. Out: the file's bytes, in pieces of at most
//! [`PIECE_BYTES`], to a sink whose own limit stops a bomb: nothing is produced after it says no.
//! Holds one piece and the decompressor's window (32 KiB for gzip, at most 8 MiB for zstd).
//! Cancelled by dropping.

use std::fmt;
use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::decode::Compression;
use crate::decode::error::DecodeError;

#[cfg(test)]
mod tests;

/// The most that the sink gets at once, bytes.
pub const PIECE_BYTES: usize = 64 * 1024;

/// 8 MiB, which every level up to 19 stays within and RFC 8878 asks decoders to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Magic number, descriptor, window or content size, dictionary id.
const ZSTD_HEADER_BYTES_MAX: usize = 18;

/// 32 KiB, the only window that gzip has.
const GZIP_WINDOW_LOG: u8 = 15;

/// The longest magic number, bytes.
const MAGIC_BYTES: usize = 4;

/// Takes what unwrapping yields.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), DecodeError> + 'a;

/// Undoes compression; `feed` every chunk, then `finish`. Of no use after an error.
#[derive(Debug)]
pub struct Unwrapper {
    declared: Option<Compression>,
    stage: Stage,
}

enum Stage {
    /// Too few bytes to tell; at most [`MAGIC_BYTES`] of them.
    Undecided(Vec<u8>),
    Plain,
    Gzip(Gzip),
    Zstd(Zstd),
}

struct Gzip {
    decompress: Decompress,
    member: Member,
    piece: Vec<u8>,
}

/// Where a stream of members stands; zstd calls them frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    /// Before the first byte of one.
    Between,
    Inside,
    /// Zero bytes after the last member, as tape blocks leave them.
    Padding,
}

struct Zstd {
    decoder: Decoder<'static>,
    frame: Member,
    /// The first bytes of the frame, up to [`ZSTD_HEADER_BYTES_MAX`], to tell how much memory a
    /// refused one asks for.
    head: Vec<u8>,
    piece: Vec<u8>,
}

// === impl Unwrapper ===

impl Unwrapper {
    /// For a file that is declared to be compressed so; `None`: by content. A file declared
    /// [`Compression::None`] passes as it is.
    pub fn new(declared: Option<Compression>) -> Unwrapper {
        let stage = match declared {
            Some(Compression::None) => Stage::Plain,
            _ => Stage::Undecided(Vec::new()),
        };
        Unwrapper { declared, stage }
    }

    /// What is around the file; `None` while too few bytes have arrived to tell.
    pub fn found(&self) -> Option<Compression> {
        match self.stage {
            Stage::Undecided(_) => None,
            Stage::Plain => Some(Compression::None),
            Stage::Gzip(_) => Some(Compression::Gzip),
            Stage::Zstd(_) => Some(Compression::Zstd),
        }
    }

    /// Takes the next chunk and hands on what it holds.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let Stage::Undecided(head) = &mut self.stage else {
            return self.stage.feed(chunk, sink);
        };
        let taken = chunk.len().min(MAGIC_BYTES - head.len());
        head.extend_from_slice(&chunk[..taken]);
        let Some(found) = compression_of(head) else {
            return Ok(());
        };
        let head = std::mem::take(head);
        self.decide(found)?;
        self.stage.feed(&head, sink)?;
        self.stage.feed(&chunk[taken..], sink)
    }

    /// The file is complete.
    pub fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        if let Stage::Undecided(head) = &mut self.stage {
            let head = std::mem::take(head);
            self.decide(Compression::None)?;
            self.stage.feed(&head, sink)?;
        }
        match self.stage {
            Stage::Gzip(gzip) if gzip.member == Member::Inside => {
                Err(DecodeError::corrupt("gzip data ends inside a member"))
            }
            Stage::Zstd(zstd) if zstd.frame == Member::Inside => {
                Err(DecodeError::corrupt("zstd data ends inside a frame"))
            }
            _ => Ok(()),
        }
    }

    fn decide(&mut self, found: Compression) -> Result<(), DecodeError> {
        if let Some(declared) = self.declared
            && declared != found
        {
            return Err(DecodeError::corrupt(format!(
                "declared as {}, but the content is {}",
                name(declared),
                name(found)
            )));
        }
        self.stage = match found {
            Compression::None => Stage::Plain,
            Compression::Gzip => Stage::Gzip(Gzip::new()),
            Compression::Zstd => Stage::Zstd(Zstd::new()?),
        };
        Ok(())
    }
}

/// What a file that begins with `head` is wrapped in; `None` if more bytes could still tell.
fn compression_of(head: &[u8]) -> Option<Compression> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    // A skippable zstd frame, 0x50 to 0x5f in the first place, as pzstd writes it ahead.
    const SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
    if head.starts_with(GZIP) {
        return Some(Compression::Gzip);
    }
    let skippable = head.first().is_some_and(|byte| byte >> 4 == 5);
    if head == ZSTD || skippable && &head[1..] == SKIPPABLE {
        return Some(Compression::Zstd);
    }
    let undecided = GZIP.starts_with(head)
        || ZSTD.starts_with(head)
        || skippable && SKIPPABLE.starts_with(&head[1..]);
    (!undecided).then_some(Compression::None)
}

fn name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "not compressed",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    }
}

// === impl Stage ===

impl Stage {
    fn feed(&mut self, chunk: &[u8], sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        match self {
            Stage::Undecided(_) => unreachable!("decided before it is fed"),
            Stage::Plain => chunk.chunks(PIECE_BYTES).try_for_each(sink),
            Stage::Gzip(gzip) => gzip.feed(chunk, sink),
            Stage::Zstd(zstd) => zstd.feed(chunk, sink),
        }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Undecided(_) => "Undecided",
            Stage::Plain => "Plain",
            Stage::Gzip(_) => "Gzip",
            Stage::Zstd(_) => "Zstd",
        })
    }
}

// === impl Gzip ===

impl Gzip {
    fn new() -> Gzip {
        Gzip {
            decompress: Decompress::new_gzip(GZIP_WINDOW_LOG),
            member: Member::Between,
            piece: vec![0; PIECE_BYTES],
        }
    }

    fn feed(&mut self, mut chunk: &[u8], sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        // Whether the last piece was full, so that output may be left without any input.
        let mut full = false;
        while !chunk.is_empty() || full {
            if self.member != Member::Inside {
                chunk = self.begin_member(chunk)?;
                full = false;
                continue;
            }
            let (n_in, n_out) = (self.decompress.total_in(), self.decompress.total_out());
            let status = self
                .decompress
                .decompress(chunk, &mut self.piece, FlushDecompress::None)
                .map_err(|error| DecodeError::corrupt(format!("gzip data: {error}")))?;
            let n_in = count(self.decompress.total_in() - n_in);
            let n_out = count(self.decompress.total_out() - n_out);
            chunk = &chunk[n_in..];
            full = n_out == self.piece.len();
            if n_out > 0 {
                sink(&self.piece[..n_out])?;
            }
            match status {
                // Length and checksum of the member are right, else it would be an error.
                Status::StreamEnd => {
                    self.decompress.reset(true);
                    self.member = Member::Between;
                    full = false;
                }
                Status::Ok | Status::BufError if n_in == 0 && n_out == 0 && !chunk.is_empty() => {
                    return Err(DecodeError::corrupt("gzip data: no progress"));
                }
                Status::Ok | Status::BufError => {}
            }
        }
        Ok(())
    }

    /// Looks at the first byte of `chunk`, which a member ended before.
    fn begin_member<'a>(&mut self, chunk: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        match (self.member, chunk.first()) {
            (_, None) => Ok(chunk),
            (_, Some(0)) => {
                self.member = Member::Padding;
                Ok(&chunk[1..])
            }
            (Member::Padding, Some(_)) => Err(DecodeError::corrupt(
                "gzip data: bytes after the padding at its end",
            )),
            (_, Some(_)) => {
                // What is no header is refused by the decompressor.
                self.member = Member::Inside;
                Ok(chunk)
            }
        }
    }
}

// === impl Zstd ===

impl Zstd {
    fn new() -> Result<Zstd, DecodeError> {
        let mut decoder = Decoder::new().map_err(|error| DecodeError::io("start zstd", &error))?;
        decoder
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .map_err(|error| DecodeError::io("start zstd", &error))?;
        Ok(Zstd {
            decoder,
            frame: Member::Between,
            head: Vec::with_capacity(ZSTD_HEADER_BYTES_MAX),
            piece: vec![0; PIECE_BYTES],
        })
    }

    fn feed(&mut self, chunk: &[u8], sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let mut input = InBuffer::around(chunk);
        let mut full = false;
        while input.pos() < chunk.len() || full {
            let before = input.pos();
            let mut output = OutBuffer::around(self.piece.as_mut_slice());
            let result = self.decoder.run(&mut input, &mut output);
            let n_out = output.pos();
            if self.frame == Member::Between {
                self.head.clear();
            }
            let seen = match &result {
                Ok(_) => &chunk[before..input.pos()],
                Err(_) => &chunk[before..],
            };
            let n_missing = ZSTD_HEADER_BYTES_MAX - self.head.len();
            self.head
                .extend_from_slice(&seen[..seen.len().min(n_missing)]);
            let hint = result.map_err(|error| self.refusal(&error))?;
            full = n_out == self.piece.len();
            // A hint of 0 is the end of a frame. A call that moves nothing says nothing.
            if input.pos() > before || n_out > 0 {
                self.frame = match hint {
                    0 => Member::Between,
                    _ => Member::Inside,
                };
            } else if input.pos() < chunk.len() {
                return Err(DecodeError::corrupt("zstd data: no progress"));
            }
            if n_out > 0 {
                sink(&self.piece[..n_out])?;
            }
        }
        Ok(())
    }

    /// The decoder says no in words only: a window beyond ours is told by the frame's head.
    fn refusal(&self, error: &io::Error) -> DecodeError {
        let bound = 1 << ZSTD_WINDOW_LOG_MAX;
        match zstd_window_bytes(&self.head) {
            Some(value) if value > bound => {
                DecodeError::limit("zstd_window_bytes_max", value, bound)
            }
            _ => DecodeError::corrupt(format!("zstd data: {error}")),
        }
    }
}

/// Bytes of window that a zstd frame asks for (RFC 8878, 3.1.1.1); `None` if its head is cut.
fn zstd_window_bytes(head: &[u8]) -> Option<u64> {
    let descriptor = *head.get(MAGIC_BYTES)?;
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let window = *head.get(MAGIC_BYTES + 1)?;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size_bytes = 1 << (descriptor >> 6);
    let start = MAGIC_BYTES + 1 + dictionary_bytes;
    let mut size = [0; 8];
    size[..size_bytes].copy_from_slice(head.get(start..start + size_bytes)?);
    Some(u64::from_le_bytes(size))
}

fn count(n_bytes: u64) -> usize {
    usize::try_from(n_bytes).expect("at most the length of a buffer")
}
