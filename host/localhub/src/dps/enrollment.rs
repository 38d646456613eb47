//! An enrollment: who may register, and as what. The shapes are the provisioning service's REST's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;
use crate::fault::Fault;
use crate::identity::{Status, SymmetricKey, Thumbprints, generate_etag, generate_key};
use crate::tls::certificate::{Facts, read, thumbprints};
use crate::twin::{Change, Twin};

/// One device, or many of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Individual,
    Group,
}

/// What an operator writes; what is left out is made or means the usual.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WantedEnrollment {
    registration_id: Option<String>,
    enrollment_group_id: Option<String>,
    #[serde(default)]
    device_id: Option<String>,
    attestation: Option<Attestation>,
    provisioning_status: Option<Status>,
    initial_twin: Option<Change>,
    iot_hub_host_name: Option<String>,
    payload: Option<Value>,
}

/// As it is kept and shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Enrollment {
    /// For one device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) registration_id: Option<String>,
    /// For a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) enrollment_group_id: Option<String>,
    /// The name in the hub; the registration id if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device_id: Option<String>,
    pub(crate) attestation: Attestation,
    pub(crate) provisioning_status: Status,
    /// What the twin of a new device begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) initial_twin: Option<Change>,
    /// Another hub that its devices are sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) iot_hub_host_name: Option<String>,
    /// What the device gets along with its assignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<Value>,
    pub(crate) etag: String,
    pub(crate) created_date_time_utc: String,
    pub(crate) last_updated_date_time_utc: String,
}

/// How a device proves itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Attestation {
    #[serde(rename_all = "camelCase")]
    SymmetricKey {
        #[serde(default)]
        symmetric_key: SymmetricKey,
    },
    X509 {
        x509: Box<X509>,
    },
}

/// Certificates of the device itself, or of authorities.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct X509 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_certificates: Option<Certificates>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signing_certificates: Option<Certificates>,
}

/// Two, so that one can be replaced while the other is in use.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Certificates {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) primary: Option<Certificate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secondary: Option<Certificate>,
}

impl Certificates {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.primary.iter().chain(&self.secondary)
    }
}

/// A certificate: PEM, or base64 of its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) certificate: String,
    #[serde(default)]
    pub(crate) info: Info,
}

/// What the hub read in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Info {
    pub(crate) subject_name: String,
    pub(crate) sha1_thumbprint: String,
    pub(crate) sha256_thumbprint: String,
}

impl WantedEnrollment {
    /// Checks everything and fills in what is missing. `id` is the path's; `present` is what is there now.
    pub(crate) fn complete(
        self,
        kind: Kind,
        id: &str,
        present: Option<&Enrollment>,
    ) -> Result<Enrollment, Fault> {
        let invalid = |reason: String| Fault::ArgumentInvalid(format!("the enrollment {id:?}: {reason}"));
        check_id(id).map_err(invalid)?;
        let said = if kind == Kind::Individual { &self.registration_id } else { &self.enrollment_group_id };
        if said.as_deref().is_some_and(|said| said != id) {
            return Err(invalid("the body names another than the path".into()));
        }
        if kind == Kind::Group && self.device_id.is_some() {
            return Err(invalid(
                "a group has no device id: each device is called by its registration id".into(),
            ));
        }
        if let Some(device) = &self.device_id {
            crate::identity::Name::device(device)?;
        }
        let wanted = self.attestation.or_else(|| present.map(|present| present.attestation.clone()));
        let wanted = wanted.unwrap_or(Attestation::SymmetricKey { symmetric_key: SymmetricKey::default() });
        let attestation = wanted.complete(kind).map_err(invalid)?;
        if let Some(twin) = &self.initial_twin {
            Twin::new("").change(twin, false, "")?;
        }
        let now = clock::now_text();
        let (registration_id, enrollment_group_id) = match kind {
            Kind::Individual => (Some(id.to_owned()), None),
            Kind::Group => (None, Some(id.to_owned())),
        };
        Ok(Enrollment {
            registration_id,
            enrollment_group_id,
            device_id: self.device_id,
            attestation,
            provisioning_status: self.provisioning_status.unwrap_or(Status::Enabled),
            initial_twin: self.initial_twin,
            iot_hub_host_name: self.iot_hub_host_name.filter(|host| !host.is_empty()),
            payload: self.payload,
            etag: generate_etag(),
            created_date_time_utc: present
                .map_or_else(|| now.clone(), |present| present.created_date_time_utc.clone()),
            last_updated_date_time_utc: now,
        })
    }
}

impl Attestation {
    fn complete(self, kind: Kind) -> Result<Self, String> {
        match self {
            Self::SymmetricKey { symmetric_key } => {
                let key = |said: Option<String>| match said.filter(|said| !said.is_empty()) {
                    Some(said) => {
                        super::device_key(&said, "").map(|_| said).map_err(|error| error.to_string())
                    }
                    None => Ok(generate_key()),
                };
                Ok(Self::SymmetricKey {
                    symmetric_key: SymmetricKey {
                        primary_key: Some(key(symmetric_key.primary_key)?),
                        secondary_key: Some(key(symmetric_key.secondary_key)?),
                    },
                })
            }
            Self::X509 { mut x509 } => {
                let (used, unused, name) = match kind {
                    Kind::Individual => {
                        (&mut x509.client_certificates, &x509.signing_certificates, "clientCertificates")
                    }
                    Kind::Group => {
                        (&mut x509.signing_certificates, &x509.client_certificates, "signingCertificates")
                    }
                };
                let Some(certificates) = used.as_mut().filter(|used| used.iter().next().is_some()) else {
                    return Err(format!("x509 has no {name} with a primary or secondary"));
                };
                if unused.is_some() {
                    return Err(format!("of x509 it takes {name} alone"));
                }
                for certificate in certificates.primary.iter_mut().chain(&mut certificates.secondary) {
                    certificate.complete(kind)?;
                }
                Ok(Self::X509 { x509 })
            }
        }
    }
}

impl Certificate {
    fn complete(&mut self, kind: Kind) -> Result<(), String> {
        let certificate = read(&self.certificate)?;
        let facts = Facts::of(&certificate)?;
        if kind == Kind::Group && !facts.is_authority {
            return Err(format!("{} may not sign for others (basic constraints)", facts.subject));
        }
        let [sha1_thumbprint, sha256_thumbprint] = thumbprints(&certificate);
        self.info = Info { subject_name: facts.subject, sha1_thumbprint, sha256_thumbprint };
        Ok(())
    }

    /// As the registry keeps thumbprints.
    pub(crate) fn thumbprint_of(thumbprint: &str) -> Thumbprints {
        Thumbprints { primary_thumbprint: Some(thumbprint.to_owned()), secondary_thumbprint: None }
    }
}

/// Letters, digits and `-._:`, 1 to 128 of them, as the service wants registration ids.
fn check_id(id: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if (1..=128).contains(&id.len()) && id.chars().all(allowed) {
        return Ok(());
    }
    Err("its id is not 1 to 128 ASCII letters, digits and -._:".into())
}
