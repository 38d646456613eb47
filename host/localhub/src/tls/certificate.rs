//! What is to be known of a certificate: its names, its time, its thumbprints, and who signed for it.
//!
//! Chains are verified by rustls' own verifier of client certificates, and the few members that it does not show are
//! read by `x509-parser`. Certificates come from strangers: everything here fails with a text and never otherwise.

use std::sync::Arc;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::RootCertStore;
use rustls::crypto::ring as provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Larger certificates are not read.
const LARGEST: usize = 64 * 1024;

/// What a certificate says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The subject, for people.
    pub(crate) subject: String,
    /// The subject's common name.
    pub(crate) common_name: Option<String>,
    /// Whether it may sign for others.
    pub(crate) is_authority: bool,
    not_before: i64,
    not_after: i64,
}

impl Facts {
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let unreadable = |what: &str| format!("the certificate cannot be read: {what}");
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| unreadable(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable("something follows it"));
        }
        let common_name = parsed.subject().iter_common_name().next();
        let common_name = common_name.and_then(|name| name.as_str().ok()).map(str::to_owned);
        Ok(Self {
            subject: parsed.subject().to_string(),
            common_name,
            is_authority: parsed.is_ca(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// Fails outside the certificate's time; `now` is in seconds since the epoch.
    pub(crate) fn check_time(&self, now: u64) -> Result<(), String> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        if now < self.not_before {
            return Err("it is not valid yet; check the clocks".into());
        }
        if now > self.not_after {
            return Err("it has expired; make a new one and register it".into());
        }
        Ok(())
    }
}

/// SHA-1 and SHA-256 of the whole certificate, in upper-case hexadecimal.
pub(crate) fn thumbprints(certificate: &CertificateDer<'_>) -> [String; 2] {
    [&SHA1_FOR_LEGACY_USE_ONLY, &SHA256].map(|algorithm| {
        let hash = digest(algorithm, certificate);
        hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
    })
}

/// Reads PEM text, or the base64 between its lines. Of several certificates the first counts.
pub(crate) fn read(text: &str) -> Result<CertificateDer<'static>, String> {
    if text.len() > LARGEST {
        return Err(format!("the certificate has {} bytes; at most {LARGEST} are read", text.len()));
    }
    let certificate = if text.contains("-----BEGIN") {
        CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|error| format!("not a PEM certificate: {error}"))?
    } else {
        let joined: String = text.split_whitespace().collect();
        STANDARD.decode(joined).map_err(|error| format!("neither PEM nor base64: {error}"))?.into()
    };
    Facts::of(&certificate)?;
    Ok(certificate)
}

/// Fails unless one of the authorities signed for the leaf, directly or over the intermediates, everything is within
/// its time, and the leaf may be used by a client.
pub(crate) fn verify(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'static>],
    now: u64,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    let (_, unreadable) = roots.add_parsable_certificates(authorities.iter().cloned());
    if unreadable > 0 {
        tracing::warn!(unreadable, "some registered authorities cannot be used");
    }
    if roots.is_empty() {
        return Err("no authority is registered that could have signed it".into());
    }
    let provider = Arc::new(provider::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|error| error.to_string())?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    verifier.verify_client_cert(leaf, intermediates, now).map(|_| ()).map_err(|error| error.to_string())
}
