//! Static bearer tokens: a file of principals with the hashes of their tokens.
//!
//! In: lines `PRINCIPAL sha256:HEX`, `#` begins a comment. Out: the principal of a token. The
//! tokens themselves are nowhere; they must be long and random, as `openssl rand -hex 32` makes
//! them, since a hash without salt does not hide a short one.

use std::collections::HashMap;
use std::fmt;

use sha2::{Digest, Sha256};

use super::unauthenticated;
use crate::model::import::Failure;

/// The listed tokens.
#[derive(Clone, Default)]
pub struct Tokens {
    principals: HashMap<[u8; 32], String>,
}

impl Tokens {
    /// Parses the file's text; the error names the line.
    pub fn parse(text: &str) -> Result<Tokens, String> {
        let mut principals = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || format!("line {}: not of the form PRINCIPAL sha256:HEX", index + 1);
            let (principal, hash) = line.split_once(char::is_whitespace).ok_or_else(wrong)?;
            let hash = hash.trim().strip_prefix("sha256:").ok_or_else(wrong)?;
            principals.insert(bytes(hash).ok_or_else(wrong)?, principal.to_owned());
        }
        if principals.is_empty() {
            return Err("no token is listed".to_owned());
        }
        Ok(Tokens { principals })
    }

    /// Whose token this is.
    pub fn principal(&self, token: &str) -> Result<String, Failure> {
        // Found by its hash: how long that takes says nothing about the token.
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let principal = self.principals.get(&hash).cloned();
        principal.ok_or_else(|| unauthenticated("the token is not known"))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.principals.len())
    }
}

/// 32 bytes in hexadecimal digits.
fn bytes(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}
