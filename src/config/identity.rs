//! How callers are identified, and how the listener is secured.
//!
//! In: the keys of identity and TLS. Out: the same, checked against each other: exactly one source
//! of principals, with all that it needs and nothing that another one would need.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// Where principals come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityKind {
    /// Callers are not identified.
    #[default]
    None,
    /// By their client certificate.
    Mtls,
    /// By the certificate that a trusted proxy vouches for.
    Xfcc,
    /// By a JSON Web Token.
    Jwt,
    /// By a static bearer token.
    Token,
}

/// Identity and TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where principals come from. Default: nowhere.
    pub kind: IdentityKind,
    /// Which principal may do what, TOML; read again when it changes.
    pub policy_file: Option<PathBuf>,
    /// The server's certificate chain, PEM; read again when it changes.
    pub tls_cert_file: Option<PathBuf>,
    /// Its private key, PEM; read again when it changes.
    pub tls_key_file: Option<PathBuf>,
    /// Whose certificates clients may show, PEM; read again when it changes.
    pub tls_client_ca_file: Option<PathBuf>,
    /// xfcc: networks of the proxies.
    pub trusted_proxies: Vec<IpNet>,
    /// jwt: the issuer's public keys, JWKS; read again when it changes.
    pub jwt_jwks_file: Option<PathBuf>,
    /// jwt: `iss`.
    pub jwt_issuer: String,
    /// jwt: `aud`.
    pub jwt_audience: String,
    /// jwt: clock skew that is forgiven.
    pub jwt_leeway: Duration,
    /// token: lines `PRINCIPAL sha256:HEX`; read again when it changes.
    pub tokens_file: Option<PathBuf>,
}

impl Default for Identity {
    fn default() -> Identity {
        Identity {
            kind: IdentityKind::None,
            policy_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            tls_client_ca_file: None,
            trusted_proxies: Vec::new(),
            jwt_jwks_file: None,
            jwt_issuer: String::new(),
            jwt_audience: String::new(),
            jwt_leeway: Duration::from_mins(1),
            tokens_file: None,
        }
    }
}

impl Identity {
    /// The key that is missing, or too much, and why.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str)> {
        if self.tls_cert_file.is_some() != self.tls_key_file.is_some() {
            return Some(("tls_cert_file", "certificate and key go together"));
        }
        if self.tls_client_ca_file.is_some() && self.tls_cert_file.is_none() {
            return Some(("tls_client_ca_file", "only with tls_cert_file"));
        }
        let kind = self.kind;
        if self.policy_file.is_none() && kind != IdentityKind::None {
            return Some(("policy_file", "needed: it says who may do what"));
        }
        if self.policy_file.is_some() && kind == IdentityKind::None {
            return Some(("policy_file", "of no use while callers are not identified"));
        }
        let needs = [
            (
                IdentityKind::Mtls,
                "tls_client_ca_file",
                self.tls_client_ca_file.is_some(),
            ),
            (
                IdentityKind::Xfcc,
                "trusted_proxies",
                !self.trusted_proxies.is_empty(),
            ),
            (
                IdentityKind::Jwt,
                "jwt_jwks_file",
                self.jwt_jwks_file.is_some(),
            ),
            (IdentityKind::Jwt, "jwt_issuer", !self.jwt_issuer.is_empty()),
            (
                IdentityKind::Jwt,
                "jwt_audience",
                !self.jwt_audience.is_empty(),
            ),
            (
                IdentityKind::Token,
                "tokens_file",
                self.tokens_file.is_some(),
            ),
        ];
        needs.into_iter().find_map(|(of, key, is_set)| {
            // A client CA may be there beside another source: it only guards the transport.
            let is_shared = key == "tls_client_ca_file";
            if of == kind && !is_set {
                Some((key, "needed by this identity"))
            } else if of != kind && is_set && !is_shared {
                Some((
                    key,
                    "of no use to this identity: there is exactly one source",
                ))
            } else {
                None
            }
        })
    }
}
