//! TLS at the listener, with certificates that are replaced while it runs.
//!
//! In: a listener and the files of certificate, key and, for mTLS, the clients' CA. Out: connections
//! whose handshake is done. A client that shows no certificate is let in to health and reflection;
//! what it may call is decided per call. Bounded by [`HANDSHAKES_MAX`] and [`HANDSHAKE_TIME_MAX`]:
//! silent connections do not keep others out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::TcpListenerStream;
use tracing::debug;

use crate::watched::Watched;

/// Handshakes at once.
const HANDSHAKES_MAX: usize = 256;
/// How long one may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// What is spoken: HTTP/2 only.
const ALPN: &[u8] = b"h2";

/// The files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TlsFiles {
    /// Certificate chain, PEM, the server's own first.
    pub(super) cert: PathBuf,
    /// Its private key, PEM.
    pub(super) key: PathBuf,
    /// Whose certificates clients may show, PEM; `None`: none are asked for.
    pub(super) client_ca: Option<PathBuf>,
}

/// The configuration of handshakes, read again when a file changes.
pub(super) fn watch(files: TlsFiles) -> Result<Watched<ServerConfig>, String> {
    let mut paths = vec![files.cert.clone(), files.key.clone()];
    paths.extend(files.client_ca.clone());
    Watched::open(paths, move || load(&files))
}

/// Connections after their handshakes; failed ones are left out.
pub(super) fn incoming(
    listener: TcpListener,
    config: Arc<Watched<ServerConfig>>,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    TcpListenerStream::new(listener)
        .map(move |accepted| {
            let acceptor = TlsAcceptor::from(config.get());
            async move {
                let stream = accepted?;
                stream.set_nodelay(true)?;
                let handshake = acceptor.accept(stream);
                let done = tokio::time::timeout(HANDSHAKE_TIME_MAX, handshake).await;
                done.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
            }
        })
        .buffer_unordered(HANDSHAKES_MAX)
        .filter_map(|connected| async {
            // An error here would end the listener for everybody.
            connected
                .inspect_err(|error| debug!(%error, "no TLS connection"))
                .ok()
                .map(Ok)
        })
}

fn load(files: &TlsFiles) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                let added = roots.add(certificate);
                added.map_err(|error| format!("{}: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| format!("{}: {error}", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("{}: {error}", files.key.display()))?;
    let mut config = builder
        .with_single_cert(certificates(&files.cert)?, key)
        .map_err(|error| format!("{}: {error}", files.cert.display()))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    let all: Result<Vec<_>, _> = read.collect();
    let all = all.map_err(|error| wrong(&error))?;
    if all.is_empty() {
        return Err(wrong(&"holds no certificate"));
    }
    Ok(all)
}
