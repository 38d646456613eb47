//! The whole way: this tool, the local hub, and a device on MQTT.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime},
};

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
use support::{Ran, bare};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// A hub and the way to ask it.
struct Place {
    directory: TempDir,
    hub: Running,
}

impl Place {
    async fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let hub = LocalHub::start(Settings::new(directory.path())).await.unwrap();
        Place { directory, hub }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.arg("--ca").arg(self.directory.path().join("ca.pem"));
        command.arg("--connection-string-file").arg(self.directory.path().join("owner.connection-string"));
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().await.unwrap())
    }

    /// Starts a command whose lines are read one by one.
    fn follow(&self, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }
}

/// A device that answers every call with 200 and reports what it is told to.
struct Device {
    client: AsyncClient,
    calls: mpsc::UnboundedReceiver<(String, Value)>,
    reported: mpsc::UnboundedReceiver<u16>,
}

impl Device {
    /// Connects with the connection string that the tool printed.
    async fn connect(place: &Place, connection: &str) -> Device {
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

    /// Merges into the reported properties; done when the hub has taken it.
    async fn report(&mut self, patch: Value) {
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

#[tokio::test]
async fn devices_come_and_go() {
    let place = Place::new().await;
    assert_eq!(place.run(&["device", "create", "pump#7"]).await.stdout, "created pump#7\n");
    let again = place.run(&["device", "create", "pump#7"]).await;
    assert_eq!(again.exit, 65);
    assert!(again.stderr.contains("HTTP 409, DeviceAlreadyExists"), "{again:?}");

    let offline = place.run(&["method", "invoke", "pump#7", "ping"]).await;
    assert_eq!(offline.exit, 69);
    assert!(offline.stderr.contains("HTTP 404, 404103 DeviceNotOnline"), "{offline:?}");
    let unknown = place.run(&["twin", "show", "pump-8"]).await;
    assert_eq!(unknown.exit, 66);
    assert!(unknown.stderr.contains("DeviceNotFound"), "{unknown:?}");

    let connection = place.run(&["device", "connection-string", "pump#7"]).await.stdout;
    let device = Device::connect(&place, &connection).await;
    let listed = place.run(&["device", "list", "--json"]).await.json();
    assert_eq!(
        (&listed[0]["deviceId"], &listed[0]["connectionState"]),
        (&json!("pump#7"), &json!("Connected"))
    );
    drop(device);

    assert_eq!(place.run(&["device", "delete", "pump#7"]).await.exit, 0);
    assert_eq!(place.run(&["device", "list", "--json"]).await.json(), json!([]));
    assert_eq!(place.run(&["device", "delete", "pump#7"]).await.exit, 66);
}

#[tokio::test]
async fn a_twin_is_patched_and_watched() {
    let place = Place::new().await;
    let connection = place.hub.create_device("d").await.unwrap();
    let mut device = Device::connect(&place, &connection).await;
    let (mut child, mut lines) = place.follow(&["twin", "watch", "d", "--until", "reported.answer=42"]);
    // The watching has begun when it tells a change.
    let mut interval = 0;
    let patched = loop {
        interval += 1;
        let patch = json!({ "interval": interval }).to_string();
        let patched = place.run(&["twin", "patch", "d", "--desired", &patch, "--json"]).await.json();
        assert_eq!(patched["properties"]["desired"]["interval"], interval);
        if let Ok(line) = timeout(Duration::from_secs(1), lines.next_line()).await {
            assert!(line.unwrap().unwrap().contains("  desired.interval  "));
            break patched;
        }
    };
    let etag = patched["etag"].as_str().unwrap();
    let arguments = ["twin", "patch", "d", "--tags", "{\"plant\": \"Redmond43\"}", "--if-match", etag];
    assert_eq!(place.run(&arguments).await.exit, 0);
    let stale = place.run(&arguments).await;
    assert_eq!(stale.exit, 75, "{stale:?}");
    assert!(stale.stderr.contains("HTTP 412"), "{stale:?}");
    device.report(json!({"answer": 42})).await;
    let mut told = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        told.push(line);
    }
    assert!(told.iter().any(|line| line.ends_with("  reported.answer  (none) → 42")), "{told:?}");
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn an_update_is_followed_phase_by_phase() {
    let place = Place::new().await;
    let connection = place.hub.create_device("d").await.unwrap();
    let mut device = Device::connect(&place, &connection).await;
    device.report(json!({"firmwareStatus": "completed", "lastFirmwareUpdate": "long ago"})).await;
    let uri = "https://images.example.com/a.img";
    let (mut child, mut lines) = place.follow(&["firmware", "update", "d", uri, "--version", "2.1"]);
    let call = device.calls.recv().await.unwrap();
    assert_eq!(call, ("firmwareUpdate".to_owned(), json!({"fwPackageUri": uri, "version": "2.1"})));
    let answered = lines.next_line().await.unwrap().unwrap();
    assert_eq!(answered, "d answered 200: {\"Response\":\"Firmware update started\"}");
    for phase in ["standBy", "downloading", "applying"] {
        device.report(json!({"firmwareStatus": phase})).await;
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some(phase));
    }
    device.report(json!({"firmwareStatus": "completed", "lastFirmwareUpdate": "now"})).await;
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("d completed"));
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}
