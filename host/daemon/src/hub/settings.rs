//! What the hub session has to know before anything is opened.
//!
//! Everything that can be wrong with it is refused here, once, with the member's name; the session itself never
//! meets a bad setting. Names of the wire contract: iothub.md 1.1, 1.2, 1.6 and 5.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::connection_string::ConnectionString;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::HubError;
use super::backoff::Backoff;

/// The largest keep-alive that the hub honours: its time-out is 1.5 times it, capped at 1767 s.
pub const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(1177);

const API_VERSION: &str = "2021-04-12";
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The wall clock, in seconds since the Unix epoch. Tokens are made from it; nothing else asks it.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How MQTT travels; always inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// MQTT over TLS, port 8883.
    #[default]
    Mqtt,
    /// MQTT over WebSocket over TLS, port 443, for networks that let nothing else out.
    WebSocket,
}

impl Transport {
    /// The port that hubs and the provisioning service listen on.
    pub(super) fn port(self) -> u16 {
        match self {
            Transport::Mqtt => 8883,
            Transport::WebSocket => 443,
        }
    }
}

/// What the session is started with.
pub struct HubSettings {
    /// Who the device is and how it proves it.
    pub connection: ConnectionString,
    /// MQTT as it is, or inside a WebSocket.
    pub transport: Transport,
    /// The TCP port; `None` takes the connection string's, else the transport's own.
    pub port: Option<u16>,
    /// Who may vouch for the hub's certificate.
    pub roots: Arc<RootCertStore>,
    /// Chain and key, for a connection string with `x509=true`.
    pub client_certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// TLS as [`shared_tls`](super::shared_tls) makes it, for many sessions in one process; roots and certificate are then not looked at.
    pub tls: Option<Arc<ClientConfig>>,
    /// Silence after which the link is probed; 1 s up to [`KEEP_ALIVE_LIMIT`].
    pub keep_alive: Duration,
    /// How long a token made here is valid. The session reconnects with a new one at four fifths of it.
    pub token_lifetime: Duration,
    /// The product's name and version, told to the hub as `DeviceClientType`.
    pub product: String,
    /// The wall clock.
    pub clock: Clock,
    /// Time-outs and waits.
    pub pace: Pace,
}

impl HubSettings {
    /// Settings with this product's defaults: MQTT on its own port, keep-alive 60 s, tokens of one hour.
    pub fn new(connection: ConnectionString, roots: Arc<RootCertStore>, clock: Clock) -> Self {
        HubSettings {
            connection,
            transport: Transport::default(),
            port: None,
            roots,
            client_certificate: None,
            tls: None,
            keep_alive: Duration::from_secs(60),
            token_lifetime: Duration::from_secs(60 * 60),
            product: concat!("hotshoed/", env!("CARGO_PKG_VERSION")).to_owned(),
            clock,
            pace: Pace::default(),
        }
    }

    pub(super) fn check(&self) -> Result<Identity, HubError> {
        let device = self.connection.device.clone().ok_or(HubError::NoDevice)?;
        if self.keep_alive < Duration::from_secs(1) || self.keep_alive > KEEP_ALIVE_LIMIT {
            return Err(HubError::KeepAlive { seconds: self.keep_alive.as_secs() });
        }
        if self.token_lifetime < Duration::from_secs(1) {
            return Err(HubError::TokenLifetime { seconds: self.token_lifetime.as_secs() });
        }
        Ok(Identity { host: self.connection.host.clone(), device, module: self.connection.module.clone() })
    }

    /// Where to connect to: the gateway if one is named, else the hub. Names nothing but the TCP and TLS target.
    pub(super) fn target(&self) -> (String, u16) {
        let host = self.connection.gateway.as_ref().unwrap_or(&self.connection.host).clone();
        (host, self.port.or(self.connection.port).unwrap_or(self.transport.port()))
    }
}

impl fmt::Debug for HubSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HubSettings")
            .field("connection", &self.connection)
            .field("transport", &self.transport)
            .field("port", &self.port)
            .field("keep_alive", &self.keep_alive)
            .field("token_lifetime", &self.token_lifetime)
            .field("product", &self.product)
            .finish_non_exhaustive()
    }
}

/// Time-outs and waits of the session. The defaults suit IoT Hub; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Name resolution, TCP, TLS and CONNACK together; whole seconds.
    pub connect: Duration,
    /// How long one answer of the hub (SUBACK, twin response, PUBACK) may take.
    pub answer: Duration,
    /// Between connections after a lost link.
    pub reconnect: Backoff,
    /// Between connections while the hub refuses the credential, and between telemetry messages that it does not take.
    pub refused: Backoff,
    /// Before a twin request that the hub put off (429, 5xx) is repeated.
    pub throttled: Backoff,
    /// A connection that held this long makes the waits start small again.
    pub settled: Duration,
    /// The least time between two volatile progress patches.
    pub progress: Duration,
    /// At shutdown: how long running calls and the outbox may take, each.
    pub drain: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Pace {
            connect: seconds(30),
            answer: seconds(30),
            reconnect: Backoff { floor: Duration::ZERO, base: seconds(1), cap: seconds(60) },
            refused: Backoff { floor: seconds(20), base: seconds(60), cap: seconds(600) },
            throttled: Backoff { floor: Duration::from_millis(200), base: seconds(2), cap: seconds(60) },
            settled: seconds(10),
            progress: seconds(1),
            drain: seconds(5),
        }
    }
}

/// A device, or a module of one, as the hub names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) host: String,
    pub(super) device: String,
    pub(super) module: Option<String>,
}

impl Identity {
    /// MQTT client id: `device` or `device/module`. Not percent-encoded, as the hub's own clients do it.
    pub(super) fn client_id(&self) -> String {
        match &self.module {
            Some(module) => format!("{}/{module}", self.device),
            None => self.device.clone(),
        }
    }

    /// MQTT user name. Without `api-version` the hub connects, and then answers every reported patch with 400.
    pub(super) fn username(&self, product: &str) -> String {
        let product = utf8_percent_encode(product, UNRESERVED);
        format!("{}/{}/?api-version={API_VERSION}&DeviceClientType={product}", self.host, self.client_id())
    }

    /// What a token gives access to.
    pub(super) fn resource(&self) -> String {
        match &self.module {
            Some(module) => format!("{}/devices/{}/modules/{module}", self.host, self.device),
            None => format!("{}/devices/{}", self.host, self.device),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> HubSettings {
        HubSettings::new(text.parse().unwrap(), Arc::new(RootCertStore::empty()), Arc::new(|| 0))
    }

    #[test]
    fn device_is_named_as_the_hub_wants_it() {
        let settings = settings("HostName=hub.example;DeviceId=dev-1;SharedAccessKey=a2V5");
        let identity = settings.check().unwrap();
        assert_eq!(identity.client_id(), "dev-1");
        assert_eq!(
            identity.username("acme box/1.0"),
            "hub.example/dev-1/?api-version=2021-04-12&DeviceClientType=acme%20box%2F1.0"
        );
        assert_eq!(identity.resource(), "hub.example/devices/dev-1");
        assert_eq!(settings.target(), ("hub.example".to_owned(), 8883));
    }

    #[test]
    fn module_and_gateway_change_only_their_part() {
        let text =
            "HostName=hub.example;DeviceId=d;ModuleId=m;GatewayHostName=edge.example;SharedAccessKey=a2V5";
        let mut settings = settings(text);
        settings.transport = Transport::WebSocket;
        let identity = settings.check().unwrap();
        assert_eq!(identity.client_id(), "d/m");
        assert!(identity.username("p").starts_with("hub.example/d/m/?api-version="));
        assert_eq!(identity.resource(), "hub.example/devices/d/modules/m");
        assert_eq!(settings.target(), ("edge.example".to_owned(), 443));
    }

    #[test]
    fn keep_alive_beyond_the_hubs_limit_is_refused() {
        let mut settings = settings("HostName=hub.example;DeviceId=d;SharedAccessKey=a2V5");
        settings.keep_alive = Duration::from_secs(1178);
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "keep_alive of 1178 s: the hub honours 1 s to 1177 s; choose a value between"
        );
    }

    #[test]
    fn debug_output_shows_no_key() {
        let settings = settings("HostName=hub.example;DeviceId=d;SharedAccessKey=c2VjcmV0");
        assert!(!format!("{settings:?}").contains("c2VjcmV0"));
    }
}
