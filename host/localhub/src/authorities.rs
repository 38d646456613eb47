//! The certificate authorities whose signature makes a client certificate good (`iothub.md` §1.4).
//!
//! Devices of the type `certificateAuthority` have no keys here: whoever shows a certificate of a registered
//! authority whose common name is the device's id is that device. Authorities come from the command line
//! (`--device-ca`, for as long as the hub runs) and from `/localhub/authorities` (kept). IoT Hub asks the operator to
//! prove that he holds the authority's key; this hub believes its owner.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::tls::certificate::{Facts, read, thumbprints};

/// How many authorities may be registered.
pub(crate) const MOST: usize = 100;

/// A registered authority.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Authority {
    /// What the operator calls it.
    pub(crate) name: String,
    /// Whom the certificate names.
    pub(crate) subject: String,
    /// SHA-256, in upper-case hexadecimal.
    pub(crate) thumbprint: String,
    /// When it was registered.
    pub(crate) created: String,
    /// The certificate, as it was given.
    pub(crate) certificate: String,
}

/// Reads every certificate of a PEM file.
pub(crate) fn of_file(file: &Path) -> Result<Vec<CertificateDer<'static>>, std::io::Error> {
    let wrong = |reason: String| std::io::Error::other(format!("not an authority's certificate: {reason}"));
    let text = std::fs::read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("no PEM certificate in it".into()));
    }
    for certificate in &found {
        check(certificate).map_err(wrong)?;
    }
    Ok(found)
}

fn check(certificate: &CertificateDer<'_>) -> Result<Facts, String> {
    let facts = Facts::of(certificate)?;
    if !facts.is_authority {
        return Err(format!("{} may not sign for others (basic constraints)", facts.subject));
    }
    facts.check_time(clock::now_seconds())?;
    Ok(facts)
}

impl Hub {
    /// All authorities, those of the command line first.
    pub(crate) async fn device_authorities(self: &Arc<Self>) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let kept = self.blocking(|hub| Ok(hub.store.authorities()?)).await?;
        let kept = kept.iter().filter_map(|authority| read(&authority.certificate).ok());
        Ok(self.fixed_authorities.iter().cloned().chain(kept).collect())
    }

    /// Registers an authority, or replaces the one of that name.
    pub(crate) async fn register_authority(
        self: &Arc<Self>,
        name: String,
        certificate: String,
    ) -> Result<Authority, Fault> {
        let invalid = |reason: String| Fault::ArgumentInvalid(format!("the authority {name:?}: {reason}"));
        if name.is_empty() || name.len() > 128 {
            return Err(invalid("its name is not 1 to 128 bytes".into()));
        }
        let der = read(&certificate).map_err(invalid)?;
        let facts = check(&der).map_err(invalid)?;
        let [_, thumbprint] = thumbprints(&der);
        let (subject, created) = (facts.subject, clock::now_text());
        let authority = Authority { name, subject, thumbprint, created, certificate };
        self.blocking(move |hub| {
            let present = hub.store.authorities()?;
            if present.len() >= MOST && !present.iter().any(|other| other.name == authority.name) {
                return Err(Fault::ArgumentInvalid(format!("{MOST} authorities are registered; remove one")));
            }
            hub.store.keep_authority(&authority.name, Some(&authority))?;
            Ok(authority)
        })
        .await
    }
}
