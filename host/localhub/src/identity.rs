//! Who may speak to the hub: devices and, below them, modules.
//!
//! An [`Identity`] is what the registry keeps. Names are checked here, once, so that everything behind this
//! door may put a [`Name`] into a topic or a database key without thinking (`iothub.md` §6.5). Whether a device
//! is connected is not part of its identity: that is known by [`crate::links`] alone and never stored.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// The name of a device, or of a module of a device. Case-sensitive; shown as `device` or `device/module`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    device: String,
    module: Option<String>,
}

impl Name {
    /// A device's name: 1 to 128 ASCII letters, digits and `- . + % _ # * ? ! ( ) , : = @ $ '` and `;`.
    pub fn device(id: &str) -> Result<Self, Fault> {
        check(id)?;
        Ok(Self { device: id.to_owned(), module: None })
    }

    /// A module's name, under the same rules as a device's.
    pub fn module(device: &str, module: &str) -> Result<Self, Fault> {
        check(device)?;
        check(module)?;
        Ok(Self { device: device.to_owned(), module: Some(module.to_owned()) })
    }

    /// The device's part.
    #[must_use]
    pub fn device_id(&self) -> &str {
        &self.device
    }

    /// The module's part, if this is a module.
    #[must_use]
    pub fn module_id(&self) -> Option<&str> {
        self.module.as_deref()
    }

    /// The path which a token must cover, without the host: `/devices/d` or `/devices/d/modules/m`.
    #[must_use]
    pub fn resource(&self) -> String {
        match &self.module {
            None => format!("/devices/{}", self.device),
            Some(module) => format!("/devices/{}/modules/{module}", self.device),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            None => formatter.write_str(&self.device),
            Some(module) => write!(formatter, "{}/{module}", self.device),
        }
    }
}

fn check(id: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-.+%_#*?!(),:=@$';".contains(c);
    if (1..=128).contains(&id.len()) && id.chars().all(allowed) {
        return Ok(());
    }
    let text = format!("the id {id:?} is not 1 to 128 ASCII letters, digits and -.+%_#*?!(),:=@$';");
    Err(Fault::ArgumentInvalid(text))
}

/// One entry of the registry, as stored. The REST form adds the connection state (see [`crate::rest`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The device's id.
    pub device_id: String,
    /// The module's id, for a module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_id: Option<String>,
    /// Who manages a module, such as `IotEdge`; kept and shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Whether a device is said to be a gateway (IoT Edge); kept and shown, and nothing follows from it here.
    #[serde(default)]
    pub is_edge: bool,
    /// New whenever an identity of this name is created again.
    pub generation_id: String,
    /// New with every change; compared with `If-Match`.
    pub etag: String,
    /// A disabled identity cannot connect.
    pub status: Status,
    /// Why it has that status, for people.
    #[serde(default)]
    pub status_reason: Option<String>,
    /// When the status changed last; `None` is never.
    #[serde(default)]
    pub status_updated_time: Option<String>,
    /// How the identity proves itself.
    pub authentication: Authentication,
}

impl Identity {
    /// The name, which was checked when the identity was made.
    pub(crate) fn name(&self) -> Result<Name, Fault> {
        match &self.module_id {
            None => Name::device(&self.device_id),
            Some(module) => Name::module(&self.device_id, module),
        }
    }
}

/// Whether an identity may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// It may.
    Enabled,
    /// It may not.
    Disabled,
}

/// How an identity proves itself: keys for tokens, or thumbprints of a self-signed certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// Which of the two members counts.
    #[serde(rename = "type")]
    pub kind: AuthenticationKind,
    /// Base64 keys; either may sign. Absent for X.509.
    #[serde(default)]
    pub symmetric_key: SymmetricKey,
    /// Upper-case hexadecimal SHA-1 or SHA-256 thumbprints. Absent for `sas`.
    #[serde(default)]
    pub x509_thumbprint: Thumbprints,
}

/// The kinds of proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthenticationKind {
    /// Shared access signatures made with one of two keys.
    #[serde(rename = "sas")]
    Sas,
    /// A self-signed client certificate named by its thumbprint.
    #[serde(rename = "selfSigned")]
    SelfSigned,
    /// A client certificate of a registered authority, whose common name is the device's id.
    #[serde(rename = "certificateAuthority")]
    CertificateAuthority,
    /// No proof: the identity cannot connect.
    #[serde(rename = "none")]
    None,
}

/// Two keys, so that one can be replaced while the other is in use.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SymmetricKey {
    /// Base64 text.
    #[serde(default)]
    pub primary_key: Option<String>,
    /// Base64 text.
    #[serde(default)]
    pub secondary_key: Option<String>,
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SymmetricKey(redacted)")
    }
}

impl SymmetricKey {
    /// Both keys that are present.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.primary_key.iter().chain(&self.secondary_key).map(String::as_str)
    }
}

/// Two thumbprints, for the same reason.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thumbprints {
    /// Hexadecimal text.
    #[serde(default)]
    pub primary_thumbprint: Option<String>,
    /// Hexadecimal text.
    #[serde(default)]
    pub secondary_thumbprint: Option<String>,
}

/// A fresh key: 32 random bytes in base64.
#[must_use]
pub(crate) fn generate_key() -> String {
    STANDARD.encode(rand::rng().random::<[u8; 32]>())
}

/// A fresh entity tag for an identity.
#[must_use]
pub(crate) fn generate_etag() -> String {
    STANDARD.encode(rand::rng().random::<u32>().to_string())
}

/// A fresh generation id: opaque decimal text.
#[must_use]
pub(crate) fn generate_generation() -> String {
    rand::rng().random_range(100_000_000_000_000_000..1_000_000_000_000_000_000_u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_topics_or_keys_are_refused() {
        for id in ["", "a/b", "a b", "ä", "a\u{0}", &"x".repeat(129)] {
            assert!(Name::device(id).is_err(), "{id:?}");
        }
        assert_eq!(Name::device("dev-1.a:b;c'd").unwrap().to_string(), "dev-1.a:b;c'd");
        assert_eq!(Name::module("d", "m").unwrap().resource(), "/devices/d/modules/m");
    }
}
