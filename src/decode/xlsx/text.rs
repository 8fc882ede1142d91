//! Character data of XML as text: encoding, references, line ends, and the escapes of spreadsheets.
//!
//! In: bytes between two tags, or an attribute's value. Out: text, appended to a buffer, or what is
//! wrong with the bytes. A character that no text can hold, such as half of a surrogate pair,
//! becomes U+0000, which makes its cell [`Cell::InvalidText`](crate::model::cell::Cell): one row is
//! refused, not the file, and nothing is replaced in secret. No state; bounded by what it is given.

use std::borrow::Cow;

use memchr::memmem;

/// Stands for what is no character.
const NO_CHARACTER: char = '\0';

/// Bytes of `_x000D_`.
const ESCAPE_BYTES: usize = 7;

/// Bytes of the longest reference that is read, `&` and `;` not counted.
const REFERENCE_BYTES_MAX: usize = 32;

/// White space that XML knows.
pub(crate) const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// What is wrong with character data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextFault {
    /// It is not UTF-8.
    Encoding,
    /// It has a reference to nothing, or a `&` that begins none.
    Reference,
}

// === impl TextFault ===

impl TextFault {
    /// What to tell about the part that has it.
    pub(crate) fn complaint(self) -> &'static str {
        match self {
            TextFault::Encoding => "has text that is not UTF-8",
            TextFault::Reference => "has a reference to an unknown entity",
        }
    }
}

/// Appends character data, with its references resolved and its line ends made to `\n`.
pub(crate) fn decode(raw: &[u8], out: &mut String) -> Result<(), TextFault> {
    let mut rest = std::str::from_utf8(raw).map_err(|_| TextFault::Encoding)?;
    while let Some(at) = memchr::memchr2(b'&', b'\r', rest.as_bytes()) {
        let (before, special) = rest.split_at(at);
        out.push_str(before);
        rest = if let Some(reference) = special.strip_prefix('&') {
            resolve(reference, out)?
        } else {
            out.push('\n');
            let after = special.strip_prefix('\r').unwrap_or(special);
            after.strip_prefix('\n').unwrap_or(after)
        };
    }
    out.push_str(rest);
    Ok(())
}

/// Appends the content of a CDATA section: no references, but line ends.
pub(crate) fn decode_cdata(raw: &[u8], out: &mut String) -> Result<(), TextFault> {
    let text = std::str::from_utf8(raw).map_err(|_| TextFault::Encoding)?;
    if memchr::memchr(b'\r', raw).is_none() {
        out.push_str(text);
        return Ok(());
    }
    out.push_str(&text.replace("\r\n", "\n").replace('\r', "\n"));
    Ok(())
}

/// The value of an attribute.
pub(crate) fn attribute(raw: &[u8]) -> Result<Cow<'_, str>, TextFault> {
    if memchr::memchr2(b'&', b'\r', raw).is_none() {
        return std::str::from_utf8(raw)
            .map(Cow::Borrowed)
            .map_err(|_| TextFault::Encoding);
    }
    let mut value = String::new();
    decode(raw, &mut value)?;
    Ok(Cow::Owned(value))
}

/// Whether text may hold an escape such as `_x000D_`.
pub(crate) fn may_be_escaped(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'_', rest) {
        rest = &rest[at + 1..];
        if rest.first() == Some(&b'x') {
            return true;
        }
    }
    false
}

/// Appends text with its escapes resolved, ECMA-376 part 1, 22.9.2.19: each is one UTF-16 unit.
pub(crate) fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    let mut searched = 0;
    while let Some(at) = memmem::find(&rest.as_bytes()[searched..], b"_x") {
        let at = searched + at;
        let (before, escape) = rest.split_at(at);
        let Some((unit, after)) = take_unit(escape) else {
            searched = at + 1;
            continue;
        };
        out.push_str(before);
        searched = 0;
        rest = after;
        let pair = (0xd800..0xdc00).contains(&unit).then(|| take_unit(after));
        let low = pair
            .flatten()
            .filter(|(low, _)| (0xdc00..0xe000).contains(low));
        if let Some((low, after)) = low {
            let code = 0x1_0000 + ((u32::from(unit) - 0xd800) << 10) + (u32::from(low) - 0xdc00);
            out.push(char::from_u32(code).unwrap_or(NO_CHARACTER));
            rest = after;
        } else {
            out.push(char::from_u32(u32::from(unit)).unwrap_or(NO_CHARACTER));
        }
    }
    out.push_str(rest);
}

/// The UTF-16 unit of the escape that `text` begins with, and what follows it.
fn take_unit(text: &str) -> Option<(u16, &str)> {
    let (escape, rest) = text.split_at_checked(ESCAPE_BYTES)?;
    let digits = escape.strip_prefix("_x")?.strip_suffix('_')?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let unit = u16::from_str_radix(digits, 16).ok()?;
    Some((unit, rest))
}

/// Resolves the reference whose `&` stands before `text`; what follows its `;`.
fn resolve<'t>(text: &'t str, out: &mut String) -> Result<&'t str, TextFault> {
    let head = &text.as_bytes()[..text.len().min(REFERENCE_BYTES_MAX + 1)];
    let length = memchr::memchr(b';', head).ok_or(TextFault::Reference)?;
    let (name, rest) = text.split_at(length);
    let char = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#').ok_or(TextFault::Reference)?;
            let (digits, radix) = match number.strip_prefix('x') {
                Some(digits) => (digits, 16),
                None => (number, 10),
            };
            let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = u32::from_str_radix(digits, radix);
            let code = code.ok().filter(|_| is_number);
            let code = code.ok_or(TextFault::Reference)?;
            char::from_u32(code).unwrap_or(NO_CHARACTER)
        }
    };
    out.push(char);
    Ok(rest.strip_prefix(';').unwrap_or(rest))
}

#[cfg(test)]
mod tests;
