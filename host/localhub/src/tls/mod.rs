//! Certificates: a private authority made once, and the server's certificate made at every start.
//!
//! `DIR/ca.pem` is what clients trust; its key stands beside it with mode 0600. The server's certificate names the
//! hub's host, `localhost` and the loopback addresses, so that any of them verifies. TLS 1.2 stays on because one
//! of the SDKs speaks nothing else.

mod authority;
pub(crate) mod certificate;
mod client;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};

use self::authority::Authority;
pub(crate) use self::authority::TlsError;
use self::client::AnyCertificate;
pub(crate) use self::client::ClientCertificate;

/// The two doors' configurations, and what clients need to trust them.
pub(crate) struct Tls {
    /// The authority's certificate.
    pub(crate) ca_pem: String,
    /// For MQTT: asks for a client certificate, and takes a client without.
    pub(crate) mqtt: Arc<ServerConfig>,
    /// For HTTPS.
    pub(crate) https: Arc<ServerConfig>,
}

impl Tls {
    /// Reads or makes the authority in `directory` and makes a server certificate for `host` and `address`.
    pub(crate) fn prepare(directory: &Path, host: &str, address: IpAddr) -> Result<Self, TlsError> {
        let authority = Authority::open(directory)?;
        let mut names = vec![host.to_owned(), "localhost".into(), "127.0.0.1".into(), "::1".into()];
        if !address.is_unspecified() {
            names.push(address.to_string());
        }
        names.sort();
        names.dedup();
        let (chain, key) = authority.server_certificate(names)?;
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let builder = || {
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()
        };
        let mut mqtt = builder()
            .map_err(TlsError::Rustls)?
            .with_client_cert_verifier(Arc::new(AnyCertificate::new(Arc::clone(&provider))))
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(TlsError::Rustls)?;
        let mut https = builder()
            .map_err(TlsError::Rustls)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Rustls)?;
        https.alpn_protocols = vec![b"http/1.1".to_vec()];
        for config in [&mut mqtt, &mut https] {
            config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Rustls)?;
        }
        Ok(Self { ca_pem: authority.pem().to_owned(), mqtt: Arc::new(mqtt), https: Arc::new(https) })
    }
}
