//! TLS from the client's side: a full handshake each time.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) type Stream = TlsStream<TcpStream>;

/// Trusts one authority; resumes nothing.
pub(crate) fn client(authority: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// A TCP connection to a port of this machine, from one of its addresses `127.x.x.x`: each has ports of its own.
pub(crate) async fn connect(source: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if source != Ipv4Addr::LOCALHOST {
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same, and TLS on it.
pub(crate) async fn open_from(
    source: Ipv4Addr,
    config: &Arc<rustls::ClientConfig>,
    port: u16,
) -> std::io::Result<Stream> {
    let stream = connect(source, port).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// From the usual address.
pub(crate) async fn open(config: &Arc<rustls::ClientConfig>, port: u16) -> std::io::Result<Stream> {
    open_from(Ipv4Addr::LOCALHOST, config, port).await
}
