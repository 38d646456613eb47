//! The local hub as a process, and what a service app asks of it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::programs::{Kept, program};
use super::rest::Rest;

/// A hub.
pub struct Hub {
    pub mqtt_port: u16,
    pub https_port: u16,
    pub ca: PathBuf,
    /// What provisioning clients name it by.
    pub id_scope: String,
    rest: Rest,
    _process: Kept,
}

impl Hub {
    /// Starts a hub; it listens when this returns.
    pub async fn start(data: &Path, images: &Path) -> Hub {
        let mut command = command(data, 0);
        command.arg("--images").arg(images);
        Hub::ready(command)
    }

    /// A hub without images on an address of its own, which is its name, too.
    pub async fn start_at(address: &str, mqtt_port: u16, data: &Path) -> Hub {
        let mut command = command(data, mqtt_port);
        command.args(["--host", address, "--listen", address]);
        Hub::ready(command)
    }

    fn ready(mut command: Command) -> Hub {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let port = |name: &str| u16::try_from(ready[name].as_u64().unwrap()).unwrap();
        let ca = PathBuf::from(ready["ca"].as_str().unwrap());
        let rest = Rest::new(&ca, Path::new(ready["owner"].as_str().unwrap()));
        let id_scope = ready["idScope"].as_str().unwrap().to_owned();
        let (mqtt_port, https_port) = (port("mqttPort"), port("httpsPort"));
        Hub { mqtt_port, https_port, ca, id_scope, rest, _process: Kept(process) }
    }

    /// Asks something of its REST, which it must do; its answer comes back.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.rest.send(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status}: {answer}");
        answer
    }

    /// Makes a device; returns its key.
    pub async fn create_device(&self, id: &str) -> String {
        let path = format!("/devices/{id}");
        let (status, device) = self.rest.send(Method::PUT, &path, Some(&json!({ "deviceId": id }))).await;
        assert!(status < 300, "{status}: {device}");
        device["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap().to_owned()
    }

    /// The reported properties.
    pub async fn reported(&self, id: &str) -> Value {
        let (status, mut twin) = self.rest.send(Method::GET, &format!("/twins/{id}"), None).await;
        assert_eq!(status, 200, "{twin}");
        twin["properties"]["reported"].take()
    }

    /// Changes the desired properties.
    pub async fn desire(&self, id: &str, patch: Value) -> Value {
        let body = json!({ "properties": { "desired": patch } });
        let (status, twin) = self.rest.send(Method::PATCH, &format!("/twins/{id}"), Some(&body)).await;
        assert_eq!(status, 200, "{twin}");
        twin["properties"]["desired"].clone()
    }

    /// What was sent of which image.
    pub async fn images(&self) -> Vec<Value> {
        let (status, mut sent) = self.rest.send(Method::GET, "/localhub/images", None).await;
        assert_eq!(status, 200, "{sent}");
        sent.as_array_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Calls a method; `None` where the hub did not get an answer of the device.
    pub async fn try_call(&self, id: &str, method: &str, payload: &Value) -> Option<(i64, Value)> {
        self.try_call_within(30, id, method, payload).await
    }

    /// The same, where the device has so many seconds: it may end with the call in its hands.
    pub async fn try_call_within(
        &self,
        seconds: u32,
        id: &str,
        method: &str,
        payload: &Value,
    ) -> Option<(i64, Value)> {
        let body = json!({
            "methodName": method, "payload": payload,
            "responseTimeoutInSeconds": seconds, "connectTimeoutInSeconds": seconds,
        });
        let (status, mut answer) =
            self.rest.send(Method::POST, &format!("/twins/{id}/methods"), Some(&body)).await;
        if status != 200 {
            return None;
        }
        Some((answer["status"].as_i64().unwrap(), answer["payload"].take()))
    }

    /// Calls a method, again while the device does not answer.
    pub async fn call(&self, id: &str, method: &str, payload: &Value) -> (i64, Value) {
        super::within("the device answers a call", async {
            loop {
                if let Some(answer) = self.try_call(id, method, payload).await {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }
}

fn command(data: &Path, mqtt_port: u16) -> Command {
    let mut command = Command::new(program("hotshoe-localhub"));
    command.args(["serve", "--https-port", "0", "--mqtt-port", &mqtt_port.to_string(), "--data"]).arg(data);
    command.env("RUST_LOG", "warn");
    command
}
