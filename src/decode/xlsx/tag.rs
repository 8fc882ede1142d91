//! One tag of an XML part, and its attributes.
//!
//! In: what stands between `<` and `>`. Out: its kind, its name without the prefix, and the raw
//! values of the attributes that are asked for. Borrowed; no state.

use crate::decode::error::DecodeError;
use crate::decode::xlsx::broken;
use crate::decode::xlsx::text;

/// What a tag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagKind {
    /// `<a>`
    Start,
    /// `</a>`
    End,
    /// `<a/>`
    Empty,
}

/// A tag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tag<'w> {
    /// What it does.
    pub(crate) kind: TagKind,
    /// The name without its prefix.
    pub(crate) name: &'w [u8],
    /// The name with its prefix.
    pub(crate) full_name: &'w [u8],
    attributes: &'w [u8],
    part: &'w str,
    at: u64,
}

/// Iterates over the attributes of a tag.
#[derive(Debug)]
struct Attributes<'w> {
    rest: &'w [u8],
}

/// The full name of an attribute, and its raw value.
type Attribute<'w> = (&'w [u8], &'w [u8]);

/// What is no attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

// === impl Tag ===

impl<'w> Tag<'w> {
    /// Takes apart what stands between the brackets of a start tag or, with `kind` an end, behind
    /// its slash; `at` is its place in `part`.
    pub(crate) fn parse(kind: TagKind, content: &'w [u8], part: &'w str, at: u64) -> Tag<'w> {
        let (kind, content) = match (kind, content.strip_suffix(b"/")) {
            (TagKind::Start, Some(content)) => (TagKind::Empty, content),
            _ => (kind, content),
        };
        let end = content
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(content.len());
        let full_name = &content[..end];
        let name = memchr::memchr(b':', full_name).map_or(full_name, |at| &full_name[at + 1..]);
        Tag {
            kind,
            name,
            full_name,
            attributes: &content[end..],
            part,
            at,
        }
    }

    /// Whether it opens an element, be it empty.
    pub(crate) fn opens(&self, name: &[u8]) -> bool {
        self.kind != TagKind::End && self.name == name
    }

    /// The raw values of the attributes of these full names. All attributes are looked at: none
    /// of those asked for may stand there twice.
    pub(crate) fn attributes<const N: usize>(
        &self,
        names: [&[u8]; N],
    ) -> Result<[Option<&'w [u8]>; N], DecodeError> {
        let mut values = [None; N];
        let mut attributes = Attributes {
            rest: self.attributes,
        };
        while let Some((name, value)) = attributes.next().map_err(|Malformed| self.malformed())? {
            if let Some(index) = names.iter().position(|wanted| *wanted == name)
                && values[index].replace(value).is_some()
            {
                return Err(self.malformed());
            }
        }
        Ok(values)
    }

    /// The texts of the attributes of these full names.
    pub(crate) fn texts<const N: usize>(
        &self,
        names: [&[u8]; N],
    ) -> Result<[Option<String>; N], DecodeError> {
        let values = self.attributes(names)?;
        let mut texts = [const { None }; N];
        for (text, value) in texts.iter_mut().zip(values) {
            *text = value.map(|value| self.text(value)).transpose()?;
        }
        Ok(texts)
    }

    /// The text of the attribute whose name ends like this, whatever its prefix.
    pub(crate) fn prefixed_text(&self, local: &[u8]) -> Result<Option<String>, DecodeError> {
        let mut attributes = Attributes {
            rest: self.attributes,
        };
        while let Some((name, value)) = attributes.next().map_err(|Malformed| self.malformed())? {
            let prefix = name.strip_suffix(local);
            if prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with(b":")) {
                return self.text(value).map(Some);
            }
        }
        Ok(None)
    }

    /// A complaint about this tag.
    pub(crate) fn corrupt(&self, complaint: &str) -> DecodeError {
        broken(self.part, format!("{complaint}, at byte {}", self.at))
    }

    fn text(&self, value: &[u8]) -> Result<String, DecodeError> {
        text::attribute(value)
            .map(std::borrow::Cow::into_owned)
            .map_err(|fault| self.corrupt(fault.complaint()))
    }

    fn malformed(&self) -> DecodeError {
        self.corrupt("has a malformed tag")
    }
}

// === impl Attributes ===

impl<'w> Attributes<'w> {
    /// The next name and raw value; `None` after the last.
    fn next(&mut self) -> Result<Option<Attribute<'w>>, Malformed> {
        let rest = self.rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(None);
        }
        let equals = memchr::memchr(b'=', rest).ok_or(Malformed)?;
        let name = rest[..equals].trim_ascii_end();
        let is_name = |byte: &u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'');
        if name.is_empty() || !name.iter().all(is_name) {
            return Err(Malformed);
        }
        let after = rest[equals + 1..].trim_ascii_start();
        let quote = match after.first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return Err(Malformed),
        };
        let end = memchr::memchr(quote, &after[1..]).ok_or(Malformed)?;
        self.rest = &after[end + 2..];
        Ok(Some((name, &after[1..=end])))
    }
}

#[cfg(test)]
mod tests;
