//! What an operator writes about an identity, read as leniently as the SDKs need: keys absent, `null` or empty mean
//! "make them" (or, in an update, "leave them"), and members that are the hub's to say are ignored.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::fault::Fault;
use crate::identity::{
    Authentication, AuthenticationKind, Name, Status, SymmetricKey, Thumbprints, generate_key,
};

/// What a caller may say about an identity; anything else in the body is the hub's to say and ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wanted {
    pub(super) device_id: Option<String>,
    pub(super) module_id: Option<String>,
    pub(super) managed_by: Option<String>,
    capabilities: Option<WantedCapabilities>,
    status: Option<String>,
    pub(super) status_reason: Option<String>,
    authentication: Option<WantedAuthentication>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WantedCapabilities {
    iot_edge: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WantedAuthentication {
    #[serde(rename = "type")]
    kind: Option<String>,
    symmetric_key: Option<SymmetricKey>,
    x509_thumbprint: Option<Thumbprints>,
}

impl Wanted {
    /// The body may repeat the names of the path, and no others.
    pub(super) fn check_names(&self, name: &Name) -> Result<(), Fault> {
        let differs = |said: &Option<String>, path: Option<&str>| {
            said.as_deref().is_some_and(|said| !said.is_empty() && Some(said) != path)
        };
        if differs(&self.device_id, Some(name.device_id())) || differs(&self.module_id, name.module_id()) {
            let text = format!("the body's id differs from the path's {name}");
            return Err(Fault::ArgumentInvalid(text));
        }
        Ok(())
    }

    /// Whether it is to be a gateway, if that is said.
    pub(super) fn is_edge(&self) -> Option<bool> {
        self.capabilities.as_ref().and_then(|capabilities| capabilities.iot_edge)
    }

    /// The status asked for, if any.
    pub(super) fn status(&self) -> Result<Option<Status>, Fault> {
        match self.status.as_deref() {
            None | Some("") => Ok(None),
            Some("enabled") => Ok(Some(Status::Enabled)),
            Some("disabled") => Ok(Some(Status::Disabled)),
            Some(other) => {
                Err(Fault::ArgumentInvalid(format!("status is \"enabled\" or \"disabled\", not {other:?}")))
            }
        }
    }

    /// What the identity's proof becomes; whatever is not said stays as it was, or is made.
    pub(super) fn authentication(&self, present: Option<&Authentication>) -> Result<Authentication, Fault> {
        let default = WantedAuthentication::default();
        let wanted = self.authentication.as_ref().unwrap_or(&default);
        let thumbprints = wanted.x509_thumbprint.clone().unwrap_or_default();
        let has_thumbprint = is_said(&thumbprints.primary_thumbprint).is_some();
        let kind = match wanted.kind.as_deref() {
            Some("sas") => AuthenticationKind::Sas,
            Some("selfSigned") => AuthenticationKind::SelfSigned,
            Some("certificateAuthority") => AuthenticationKind::CertificateAuthority,
            Some("none") => AuthenticationKind::None,
            None | Some("") if has_thumbprint => AuthenticationKind::SelfSigned,
            None | Some("") => present.map_or(AuthenticationKind::Sas, |present| present.kind),
            Some(other) => {
                let text = format!(
                    "authentication type is sas, selfSigned, certificateAuthority or none, not {other:?}"
                );
                return Err(Fault::ArgumentInvalid(text));
            }
        };
        if kind != AuthenticationKind::Sas {
            let x509_thumbprint = match present {
                _ if kind == AuthenticationKind::CertificateAuthority => Thumbprints::default(),
                Some(present) if !has_thumbprint => present.x509_thumbprint.clone(),
                _ => thumbprints,
            };
            check_thumbprints(&x509_thumbprint)?;
            return Ok(Authentication { kind, symmetric_key: SymmetricKey::default(), x509_thumbprint });
        }
        let said = wanted.symmetric_key.clone().unwrap_or_default();
        let before = present.map(|present| present.symmetric_key.clone()).unwrap_or_default();
        let key = |said: Option<String>, before: Option<String>| match is_said(&said)
            .or_else(|| is_said(&before))
        {
            None => Ok(generate_key()),
            Some(key) => check_key(key),
        };
        let symmetric_key = SymmetricKey {
            primary_key: Some(key(said.primary_key, before.primary_key)?),
            secondary_key: Some(key(said.secondary_key, before.secondary_key)?),
        };
        Ok(Authentication { kind, symmetric_key, x509_thumbprint: Thumbprints::default() })
    }
}

fn is_said(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

fn check_thumbprints(thumbprints: &Thumbprints) -> Result<(), Fault> {
    for thumbprint in [&thumbprints.primary_thumbprint, &thumbprints.secondary_thumbprint] {
        let Some(thumbprint) = is_said(thumbprint) else { continue };
        let is_hexadecimal = thumbprint.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hexadecimal || !matches!(thumbprint.len(), 40 | 64) {
            return Err(Fault::ArgumentInvalid(format!(
                "a thumbprint is 40 (SHA-1) or 64 (SHA-256) hexadecimal digits, not {thumbprint:?}"
            )));
        }
    }
    Ok(())
}

fn check_key(key: String) -> Result<String, Fault> {
    match STANDARD.decode(&key) {
        Ok(bytes) if (16..=64).contains(&bytes.len()) => Ok(key),
        _ => Err(Fault::ArgumentInvalid("a symmetric key is base64 of 16 to 64 bytes".into())),
    }
}
