//! Page sizes and page tokens.
//!
//! A token names the last item of the page before it and the query that it belongs to, so that a
//! token of another query is refused. Tokens are opaque to callers and hold no secret.

use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64;

use crate::grpc::status::invalid;
use crate::model::import::Failure;

/// Items of a page if the caller names no size.
pub const PAGE_SIZE_DEFAULT: u32 = 100;
/// Items of a page at most.
pub const PAGE_SIZE_MAX: u32 = 1000;

/// The size of a page: 0 is the default.
pub fn page_size(wanted: i32) -> Result<u32, Failure> {
    match u32::try_from(wanted) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) if size <= PAGE_SIZE_MAX => Ok(size),
        _ => Err(invalid(
            "page_size",
            format!("not within 0 to {PAGE_SIZE_MAX}"),
        )),
    }
}

/// The token of the page after `last`; `query` is everything that the pages have in common.
pub fn token(last: u64, query: &str) -> String {
    let mut token = String::new();
    write!(token, "{last:x}-{:016x}", xxh3_64(query.as_bytes())).expect("writing to a String");
    token
}

/// The last item of the page before; `None` for the first page.
pub fn after(token: &str, query: &str) -> Result<Option<u64>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    let parsed = token.split_once('-').and_then(|(last, hash)| {
        let last = u64::from_str_radix(last, 16).ok()?;
        (hash == format!("{:016x}", xxh3_64(query.as_bytes()))).then_some(last)
    });
    parsed
        .map(Some)
        .ok_or_else(|| invalid("page_token", "not a token of this query"))
}

#[cfg(test)]
mod tests;
