//! From a file's bytes to UTF-8, by mark or by declaration.
//!
//! In: bytes, cut anywhere. Out: UTF-8 without its mark. Where bytes do not decode, the output is
//! not UTF-8 at exactly that place: what came as UTF-8 passes untouched and unchecked, and in
//! place of every other malformed sequence stands [`MALFORMED`]. So whoever checks a cell finds
//! it, and a U+FFFD that really is in the file stays text. Holds three bytes, or a decoder and
//! one buffer of [`BUFFER_BYTES`].

use std::fmt;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use crate::decode::error::DecodeError;

/// Stands for a sequence that does not decode: no byte of UTF-8.
const MALFORMED: u8 = 0xff;

/// Decoded text that is handed on at once, bytes at most.
const BUFFER_BYTES: usize = 32 * 1024;

/// The longest byte-order mark, bytes.
const MARK_BYTES: usize = 3;

/// Takes UTF-8.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), DecodeError> + 'a;

/// Makes UTF-8 of a file; `feed`, then `finish`.
#[derive(Debug)]
pub(super) struct Charset {
    declared: Option<&'static Encoding>,
    stage: Stage,
}

enum Stage {
    /// What may yet become a byte-order mark.
    Undecided(Vec<u8>),
    Utf8,
    Other(Box<Decoder>, Vec<u8>),
}

// === impl Charset ===

impl Charset {
    /// A mark wins over what is declared, as everywhere on the web; neither means UTF-8.
    pub(super) fn new(declared: Option<&'static Encoding>) -> Charset {
        let stage = Stage::Undecided(Vec::with_capacity(MARK_BYTES));
        Charset { declared, stage }
    }

    /// Hands on what `bytes` hold.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let Stage::Undecided(head) = &mut self.stage else {
            return self.stage.feed(bytes, sink);
        };
        let n_taken = bytes.len().min(MARK_BYTES - head.len());
        head.extend_from_slice(&bytes[..n_taken]);
        if head.len() < MARK_BYTES {
            return Ok(());
        }
        self.decide(sink)?;
        self.stage.feed(&bytes[n_taken..], sink)
    }

    /// The file is complete: a sequence that it cuts is malformed.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        self.decide(sink)?;
        match &mut self.stage {
            Stage::Other(decoder, buffer) => decode(decoder, &[], End::OfFile, buffer, sink),
            _ => Ok(()),
        }
    }

    fn decide(&mut self, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let Stage::Undecided(head) = &mut self.stage else {
            return Ok(());
        };
        let head = std::mem::take(head);
        let (encoding, mark_bytes) = match Encoding::for_bom(&head) {
            Some((encoding, mark_bytes)) => (encoding, mark_bytes),
            None => (self.declared.unwrap_or(UTF_8), 0),
        };
        self.stage = if encoding == UTF_8 {
            Stage::Utf8
        } else {
            let decoder = encoding.new_decoder_without_bom_handling();
            Stage::Other(Box::new(decoder), vec![0; BUFFER_BYTES])
        };
        self.stage.feed(&head[mark_bytes..], sink)
    }
}

// === impl Stage ===

impl Stage {
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        match self {
            Stage::Undecided(_) => Ok(()),
            Stage::Utf8 if bytes.is_empty() => Ok(()),
            Stage::Utf8 => sink(bytes),
            Stage::Other(decoder, buffer) => decode(decoder, bytes, End::OfChunk, buffer, sink),
        }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Undecided(head) => f.debug_tuple("Undecided").field(head).finish(),
            Stage::Utf8 => f.write_str("Utf8"),
            Stage::Other(decoder, _) => f.write_str(decoder.encoding().name()),
        }
    }
}

/// What ends with the bytes that are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    OfChunk,
    OfFile,
}

fn decode(
    decoder: &mut Decoder,
    mut bytes: &[u8],
    end: End,
    buffer: &mut [u8],
    sink: &mut Sink<'_>,
) -> Result<(), DecodeError> {
    // The last byte of the buffer is kept for MALFORMED.
    let room = buffer.len() - 1;
    loop {
        let (result, n_read, mut n_written) = decoder.decode_to_utf8_without_replacement(
            bytes,
            &mut buffer[..room],
            end == End::OfFile,
        );
        bytes = &bytes[n_read..];
        if let DecoderResult::Malformed(..) = result {
            buffer[n_written] = MALFORMED;
            n_written += 1;
        }
        if n_written > 0 {
            sink(&buffer[..n_written])?;
        }
        if result == DecoderResult::InputEmpty {
            return Ok(());
        }
    }
}
