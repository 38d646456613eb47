//! A real local hub, and devices on MQTT whose words a test writes.

use std::{process::Stdio, sync::Arc, time::SystemTime};

use hotshoe_core::{
    connection_string::{ConnectionString, Credential},
    sas,
    topic::{self, Incoming},
};
use hotshoe_localhub::{LocalHub, Running, Settings};
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS, SubscribeFilterInput,
    TlsConfiguration, Transport,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{Ran, bare};

/// A hub and the way to ask it.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) hub: Running,
}

impl Place {
    pub(crate) async fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let hub = LocalHub::start(Settings::new(directory.path())).await.unwrap();
        Place { directory, hub }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.arg("--ca").arg(self.directory.path().join("ca.pem"));
        command.arg("--connection-string-file").arg(self.directory.path().join("owner.connection-string"));
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().await.unwrap())
    }

    /// Starts a command whose lines are read one by one.
    pub(crate) fn follow(&self, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }
}

/// A device that answers every call with 200 and reports what it is told to.
pub(crate) struct Device {
    client: AsyncClient,
    pub(crate) calls: mpsc::UnboundedReceiver<(String, Value)>,
    reported: mpsc::UnboundedReceiver<u16>,
}

impl Device {
    /// Connects with the connection string that the tool printed.
    pub(crate) async fn connect(place: &Place, connection: &str) -> Device {
        let connection: ConnectionString = connection.parse().unwrap();
        let id = connection.device.clone().unwrap();
        let Credential::Key { key, .. } = &connection.credential else { panic!("no key") };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let resource = format!("{}/devices/{id}", connection.host);
        let token = sas::token(&resource, key.expose(), None, now + 600).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(place.hub.ca_pem.as_bytes()).unwrap()).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut options = MqttOptions::new(id.clone(), (connection.host.clone(), place.hub.mqtt_port));
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))));
        options.set_credentials(format!("{}/{id}/?api-version=2021-04-12", connection.host), token);
        let (client, mut events) = AsyncClient::builder(options).unbounded().build();
        let filters = [topic::METHODS, topic::TWIN_RESPONSES];
        let filters = filters.map(|filter| SubscribeFilterInput::new(filter, QoS::AtMostOnce));
        let granted = client.try_subscribe_many_tracked(filters).unwrap();
        let (calls_in, calls) = mpsc::unbounded_channel();
        let (reported_in, reported) = mpsc::unbounded_channel();
        let answers = client.clone();
        tokio::spawn(async move { serve(&mut events, &answers, &calls_in, &reported_in).await });
        granted.wait_completion_async().await.unwrap();
        Device { client, calls, reported }
    }

    /// Sends a message.
    pub(crate) fn send(&self, id: &str, body: Value) {
        let topic = format!("devices/{id}/messages/events/");
        self.client.try_publish(topic, body.to_string(), PublishOptions::at_most_once()).unwrap();
    }

    /// Merges into the reported properties; done when the hub has taken it.
    pub(crate) async fn report(&mut self, patch: Value) {
        let topic = topic::twin_patch("1");
        self.client.try_publish(topic, patch.to_string(), PublishOptions::at_most_once()).unwrap();
        assert_eq!(self.reported.recv().await, Some(204));
    }
}

async fn serve(
    events: &mut EventLoop,
    client: &AsyncClient,
    calls: &mpsc::UnboundedSender<(String, Value)>,
    reported: &mpsc::UnboundedSender<u16>,
) {
    while let Ok(event) = events.poll().await {
        let Event::Incoming(Packet::Publish(publish)) = event else { continue };
        match topic::parse_incoming(std::str::from_utf8(&publish.topic).unwrap()) {
            Incoming::Method { name, request_id } => {
                let payload = serde_json::from_slice(&publish.payload).unwrap();
                calls.send((name.to_owned(), payload)).unwrap();
                let answer = json!({"Response": "Firmware update started"}).to_string();
                let topic = topic::method_response(200, request_id);
                client.try_publish(topic, answer, PublishOptions::at_most_once()).unwrap();
            }
            Incoming::TwinResponse { status, .. } => reported.send(status).unwrap(),
            _ => {}
        }
    }
}
