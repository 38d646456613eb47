//! The two clients of these tests: a device that speaks packets, and an operator that speaks REST.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use hotshoe_core::sas;
use hotshoe_localhub::{LocalHub, Running, Settings};
use reqwest::{Method, Response, StatusCode};
use rumqttc::{Codec, ConnAck, Connect, Packet, Publish, QoS, Subscribe};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::codec::Framed;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const METHODS: &str = "$iothub/methods/POST/#";
pub(crate) const TWIN: &str = "$iothub/twin/res/#";
pub(crate) const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";

/// A hub in a directory of its own, with a directory of images.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) hub: Running,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A hub with other settings than these tests' usual ones.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("images")).unwrap();
        let hub = start(&directory, change).await;
        Self { directory, hub }
    }

    /// A hub that trusts an authority for its devices.
    pub(crate) async fn with_authority(pem: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("device-ca.pem"), pem).unwrap();
        let hub = start(&directory, |_| {}).await;
        Self { directory, hub }
    }

    /// Stops the hub and starts another on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.hub.stop().await;
        let hub = start(&self.directory, |_| {}).await;
        Self { directory: self.directory, hub }
    }

    /// A device in a session of its own that begins now.
    pub(crate) async fn clean_device(&self, id: &str) -> Device {
        let password = token(&format!("localhost/devices/{id}"), &self.key(id).await, None, 3600);
        let mut device = self.dial().await;
        assert!(!device.log_in(id, &password, true).await.unwrap().session_present);
        device
    }

    /// A device that goes on with the session it had, if it had one.
    pub(crate) async fn device(&self, id: &str) -> Device {
        let key = self.key(id).await;
        let mut device = self.dial().await;
        let answer =
            device.log_in(id, &token(&format!("localhost/devices/{id}"), &key, None, 3600), false).await;
        assert_eq!(answer.unwrap().code, rumqttc::ConnectReturnCode::Success);
        device
    }

    /// The primary key of a device, which is made if it is not there.
    pub(crate) async fn key(&self, id: &str) -> String {
        match self.hub.create_device(id).await {
            Ok(text) => text.rsplit_once("SharedAccessKey=").unwrap().1.to_owned(),
            Err(_exists) => {
                let (_, identity) = self.rest(Method::GET, &format!("/devices/{id}"), None).await;
                identity["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap().to_owned()
            }
        }
    }

    /// A TLS connection on which nothing was said.
    pub(crate) async fn dial(&self) -> Device {
        let config =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(self.roots())
                .with_no_client_auth();
        self.dial_with(config).await
    }

    pub(crate) async fn dial_with(&self, config: rustls::ClientConfig) -> Device {
        let stream = TcpStream::connect(("127.0.0.1", self.hub.mqtt_port)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let codec = Codec { max_incoming_size: 1 << 20, max_outgoing_size: 1 << 20 };
        Device { framed: Framed::new(stream, codec), identifier: 0 }
    }

    pub(crate) fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.hub.ca_pem.as_bytes()).unwrap()).unwrap();
        roots
    }

    pub(crate) fn https(&self) -> reqwest::Client {
        drop(rustls::crypto::ring::default_provider().install_default());
        reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(self.hub.ca_pem.as_bytes()).unwrap()])
            .build()
            .unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.hub.https_port)
    }

    /// The owner's token, as the service SDKs make it.
    pub(crate) fn owner_token(&self) -> String {
        let key = self.hub.owner.rsplit_once("SharedAccessKey=").unwrap().1;
        token(&format!("localhost:{}", self.hub.https_port), key, Some("iothubowner"), 3600)
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Response {
        let mut request =
            self.https().request(method, self.url(path)).header("authorization", self.owner_token());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn rest(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let response = self.send(method, path, body, &[]).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

async fn start(directory: &TempDir, change: impl FnOnce(&mut Settings)) -> Running {
    let authority = directory.path().join("device-ca.pem");
    let mut settings = Settings {
        device_authorities: authority.exists().then_some(authority).into_iter().collect(),
        images: Some(directory.path().join("images")),
        clock_slack: Duration::ZERO,
        ..Settings::new(directory.path().join("data"))
    };
    change(&mut settings);
    LocalHub::start(settings).await.unwrap()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn token(resource: &str, key: &str, policy: Option<&str>, lifetime: i64) -> String {
    sas::token(resource, key, policy, now().saturating_add_signed(lifetime)).unwrap()
}

/// A device's connection.
pub(crate) struct Device {
    pub(crate) framed: Framed<TlsStream<TcpStream>, Codec>,
    identifier: u16,
}

impl Device {
    /// CONNECT with the user name of today's SDKs; `None` if the hub closed without an answer.
    pub(crate) async fn log_in(&mut self, id: &str, password: &str, clean: bool) -> Option<ConnAck> {
        let user = format!("localhost/{id}/?api-version=2021-04-12&DeviceClientType=test");
        self.connect(id, &user, password, clean).await
    }

    pub(crate) async fn connect(
        &mut self,
        id: &str,
        user: &str,
        password: &str,
        clean: bool,
    ) -> Option<ConnAck> {
        let mut connect = Connect::new(id);
        connect.set_credentials(user, password.to_owned());
        connect.clean_session = clean;
        connect.keep_alive = 60;
        self.send(Packet::Connect(connect)).await;
        match self.next().await {
            Some(Packet::ConnAck(answer)) => Some(answer),
            None => None,
            other => panic!("{other:?} is no answer to CONNECT"),
        }
    }

    pub(crate) async fn send(&mut self, packet: Packet) {
        // A connection that the hub has ended shows when reading.
        drop(self.framed.send(packet).await);
    }

    /// The next packet; `None` when the hub ended the connection.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        timeout(PATIENCE, self.framed.next()).await.expect("the hub is silent").and_then(Result::ok)
    }

    /// Gives the granted qualities, or `None` if the hub ended the connection.
    pub(crate) async fn subscribe(
        &mut self,
        filters: &[(&str, QoS)],
    ) -> Option<Vec<rumqttc::SubscribeReasonCode>> {
        let filters =
            filters.iter().map(|(filter, qos)| rumqttc::SubscribeFilter::new((*filter).into(), *qos));
        let mut subscribe = Subscribe::new_many(filters);
        subscribe.pkid = self.identifier();
        self.send(Packet::Subscribe(subscribe)).await;
        match self.next().await? {
            Packet::SubAck(answer) => Some(answer.return_codes),
            other => panic!("{other:?} is no answer to SUBSCRIBE"),
        }
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) {
        let mut unsubscribe = rumqttc::Unsubscribe::new(filter);
        unsubscribe.pkid = self.identifier();
        self.send(Packet::Unsubscribe(unsubscribe)).await;
        assert!(matches!(self.next().await, Some(Packet::UnsubAck(_))));
    }

    /// Asks for a subscription and does not wait for the answer.
    pub(crate) async fn subscribe_unanswered(&mut self, filter: &str) {
        let mut subscribe = Subscribe::new(filter, QoS::AtMostOnce);
        subscribe.pkid = self.identifier();
        self.send(Packet::Subscribe(subscribe)).await;
    }

    pub(crate) async fn publish(&mut self, topic: &str, qos: QoS, payload: impl Into<Vec<u8>>) {
        let mut publish = Publish::new(topic, qos, payload);
        if qos != QoS::AtMostOnce {
            publish.pkid = self.identifier();
        }
        self.send(Packet::Publish(publish)).await;
    }

    /// The next publish from the hub as it came. Acknowledges nothing.
    pub(crate) async fn published(&mut self) -> Publish {
        match self.next().await.expect("the hub ended the connection") {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?} is no publish"),
        }
    }

    pub(crate) async fn acknowledge(&mut self, publish: &Publish) {
        self.send(Packet::PubAck(rumqttc::PubAck::new(publish.pkid))).await;
    }

    /// Comes back when the hub has handled everything that was sent so far.
    pub(crate) async fn ping(&mut self) {
        self.send(Packet::PingReq).await;
        assert_eq!(self.next().await, Some(Packet::PingResp));
    }

    /// The next publish from the hub: topic and body.
    pub(crate) async fn message(&mut self) -> (String, String) {
        loop {
            match self.next().await.expect("the hub ended the connection") {
                Packet::Publish(publish) => {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    return (text(&publish.topic), text(&publish.payload));
                }
                Packet::PubAck(_) => {}
                other => panic!("{other:?} is no publish"),
            }
        }
    }

    /// The next method request: name and request id and body.
    pub(crate) async fn request(&mut self) -> (String, String, String) {
        let (topic, body) = self.message().await;
        let rest = topic.strip_prefix("$iothub/methods/POST/").expect("a method request");
        let (name, id) = rest.split_once("/?$rid=").expect("a request id");
        (name.to_owned(), id.to_owned(), body)
    }

    pub(crate) async fn answer(&mut self, request_id: &str, status: i32, body: &str) {
        self.publish(&format!("$iothub/methods/res/{status}/?$rid={request_id}"), QoS::AtMostOnce, body)
            .await;
    }

    /// Sends a twin request; gives the answer's status, query and body.
    pub(crate) async fn twin(&mut self, topic: &str, body: &str) -> (u16, String, String) {
        self.publish(topic, QoS::AtMostOnce, body).await;
        let (topic, body) = self.message().await;
        let rest = topic.strip_prefix("$iothub/twin/res/").expect("a twin answer");
        let (status, query) = rest.split_once("/?").unwrap();
        (status.parse().unwrap(), query.to_owned(), body)
    }

    /// True when the hub ends the connection without another packet.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.next().await.is_none()
    }

    fn identifier(&mut self) -> u16 {
        self.identifier += 1;
        self.identifier
    }
}
