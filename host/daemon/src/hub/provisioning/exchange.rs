//! One registration: a connection of its own, a request, and questions about it until it is answered.

use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::sas;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet};
use rustls::ClientConfig;
use tokio::sync::mpsc;

use super::Assignment;
use super::settings::{ProvisioningKey, ProvisioningSettings};
use super::wire::{self, API_VERSION, Failed, RESPONSES, Response, Standing};
use crate::hub::HubError;
use crate::hub::link::{Link, Lost};
use crate::hub::transport::{self, Target};

/// How long a token for the service is good.
const TOKEN: Duration = Duration::from_secs(60 * 60);
/// How often the service is asked how a registration stands before it counts as failed.
const POLLS: u32 = 60;
/// How many answers wait; there is one at a time.
const ANSWERS: usize = 4;
/// The largest packet either way, in bytes.
const PACKET_LIMIT: usize = 64 * 1024;

/// Finds what is wrong with the settings.
pub(super) fn check(settings: &ProvisioningSettings) -> Result<(), HubError> {
    let tls = transport::configuration(&settings.roots, settings.client_certificate.as_ref())?;
    if matches!(settings.key, ProvisioningKey::Certificate) && settings.client_certificate.is_none() {
        return Err(HubError::NoCertificate);
    }
    options(settings, &Arc::new(tls)).map(drop)
}

/// Registers the device.
pub(super) async fn register(settings: &ProvisioningSettings) -> Result<Assignment, Failed> {
    let link = |error: HubError| Failed::Link(error.to_string());
    let tls =
        transport::configuration(&settings.roots, settings.client_certificate.as_ref()).map_err(link)?;
    let (client, mut events) =
        AsyncClient::builder(options(settings, &Arc::new(tls)).map_err(link)?).unbounded().build();
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(settings.patience.as_secs().max(1));
    events.set_network_options(network);
    let link = Link::new(client, 0);
    let (answers, mut answered) = mpsc::channel(ANSWERS);
    let registered = tokio::select! {
        biased;
        lost = pump(&mut events, &answers) => Err(failed(lost, settings.patience)),
        registered = ask(settings, &link, &mut answered) => registered,
    };
    // The connection ends with the event loop; the service has nothing to remember of it.
    drop(events);
    registered
}

async fn ask(
    settings: &ProvisioningSettings,
    link: &Link,
    answered: &mut mpsc::Receiver<Response>,
) -> Result<Assignment, Failed> {
    let silent = |what| Failed::Silent { what, after: settings.patience };
    let subscribed = link.subscribe(&[RESPONSES]).map_err(|lost| failed(lost, settings.patience))?;
    match tokio::time::timeout(2 * settings.patience, subscribed.wait_completion_async()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failed::Link(error.to_string())),
        Err(_) => return Err(silent("SUBSCRIBE")),
    }
    let (mut topic, mut body) = (wire::register("1"), wire::registration(&settings.registration_id));
    for number in 2..2 + POLLS {
        link.publish_acknowledged(topic, body).map_err(|lost| failed(lost, settings.patience))?;
        let wanted = (number - 1).to_string();
        let answer = async {
            loop {
                match answered.recv().await {
                    Some(answer) if answer.request == wanted => return Some(answer),
                    Some(_) => {}
                    None => return None,
                }
            }
        };
        let answer = match tokio::time::timeout(settings.patience, answer).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(Failed::Link("the connection ended".to_owned())),
            Err(_) => return Err(silent("the registration")),
        };
        match answer.standing()? {
            Standing::Assigned(assignment) => return Ok(assignment),
            Standing::Assigning(operation, after) => {
                tracing::debug!(operation, ?after, "the service is assigning a hub");
                tokio::time::sleep(after).await;
                // The service ignores the body; its own clients send one space.
                (topic, body) = (wire::poll(&number.to_string(), &operation), b" ".to_vec());
            }
        }
    }
    Err(Failed::Endless { polls: POLLS })
}

/// Drives the connection and hands on the answers, until it ends.
async fn pump(events: &mut EventLoop, answers: &mpsc::Sender<Response>) -> Lost {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = std::str::from_utf8(&publish.topic).unwrap_or_default();
                if let Some(answer) = Response::read(topic, &publish.payload)
                    && answers.try_send(answer).is_err()
                {
                    tracing::debug!("an answer of the provisioning service was dropped: nobody waits for it");
                }
            }
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}

fn failed(lost: Lost, patience: Duration) -> Failed {
    match lost {
        Lost::Refused { code } => Failed::Credential { code },
        Lost::Silent { what, .. } => Failed::Silent { what, after: patience },
        other => Failed::Link(other.to_string()),
    }
}

fn options(settings: &ProvisioningSettings, tls: &Arc<ClientConfig>) -> Result<MqttOptions, HubError> {
    let ProvisioningSettings { id_scope, registration_id, .. } = settings;
    let resource = format!("{id_scope}/registrations/{registration_id}");
    let target = Target {
        transport: settings.transport,
        host: &settings.host,
        port: settings.port.unwrap_or(settings.transport.port()),
        client_id: registration_id.clone(),
    };
    let mut options = transport::towards(&target, tls)?;
    let product = utf8_percent_encode(&settings.product, NON_ALPHANUMERIC);
    let username = format!("{resource}/api-version={API_VERSION}&ClientVersion={product}");
    match &settings.key {
        ProvisioningKey::Symmetric(key) => {
            let expiry = (settings.clock)().saturating_add(TOKEN.as_secs());
            let token = sas::token(&resource, key.expose(), Some("registration"), expiry)?;
            options.set_credentials(username, token);
        }
        ProvisioningKey::Certificate => {
            options.set_username(username);
        }
    }
    options.set_keep_alive(60).set_max_packet_size(PACKET_LIMIT, PACKET_LIMIT);
    options.try_set_clean_session(true).map_err(|error| HubError::Options(error.to_string()))?;
    options.validate().map_err(|error| HubError::Options(error.to_string()))?;
    Ok(options)
}
