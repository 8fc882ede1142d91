//! What a client shows of itself, and what it wants to see of the server.
//!
//! In: files as the command line names them. Out: the TLS settings of an `https://` connection, and
//! the bearer token that goes with every call. Files are read once, when the client connects.

use std::fmt;
use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use tonic::{Request, Status};

use crate::client::error::ClientError;

/// Files with credentials; all of them optional.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// Authorities that vouch for the server, PEM; `None`: the public ones.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate chain and its key, PEM.
    pub identity_files: Option<(PathBuf, PathBuf)>,
    /// A file that holds a bearer token.
    pub token_file: Option<PathBuf>,
}

/// Adds the bearer token to every call.
#[derive(Clone, Default)]
pub struct Bearer {
    value: Option<MetadataValue<Ascii>>,
}

impl Credentials {
    /// The settings of a connection over TLS.
    pub(super) fn tls(&self) -> Result<ClientTlsConfig, ClientError> {
        let mut tls = ClientTlsConfig::new();
        tls = match &self.ca_file {
            None => tls.with_webpki_roots(),
            Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
        };
        if let Some((cert, key)) = &self.identity_files {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        Ok(tls)
    }

    /// What goes with every call.
    pub(super) fn bearer(&self) -> Result<Bearer, ClientError> {
        let Some(path) = &self.token_file else {
            return Ok(Bearer::default());
        };
        let token = String::from_utf8_lossy(&read(path)?).trim().to_owned();
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| ClientError::Token { path: path.clone() })?;
        value.set_sensitive(true);
        Ok(Bearer { value: Some(value) })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.value {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.value.is_some() {
            "a token"
        } else {
            "no token"
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|source| ClientError::Open {
        path: path.to_owned(),
        source,
    })
}
