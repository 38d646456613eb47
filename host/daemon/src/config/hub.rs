//! The tables `[hub]` and `[hub.provisioning]`: who the device is, how it proves it, and how it gets to its hub.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::connection_string::{ConnectionString, Credential, Secret};
use hotshoe_core::sas;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::check::Check;
use super::{CONNECTION_STRING_VARIABLE, HubConfig, HubSource, ProvisioningConfig, file, pem};
use crate::hub::ProvisioningKey;

/// The longest keep-alive that the hub honours (iothub.md 1.6).
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(1177);
/// The longest registration id.
const REGISTRATION_LIMIT: usize = 128;

impl Check<'_> {
    pub(super) fn hub(&mut self, hub: &file::Hub) -> Option<HubConfig> {
        let in_environment = self.surroundings.connection_string.is_some();
        let provisioning = hub.provisioning.as_ref().filter(|_| !in_environment);
        if provisioning.is_some() && hub.connection_string_file.is_some() {
            self.problem("[hub]: connection_string_file and [hub.provisioning] exclude each other");
        }
        let connection = match provisioning {
            Some(_) => None,
            None => Some(self.connection(hub.connection_string_file.as_deref())),
        };
        let roots = match hub.ca_file.as_deref() {
            Some(path) => {
                let loaded = pem::roots(&self.path(path));
                self.note("[hub] ca_file", loaded)
            }
            None => {
                let roots = pem::system_roots();
                let found = if roots.is_empty() {
                    Err("the system has no root certificates; name a ca_file".to_owned())
                } else {
                    Ok(roots)
                };
                self.note("[hub] ca_file", found)
            }
        };
        let certificate = self.certificate(hub);
        if hub.keep_alive < Duration::from_secs(1) || hub.keep_alive > KEEP_ALIVE_LIMIT {
            self.problem("[hub] keep_alive: the hub honours 1s to 1177s");
        }
        if hub.token_lifetime < Duration::from_secs(1) {
            self.problem("[hub] token_lifetime: at least 1s");
        }
        if hub.port == Some(0) {
            self.problem("[hub] port: 0 is no port");
        }
        let roots = roots.map(Arc::new);
        let source = match (connection, provisioning) {
            (Some(connection), _) => HubSource::Connection(connection?),
            (None, Some(table)) => {
                let provisioning = self.provisioning(table, certificate.is_some(), roots.as_ref());
                HubSource::Provisioning(provisioning?)
            }
            (None, None) => return None,
        };
        if let HubSource::Connection(connection) = &source
            && matches!(connection.credential, Credential::X509)
            && certificate.is_none()
        {
            self.problem(
                "[hub]: the connection string says x509=true; set certificate_file and private_key_file",
            );
        }
        Some(HubConfig {
            source,
            roots: roots?,
            web_socket: hub.transport == file::Transport::WebSocket,
            port: hub.port,
            certificate,
            keep_alive: hub.keep_alive,
            token_lifetime: hub.token_lifetime,
        })
    }

    fn connection(&mut self, path: Option<&Path>) -> Option<ConnectionString> {
        let (place, text) = match (&self.surroundings.connection_string, path) {
            (Some(text), _) => (CONNECTION_STRING_VARIABLE.to_owned(), Ok(Zeroizing::new(text.clone()))),
            (None, Some(path)) => {
                let path = self.path(path);
                let text = std::fs::read_to_string(&path)
                    .map(Zeroizing::new)
                    .map_err(|error| format!("{} cannot be read: {error}", path.display()));
                ("[hub] connection_string_file".to_owned(), text)
            }
            (None, None) => {
                self.problem(&format!(
                    "[hub]: set connection_string_file or [hub.provisioning], or {CONNECTION_STRING_VARIABLE} in the environment"
                ));
                return None;
            }
        };
        let text = self.note(&place, text)?;
        let parsed = text.trim().parse::<ConnectionString>().map_err(|error| error.to_string());
        let connection = self.note(&place, parsed)?;
        if connection.device.is_none() {
            self.problem(&format!("{place}: it names no DeviceId; take the device's own connection string"));
            return None;
        }
        Some(connection)
    }

    fn certificate(
        &mut self,
        hub: &file::Hub,
    ) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let (chain, key) = match (&hub.certificate_file, &hub.private_key_file) {
            (Some(chain), Some(key)) => (self.path(chain), self.path(key)),
            (None, None) => return None,
            _ => {
                self.problem("[hub]: certificate_file and private_key_file go together");
                return None;
            }
        };
        let chain = self.note("[hub] certificate_file", pem::certificates(&chain));
        let key = self.note("[hub] private_key_file", pem::private_key(&key));
        chain.zip(key)
    }

    /// The table `[hub.provisioning]`. Its keys are not part of any message.
    fn provisioning(
        &mut self,
        table: &file::Provisioning,
        certificate: bool,
        hub_roots: Option<&Arc<RootCertStore>>,
    ) -> Option<ProvisioningConfig> {
        let place = "[hub.provisioning]";
        if table.id_scope.is_empty() || !table.id_scope.chars().all(|letter| letter.is_ascii_alphanumeric()) {
            self.problem(&format!("{place} id_scope: it is letters and digits, such as 0ne000A247E"));
        }
        let id = &table.registration_id;
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_' | ':');
        let ends = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if !(1..=REGISTRATION_LIMIT).contains(&id.len()) || !id.chars().all(fits) || !id.ends_with(ends) {
            self.problem(&format!(
                "{place} registration_id: it is 1 to {REGISTRATION_LIMIT} letters, digits and - . _ :, and ends with a \
                 letter, a digit or -"
            ));
        }
        if table.port == Some(0) {
            self.problem(&format!("{place} port: 0 is no port"));
        }
        let key = match (&table.key_file, &table.group_key_file) {
            (Some(file), None) => {
                let key = self.key("key_file", file, |key| sas::derived_key(key, id).map(|_| key.to_owned()));
                key.map(ProvisioningKey::Symmetric)
            }
            (None, Some(file)) => {
                let key = self.key("group_key_file", file, |key| sas::derived_key(key, id));
                key.map(ProvisioningKey::Symmetric)
            }
            (None, None) if certificate => Some(ProvisioningKey::Certificate),
            (None, None) => {
                self.problem(&format!(
                    "{place}: set key_file, group_key_file, or certificate_file and private_key_file in [hub]"
                ));
                None
            }
            (Some(_), Some(_)) => {
                self.problem(&format!("{place}: key_file and group_key_file exclude each other"));
                None
            }
        };
        let roots = match table.ca_file.as_deref() {
            Some(path) => {
                let loaded = pem::roots(&self.path(path));
                self.note("[hub.provisioning] ca_file", loaded).map(Arc::new)
            }
            None => hub_roots.map(Arc::clone),
        };
        Some(ProvisioningConfig {
            host: table.host.clone(),
            port: table.port,
            id_scope: table.id_scope.clone(),
            registration_id: id.clone(),
            key: key?,
            roots: roots?,
        })
    }

    /// A key from a file, as the device is to use it.
    fn key(
        &mut self,
        name: &str,
        file: &Path,
        derive: impl FnOnce(&str) -> Result<String, sas::SasError>,
    ) -> Option<Secret> {
        let path = self.path(file);
        let read = std::fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()));
        let key = read.and_then(|text| {
            derive(text.trim()).map(Secret::new).map_err(|error| format!("{}: {error}", path.display()))
        });
        self.note(&format!("[hub.provisioning] {name}"), key)
    }
}
