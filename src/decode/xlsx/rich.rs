//! The text of an `<si>` or `<is>`: plain, or in runs of different looks.
//!
//! In: a scanner behind the start tag. Out: the text, appended, the end tag being consumed.
//! Phonetic hints are left out. White space at the ends of a `<t>` goes, unless `xml:space` keeps
//! it, which is what Excel does. Bounded by `chars_max`, and by the scanner a `<t>`.

use crate::decode::error::DecodeError;
use crate::decode::xlsx::count;
use crate::decode::xlsx::scanner::Scanner;
use crate::decode::xlsx::tag::TagKind;
use crate::decode::xlsx::text::{self, SPACES};

/// Reads texts; holds what they are made in.
#[derive(Debug)]
pub(crate) struct RichText {
    chars_max: u64,
    raw: String,
}

// === impl RichText ===

impl RichText {
    /// Texts of at most `chars_max` characters.
    pub(crate) fn new(chars_max: u64) -> RichText {
        RichText {
            chars_max,
            raw: String::new(),
        }
    }

    /// Appends the text of the element that was just opened, and consumes its end.
    pub(crate) fn read(
        &mut self,
        scanner: &mut Scanner,
        out: &mut String,
    ) -> Result<(), DecodeError> {
        let start = out.len();
        let mut is_in_run = false;
        loop {
            let Some(tag) = scanner.next()? else {
                return Err(scanner.corrupt("ends inside a text"));
            };
            match (tag.name, tag.kind) {
                (b"t", TagKind::Start) => {
                    let [space] = tag.attributes([b"xml:space"])?;
                    let keeps_space = space == Some(b"preserve");
                    self.take(scanner, keeps_space, out)?;
                    self.check_chars(out, start)?;
                }
                (b"r", TagKind::Start) if !is_in_run => is_in_run = true,
                (b"r", TagKind::End) if is_in_run => is_in_run = false,
                (b"rPh" | b"rPr" | b"phoneticPr", TagKind::Start) => scanner.skip_element()?,
                (b"t" | b"r" | b"rPh" | b"rPr" | b"phoneticPr", TagKind::Empty) => {}
                (_, TagKind::End) => return Ok(()),
                _ => return Err(scanner.corrupt("has a text with unknown content")),
            }
        }
    }

    /// Appends the content of the `<t>` that was just opened, and consumes its end.
    fn take(
        &mut self,
        scanner: &mut Scanner,
        keeps_space: bool,
        out: &mut String,
    ) -> Result<(), DecodeError> {
        self.raw.clear();
        scanner.text(&mut self.raw)?;
        match scanner.next()?.map(|tag| tag.kind) {
            Some(TagKind::End) => {}
            _ => return Err(scanner.corrupt("has markup inside a text")),
        }
        let text = if keeps_space {
            self.raw.as_str()
        } else {
            self.raw.trim_matches(SPACES)
        };
        text::unescape(text, out);
        Ok(())
    }

    fn check_chars(&self, out: &str, start: usize) -> Result<(), DecodeError> {
        let text = out.get(start..).unwrap_or_default();
        if count(text.len()) <= self.chars_max {
            return Ok(());
        }
        let n_chars = count(text.chars().count());
        if n_chars <= self.chars_max {
            return Ok(());
        }
        Err(DecodeError::limit(
            "cell_chars_max",
            n_chars,
            self.chars_max,
        ))
    }
}

#[cfg(test)]
mod tests;
