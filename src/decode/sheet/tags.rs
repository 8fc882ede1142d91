//! A forward-only look at the tags of an XML part: enough to know where cells stand.
//!
//! In: bytes of a part as they inflate. Out: one [`Tag`] at a time, and on request the text
//! before it. Bounded by [`WINDOW_BYTES_MAX`] a tag or text that is asked for; text that is not
//! asked for, comments and CDATA are skipped in windows of any number. Refuses DOCTYPE.
//! Works on every encoding that agrees with ASCII below 128; UTF-16 is refused.

use std::io::Read;
use std::ops::Range;

use memchr::memmem;

use crate::decode::error::DecodeError;
use crate::decode::sheet::{broken, count};

const READ_BYTES: usize = 64 * 1024;

/// A tag or a text of interest is at most this long; a cell holds at most 32,767 characters,
/// each at most ten bytes as a character reference.
pub(crate) const WINDOW_BYTES_MAX: usize = 1 << 20;

/// Reads tags from `source`.
#[derive(Debug)]
pub(crate) struct Tags<R> {
    source: R,
    part: String,
    window: Vec<u8>,
    at: usize,
    is_at_end: bool,
    is_checked: bool,
}

/// What a tag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagKind {
    /// `<a>`
    Start,
    /// `</a>`
    End,
    /// `<a/>`
    Empty,
    /// A CDATA section; it is skipped, but whoever takes texts has to know of it.
    Cdata,
}

/// A tag in the window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tag<'w> {
    /// What it does.
    pub(crate) kind: TagKind,
    /// The name without its prefix.
    pub(crate) name: &'w [u8],
    attributes: &'w [u8],
}

// === impl Tag ===

impl<'w> Tag<'w> {
    /// The attributes with their full names and raw values.
    pub(crate) fn attributes(&self) -> Attributes<'w> {
        Attributes {
            rest: self.attributes,
        }
    }

    /// The raw value of an attribute by its full name.
    pub(crate) fn attribute(&self, name: &[u8]) -> Option<&'w [u8]> {
        self.attributes()
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// Iterates over `name="value"` pairs; stops at the first thing that is none.
#[derive(Debug)]
pub(crate) struct Attributes<'w> {
    rest: &'w [u8],
}

impl<'w> Iterator for Attributes<'w> {
    type Item = (&'w [u8], &'w [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_ascii_start();
        let equals = memchr::memchr(b'=', rest)?;
        let name = rest[..equals].trim_ascii_end();
        let after = rest[equals + 1..].trim_ascii_start();
        let quote = *after.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
        let end = memchr::memchr(quote, &after[1..])?;
        self.rest = &after[end + 2..];
        Some((name, &after[1..=end]))
    }
}

// === impl Tags ===

impl<R: Read> Tags<R> {
    /// Reads `source`, which errors call `part`.
    pub(crate) fn new(source: R, part: &str) -> Tags<R> {
        Tags {
            source,
            part: part.to_owned(),
            window: Vec::with_capacity(2 * READ_BYTES),
            at: 0,
            is_at_end: false,
            is_checked: false,
        }
    }

    /// An error of this part.
    pub(crate) fn corrupt(&self, what: &str) -> DecodeError {
        broken(&self.part, what)
    }

    /// The next tag; `None` at the end of the part. Text before it is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Tag<'_>>, DecodeError> {
        loop {
            if !self.skip_to_markup()? {
                return Ok(None);
            }
            let (kind, tag) = match self.peek(1)? {
                Some(b'/') => (TagKind::End, self.tag_range(2)?),
                Some(b'?') => {
                    self.skip_past(b"?>")?;
                    continue;
                }
                Some(b'!') => match self.declaration()? {
                    Some(kind) => {
                        return Ok(Some(Tag {
                            kind,
                            name: b"",
                            attributes: b"",
                        }));
                    }
                    None => continue,
                },
                Some(_) => (TagKind::Start, self.tag_range(1)?),
                None => return Err(self.corrupt("ends inside a tag")),
            };
            return Ok(Some(split(kind, &self.window[tag])));
        }
    }

    fn skip_to_markup(&mut self) -> Result<bool, DecodeError> {
        loop {
            if let Some(length) = memchr::memchr(b'<', &self.window[self.at..]) {
                self.at += length;
                return Ok(true);
            }
            self.at = self.window.len();
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// The byte at `offset` from the current place.
    fn peek(&mut self, offset: usize) -> Result<Option<u8>, DecodeError> {
        while self.window.len() <= self.at + offset {
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(Some(self.window[self.at + offset]))
    }

    /// Consumes `<! .. >`: comments yield nothing, CDATA its kind.
    fn declaration(&mut self) -> Result<Option<TagKind>, DecodeError> {
        for (opening, closing, kind) in [
            (&b"<!--"[..], &b"-->"[..], None),
            (b"<![CDATA[", b"]]>", Some(TagKind::Cdata)),
        ] {
            self.peek(opening.len())?;
            if self.window[self.at..].starts_with(opening) {
                self.at += opening.len();
                self.skip_past(closing)?;
                return Ok(kind);
            }
        }
        Err(self.corrupt("has a document type declaration"))
    }

    fn skip_past(&mut self, closing: &[u8]) -> Result<(), DecodeError> {
        loop {
            if let Some(offset) = memmem::find(&self.window[self.at..], closing) {
                self.at += offset + closing.len();
                return Ok(());
            }
            // What remains may be the beginning of `closing`.
            self.at = self
                .at
                .max(self.window.len().saturating_sub(closing.len() - 1));
            if !self.fill()? {
                return Err(self.corrupt("ends inside a comment or declaration"));
            }
        }
    }

    /// Consumes a tag; the range is what stands between its brackets, after `skip` bytes.
    fn tag_range(&mut self, skip: usize) -> Result<Range<usize>, DecodeError> {
        let mut offset = skip;
        let mut quote = None;
        loop {
            let rest = &self.window[self.at + offset..];
            let found = match quote {
                None => memchr::memchr3(b'>', b'"', b'\'', rest),
                Some(quote) => memchr::memchr(quote, rest),
            };
            let Some(length) = found else {
                offset = self.window.len() - self.at;
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
        self.window.drain(..self.at);
        self.at = 0;
        let length = self.window.len();
        if length > WINDOW_BYTES_MAX {
            return Err(DecodeError::limit(
                "markup_bytes_max",
                count(length),
                count(WINDOW_BYTES_MAX),
            ));
        }
        self.window.resize(length + READ_BYTES, 0);
        let n_read = loop {
            match self.source.read(&mut self.window[length..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let n_read = n_read.map_err(|error| broken(&self.part, &error))?;
        self.window.truncate(length + n_read);
        self.is_at_end = n_read == 0;
        if !self.is_checked && self.window.len() >= 2 {
            self.is_checked = true;
            if self.window[..2].contains(&0)
                || self.window.starts_with(&[0xff, 0xfe])
                || self.window.starts_with(&[0xfe, 0xff])
            {
                return Err(self.corrupt("is neither UTF-8 nor ASCII"));
            }
        }
        Ok(n_read > 0)
    }
}

/// What only the reference reader of xlsx asks for.
#[cfg(test)]
impl<R: Read> Tags<R> {
    /// The text up to the next tag, which is not consumed.
    pub(crate) fn text(&mut self) -> Result<&[u8], DecodeError> {
        let mut searched = 0;
        loop {
            if let Some(length) = memchr::memchr(b'<', &self.window[self.at + searched..]) {
                let start = self.at;
                self.at += searched + length;
                return Ok(&self.window[start..self.at]);
            }
            searched = self.window.len() - self.at;
            if !self.fill()? {
                return Err(self.corrupt("ends inside an element"));
            }
        }
    }

    /// What is in the window, for those who know what usually comes next.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.window[self.at..]
    }

    /// Consumes bytes of [`Tags::ahead`]; they end where a tag ends.
    pub(crate) fn consume(&mut self, n_bytes: usize) {
        debug_assert!(self.at + n_bytes <= self.window.len(), "beyond the window");
        self.at += n_bytes;
    }

    /// Whether an end tag comes next, with nothing before it.
    pub(crate) fn is_at_end_tag(&mut self) -> Result<bool, DecodeError> {
        self.peek(1)?;
        Ok(self.window[self.at..].starts_with(b"</"))
    }

    /// Skips to the end of the element whose start tag was just taken.
    pub(crate) fn skip_element(&mut self) -> Result<(), DecodeError> {
        let mut depth: u64 = 1;
        while depth > 0 {
            match self.next()?.map(|tag| tag.kind) {
                Some(TagKind::Start) => depth += 1,
                Some(TagKind::End) => depth -= 1,
                Some(TagKind::Empty | TagKind::Cdata) => {}
                None => return Err(self.corrupt("ends inside an element")),
            }
        }
        Ok(())
    }
}

fn split(kind: TagKind, content: &[u8]) -> Tag<'_> {
    let (kind, content) = match (kind, content.strip_suffix(b"/")) {
        (TagKind::Start, Some(content)) => (TagKind::Empty, content),
        _ => (kind, content),
    };
    let end = content
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(content.len());
    let name = &content[..end];
    let name = memchr::memchr(b':', name).map_or(name, |colon| &name[colon + 1..]);
    Tag {
        kind,
        name,
        attributes: &content[end..],
    }
}

#[cfg(test)]
mod tests;
