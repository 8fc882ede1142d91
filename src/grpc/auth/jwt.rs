//! Bearer tokens of an issuer: JSON Web Tokens, checked against its published keys.
//!
//! In: a JWKS file with public keys, issuer, audience and the clock skew that is forgiven. Out: the
//! subject of a token that is signed by one of the keys, for us, and valid now. Algorithms are
//! those of the key, never what the token says alone; shared secrets are not taken.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::unauthenticated;
use crate::model::import::Failure;

/// What must hold of a token besides its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// One of `aud`.
    pub audience: String,
    /// Clock skew forgiven in `exp` and `nbf`.
    pub leeway: Duration,
}

/// An issuer.
pub struct Issuer {
    keys: Vec<Key>,
    claims: Claims,
}

/// A public key.
struct Key {
    id: Option<String>,
    public: DecodingKey,
    algorithms: Vec<Algorithm>,
}

/// What is read of a token.
#[derive(Deserialize)]
struct Subject {
    sub: String,
}

impl Issuer {
    /// An issuer with the keys of a JWKS.
    pub fn parse(jwks: &str, claims: Claims) -> Result<Issuer, String> {
        let set: JwkSet = serde_json::from_str(jwks).map_err(|error| error.to_string())?;
        let keys: Vec<Key> = set.keys.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err("no usable public key: RSA, P-256, P-384 or Ed25519".to_owned());
        }
        Ok(Issuer { keys, claims })
    }

    /// The subject of a token.
    pub fn principal(&self, token: &str) -> Result<String, Failure> {
        let refused = || unauthenticated("the token is not valid here, or not any more");
        let header = decode_header(token).map_err(|_| refused())?;
        let mut keys = self
            .keys
            .iter()
            .filter(|key| header.kid.is_none() || key.id.is_none() || key.id == header.kid)
            .filter(|key| key.algorithms.contains(&header.alg));
        let subject = keys.find_map(|key| {
            let mut validation = Validation::new(header.alg);
            validation.set_issuer(&[&self.claims.issuer]);
            validation.set_audience(&[&self.claims.audience]);
            validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            validation.validate_nbf = true;
            validation.leeway = self.claims.leeway.as_secs();
            let token = decode::<Subject>(token, &key.public, &validation).ok()?;
            Some(token.claims.sub)
        });
        subject
            .filter(|subject| !subject.is_empty())
            .ok_or_else(refused)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} keys", self.claims.issuer, self.keys.len())
    }
}

/// A key that signatures are checked with; others of the set are left out.
fn key(jwk: &Jwk) -> Option<Key> {
    if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => vec![Algorithm::EdDSA],
        _ => return None,
    };
    if let Some(only) = jwk.common.key_algorithm {
        algorithms.retain(|algorithm| format!("{algorithm:?}") == only.to_string());
    }
    Some(Key {
        id: jwk.common.key_id.clone(),
        public: DecodingKey::from_jwk(jwk).ok()?,
        algorithms,
    })
}
