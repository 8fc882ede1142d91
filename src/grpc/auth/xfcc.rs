//! Client certificates that a proxy vouches for: `x-forwarded-client-cert`, as Envoy writes it.
//!
//! In: the header and who sent it. Out: the URI, else the DNS name, of the last element: it is
//! what the proxy itself appended, everything before it is what its caller claimed. The header
//! counts only from trusted addresses; from others it is refused, not ignored.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use super::peer::Peer;
use super::unauthenticated;
use crate::model::import::Failure;

/// The header.
const HEADER: &str = "x-forwarded-client-cert";

/// Addresses whose word counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Proxies in these networks.
    pub fn new(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies { networks }
    }

    fn trusts(&self, addr: IpAddr) -> bool {
        // A socket that serves both families shows IPv4 addresses inside IPv6 ones.
        let addr = addr.to_canonical();
        self.networks.iter().any(|network| network.contains(&addr))
    }

    /// The principal that the proxy at the other end vouches for.
    pub(super) fn principal(&self, peer: &Peer, headers: &HeaderMap) -> Result<String, Failure> {
        if !peer.addr.is_some_and(|addr| self.trusts(addr)) {
            return Err(unauthenticated("the call did not come by a trusted proxy"));
        }
        let last = headers.get_all(HEADER).iter().next_back();
        let last = last.and_then(|value| value.to_str().ok());
        let name = last.and_then(|value| name_of(last_element(value)));
        name.ok_or_else(|| unauthenticated("the proxy vouches for no client certificate"))
    }
}

/// What follows the last comma outside of quotes, read from the end: it is the proxy's own writing,
/// in which quotes are in pairs, while a caller may open one to swallow all that follows.
fn last_element(value: &str) -> &str {
    let bytes = value.as_bytes();
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate().rev() {
        match byte {
            b'"' => {
                let before = bytes.get(..at).unwrap_or_default();
                let n_backslashes = before.iter().rev().take_while(|it| **it == b'\\').count();
                let is_escaped = quoted && n_backslashes % 2 == 1;
                quoted ^= !is_escaped;
            }
            b',' if !quoted => return value.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    value
}

/// The first URI of an element, else its first DNS name.
fn name_of(element: &str) -> Option<String> {
    let pairs = split(element);
    let value = |key: &str| {
        pairs.iter().find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = unquoted(value.trim());
            let is_it = name.trim().eq_ignore_ascii_case(key) && !value.is_empty();
            is_it.then_some(value)
        })
    };
    value("URI").or_else(|| value("DNS"))
}

/// The parts between semicolons that are not inside quotes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    match inner {
        None => value.to_owned(),
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
    }
}
