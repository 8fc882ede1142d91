//! The cell that nearly every cell is: `<c r="B12" s="3" t="s"><v>7</v></c>`.
//!
//! In: bytes that begin where a tag may begin. Out: where the cell ends, if it is of this form
//! to the letter and needs no second look; anything else is left to the tags, which cost four
//! times as much a cell.

use std::ops::Range;

/// A usual cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsualCell {
    reference: Range<usize>,
    n_bytes: usize,
}

// === impl UsualCell ===

impl UsualCell {
    /// The cell's reference, out of the bytes that it was found in.
    pub(crate) fn reference<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.reference.clone()]
    }

    /// Bytes up to the cell's end.
    pub(crate) fn n_bytes(&self) -> usize {
        self.n_bytes
    }
}

/// The cell that `bytes` begin with, if it is a usual one and all of it is there.
pub(crate) fn cell(bytes: &[u8]) -> Option<UsualCell> {
    let mut rest = bytes.strip_prefix(b"<c r=\"")?;
    let start = bytes.len() - rest.len();
    let n_letters_and_digits = quoted(rest)?;
    let reference = start..start + n_letters_and_digits;
    rest = &rest[n_letters_and_digits + 1..];
    let mut is_shared = false;
    loop {
        if let Some(after) = rest.strip_prefix(b" s=\"") {
            rest = &after[quoted(after)? + 1..];
        } else if let Some(after) = rest.strip_prefix(b" t=\"") {
            let length = quoted(after)?;
            match &after[..length] {
                b"s" => is_shared = true,
                b"n" | b"b" | b"e" | b"str" | b"d" => {}
                _ => return None,
            }
            rest = &after[length + 1..];
        } else {
            break;
        }
    }
    if let Some(after) = rest.strip_prefix(b"/>") {
        return Some(UsualCell {
            reference,
            n_bytes: bytes.len() - after.len(),
        });
    }
    let value = rest.strip_prefix(b"><v>")?;
    let length = if is_shared {
        let n_digits = value
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        (1..=10).contains(&n_digits).then_some(n_digits)?
    } else {
        // Character references and long texts are for the tags.
        let found = value
            .iter()
            .take(64)
            .position(|byte| matches!(byte, b'<' | b'&'));
        found.filter(|length| *length > 0)?
    };
    let after = value[length..].strip_prefix(b"</v></c>")?;
    Some(UsualCell {
        reference,
        n_bytes: bytes.len() - after.len(),
    })
}

/// The length of the letters and digits up to a quote.
fn quoted(bytes: &[u8]) -> Option<usize> {
    let length = bytes
        .iter()
        .take(16)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    (bytes.get(length) == Some(&b'"')).then_some(length)
}

#[cfg(test)]
mod tests;
