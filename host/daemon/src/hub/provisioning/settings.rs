//! What has to be known to be provisioned.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::connection_string::Secret;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::hub::settings::{Clock, Transport};

/// The service of the public cloud.
pub(super) const PUBLIC: &str = "global.azure-devices-provisioning.net";

/// How the device proves that it is who it says.
#[derive(Clone, Debug)]
pub enum ProvisioningKey {
    /// The device's own key, base64. That of a group is derived first: `hotshoe_core::sas::derived_key`.
    Symmetric(Secret),
    /// The certificate of the settings.
    Certificate,
}

/// What has to be known to be provisioned.
pub struct ProvisioningSettings {
    /// The service's host name.
    pub host: String,
    /// Its TCP port, where it is not the transport's own.
    pub port: Option<u16>,
    /// MQTT as it is, or inside a WebSocket.
    pub transport: Transport,
    /// Which provisioning service of the host: `0ne…`.
    pub id_scope: String,
    /// Who the device is there.
    pub registration_id: String,
    /// How it proves that.
    pub key: ProvisioningKey,
    /// Who may vouch for the service's certificate.
    pub roots: Arc<RootCertStore>,
    /// Chain and key of the device, for [`ProvisioningKey::Certificate`].
    pub client_certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// The product's name and version, told to the service as `ClientVersion`.
    pub product: String,
    /// The wall clock.
    pub clock: Clock,
    /// How long one answer may take, and the connection.
    pub patience: Duration,
}

impl ProvisioningSettings {
    /// Settings for the public service, over MQTT on its own port.
    pub fn new(
        id_scope: String,
        registration_id: String,
        key: ProvisioningKey,
        roots: Arc<RootCertStore>,
        clock: Clock,
    ) -> ProvisioningSettings {
        ProvisioningSettings {
            host: PUBLIC.to_owned(),
            port: None,
            transport: Transport::default(),
            id_scope,
            registration_id,
            key,
            roots,
            client_certificate: None,
            product: concat!("hotshoed/", env!("CARGO_PKG_VERSION")).to_owned(),
            clock,
            patience: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for ProvisioningSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProvisioningSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("transport", &self.transport)
            .field("id_scope", &self.id_scope)
            .field("registration_id", &self.registration_id)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
