//! Client certificates: any is let through TLS if its key is proved; which one counts is the registry's matter.
//!
//! Self-signed device certificates are known by their thumbprints (`iothub.md` §1.4), so there is no chain to
//! build. Certificates signed by an authority of the operator's are not supported yet.

use std::sync::Arc;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// The thumbprints of a certificate that a client proved to hold the key of.
#[derive(Debug, Clone)]
pub(crate) struct ClientCertificate {
    thumbprints: [String; 2],
}

impl ClientCertificate {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        let print = |algorithm| {
            let hash = digest(algorithm, certificate);
            hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
        };
        Self { thumbprints: [print(&SHA1_FOR_LEGACY_USE_ONLY), print(&SHA256)] }
    }

    /// SHA-1 and SHA-256 in hexadecimal: the registry may hold either.
    pub(crate) fn thumbprints(&self) -> &[String] {
        &self.thumbprints
    }
}

/// Takes any certificate, or none; checks that the client holds the key.
#[derive(Debug)]
pub(super) struct AnyCertificate(Arc<CryptoProvider>);

impl AnyCertificate {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
