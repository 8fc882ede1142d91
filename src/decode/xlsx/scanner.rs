//! The tags and texts of an XML part, in windows.
//!
//! In: a [`Part`], as it inflates. Out: one [`Tag`] at a time, and on request the text before the
//! next. Bounded: a tag or text that is asked for by [`MARKUP_BYTES_MAX`], open elements by
//! [`DEPTH_MAX`]; what is not asked for is skipped in windows of one size. Refuses document types
//! and every encoding but UTF-8; what declares another one has to be plain ASCII. Elements have to
//! end in the order in which they began. Cancelled by dropping.

use std::ops::Range;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use memchr::memmem;

use crate::decode::error::DecodeError;
use crate::decode::xlsx::part::Part;
use crate::decode::xlsx::tag::{Tag, TagKind};
use crate::decode::xlsx::text::{self, TextFault};
use crate::decode::xlsx::{broken, count};

/// Inflated bytes that are looked at together.
const WINDOW_BYTES: usize = 256 * 1024;

/// A tag or a text of interest is at most this long; a cell holds at most 32,767 characters,
/// each at most ten bytes as a character reference.
pub(crate) const MARKUP_BYTES_MAX: usize = 1 << 20;

/// Elements inside of each other.
const DEPTH_MAX: usize = 64;

/// Reads tags of one part.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, set once"
)]
pub(crate) struct Scanner {
    part: Part,
    window: Vec<u8>,
    /// What is in the window and not consumed: `at..end`.
    at: usize,
    end: usize,
    /// Bytes of the part before the window.
    n_before: u64,
    is_at_end: bool,
    is_checked: bool,
    /// It declares an encoding that is not read: a byte beyond ASCII could be anything.
    must_be_ascii: bool,
    /// The names of the elements that are open, hashed.
    open: Vec<u64>,
    has_root: bool,
}

// === impl Scanner ===

impl Scanner {
    /// Begins at the beginning of `part`.
    pub(crate) fn new(part: Part) -> Scanner {
        // One byte more than a small part, so that its end is seen at once.
        let n_wanted = part.inflated_bytes().saturating_add(1);
        let n_window =
            usize::try_from(n_wanted).map_or(WINDOW_BYTES, |n| n.clamp(512, WINDOW_BYTES));
        Scanner {
            part,
            window: vec![0; n_window],
            at: 0,
            end: 0,
            n_before: 0,
            is_at_end: false,
            is_checked: false,
            must_be_ascii: false,
            open: Vec::with_capacity(DEPTH_MAX),
            has_root: false,
        }
    }

    /// The name of the part.
    pub(crate) fn part(&self) -> &str {
        self.part.name()
    }

    /// A complaint about the part, with the place that was reached.
    pub(crate) fn corrupt(&self, complaint: &str) -> DecodeError {
        let at = self.n_before + count(self.at);
        broken(self.part.name(), format!("{complaint}, at byte {at}"))
    }

    /// The next tag; `None` at the end of the part. Text before it is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Tag<'_>>, DecodeError> {
        loop {
            if !self.skip_to_markup()? {
                return self.check_end().map(|()| None);
            }
            let at = self.n_before + count(self.at);
            let (kind, content) = match self.peek(1)? {
                Some(b'/') => (TagKind::End, self.tag_content(2)?),
                Some(b'?') => {
                    self.instruction()?;
                    continue;
                }
                Some(b'!') => {
                    self.declaration()?;
                    continue;
                }
                Some(byte) if is_name_start(byte) => (TagKind::Start, self.tag_content(1)?),
                Some(_) => return Err(self.corrupt("has a < that begins no tag")),
                None => return Err(self.corrupt("ends inside a tag")),
            };
            let tag = Tag::parse(kind, &self.window[content.clone()], "", at);
            let (kind, key) = (tag.kind, key_of(tag.full_name));
            self.follow(kind, key)?;
            let start = if kind == TagKind::End {
                kind
            } else {
                TagKind::Start
            };
            let content = &self.window[content];
            return Ok(Some(Tag::parse(start, content, self.part.name(), at)));
        }
    }

    /// Appends the text up to the next tag, which is not consumed.
    pub(crate) fn text(&mut self, out: &mut String) -> Result<(), DecodeError> {
        loop {
            let length = self.find(b"<", 0)?;
            let Some(length) = length else {
                return Err(self.corrupt("ends inside an element"));
            };
            let text = &self.window[self.at..self.at + length];
            text::decode(text, out).map_err(|fault| self.fault(fault))?;
            self.at += length;
            match self.peek(1)? {
                Some(b'!') => {
                    if let Some(content) = self.declaration()? {
                        text::decode_cdata(&self.window[content], out)
                            .map_err(|fault| self.fault(fault))?;
                    }
                }
                Some(b'?') => self.instruction()?,
                _ => return Ok(()),
            }
        }
    }

    /// What is in the window, for those who know what usually comes next.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.window[self.at..self.end]
    }

    /// Consumes bytes of [`Scanner::ahead`]: elements as a whole, text, or nothing.
    pub(crate) fn consume(&mut self, n_bytes: usize) {
        debug_assert!(self.at + n_bytes <= self.end, "beyond the window");
        self.at += n_bytes;
    }

    /// Skips to the end of the element whose start tag was just taken.
    pub(crate) fn skip_element(&mut self) -> Result<(), DecodeError> {
        let depth = self.open.len().saturating_sub(1);
        while self.open.len() > depth {
            if self.next()?.is_none() {
                return Err(self.corrupt("ends inside an element"));
            }
        }
        Ok(())
    }

    /// Inflates what is left without a look at it, so that its length and checksum are checked.
    pub(crate) fn skip_rest(mut self) -> Result<(), DecodeError> {
        self.part.skip_rest(&mut self.window)
    }

    fn fault(&self, fault: TextFault) -> DecodeError {
        self.corrupt(fault.complaint())
    }

    /// Keeps account of the elements that are open.
    fn follow(&mut self, kind: TagKind, key: u64) -> Result<(), DecodeError> {
        match kind {
            TagKind::End => match self.open.pop() {
                Some(open) if open == key => {}
                _ => return Err(self.corrupt("has an end tag without its start tag")),
            },
            TagKind::Start | TagKind::Empty if self.open.is_empty() && self.has_root => {
                return Err(self.corrupt("has two roots"));
            }
            TagKind::Start if self.open.len() == DEPTH_MAX => {
                return Err(DecodeError::limit(
                    "xml_depth_max",
                    count(DEPTH_MAX + 1),
                    count(DEPTH_MAX),
                ));
            }
            TagKind::Start => {
                self.has_root = true;
                self.open.push(key);
            }
            TagKind::Empty => self.has_root = true,
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), DecodeError> {
        if !self.open.is_empty() {
            return Err(self.corrupt("ends inside an element"));
        }
        if !self.has_root {
            return Err(self.corrupt("has no element"));
        }
        Ok(())
    }

    fn skip_to_markup(&mut self) -> Result<bool, DecodeError> {
        loop {
            if let Some(length) = memchr::memchr(b'<', self.ahead()) {
                self.at += length;
                return Ok(true);
            }
            self.at = self.end;
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// The byte at `offset` from the current place.
    fn peek(&mut self, offset: usize) -> Result<Option<u8>, DecodeError> {
        while self.end - self.at <= offset {
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(Some(self.window[self.at + offset]))
    }

    /// How far `wanted` is behind `offset` from the current place, all of it being in the window
    /// then; `None` if the part has none.
    fn find(&mut self, wanted: &[u8], offset: usize) -> Result<Option<usize>, DecodeError> {
        let mut searched = offset;
        loop {
            let rest = self.ahead().get(searched..).unwrap_or_default();
            if let Some(length) = memmem::find(rest, wanted) {
                return Ok(Some(searched + length));
            }
            // What remains may be the beginning of it.
            searched = searched.max((self.end - self.at).saturating_sub(wanted.len() - 1));
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Consumes `<! .. >`: comments yield nothing, a CDATA section its content.
    fn declaration(&mut self) -> Result<Option<Range<usize>>, DecodeError> {
        const CDATA: &[u8] = b"<![CDATA[";
        if self.begins_with(b"<!--")? {
            self.at += b"<!--".len();
            self.skip_past(b"-->")?;
            return Ok(None);
        }
        if !self.begins_with(CDATA)? {
            return Err(self.corrupt("has a document type declaration"));
        }
        let Some(length) = self.find(b"]]>", CDATA.len())? else {
            return Err(self.corrupt("ends inside a comment or declaration"));
        };
        let content = self.at + CDATA.len()..self.at + length;
        self.at += length + b"]]>".len();
        Ok(Some(content))
    }

    /// Consumes `<? .. ?>`; the encoding that is declared has to be one that can be read.
    fn instruction(&mut self) -> Result<(), DecodeError> {
        if !self.begins_with(b"<?xml")? {
            return self.skip_past(b"?>");
        }
        let Some(length) = self.find(b"?>", 0)? else {
            return Err(self.corrupt("ends inside a comment or declaration"));
        };
        let content = &self.window[self.at + b"<?".len()..self.at + length];
        let tag = Tag::parse(TagKind::Start, content, self.part.name(), 0);
        if tag.full_name == b"xml"
            && let [Some(encoding)] = tag.attributes([b"encoding"])?
            && !is_utf8_label(encoding)
        {
            if self.n_before > 0 || !is_ascii_below_0x80(encoding) {
                return Err(tag.corrupt("is not in UTF-8"));
            }
            self.must_be_ascii = true;
            self.check_ascii(0)?;
        }
        self.at += length + b"?>".len();
        Ok(())
    }

    fn begins_with(&mut self, wanted: &[u8]) -> Result<bool, DecodeError> {
        self.peek(wanted.len() - 1)?;
        Ok(self.ahead().starts_with(wanted))
    }

    fn skip_past(&mut self, closing: &[u8]) -> Result<(), DecodeError> {
        loop {
            if let Some(offset) = memmem::find(self.ahead(), closing) {
                self.at += offset + closing.len();
                return Ok(());
            }
            // What remains may be the beginning of `closing`.
            self.at = self.at.max(self.end.saturating_sub(closing.len() - 1));
            if !self.fill()? {
                return Err(self.corrupt("ends inside a comment or declaration"));
            }
        }
    }

    /// Consumes a tag; the range is what stands between its brackets, after `skip` bytes.
    fn tag_content(&mut self, skip: usize) -> Result<Range<usize>, DecodeError> {
        let mut offset = skip;
        let mut quote = None;
        loop {
            let rest = self.ahead().get(offset..).unwrap_or_default();
            let found = match quote {
                None => memchr::memchr3(b'>', b'"', b'\'', rest),
                Some(quote) => memchr::memchr(quote, rest),
            };
            let Some(length) = found else {
                offset = offset.max(self.end - self.at);
                if !self.fill()? {
                    return Err(self.corrupt("ends inside a tag"));
                }
                continue;
            };
            let byte = rest[length];
            offset += length + 1;
            match quote {
                Some(_) => quote = None,
                None if byte != b'>' => quote = Some(byte),
                None => {
                    let start = self.at + skip;
                    self.at += offset;
                    return Ok(start..self.at - 1);
                }
            }
        }
    }

    /// Reads more behind what is not consumed yet; `false` at the end.
    fn fill(&mut self) -> Result<bool, DecodeError> {
        if self.is_at_end {
            return Ok(false);
        }
        self.window.copy_within(self.at..self.end, 0);
        self.n_before += count(self.at);
        self.end -= self.at;
        self.at = 0;
        if self.end == self.window.len() {
            if self.end >= MARKUP_BYTES_MAX {
                return Err(DecodeError::limit(
                    "markup_bytes_max",
                    // And more to come.
                    count(self.end) + 1,
                    count(MARKUP_BYTES_MAX),
                ));
            }
            let n_wanted = (self.end * 2).min(MARKUP_BYTES_MAX);
            self.window.resize(n_wanted, 0);
        }
        // As much as there is room for: a window is used up many times faster than it is filled.
        let n_kept = self.end;
        while self.end < self.window.len() && !self.is_at_end {
            let n_read = self.part.read(&mut self.window[self.end..])?;
            self.end += n_read;
            self.is_at_end = n_read == 0;
        }
        self.check_encoding()?;
        self.check_ascii(n_kept)?;
        Ok(self.end > n_kept)
    }

    /// Checks the window from `start` on, if it has to be ASCII.
    fn check_ascii(&mut self, start: usize) -> Result<(), DecodeError> {
        let bytes = &self.window[start..self.end];
        if !self.must_be_ascii || bytes.is_ascii() {
            return Ok(());
        }
        let n_ascii = bytes.iter().take_while(|byte| byte.is_ascii()).count();
        self.at = start + n_ascii;
        Err(self
            .corrupt("is declared to be in another encoding than UTF-8, and is not plain ASCII"))
    }

    fn check_encoding(&mut self) -> Result<(), DecodeError> {
        if self.is_checked {
            return Ok(());
        }
        self.is_checked = true;
        let head = &self.window[..self.end.min(2)];
        if head.contains(&0) || matches!(head, [0xff, 0xfe] | [0xfe, 0xff]) {
            return Err(self.corrupt("is neither UTF-8 nor ASCII"));
        }
        Ok(())
    }
}

/// Whether a name may begin with this byte; all of those beyond ASCII are let pass.
fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || byte >= 0x80
}

fn is_utf8_label(label: &[u8]) -> bool {
    let labels: [&[u8]; 4] = [b"utf-8", b"utf8", b"us-ascii", b"ascii"];
    labels.iter().any(|utf8| label.eq_ignore_ascii_case(utf8))
}

/// Whether bytes below 0x80 are ASCII in the encoding `label`. UTF-16 counts: where the label itself
/// could be read, the bytes were encoded again since it was written.
fn is_ascii_below_0x80(label: &[u8]) -> bool {
    Encoding::for_label(label).is_some_and(|encoding| {
        encoding.is_ascii_compatible() || encoding == UTF_16LE || encoding == UTF_16BE
    })
}

/// FNV-1a: names are short, and a collision costs no more than a missed complaint.
fn key_of(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |key, byte| {
        (key ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
