//! The other end of a connection: its address and, over TLS, the certificate that it showed.

use std::net::IpAddr;

use http::Extensions;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The other end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// `None`: not over TCP.
    pub addr: Option<IpAddr>,
    /// Names in the verified certificate, URIs first.
    pub names: Vec<String>,
}

impl Peer {
    /// What the transport noted with the request. The certificate was verified by the handshake.
    pub fn of(extensions: &Extensions) -> Peer {
        if let Some(tls) = extensions.get::<TlsConnectInfo<TcpConnectInfo>>() {
            let certificates = tls.peer_certs();
            let leaf = certificates.as_ref().and_then(|chain| chain.first());
            return Peer {
                addr: tls.get_ref().remote_addr().map(|addr| addr.ip()),
                names: leaf.map(|leaf| names(leaf)).unwrap_or_default(),
            };
        }
        let tcp = extensions.get::<TcpConnectInfo>();
        Peer {
            addr: tcp.and_then(|tcp| tcp.remote_addr().map(|addr| addr.ip())),
            names: Vec::new(),
        }
    }

    /// The name that the certificate gives: a URI such as a SPIFFE id, else a DNS name.
    pub fn certified(&self) -> Option<String> {
        self.names.first().cloned()
    }
}

/// Subject alternative names. The subject itself is no identity: anything can be written there.
fn names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
    let dns = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
    uris.chain(dns).collect()
}
