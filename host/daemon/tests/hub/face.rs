//! What a device meets at the hub before MQTT: TLS as it should be, and as it should not.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::server::{self, Authority, Face};

/// The hub's own.
pub(crate) const TRUE: Face = Face::Name("localhost");

pub(crate) fn trusting(certificate: &CertificateDer<'static>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    roots
}

/// TLS as `localhost`, and a welcome to clients with and without a certificate.
pub(crate) fn acceptor(authority: &Authority, device: &CertificateDer<'static>) -> TlsAcceptor {
    let (key, certificate) = server::identity(TRUE, authority);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(trusting(device)), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Shows a client this face; none where it did not come to a session.
pub(crate) async fn meet(
    face: Face,
    authority: &Authority,
    own: &TlsAcceptor,
    mut socket: TcpStream,
) -> Option<TlsStream<TcpStream>> {
    match face {
        TRUE => own.accept(socket).await.ok(),
        Face::Closed => None,
        Face::Mute | Face::Raw(_) => {
            if let Face::Raw(bytes) = face {
                let _ = socket.write_all(bytes).await;
            }
            let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
            None
        }
        face => server::acceptor(face, authority).accept(socket).await.ok(),
    }
}

pub(crate) fn certified(name: &str) -> (PrivateKeyDer<'static>, CertificateDer<'static>) {
    let certified = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    (key, certified.cert.der().clone())
}
