//! Connection strings of devices, modules and operators: `HostName=…;DeviceId=…;SharedAccessKey=…`.
//!
//! The names of the members are those of IoT Hub, in any case. An unknown member is refused by name, as the official
//! SDKs do: a misspelt one would otherwise look like a missing one. A key is checked to be base64 here, so that a
//! truncated paste is found at the start and not at the first connection. Nothing here shows a secret: errors name
//! members and never repeat values, and `Debug` of a [`Secret`] is redacted.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::strict::nearest;

/// A text that must not be shown. It has no `Display`, `Debug` hides it, and its memory is overwritten when it is
/// dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself: for signing and sending, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<secret>")
    }
}

/// How the holder proves who it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential {
    /// A shared key, base64, with which tokens are made. With a policy it is an operator's.
    Key {
        /// The key.
        key: Secret,
        /// The name of the policy whose key it is.
        policy: Option<String>,
    },
    /// A token made elsewhere. It cannot be renewed.
    Token(Secret),
    /// A client certificate, given apart from the connection string.
    X509,
}

/// A connection string, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionString {
    /// The hub's host name, as written. It is part of user names and signatures even when a gateway stands between.
    pub host: String,
    /// The port behind the host name, where one is written.
    pub port: Option<u16>,
    /// The device's id; none in an operator's.
    pub device: Option<String>,
    /// The module's id.
    pub module: Option<String>,
    /// The host to connect to in place of the hub.
    pub gateway: Option<String>,
    /// How to prove who connects.
    pub credential: Credential,
}

/// Why a connection string was refused. Never repeats a value that may be secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConnectionStringError {
    /// There is nothing.
    #[error("the connection string is empty")]
    Empty,
    /// A part without `=`.
    #[error(
        "part {position} of the connection string has no `=`: it is made of `Name=value` parts with `;` between"
    )]
    NotAMember {
        /// Which one, from 1.
        position: usize,
    },
    /// A part whose name is none. What stands there is not shown: it may be a key that was pasted alone.
    #[error(
        "part {position} of the connection string is not `Name=value`; it begins with `HostName=`, and the whole of it is \
         needed"
    )]
    NoName {
        /// Which one, from 1.
        position: usize,
    },
    /// A member nobody knows.
    #[error("the connection string has the unknown member `{name}`{}", meant(.nearest))]
    Unknown {
        /// Its name.
        name: String,
        /// The one that is meant, most likely.
        nearest: Option<&'static str>,
    },
    /// The same member twice.
    #[error("the connection string has `{0}` twice")]
    Twice(&'static str),
    /// A member that must be there.
    #[error("the connection string has no `{0}`")]
    Missing(&'static str),
    /// A member whose value cannot be.
    #[error("`{member}` in the connection string {reason}")]
    Invalid {
        /// Its name.
        member: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

fn meant(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

const MEMBERS: [&str; 8] = [
    "HostName",
    "DeviceId",
    "ModuleId",
    "GatewayHostName",
    "SharedAccessKey",
    "SharedAccessKeyName",
    "SharedAccessSignature",
    "x509",
];

impl FromStr for ConnectionString {
    type Err = ConnectionStringError;

    /// Reads a connection string. White space around it, such as the newline of a file, is ignored.
    fn from_str(text: &str) -> Result<Self, ConnectionStringError> {
        let mut members = Members::split(text)?;
        let (host, port) =
            split_host(&members.take("HostName").ok_or(ConnectionStringError::Missing("HostName"))?)?;
        let device = members.take("DeviceId");
        let module = members.take("ModuleId");
        if module.is_some() && device.is_none() {
            return Err(ConnectionStringError::Missing("DeviceId"));
        }
        let gateway = members.take("GatewayHostName");
        if let Some(gateway) = &gateway {
            check_host(gateway, "GatewayHostName")?;
        }
        let credential = members.credential()?;
        let connection = ConnectionString { host, port, device, module, gateway, credential };
        if connection.device.is_none()
            && !matches!(connection.credential, Credential::Key { policy: Some(_), .. })
        {
            if let Credential::Key { .. } = connection.credential {
                return Err(ConnectionStringError::Missing("DeviceId` or a `SharedAccessKeyName"));
            }
            return Err(ConnectionStringError::Missing("DeviceId"));
        }
        Ok(connection)
    }
}

impl ConnectionString {
    /// The connection string as a text, *with its secret*: for the owner's eyes and files only.
    pub fn to_secret_text(&self) -> String {
        let mut text = format!("HostName={}", self.host);
        if let Some(port) = self.port {
            text.push_str(&format!(":{port}"));
        }
        let mut push = |name: &str, value: &str| text.push_str(&format!(";{name}={value}"));
        if let Some(device) = &self.device {
            push("DeviceId", device);
        }
        if let Some(module) = &self.module {
            push("ModuleId", module);
        }
        if let Some(gateway) = &self.gateway {
            push("GatewayHostName", gateway);
        }
        match &self.credential {
            Credential::Key { key, policy } => {
                if let Some(policy) = policy {
                    push("SharedAccessKeyName", policy);
                }
                push("SharedAccessKey", key.expose());
            }
            Credential::Token(token) => push("SharedAccessSignature", token.expose()),
            Credential::X509 => push("x509", "true"),
        }
        text
    }
}

/// The most letters of a member's name, and some more for those that are misspelt.
const NAME: usize = 24;

struct Members(Vec<(&'static str, Zeroizing<String>)>);

impl Members {
    fn split(text: &str) -> Result<Self, ConnectionStringError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ConnectionStringError::Empty);
        }
        let mut members: Vec<(&'static str, Zeroizing<String>)> = Vec::new();
        for (index, part) in text.split(';').enumerate().filter(|(_, part)| !part.trim().is_empty()) {
            let position = index + 1;
            let (name, value) = part.split_once('=').ok_or(ConnectionStringError::NotAMember { position })?;
            let Some(known) = MEMBERS.into_iter().find(|member| member.eq_ignore_ascii_case(name.trim()))
            else {
                let name = name.trim().to_owned();
                if name.len() > NAME || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                    return Err(ConnectionStringError::NoName { position });
                }
                let nearest = nearest(&name, MEMBERS);
                return Err(ConnectionStringError::Unknown { name, nearest });
            };
            if members.iter().any(|(member, _)| *member == known) {
                return Err(ConnectionStringError::Twice(known));
            }
            if value.is_empty() {
                return Err(ConnectionStringError::Invalid { member: known, reason: "is empty" });
            }
            members.push((known, Zeroizing::new(value.to_owned())));
        }
        Ok(Members(members))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(member, _)| *member == name)?;
        Some(std::mem::take(&mut *self.0.swap_remove(index).1))
    }

    fn credential(&mut self) -> Result<Credential, ConnectionStringError> {
        let policy = self.take("SharedAccessKeyName");
        let token = self.take("SharedAccessSignature");
        let x509 = match self.take("x509") {
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(_) => {
                return Err(ConnectionStringError::Invalid {
                    member: "x509",
                    reason: "is neither true nor false",
                });
            }
            None => false,
        };
        match (self.take("SharedAccessKey"), token, x509) {
            (Some(key), None, false) => {
                let key = Secret::new(key);
                if STANDARD.decode(key.expose()).map(Zeroizing::new).is_err() {
                    let reason = "is not base64; was it cut off?";
                    return Err(ConnectionStringError::Invalid { member: "SharedAccessKey", reason });
                }
                Ok(Credential::Key { key, policy })
            }
            (None, Some(token), false) => Ok(Credential::Token(Secret::new(token))),
            (None, None, true) => Ok(Credential::X509),
            (None, None, false) => Err(ConnectionStringError::Missing("SharedAccessKey")),
            _ => Err(ConnectionStringError::Invalid {
                member: "SharedAccessKey",
                reason: "stands beside another credential; give one of SharedAccessKey, SharedAccessSignature and x509",
            }),
        }
    }
}

fn split_host(text: &str) -> Result<(String, Option<u16>), ConnectionStringError> {
    let invalid = |reason| ConnectionStringError::Invalid { member: "HostName", reason };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, Some(port.ok_or_else(|| invalid("has a port that is not a number from 1 to 65535"))?))
        }
        _ => (text, None),
    };
    check_host(host, "HostName")?;
    Ok((host.to_owned(), port))
}

fn check_host(host: &str, member: &'static str) -> Result<(), ConnectionStringError> {
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte));
    if !plain || url::Host::parse(host).is_err() {
        let reason = "is not a host name: give it without `https://` and without a path";
        return Err(ConnectionStringError::Invalid { member, reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn read(text: &str) -> Result<ConnectionString, ConnectionStringError> {
        text.parse()
    }

    #[test]
    fn a_device_an_operator_a_module_a_certificate() {
        let device = read(&format!("HostName=hub.localhost;DeviceId=dev-1;SharedAccessKey={KEY}\n")).unwrap();
        assert_eq!(
            (device.host.as_str(), device.port, device.device.as_deref()),
            ("hub.localhost", None, Some("dev-1"))
        );
        let owner =
            read(&format!("HostName=localhost:8443;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"))
                .unwrap();
        assert_eq!((owner.host.as_str(), owner.port), ("localhost", Some(8443)));
        assert!(
            matches!(&owner.credential, Credential::Key { policy: Some(policy), .. } if policy == "iothubowner")
        );
        let module = read("hostname=h;DEVICEID=d;ModuleId=m;GatewayHostName=edge.local;x509=True").unwrap();
        assert_eq!(module.module.as_deref(), Some("m"));
        assert_eq!(module.gateway.as_deref(), Some("edge.local"));
        assert_eq!(module.credential, Credential::X509);
        let token =
            read("HostName=h;DeviceId=d;SharedAccessSignature=SharedAccessSignature sr=a&sig=b%3D&se=1")
                .unwrap();
        assert!(matches!(&token.credential, Credential::Token(token) if token.expose().ends_with("se=1")));
        assert_eq!(read("HostName=[::1]:8443;DeviceId=d;x509=true").unwrap().port, Some(8443));
        assert_eq!(read("HostName=[::1];DeviceId=d;x509=true").unwrap().port, None);
    }

    #[test]
    fn what_was_read_can_be_written_and_read_again() {
        for text in [
            format!("HostName=hub.localhost;DeviceId=dev-1;SharedAccessKey={KEY}"),
            format!("HostName=localhost:8443;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"),
            "HostName=h;DeviceId=d;ModuleId=m;GatewayHostName=edge.local;x509=true".to_owned(),
        ] {
            assert_eq!(read(&text).unwrap().to_secret_text(), text);
        }
    }

    #[test]
    fn the_error_names_the_member() {
        let told = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(told(" \n"), "the connection string is empty");
        assert_eq!(told("DeviceId=d;x509=true"), "the connection string has no `HostName`");
        assert_eq!(told("HostName=h;DeviceId=d"), "the connection string has no `SharedAccessKey`");
        assert_eq!(told("HostName=h;x509=true"), "the connection string has no `DeviceId`");
        assert!(
            told(&format!("HostName=h;SharedAccessKey={KEY}"))
                .contains("`DeviceId` or a `SharedAccessKeyName`")
        );
        assert!(told("HostName=h;DeviceId=d;SharedAccesKey=x").ends_with("did you mean `SharedAccessKey`?"));
        assert_eq!(told("HostName=h;HostName=i"), "the connection string has `HostName` twice");
        assert!(told("HostName=h;whatever").starts_with("part 2 of the connection string has no `=`"));
        assert!(told("HostName=https://h/;DeviceId=d;x509=true").contains("`HostName`"));
        assert!(told("HostName=h:0;DeviceId=d;x509=true").contains("port"));
        assert!(told("HostName=h:99999;DeviceId=d;x509=true").contains("port"));
        assert!(
            told("HostName=h;DeviceId=;x509=true").contains("`DeviceId` in the connection string is empty")
        );
        assert!(
            told(&format!("HostName=h;DeviceId=d;SharedAccessKey={KEY};x509=true"))
                .contains("beside another")
        );
    }

    #[test]
    fn no_way_to_see_the_key_by_accident() {
        let device = read(&format!("HostName=h;DeviceId=d;SharedAccessKey={KEY}")).unwrap();
        assert!(!format!("{device:?}").contains(KEY));
        let error = read("HostName=h;DeviceId=d;SharedAccessKey=not*base64").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("not*base64"));
        assert!(error.to_string().contains("`SharedAccessKey`"));
        for pasted in [KEY.to_owned(), format!("{KEY};HostName=h"), format!("{KEY}=HostName=h;DeviceId=d")] {
            let error = read(&pasted).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(&KEY[..20]), "{error}");
        }
    }
}
