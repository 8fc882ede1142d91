//! JSON in text: what json and jsonb take, as PostgreSQL 15 does.
//!
//! In: text. Out: nothing, or a fault. Bounded in depth, because the database ends the whole
//! statement, not the row, where its stack ends.

use serde::de::IgnoredAny;

use crate::mapping::coerce::Fault;
use crate::model::reject::RowErrorCode;

/// Arrays and objects inside one another; PostgreSQL's default stack ends at some thousands.
const JSON_DEPTH_MAX: usize = 1000;

/// Whether json takes the text: well-formed, not too deep.
pub(super) fn check_json(text: &str) -> Result<(), Fault> {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(Fault::new(RowErrorCode::InvalidText, "holds U+0000"));
    }
    if depth(text) > JSON_DEPTH_MAX {
        return Err(Fault::mismatch("is JSON nested more than 1000 deep"));
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::mismatch("is not JSON")),
    }
}

/// Whether jsonb takes the text: as json, and its escapes stand for characters. `\u0000` does
/// not, and neither does half of a surrogate pair.
pub(super) fn check_jsonb(text: &str) -> Result<(), Fault> {
    check_json(text)?;
    let mut rest = text;
    // Well-formed JSON has backslashes in strings only, each followed by an escape.
    while let Some((_, after)) = rest.split_once('\\') {
        let Some(digits) = after.strip_prefix('u') else {
            let mut chars = after.chars();
            chars.next();
            rest = chars.as_str();
            continue;
        };
        rest = match (unit(digits), digits.get(4..)) {
            (Some(0), _) => {
                return Err(Fault::new(
                    RowErrorCode::InvalidText,
                    "holds \\u0000, which jsonb cannot",
                ));
            }
            (Some(0xd800..=0xdbff), Some(tail)) => {
                let low = tail.strip_prefix("\\u").and_then(unit);
                if !matches!(low, Some(0xdc00..=0xdfff)) {
                    return Err(Fault::mismatch("holds half of a surrogate pair"));
                }
                tail.get(6..).unwrap_or_default()
            }
            (Some(0xdc00..=0xdfff), _) => {
                return Err(Fault::mismatch("holds half of a surrogate pair"));
            }
            (Some(_), Some(tail)) => tail,
            _ => return Err(Fault::mismatch("is not JSON")),
        };
    }
    Ok(())
}

/// The UTF-16 unit that four hexadecimal digits stand for.
fn unit(digits: &str) -> Option<u16> {
    digits
        .get(..4)
        .and_then(|digits| u16::from_str_radix(digits, 16).ok())
}

/// How deep brackets go outside of strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
