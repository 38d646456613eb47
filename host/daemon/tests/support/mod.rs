//! A small world for the daemon's end-to-end tests: the real hub, the real boot loader and init, the real device
//! process with real plugins, in a temporary directory on free ports, and a network that can be held and cut.
//!
//! Nothing here waits a fixed time: each wait is for something that is seen (in the twin, on the disk), with a
//! generous end.

// Each test program uses a part of it, and sees it as a module of its own.
#![allow(dead_code, unreachable_pub, unused_imports)]

mod device;
mod hub;
mod programs;
mod proxy;
mod rest;
pub mod strace;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

pub use device::{Device, Phase};
pub use hub::Hub;
pub use programs::{plugin, program, repo, version_of};
pub use proxy::Proxy;
use serde_json::{Value, json};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What a world is made with.
pub struct Setting {
    /// `firmware.unsigned` of the policy.
    pub unsigned: &'static str,
    /// `plugins.unsigned` of the policy.
    pub unsigned_plugins: &'static str,
    /// Plugins by the name of their package.
    pub plugins: Vec<&'static str>,
    /// The size of the image in bytes.
    pub image: usize,
    /// More of `policy.toml`, after its own tables.
    pub policy: String,
    /// What the device logs, as `HOTSHOE_LOG` has it.
    pub log: &'static str,
    /// The command that restarts the device; the boot loader's own where it is empty.
    pub restart: String,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            unsigned: "digest",
            unsigned_plugins: "allow",
            plugins: vec!["firmware-update", "diagnostics"],
            image: 6 * 1024 * 1024 + 123,
            policy: String::new(),
            log: "hotshoed=debug,info",
            restart: String::new(),
        }
    }
}

/// A hub, a network and a device.
pub struct World {
    pub device: Device,
    pub hub: Hub,
    /// Between the device and the hub's MQTT.
    pub link: Proxy,
    /// Between the device and the images.
    pub files: Proxy,
    /// What is served as `image`.
    pub image: Vec<u8>,
    pub directory: tempfile::TempDir,
}

impl World {
    /// Starts everything; returns when the device has connected and reported itself.
    pub async fn start(setting: Setting) -> World {
        let directory = tempfile::tempdir().unwrap();
        let image = noise(setting.image);
        let images = directory.path().join("images");
        std::fs::create_dir(&images).unwrap();
        std::fs::write(images.join("image"), &image).unwrap();
        let hub = Hub::start(&directory.path().join("hub"), &images).await;
        let key = hub.create_device("device-1").await;
        let link = Proxy::start(hub.mqtt_port).await;
        let files = Proxy::start(hub.https_port).await;
        let connection = format!("HostName=localhost;DeviceId=device-1;SharedAccessKey={key}");
        let device =
            Device::start(&directory.path().join("device"), &hub.ca, &connection, link.port, &setting);
        let world = World { device, hub, link, files, image, directory };
        world
            .until("the device has reported itself", |reported| reported["hotshoe"]["version"].is_string())
            .await;
        world
    }

    /// The URL of an image, through the proxy.
    pub fn url(&self, name: &str) -> String {
        format!("https://localhost:{}/images/{name}", self.files.port)
    }

    /// The digest of the image.
    pub fn digest(&self) -> String {
        let hash = ring::digest::digest(&ring::digest::SHA256, &self.image);
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    /// What the service app sends for an update to the image.
    pub fn order(&self) -> Value {
        json!({ "fwPackageUri": self.url("image"), "digest": self.digest(), "version": "2.0.0" })
    }

    /// The same with nothing said of the bytes: they are known once they are here.
    pub fn order_unknown(&self) -> Value {
        json!({ "fwPackageUri": self.url("image"), "version": "2.0.0" })
    }

    /// Calls a method: the status and payload that the device answered.
    pub async fn call(&self, method: &str, payload: Value) -> (i64, Value) {
        self.hub.call("device-1", method, &payload).await
    }

    /// Calls `firmwareUpdate`, which the device must accept.
    pub async fn order_update(&self) {
        self.update_by(self.order()).await;
    }

    /// Calls `firmwareUpdate` with this order, which the device must accept.
    pub async fn update_by(&self, order: Value) {
        let (status, payload) = self.call("firmwareUpdate", order).await;
        assert_eq!((status, payload), (200, json!({ "Response": "Firmware update started" })));
    }

    pub async fn reported(&self) -> Value {
        self.hub.reported("device-1").await
    }

    /// Waits until the reported properties look so.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let looking = async {
            loop {
                let reported = self.reported().await;
                if wanted(&reported) {
                    return reported;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(reported) => reported,
            Err(_) => panic!("waited in vain until {what}; reported: {:#}", self.reported().await),
        }
    }

    /// Waits until `firmwareStatus` says so.
    pub async fn until_status(&self, status: &str) -> Value {
        self.until(&format!("firmwareStatus is {status}"), |reported| reported["firmwareStatus"] == status)
            .await
    }

    /// The update is over and the device runs the image: the twin says so, the slot holds exactly its bytes, and
    /// nothing is left running.
    pub async fn assert_updated(&self) {
        self.until_status("completed").await;
        assert!(self.device.slot("b").starts_with(&self.image), "slot b holds the image, byte for byte");
        self.until("no job is shown any more", |reported| {
            reported["hotshoe"]["jobs"].as_object().is_none_or(serde_json::Map::is_empty)
        })
        .await;
        let status = self
            .status_when(|status| {
                let jobs = status["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
                jobs.last().is_some_and(|job| job["state"] == "done")
            })
            .await;
        let slot = status["slots"].as_array().unwrap().iter().find(|slot| slot["name"] == "b").unwrap();
        assert_eq!((&slot["running"], &slot["good"]), (&json!(true), &json!(true)), "{slot}");
    }

    /// `hotshoe.status`, once it looks so.
    pub async fn status_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        within("hotshoe.status looks as it should", async {
            loop {
                if let Some((200, status)) =
                    self.hub.try_call_within(5, "device-1", "hotshoe.status", &Value::Null).await
                    && wanted(&status)
                {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Waits for something, within reason.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain until {what}"),
    }
}

/// Waits until something is so that cannot be awaited.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    within(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Bytes that do not compress, the same each time.
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(size);
    bytes
}
