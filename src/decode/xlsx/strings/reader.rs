//! Reads `sharedStrings.xml` from beginning to end.
//!
//! In: the part. Out: pieces, in the order of the strings. What the part says about their number
//! is not looked at. Bounded by [`StringsBounds`]; stopped by whoever takes the pieces.

use std::sync::Arc;

use crate::decode::error::DecodeError;
use crate::decode::sheet::rows::SpillRoom;
use crate::decode::xlsx::count;
use crate::decode::xlsx::rich::RichText;
use crate::decode::xlsx::scanner::Scanner;
use crate::decode::xlsx::strings::StringsBounds;
use crate::decode::xlsx::strings::piece::{Chunk, ChunkBuilder, Piece};
use crate::decode::xlsx::strings::spill::{SpillFile, Spilled};
use crate::decode::xlsx::tag::TagKind;
use crate::decode::xlsx::text::{self, SPACES};

/// Bytes that a string takes besides its text.
const STRING_BYTES: u64 = 4;

/// Strings that are counted at most; indexes have 32 bits.
const STRINGS_MAX: u64 = 0xffff_ffff;

/// Reads the part.
#[derive(Debug)]
pub(crate) struct Reader {
    scanner: Option<Scanner>,
    rich: RichText,
    builder: ChunkBuilder,
    bytes_max: u64,
    chars_max: u64,
    n_bytes: u64,
    n_strings: u64,
    memory_bytes_left: u64,
    spill: Spill,
}

/// Where chunks go that memory has no room for.
#[derive(Debug)]
enum Spill {
    /// Into memory all the same.
    Nowhere,
    /// Into a file that is not made yet.
    Room(SpillRoom),
    File(SpillFile),
}

// === impl Reader ===

impl Reader {
    /// Begins at the beginning of the part.
    pub(crate) fn new(scanner: Scanner, bounds: &StringsBounds) -> Reader {
        Reader {
            scanner: Some(scanner),
            rich: RichText::new(bounds.chars_max),
            builder: ChunkBuilder::default(),
            bytes_max: bounds.bytes_max,
            chars_max: bounds.chars_max,
            n_bytes: 0,
            n_strings: 0,
            memory_bytes_left: bounds.memory_bytes_max,
            spill: match &bounds.spill {
                Some(room) => Spill::Room(room.clone()),
                None => Spill::Nowhere,
            },
        }
    }

    /// Hands all strings to `take` until it wants no more. The strings before a fault are handed
    /// on before it is told.
    pub(crate) fn read(&mut self, mut take: impl FnMut(Piece) -> bool) -> Result<(), DecodeError> {
        let Some(mut scanner) = self.scanner.take() else {
            return Ok(());
        };
        let mut is_wanted = true;
        let read = self.read_strings(&mut scanner, &mut |piece| {
            is_wanted = take(piece);
            is_wanted
        });
        if is_wanted && let Some(piece) = self.take_piece()? {
            is_wanted = take(piece);
        }
        read?;
        if is_wanted {
            scanner.skip_rest()
        } else {
            Ok(())
        }
    }

    fn read_strings(
        &mut self,
        scanner: &mut Scanner,
        take: &mut dyn FnMut(Piece) -> bool,
    ) -> Result<(), DecodeError> {
        match scanner.next()? {
            Some(tag) if tag.opens(b"sst") => {
                if tag.kind == TagKind::Empty {
                    return Ok(());
                }
            }
            _ => return Err(scanner.corrupt("has no shared strings")),
        }
        loop {
            while let Some(n_consumed) = usual(scanner.ahead(), &mut self.builder.text) {
                scanner.consume(n_consumed);
                if !self.end_string(take)? {
                    return Ok(());
                }
            }
            let Some(tag) = scanner.next()? else {
                return Err(scanner.corrupt("ends inside the shared strings"));
            };
            match (tag.name, tag.kind) {
                (b"si", TagKind::Start) => {
                    self.rich.read(scanner, &mut self.builder.text)?;
                    if !self.end_string(take)? {
                        return Ok(());
                    }
                }
                (b"si", TagKind::Empty) => {
                    if !self.end_string(take)? {
                        return Ok(());
                    }
                }
                (b"sst", TagKind::End) => return Ok(()),
                (b"extLst", TagKind::Start) => scanner.skip_element()?,
                (b"extLst", TagKind::Empty) => {}
                _ => return Err(scanner.corrupt("has an unknown element among the strings")),
            }
        }
    }

    /// Ends the string that was appended to the chunk; `false`: no more are wanted.
    fn end_string(&mut self, take: &mut dyn FnMut(Piece) -> bool) -> Result<bool, DecodeError> {
        let n_text_bytes = count(self.builder.end_string());
        // Whoever uses a string counts its characters; this one nobody could use.
        if n_text_bytes > self.chars_max.saturating_mul(4) {
            return Err(DecodeError::limit(
                "cell_chars_max",
                n_text_bytes,
                self.chars_max,
            ));
        }
        self.n_strings += 1;
        self.n_bytes += n_text_bytes + STRING_BYTES;
        if self.n_bytes > self.bytes_max || self.n_strings > STRINGS_MAX {
            return Err(DecodeError::limit(
                "shared_strings_bytes_max",
                self.n_bytes,
                self.bytes_max,
            ));
        }
        if !self.builder.is_full() {
            return Ok(true);
        }
        Ok(match self.take_piece()? {
            Some(piece) => take(piece),
            None => true,
        })
    }

    /// The chunk that is full, in memory or in the file.
    fn take_piece(&mut self) -> Result<Option<Piece>, DecodeError> {
        let Some(chunk) = self.builder.take() else {
            return Ok(None);
        };
        if let Some(spilled) = self.spill_chunk(&chunk)? {
            return Ok(Some(Piece::Spilled(spilled)));
        }
        // The last one may go beyond the bound, so that the file has no more than what is beyond.
        let n_bytes = count(chunk.n_bytes());
        self.memory_bytes_left = self.memory_bytes_left.saturating_sub(n_bytes);
        Ok(Some(Piece::Memory(Arc::new(chunk))))
    }

    /// The chunk in the file; `None`: it stays in memory.
    fn spill_chunk(&mut self, chunk: &Chunk) -> Result<Option<Spilled>, DecodeError> {
        if self.memory_bytes_left > 0 {
            return Ok(None);
        }
        if let Spill::Room(room) = &self.spill {
            self.spill = Spill::File(SpillFile::new(room)?);
        }
        let Spill::File(file) = &mut self.spill else {
            return Ok(None);
        };
        let spilled = file.write(chunk)?;
        if spilled.is_none() {
            self.spill = Spill::Nowhere;
        }
        Ok(spilled)
    }
}

/// Appends the string that `bytes` begin with, if it is `<si><t>text</t></si>` to the letter; the
/// bytes up to its end.
fn usual(bytes: &[u8], out: &mut String) -> Option<usize> {
    const SPACED: &[u8] = b" xml:space=\"preserve\"";
    let rest = bytes.strip_prefix(b"<si><t")?;
    let (rest, keeps_space) = match rest.strip_prefix(SPACED) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let rest = rest.strip_prefix(b">")?;
    let length = memchr::memchr(b'<', rest)?;
    let (text, rest) = rest.split_at(length);
    let rest = rest.strip_prefix(b"</t></si>")?;
    if memchr::memchr2(b'&', b'\r', text).is_some() || text::may_be_escaped(text) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    out.push_str(if keeps_space {
        text
    } else {
        text.trim_matches(SPACES)
    });
    Some(bytes.len() - rest.len())
}
