//! TLS and the MQTT client's options for one connection.
//!
//! The TLS configuration names its provider: with two providers in a program the default one would be a guess.
//! Packet limits are set here because the client's own (10 KiB both ways) would turn one large direct method into
//! a reconnect loop. Incoming packets may be far larger than the hub's 128 KiB for a method, so that an oversize
//! call gets its 400 and the link stays; beyond [`INCOMING_LIMIT`] the link is dropped rather than memory filled.

use std::sync::Arc;

use rumqttc::{MqttOptions, NetworkOptions, TlsConfiguration};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::HubError;
use super::credential::Password;
use super::settings::{HubSettings, Identity, Transport};

/// The largest packet taken from the hub, in bytes. 1 MiB of payload is still answered.
const INCOMING_LIMIT: usize = 2 * 1024 * 1024;
/// The largest packet sent to the hub, in bytes: telemetry of 256 KiB with its topic.
const OUTGOING_LIMIT: usize = 512 * 1024;

/// The TLS side of every connection: the given roots only, TLS 1.2 and 1.3, a client certificate if there is one.
pub(super) fn tls(settings: &HubSettings) -> Result<Arc<ClientConfig>, HubError> {
    match &settings.tls {
        Some(shared) => Ok(Arc::clone(shared)),
        None => configuration(&settings.roots, settings.client_certificate.as_ref()).map(Arc::new),
    }
}

/// TLS for devices that log in with keys: made once, it serves any number of sessions ([`HubSettings::tls`]).
pub fn shared_tls(roots: &Arc<RootCertStore>) -> Result<Arc<ClientConfig>, HubError> {
    configuration(roots, None).map(Arc::new)
}

pub(super) fn configuration(
    roots: &Arc<RootCertStore>,
    certificate: Option<&(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, HubError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HubError::Tls)?
        .with_root_certificates(Arc::clone(roots));
    let config = match certificate {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(HubError::Certificate)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(config)
}

/// Where to connect to, and as whom.
pub(super) struct Target<'a> {
    pub(super) transport: Transport,
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) client_id: String,
}

/// The options of a connection as far as the target determines them.
pub(super) fn towards(target: &Target<'_>, tls: &Arc<ClientConfig>) -> Result<MqttOptions, HubError> {
    let Target { host, port, client_id, .. } = target;
    let tls = TlsConfiguration::Rustls(Arc::clone(tls));
    match target.transport {
        Transport::Mqtt => {
            let mut options = MqttOptions::new(client_id.clone(), ((*host).to_owned(), *port));
            options.set_transport(rumqttc::Transport::tls_with_config(tls));
            Ok(options)
        }
        Transport::WebSocket => {
            let url = format!("wss://{host}:{port}/$iothub/websocket");
            MqttOptions::websocket_with_tls_config(client_id.clone(), &url, tls)
                .map_err(|error| HubError::Options(format!("{url}: {error}")))
        }
    }
}

/// The options of one connection. `clean` asks the hub to forget what it holds for this device.
pub(super) fn options(
    settings: &HubSettings,
    identity: &Identity,
    tls: &Arc<ClientConfig>,
    password: Password,
    clean: bool,
) -> Result<MqttOptions, HubError> {
    let (host, port) = settings.target();
    let target = Target { transport: settings.transport, host: &host, port, client_id: identity.client_id() };
    let mut options = towards(&target, tls)?;
    let keep_alive = u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX);
    options.set_keep_alive(keep_alive).set_max_packet_size(INCOMING_LIMIT, OUTGOING_LIMIT);
    options.try_set_clean_session(clean).map_err(|error| HubError::Options(error.to_string()))?;
    let username = identity.username(&settings.product);
    match password.token {
        Some(token) => options.set_credentials(username, token),
        None => options.set_username(username),
    };
    options.validate().map_err(|error| HubError::Options(error.to_string()))?;
    Ok(options)
}

/// Socket options: answers to methods are small and must not wait for a full segment.
pub(super) fn network(settings: &HubSettings) -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(settings.pace.connect.as_secs().max(1));
    network
}
