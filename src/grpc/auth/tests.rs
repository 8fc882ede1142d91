use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use prost::Message;
use prost_types::MethodDescriptorProto;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::jwt::Claims;
use super::*;

fn peer(addr: &str) -> Peer {
    Peer {
        addr: Some(addr.parse().unwrap()),
        names: Vec::new(),
    }
}

fn xfcc(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        let value = HeaderValue::from_str(value).unwrap();
        headers.append("x-forwarded-client-cert", value);
    }
    headers
}

#[test]
fn every_method_of_the_contract_has_a_verb() {
    let files = prost_types::FileDescriptorSet::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
    let services = files.file.iter().flat_map(|file| &file.service);
    let ours = services.filter(|service| service.name() == "ImportService");
    let methods: Vec<&str> = ours
        .flat_map(|service| service.method.iter().map(MethodDescriptorProto::name))
        .collect();
    let with_verb: Vec<&str> = VERBS.iter().map(|(name, _)| *name).collect();
    assert_eq!(methods.len(), with_verb.len());
    for method in methods {
        assert!(with_verb.contains(&method), "{method}");
    }
}

#[test]
fn a_proxy_vouches_with_the_last_element_only() {
    let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let trusted = peer("10.1.2.3");
    let named = |values: &[&str]| proxies.principal(&trusted, &xfcc(values)).ok();
    let real = "By=spiffe://mesh/a;Hash=ab;Subject=\"CN=x,O=y\";URI=spiffe://mesh/real";
    let claimed = "URI=spiffe://mesh/claimed";
    assert_eq!(named(&[real]).as_deref(), Some("spiffe://mesh/real"));
    // Appended to what the caller sent, in the same header or in one of its own.
    let both = format!("{claimed},{real}");
    assert_eq!(named(&[&both]).as_deref(), Some("spiffe://mesh/real"));
    assert_eq!(
        named(&[claimed, real]).as_deref(),
        Some("spiffe://mesh/real")
    );
    // A separator inside quotes separates nothing.
    let quoted = r#"Subject="a\",URI=spiffe://mesh/claimed;b";DNS=real.example"#;
    assert_eq!(named(&[quoted]).as_deref(), Some("real.example"));
    assert_eq!(named(&["Hash=ab"]), None);
    assert_eq!(named(&[&format!("{claimed},Hash=ab")]), None);
    assert_eq!(named(&[]), None);
}

#[test]
fn a_caller_cannot_swallow_what_the_proxy_appends() {
    let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
    // Their own names may hold quotes and backslashes too; the proxy escapes those.
    for subject in ["", "CN=x", r#"CN=a\"b,O=c"#, r"CN=d\\", r#"CN=\"\"\\"#] {
        let real = format!(r#"By=a;Hash=ab;Subject="{subject}";URI=spiffe://mesh/real;DNS=b"#);
        for claimed in [
            r#"URI=spiffe://mesh/claimed;Subject=""#,
            r#"URI=spiffe://mesh/claimed;Subject="\"#,
            r#"URI=spiffe://mesh/claimed;Subject="""#,
            "URI=spiffe://mesh/claimed\\",
            "URI=spiffe://mesh/claimed;Subject",
        ] {
            let value = format!("{claimed},{real}");
            let name = proxies.principal(&peer("10.1.2.3"), &xfcc(&[&value]));
            assert_eq!(name.unwrap(), "spiffe://mesh/real", "{value}");
        }
    }
}

#[test]
fn the_word_of_others_does_not_count() {
    let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let header = xfcc(&["URI=spiffe://mesh/real"]);
    for (addr, counts) in [
        ("10.255.0.1", true),
        ("::ffff:10.0.0.1", true),
        ("11.0.0.1", false),
        ("127.0.0.1", false),
    ] {
        let principal = proxies.principal(&peer(addr), &header);
        assert_eq!(principal.is_ok(), counts, "{addr}");
    }
    let nowhere = Peer::default();
    assert!(proxies.principal(&nowhere, &header).is_err());
}

#[test]
fn tokens_are_known_by_their_hash() {
    let hash: [u8; 32] = Sha256::digest(b"secret").into();
    let hex = hash
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02X}"));
    let tokens = Tokens::parse(&format!("# comment\n\n  shop  sha256:{hex}\n")).unwrap();
    assert_eq!(tokens.principal("secret").unwrap(), "shop");
    for unknown in ["Secret", "secret ", "", hex.as_str()] {
        let failure = tokens.principal(unknown).unwrap_err();
        assert_eq!(failure.reason, Reason::Unauthenticated);
    }
    for broken in ["", "# only", "shop", "shop sha256:12", "shop md5:ab"] {
        assert!(Tokens::parse(broken).is_err(), "{broken:?}");
    }
}

/// A key of an issuer, and its JWKS.
struct Signer {
    key: EncodingKey,
    jwks: String,
}

impl Signer {
    fn new() -> Signer {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let point = pair.public_key_raw();
        let coordinate = |at: usize| URL_SAFE_NO_PAD.encode(&point[at..at + 32]);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256",
            "x": coordinate(1), "y": coordinate(33)});
        Signer {
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            jwks: json!({"keys": [jwk]}).to_string(),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some("k1".to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        encode(&header, claims, &self.key).unwrap()
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[test]
fn a_jwt_must_be_signed_for_us_and_valid_now() {
    let signer = Signer::new();
    let claims = Claims {
        issuer: "https://issuer".to_owned(),
        audience: "rowlift".to_owned(),
        leeway: Duration::from_mins(1),
    };
    let issuer = Issuer::parse(&signer.jwks, claims.clone()).unwrap();
    let good = json!({"iss": "https://issuer", "aud": ["other", "rowlift"], "sub": "shop",
        "exp": now() + 600, "nbf": now() - 5});
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        signer.sign(&claims)
    };
    assert_eq!(issuer.principal(&signer.sign(&good)).unwrap(), "shop");
    // The skew of clocks is forgiven.
    assert!(issuer.principal(&with("exp", json!(now() - 30))).is_ok());
    for (key, value) in [
        ("iss", json!("https://other")),
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("exp", json!(now() - 120)),
        ("exp", Value::Null),
        ("nbf", json!(now() + 120)),
        ("sub", json!("")),
        ("sub", Value::Null),
    ] {
        let token = with(key, value.clone());
        assert!(issuer.principal(&token).is_err(), "{key} {value}");
    }
    let other = Signer::new();
    assert!(issuer.principal(&other.sign(&good)).is_err());
    // A shared secret is no key of an issuer, and the token does not choose.
    let secret = EncodingKey::from_secret(signer.jwks.as_bytes());
    let forged = encode(&Header::new(Algorithm::HS256), &good, &secret).unwrap();
    assert!(issuer.principal(&forged).is_err());
    let unsigned = format!("{}.e30.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
    assert!(issuer.principal(&unsigned).is_err());
    assert!(issuer.principal("garbage").is_err());
    let symmetric = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#;
    assert!(Issuer::parse(symmetric, claims).is_err());
}

#[test]
fn a_bearer_token_comes_alone() {
    let with = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("authorization", HeaderValue::from_str(value).unwrap());
        }
        bearer(&headers).map(str::to_owned).ok()
    };
    assert_eq!(with(&["Bearer abc"]).as_deref(), Some("abc"));
    assert_eq!(with(&["bearer abc"]).as_deref(), Some("abc"));
    assert_eq!(with(&["Basic abc"]), None);
    assert_eq!(with(&["Bearer a", "Bearer b"]), None);
    assert_eq!(with(&[]), None);
}
