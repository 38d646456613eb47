//! Client certificates: any is let through TLS if its key is proved; which one counts is the registry's matter.
//!
//! A self-signed certificate is known by its thumbprint, one of an authority by its chain and its common name
//! (`iothub.md` §1.4). Which of the two a device uses is known only when its CONNECT has told who it is, so TLS itself
//! asks for the proof of the key alone, and the login asks the rest of [`ClientCertificate`].

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::certificate::{self, Facts};

/// The certificates of a client that proved to hold the key of the first.
#[derive(Debug, Clone)]
pub(crate) struct ClientCertificate {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
}

impl ClientCertificate {
    /// `None` if the client showed none.
    pub(crate) fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let mut chain = chain.iter().map(|certificate| certificate.clone().into_owned());
        let leaf = chain.next()?;
        Some(Self { leaf, intermediates: chain.collect() })
    }

    /// SHA-1 and SHA-256 in upper-case hexadecimal: the registry may hold either.
    pub(crate) fn thumbprints(&self) -> [String; 2] {
        certificate::thumbprints(&self.leaf)
    }

    /// Fails if the certificate is not yet, or no longer, good at `now`, in seconds since the epoch.
    pub(crate) fn check_time(&self, now: u64) -> Result<(), String> {
        Facts::of(&self.leaf)?.check_time(now)
    }

    /// Fails unless one of the authorities signed for it, directly or by the intermediates that the client showed, and
    /// its common name is `name`.
    pub(crate) fn check_chain(
        &self,
        authorities: &[CertificateDer<'static>],
        name: &str,
        now: u64,
    ) -> Result<(), String> {
        certificate::verify(&self.leaf, &self.intermediates, authorities, now)?;
        let own = Facts::of(&self.leaf)?.common_name;
        if own.as_deref() == Some(name) {
            return Ok(());
        }
        Err(format!("the certificate's common name is {own:?}, not {name:?}"))
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
