//! Who calls, decided before a call is looked at.
//!
//! In: requests with credentials of the one kind that is configured. Out: the same requests with
//! their [`Caller`], or UNAUTHENTICATED and PERMISSION_DENIED without a response head. Every
//! method of ours needs the policy's leave, a method that is not known here is refused; health
//! and reflection need none.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::debug;

use crate::access::{Caller, Policy, Verb};
use crate::grpc::status::status;
use crate::model::import::{Failure, Reason};
use crate::watched::Watched;
use jwt::Issuer;
use peer::Peer;
use tokens::Tokens;
use xfcc::TrustedProxies;

pub mod jwt;
pub mod peer;
pub mod tokens;
pub mod xfcc;

/// Where principals come from: exactly one source.
#[derive(Debug, Clone)]
pub enum Source {
    /// Nobody is identified.
    None,
    /// The URI or DNS name of the client's certificate.
    Mtls,
    /// `x-forwarded-client-cert` of a trusted proxy.
    Xfcc(TrustedProxies),
    /// The subject of a bearer token of an issuer.
    Jwt(Arc<Watched<Issuer>>),
    /// A bearer token that a file lists.
    Token(Arc<Watched<Tokens>>),
}

/// What the layer decides by.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Credentials to principals.
    pub source: Source,
    /// Principals to callers; of no use without a source.
    pub policy: Option<Arc<Watched<Policy>>>,
}

/// The layer.
#[derive(Debug, Clone)]
pub struct AuthLayer {
    gate: Arc<Gate>,
}

/// The service of [`AuthLayer`].
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    gate: Arc<Gate>,
}

/// What each method does.
const VERBS: [(&str, Verb); 14] = [
    ("Import", Verb::Import),
    ("ImportRows", Verb::Import),
    ("InspectFile", Verb::Inspect),
    ("DecodeFile", Verb::Inspect),
    ("GetImport", Verb::Read),
    ("ListImports", Verb::Read),
    ("WatchImport", Verb::Read),
    ("CancelImport", Verb::Cancel),
    ("DeleteImport", Verb::Delete),
    ("ListRejectedRows", Verb::Read),
    ("ExportRejectedRows", Verb::Read),
    ("ListTables", Verb::Read),
    ("GetTable", Verb::Read),
    ("GetServerInfo", Verb::Read),
];
/// Paths of the service that needs leave.
const PREFIX: &str = "/rowlift.v1.ImportService/";

impl AuthLayer {
    /// Lets in whom the gate lets in.
    pub fn new(gate: Gate) -> AuthLayer {
        AuthLayer {
            gate: Arc::new(gate),
        }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            gate: Arc::clone(&self.gate),
        }
    }
}

impl<S> fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guarded").field(&self.gate).finish()
    }
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(method) = request.uri().path().strip_prefix(PREFIX) {
            let peer = Peer::of(request.extensions());
            match self.gate.caller(method, &peer, request.headers()) {
                Ok(caller) => {
                    request.extensions_mut().insert(Arc::new(caller));
                }
                Err(failure) => {
                    debug!(
                        reason = failure.reason.name(),
                        method, "refused at the gate"
                    );
                    let refusal = status(&failure).into_http();
                    return Box::pin(async move { Ok(refusal) });
                }
            }
        }
        Box::pin(self.inner.call(request))
    }
}

impl Gate {
    /// Everybody may do everything.
    pub fn open() -> Gate {
        Gate {
            source: Source::None,
            policy: None,
        }
    }

    /// The caller, if it may do what the method does.
    fn caller(&self, method: &str, peer: &Peer, headers: &HeaderMap) -> Result<Caller, Failure> {
        let principal = match &self.source {
            Source::None => return Ok(Caller::anybody()),
            Source::Mtls => peer.certified().ok_or_else(|| {
                unauthenticated("no client certificate with a URI or DNS name was shown")
            })?,
            Source::Xfcc(proxies) => proxies.principal(peer, headers)?,
            Source::Jwt(issuer) => issuer.get().principal(bearer(headers)?)?,
            Source::Token(tokens) => tokens.get().principal(bearer(headers)?)?,
        };
        let policy = self.policy.as_ref();
        let caller = policy.and_then(|policy| policy.get().caller(&principal));
        let caller = caller.ok_or_else(|| {
            Failure::new(
                Reason::PermissionDenied,
                "the policy has no rule for these credentials",
            )
            .with("principal", &principal)
        })?;
        let verb = VERBS.iter().find(|(name, _)| *name == method);
        match verb {
            Some((_, verb)) if caller.may(*verb) => Ok(caller),
            _ => Err(Failure::new(
                Reason::PermissionDenied,
                format!("the policy does not grant {method} to these credentials"),
            )
            .with("principal", &principal)),
        }
    }
}

/// The token of an `authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Result<&str, Failure> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(unauthenticated("one authorization header is needed"));
    };
    let value = value.to_str().ok();
    let token = value.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.ok_or_else(|| unauthenticated("the authorization header is no bearer token"))
}

/// Whose credentials are missing or do not hold; never says which part of them.
fn unauthenticated(message: &str) -> Failure {
    Failure::new(Reason::Unauthenticated, message)
}

#[cfg(test)]
mod tests;
