//! What guards a service: TLS, the gate before its methods, and the files that both follow.
//!
//! In: the configuration. Out: the same as values, each read once now, so that a file that cannot
//! be used stops the start, and then whenever it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tracing::warn;

use super::AppError;
use super::tls::{self, TlsFiles};
use crate::access::Policy;
use crate::config::Config;
use crate::config::database_url::{DatabaseKind, DatabaseUrl};
use crate::config::identity::{Identity, IdentityKind};
use crate::grpc::auth::jwt::{Claims, Issuer};
use crate::grpc::auth::tokens::Tokens;
use crate::grpc::auth::xfcc::TrustedProxies;
use crate::grpc::auth::{Gate, Source};
use crate::store::Store;
use crate::watched::{Look, Watched};
use crate::writer::tables::{TableLimits, Tables};

/// The guards.
pub(super) struct Secured {
    /// Before every method.
    pub(super) gate: Gate,
    /// `None`: the listener speaks without TLS.
    pub(super) tls: Option<Arc<Watched<ServerConfig>>>,
    /// Files to look at while the service runs.
    pub(super) files: Vec<Arc<dyn Look>>,
}

/// What single tables bear; `None`: no file says so.
pub(super) type TableLimitsFile = Option<Arc<Watched<TableLimits>>>;

/// The database's URL in a file: connections follow it.
#[derive(Debug)]
struct UrlFile {
    url: Watched<DatabaseUrl>,
    store: Arc<dyn Store>,
}

impl Secured {
    /// Reads everything that the configuration names.
    pub(super) fn open(
        config: &Config,
        store: &Arc<dyn Store>,
        table_limits: TableLimitsFile,
    ) -> Result<Secured, AppError> {
        let identity = &config.identity;
        let mut files: Vec<Arc<dyn Look>> = Vec::new();
        let tls = match (&identity.tls_cert_file, &identity.tls_key_file) {
            (Some(cert), Some(key)) => {
                let tls = tls::watch(TlsFiles {
                    cert: cert.clone(),
                    key: key.clone(),
                    client_ca: identity.tls_client_ca_file.clone(),
                });
                let tls = Arc::new(tls.map_err(|message| file("tls_cert_file", message))?);
                files.push(Arc::clone(&tls) as Arc<dyn Look>);
                Some(tls)
            }
            _ => None,
        };
        let policy = match &identity.policy_file {
            None => None,
            Some(path) => {
                let schema = default_schema(config);
                let parse = move |text: &str| Policy::parse(text, schema);
                let policy = watch("policy_file", path, parse)?;
                files.push(Arc::clone(&policy) as Arc<dyn Look>);
                Some(policy)
            }
        };
        if let Some(limits) = table_limits {
            files.push(limits);
        }
        let source = source(identity, &mut files)?;
        if let Some(warning) = bare_tokens(config) {
            warn!("{warning}");
        }
        if let Some(path) = &config.database_url_file {
            let from = path.clone();
            let url = Watched::open(vec![path.clone()], move || DatabaseUrl::read(&from));
            files.push(Arc::new(UrlFile {
                url: url.map_err(|message| file("database_url_file", message))?,
                store: Arc::clone(store),
            }));
        }
        Ok(Secured {
            gate: Gate { source, policy },
            tls,
            files,
        })
    }
}

impl Look for UrlFile {
    fn look(&self) {
        let before = self.url.get();
        self.url.look();
        let now = self.url.get();
        if before == now {
            return;
        }
        if let Err(error) = self.store.reconnect(now.expose()) {
            warn!(%error, "database_url_file: what it says now cannot be used");
        }
    }
}

/// Bearer tokens that anybody on their way can read: right only where a mesh encrypts for the service.
fn bare_tokens(config: &Config) -> Option<&'static str> {
    let identity = &config.identity;
    let is_token = matches!(identity.kind, IdentityKind::Jwt | IdentityKind::Token);
    let is_bare = identity.tls_cert_file.is_none() && !config.listen.ip().is_loopback();
    (is_token && is_bare).then_some(
        "bearer tokens come in without TLS: set tls_cert_file and tls_key_file, unless a mesh \
         encrypts all that reaches this address",
    )
}

fn source(identity: &Identity, files: &mut Vec<Arc<dyn Look>>) -> Result<Source, AppError> {
    Ok(match identity.kind {
        IdentityKind::None => Source::None,
        IdentityKind::Mtls => Source::Mtls,
        IdentityKind::Xfcc => Source::Xfcc(TrustedProxies::new(identity.trusted_proxies.clone())),
        IdentityKind::Jwt => {
            let claims = Claims {
                issuer: identity.jwt_issuer.clone(),
                audience: identity.jwt_audience.clone(),
                leeway: identity.jwt_leeway,
            };
            let path = needed("jwt_jwks_file", identity.jwt_jwks_file.as_ref())?;
            let parse = move |text: &str| Issuer::parse(text, claims.clone());
            let issuer = watch("jwt_jwks_file", path, parse)?;
            files.push(Arc::clone(&issuer) as Arc<dyn Look>);
            Source::Jwt(issuer)
        }
        IdentityKind::Token => {
            let path = needed("tokens_file", identity.tokens_file.as_ref())?;
            let tokens = watch("tokens_file", path, Tokens::parse)?;
            files.push(Arc::clone(&tokens) as Arc<dyn Look>);
            Source::Token(tokens)
        }
    })
}

/// What single tables bear, and the file that says so.
pub(super) fn tables(config: &Config) -> Result<(Tables, TableLimitsFile), AppError> {
    let Some(path) = &config.table_limits_file else {
        return Ok((Tables::default(), None));
    };
    let schema = default_schema(config);
    let parse = move |text: &str| TableLimits::parse(text, schema);
    let limits = watch("table_limits_file", path, parse)?;
    let watched = Arc::clone(&limits);
    Ok((Tables::new(move || watched.get()), Some(limits)))
}

/// The schema of tables that are named without one.
fn default_schema(config: &Config) -> &'static str {
    match config.database_url.kind() {
        DatabaseKind::Postgres => "public",
        DatabaseKind::Sqlite => "main",
    }
}

/// A value that is parsed out of a file.
fn watch<T>(
    key: &'static str,
    path: &Path,
    parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
) -> Result<Arc<Watched<T>>, AppError> {
    let from = path.to_owned();
    let opened = Watched::open(vec![path.to_owned()], move || {
        let text = std::fs::read_to_string(&from).map_err(|error| error.to_string());
        let parsed = text.and_then(|text| parse(&text));
        parsed.map_err(|error| format!("{}: {error}", from.display()))
    });
    opened.map(Arc::new).map_err(|message| file(key, message))
}

fn needed<'a>(key: &'static str, path: Option<&'a PathBuf>) -> Result<&'a PathBuf, AppError> {
    path.ok_or_else(|| file(key, "not set".to_owned()))
}

fn file(key: &'static str, message: String) -> AppError {
    AppError::File { key, message }
}
