//! `hotshoed` with an enrollment and nothing else, against the local hub's provisioning service.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use support::{Hub, Proxy, within};
use tempfile::TempDir;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
const ASKS: &str = "asking the provisioning service";

/// A hub with its provisioning service, and a network between that and the device.
struct World {
    hub: Hub,
    service: Proxy,
    directory: TempDir,
}

/// A device's directory and, while it runs, its process.
struct Device {
    folder: PathBuf,
    process: Option<Child>,
}

impl World {
    async fn start() -> World {
        let directory = TempDir::new().unwrap();
        let images = directory.path().join("images");
        fs::create_dir(&images).unwrap();
        let hub = Hub::start(&directory.path().join("hub"), &images).await;
        let service = Proxy::start(hub.mqtt_port).await;
        World { hub, service, directory }
    }

    /// A device that knows how it is registered, and how it proves it: members of `[hub]` and `[hub.provisioning]`.
    fn device(&self, registration: &str, in_hub: &str, proof: &str) -> Device {
        let folder = self.directory.path().join("device");
        fs::create_dir(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("ca.pem", &fs::read_to_string(&self.hub.ca).unwrap());
        write("boot-id", "first\n");
        write("key", KEY);
        let (hub_port, service_port, scope) = (self.hub.mqtt_port, self.service.port, &self.hub.id_scope);
        write(
            "device.toml",
            &format!(
                "state = \"state\"\nboot_id_file = \"boot-id\"\n\n\
                 [hub]\nca_file = \"ca.pem\"\nport = {hub_port}\n{in_hub}\n\n\
                 [hub.provisioning]\nhost = \"localhost\"\nport = {service_port}\nid_scope = \"{scope}\"\n\
                 registration_id = \"{registration}\"\n{proof}\n"
            ),
        );
        let mut device = Device { folder, process: None };
        device.start();
        device
    }

    async fn enroll(&self, path: &str, enrollment: Value) {
        self.hub.ask(Method::PUT, &format!("/localhub/{path}"), Some(&enrollment)).await;
    }
}

fn keys(key: &str) -> Value {
    json!({ "type": "symmetricKey", "symmetricKey": { "primaryKey": key, "secondaryKey": key } })
}

/// Waits until the device answers a direct method under this name.
async fn online(hub: &Hub, name: &str) {
    let answer = hub.call(name, "hotshoe.ping", &json!({ "n": 1 })).await;
    assert_eq!(answer, (200, json!({ "echo": { "n": 1 } })));
}

impl Device {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn start(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotshoed"));
        command.arg("--config").arg(self.path("device.toml")).args(["--log-format", "json"]);
        self.process = Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// The power goes.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Its exit status once it has ended by itself.
    async fn ended(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        tokio::task::spawn_blocking(move || process.wait()).await.unwrap().unwrap().code()
    }

    /// The power goes and comes back.
    fn restart(&mut self) {
        self.kill();
        self.start();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    async fn until_logged(&self, words: &str) {
        within(&format!("{words:?} is logged"), async {
            while !self.log().contains(words) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the device's log:\n{}", self.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_assigned_once_needs_the_service_no_more() {
    let world = World::start().await;
    world.service.open(false);
    let mut device = world.device("camera-1", "", "key_file = \"key\"");
    device.until_logged("no connection to the provisioning service").await;

    world.enroll("enrollments/camera-1", json!({ "deviceId": "cam", "attestation": keys(KEY) })).await;
    world.service.open(true);
    online(&world.hub, "cam").await;
    assert_eq!(device.log().matches(ASKS).count(), 1, "{}", device.log());

    world.service.open(false);
    device.restart();
    online(&world.hub, "cam").await;
    assert_eq!(device.log().matches(ASKS).count(), 1, "the second start asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_enrollment_is_in_the_log() {
    let world = World::start().await;
    world.enroll("enrollments/camera-1", json!({ "attestation": keys(OTHER_KEY) })).await;
    let mut device = world.device("camera-1", "", "key_file = \"key\"");
    device.until_logged("(CONNACK 5); check id_scope, registration_id, key and clock").await;

    let disabled = json!({ "attestation": keys(KEY), "provisioningStatus": "disabled" });
    world.enroll("enrollments/camera-1", disabled).await;
    device.restart();
    device.until_logged("the registration is disabled").await;
    assert!(device.process.as_mut().unwrap().try_wait().unwrap().is_none(), "it gave up");

    world.enroll("enrollments/camera-1", json!({ "provisioningStatus": "enabled" })).await;
    online(&world.hub, "camera-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_group_is_enough() {
    let world = World::start().await;
    world.enroll("enrollmentGroups/cameras", json!({ "attestation": keys(KEY) })).await;
    let _device = world.device("camera-2", "", "group_key_file = \"key\"");
    online(&world.hub, "camera-2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_registers_and_logs_in() {
    let world = World::start().await;
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "camera-3");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap().pem();
    let own = world.directory.path();
    fs::write(own.join("own.pem"), &certificate).unwrap();
    fs::write(own.join("own.key"), key.serialize_pem()).unwrap();
    let x509 = json!({ "clientCertificates": { "primary": { "certificate": certificate } } });
    world.enroll("enrollments/camera-3", json!({ "attestation": { "type": "x509", "x509": x509 } })).await;
    let files = "certificate_file = \"../own.pem\"\nprivate_key_file = \"../own.key\"";
    let _device = world.device("camera-3", files, "");
    online(&world.hub, "camera-3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_its_hub_no_longer_knows_goes_where_the_service_sends_it() {
    let world = World::start().await;
    world.enroll("enrollments/camera-1", json!({ "attestation": keys(KEY) })).await;
    let mut device = world.device("camera-1", "", "key_file = \"key\"");
    online(&world.hub, "camera-1").await;

    // Removed by mistake: the service makes it anew.
    world.hub.ask(Method::DELETE, "/devices/camera-1", None).await;
    online(&world.hub, "camera-1").await;

    let next = Hub::start_at("127.0.0.2", world.hub.mqtt_port, &world.directory.path().join("next")).await;
    let both = [&world.hub.ca, &next.ca].map(|ca| fs::read_to_string(ca).unwrap()).concat();
    fs::write(device.path("ca.pem"), both).unwrap();
    let config = fs::read_to_string(device.path("device.toml")).unwrap();
    fs::write(device.path("device.toml"), format!("{config}\n[safe_mode]\nstarts = 2\n")).unwrap();
    device.restart();
    online(&world.hub, "camera-1").await;
    let mut identity = json!({ "deviceId": "camera-1", "authentication": keys(KEY) });
    identity["authentication"]["type"] = json!("sas");
    next.ask(Method::PUT, "/devices/camera-1", Some(&identity)).await;
    world.enroll("enrollments/camera-1", json!({ "iotHubHostName": "127.0.0.2" })).await;
    world.hub.ask(Method::DELETE, "/devices/camera-1", None).await;
    device.until_logged("another hub; the host starts anew").await;
    // The fence cannot be taken down: who watches the process starts it.
    assert_eq!(device.ended().await, Some(75));
    device.start();
    online(&next, "camera-1").await;
    assert!(!device.log().contains("safe mode"), "it was no death");
    world.service.open(false);
    device.restart();
    online(&next, "camera-1").await;
}
