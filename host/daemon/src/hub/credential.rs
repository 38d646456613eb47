//! How the device proves who it is: a token made from the shared key, a ready-made token, or a certificate.
//!
//! A token is made afresh from the clock for every connection, so a refused one is never sent twice and a device
//! that booted in the past recovers as soon as its clock is set. MQTT 3.1.1 cannot renew inside a connection;
//! [`Password::renew_after`] tells the session when to reconnect, well before the hub would close the link.
//! Key and token leave this module only as the CONNECT packet's password. (iothub.md 1.3, 1.4)

use std::time::Duration;

use hotshoe_core::connection_string::{ConnectionString, Credential, Secret};
use hotshoe_core::sas::{self, SasError};

use super::HubError;
use super::settings::Identity;

/// The source of passwords.
pub(super) enum Source {
    Key { resource: String, key: Secret, policy: Option<String>, lifetime: Duration },
    Token(Secret),
    Certificate,
}

/// What goes into CONNECT. Deliberately without `Debug`.
pub(super) struct Password {
    /// `None` with a client certificate.
    pub(super) token: Option<String>,
    /// When to come back with a new one; `None` if there is nothing to renew it from.
    pub(super) renew_after: Option<Duration>,
}

impl Source {
    /// Checks the credential by making a first token from it, so that a key that cannot sign is an error of the
    /// settings and not of the thousandth connection.
    pub(super) fn new(
        connection: &ConnectionString,
        identity: &Identity,
        lifetime: Duration,
        certificate: bool,
    ) -> Result<Source, HubError> {
        let source = match &connection.credential {
            Credential::Key { key, policy } => Source::Key {
                resource: identity.resource(),
                key: key.clone(),
                policy: policy.clone(),
                lifetime,
            },
            Credential::Token(token) => Source::Token(token.clone()),
            Credential::X509 if certificate => Source::Certificate,
            Credential::X509 => return Err(HubError::NoCertificate),
        };
        source.password(0)?;
        Ok(source)
    }

    /// The password for a connection that begins at `now` (seconds since the Unix epoch).
    pub(super) fn password(&self, now: u64) -> Result<Password, SasError> {
        Ok(match self {
            Source::Key { resource, key, policy, lifetime } => {
                let expiry = now.saturating_add(lifetime.as_secs());
                let token = sas::token(resource, key.expose(), policy.as_deref(), expiry)?;
                Password { token: Some(token), renew_after: Some(lifetime.mul_f64(0.8)) }
            }
            Source::Token(token) => Password { token: Some(token.expose().to_owned()), renew_after: None },
            Source::Certificate => Password { token: None, renew_after: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn source(credential: &str) -> Result<Source, HubError> {
        let connection: ConnectionString =
            format!("HostName=hub.localhost;DeviceId=dev-1;{credential}").parse().unwrap();
        let identity = Identity { host: "hub.localhost".into(), device: "dev-1".into(), module: None };
        Source::new(&connection, &identity, Duration::from_secs(3600), false)
    }

    #[test]
    fn token_is_signed_for_the_device_and_renewed_before_it_ends() {
        let password = source(&format!("SharedAccessKey={KEY}")).unwrap().password(1_893_452_400).unwrap();
        let token = password.token.unwrap();
        let parsed = sas::Token::parse(&token).unwrap();
        assert_eq!(parsed.expiry, 1_893_456_000);
        assert!(parsed.covers("hub.localhost/devices/dev-1"));
        parsed.verify(KEY, 1_893_452_400, 0).unwrap();
        assert_eq!(password.renew_after, Some(Duration::from_secs(2880)));
    }

    #[test]
    fn certificate_must_be_there_when_the_connection_string_promises_one() {
        assert!(matches!(source("x509=true").err(), Some(HubError::NoCertificate)));
    }
}
