//! Whether a provisioning client is who it says, and by which enrollment.
//!
//! An individual enrollment of the registration id is the only one that counts; without one each group is tried. The
//! proof is checked when the client connects; whether the enrollment is enabled shows when it registers.

use hotshoe_core::sas::Token;

use super::enrollment::{Attestation, Certificate, Certificates, Enrollment, Kind};
use super::{UserName, device_key};
use crate::identity::{Authentication, AuthenticationKind, SymmetricKey, Thumbprints};
use crate::store::Store;
use crate::tls::ClientCertificate;
use crate::tls::certificate::read;

/// How many groups are tried, and may be made.
pub(crate) const MOST_GROUPS: usize = 100;

/// What a client brings.
pub(crate) struct Claim {
    pub(crate) user: UserName,
    pub(crate) password: String,
    pub(crate) certificate: Option<ClientCertificate>,
    /// Seconds since the epoch.
    pub(crate) now: u64,
    /// For how long a token is good after its end, in seconds.
    pub(crate) slack: u64,
}

/// A client that proved itself.
#[derive(Debug, Clone)]
pub(crate) struct Proven {
    pub(crate) registration_id: String,
    /// By which enrollment.
    pub(crate) kind: Kind,
    pub(crate) enrollment_id: String,
    /// How it will prove itself to the hub: in the same way.
    pub(crate) authentication: Authentication,
    /// When its token stops being good, slack included; `None` for certificates.
    pub(crate) expires: Option<u64>,
}

impl Claim {
    /// Blocks. The text says why not, for the hub's log.
    pub(crate) fn prove(&self, id_scope: &str, store: &Store) -> Result<Proven, String> {
        if !self.user.id_scope.eq_ignore_ascii_case(id_scope) {
            return Err(format!("the id scope is {id_scope}, not {:?}", self.user.id_scope));
        }
        let id = &self.user.registration_id;
        let failed = |error: crate::store::StoreError| error.to_string();
        if let Some(enrollment) = store.enrollment(Kind::Individual, id).map_err(failed)? {
            return self.by(&enrollment, Kind::Individual);
        }
        let mut reason = format!("{id:?} is not enrolled, and there is no group");
        for group in store.enrollments(Kind::Group, MOST_GROUPS).map_err(failed)? {
            match self.by(&group, Kind::Group) {
                Ok(proven) => return Ok(proven),
                Err(other) => reason = other,
            }
        }
        Err(reason)
    }

    fn by(&self, enrollment: &Enrollment, kind: Kind) -> Result<Proven, String> {
        let (authentication, expires) = match &enrollment.attestation {
            Attestation::SymmetricKey { symmetric_key } => {
                let keys = match kind {
                    Kind::Individual => symmetric_key.clone(),
                    Kind::Group => self.derived(symmetric_key)?,
                };
                let expires = self.by_token(&keys)?;
                (of_keys(keys), Some(expires))
            }
            Attestation::X509 { x509 } => {
                let certificates = match kind {
                    Kind::Individual => &x509.client_certificates,
                    Kind::Group => &x509.signing_certificates,
                };
                let certificates = certificates.as_ref().ok_or("the enrollment has no certificate")?;
                (of_thumbprint(&self.by_certificate(certificates, kind)?), None)
            }
        };
        let enrollment_id = match kind {
            Kind::Individual => &enrollment.registration_id,
            Kind::Group => &enrollment.enrollment_group_id,
        };
        Ok(Proven {
            registration_id: self.user.registration_id.clone(),
            kind,
            enrollment_id: enrollment_id.clone().unwrap_or_default(),
            authentication,
            expires,
        })
    }

    fn derived(&self, group: &SymmetricKey) -> Result<SymmetricKey, String> {
        let derive = |key: &Option<String>| {
            let derived = key.as_deref().map(|key| device_key(key, &self.user.registration_id));
            derived.transpose().map_err(|error| error.to_string())
        };
        Ok(SymmetricKey {
            primary_key: derive(&group.primary_key)?,
            secondary_key: derive(&group.secondary_key)?,
        })
    }

    fn by_token(&self, keys: &SymmetricKey) -> Result<u64, String> {
        let token = Token::parse(&self.password).map_err(|error| format!("the password: {error}"))?;
        let resource = format!("{}/registrations/{}", self.user.id_scope, self.user.registration_id);
        if !token.covers(&resource) {
            return Err(format!("the token does not cover {resource}"));
        }
        let mut reason = "no key that may sign it".to_owned();
        for key in keys.keys() {
            match token.verify(key, self.now, self.slack) {
                Ok(()) => return Ok(token.expiry.saturating_add(self.slack)),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }

    /// Gives the thumbprint by which the hub will know the client.
    fn by_certificate(&self, enrolled: &Certificates, kind: Kind) -> Result<String, String> {
        let own = self.certificate.as_ref().ok_or("no client certificate")?;
        let [_, thumbprint] = own.thumbprints();
        match kind {
            Kind::Individual => {
                if !enrolled.iter().any(|enrolled| enrolled.info.sha256_thumbprint == thumbprint) {
                    return Err("the client certificate is not the enrolled one".into());
                }
                own.check_time(self.now)?;
            }
            Kind::Group => {
                let authorities: Vec<_> =
                    enrolled.iter().filter_map(|enrolled| read(&enrolled.certificate).ok()).collect();
                own.check_chain(&authorities, &self.user.registration_id, self.now)?;
            }
        }
        Ok(thumbprint)
    }
}

fn of_keys(symmetric_key: SymmetricKey) -> Authentication {
    Authentication { kind: AuthenticationKind::Sas, symmetric_key, x509_thumbprint: Thumbprints::default() }
}

fn of_thumbprint(thumbprint: &str) -> Authentication {
    Authentication {
        kind: AuthenticationKind::SelfSigned,
        symmetric_key: SymmetricKey::default(),
        x509_thumbprint: Certificate::thumbprint_of(thumbprint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_key_is_derived_as_the_sdks_derive_it() {
        // The example of the service's documentation.
        let group =
            "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
        let key = device_key(group, "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6").unwrap();
        assert_eq!(key, "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
        assert!(device_key("not base64!", "a").is_err());
    }
}
