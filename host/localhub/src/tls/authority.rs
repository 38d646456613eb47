//! The private certificate authority.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Certificates could not be made, read or kept.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("{file}: {error}")]
    File {
        /// Its path.
        file: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// Making or reading a certificate or key.
    #[error("{what}: {error}")]
    Certificate {
        /// Which.
        what: String,
        /// The cause.
        error: rcgen::Error,
    },
    /// Clients may trust a certificate that nobody can sign for any more.
    #[error("{key} is missing while {certificate} exists; restore it, or remove the latter to start afresh")]
    KeyMissing {
        /// The certificate that is there.
        certificate: PathBuf,
        /// The key that is not.
        key: PathBuf,
    },
    /// Setting up TLS with them.
    #[error("TLS cannot be set up: {0}")]
    Rustls(rustls::Error),
}

/// The authority, able to sign.
pub(super) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads `ca.pem` and `ca.key.pem`, or makes them. The key is written first, so that a cut between the two
    /// leaves no certificate to be trusted for nothing.
    pub(super) fn open(directory: &Path) -> Result<Self, TlsError> {
        let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key.pem"));
        match (certificate.exists(), key.exists()) {
            (true, true) => {}
            (true, false) => return Err(TlsError::KeyMissing { certificate, key }),
            (false, _) => make(&certificate, &key)?,
        }
        let pem = read(&certificate)?;
        let key_pair = KeyPair::from_pem(&read(&key)?)
            .map_err(|error| TlsError::Certificate { what: key.display().to_string(), error })?;
        // The certificate's own parameters are fixed, so it need not be parsed to sign in its name.
        let issuer = Issuer::new(parameters(), key_pair);
        Ok(Self { pem, issuer })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A server certificate for names and addresses, with a key of its own.
    pub(super) fn server_certificate(
        &self,
        names: Vec<String>,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let wrong = |error| TlsError::Certificate { what: "the server certificate".into(), error };
        let mut params = CertificateParams::new(names).map_err(wrong)?;
        params.distinguished_name = named("Hotshoe local hub");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(wrong)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(wrong)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![certificate.der().clone()], private))
    }
}

fn make(certificate: &Path, key: &Path) -> Result<(), TlsError> {
    let wrong = |error| TlsError::Certificate { what: "the certificate authority".into(), error };
    let file = |(file, error)| TlsError::File { file, error };
    let key_pair = if key.exists() {
        KeyPair::from_pem(&read(key)?).map_err(wrong)?
    } else {
        let made = KeyPair::generate().map_err(wrong)?;
        crate::files::write(key, made.serialize_pem().as_bytes(), 0o600).map_err(file)?;
        made
    };
    let made = parameters().self_signed(&key_pair).map_err(wrong)?;
    crate::files::write(certificate, made.pem().as_bytes(), 0o644).map_err(file)
}

fn parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named("Hotshoe local hub authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn read(file: &Path) -> Result<String, TlsError> {
    std::fs::read_to_string(file).map_err(|error| TlsError::File { file: file.into(), error })
}
