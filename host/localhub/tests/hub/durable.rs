//! The program itself: its ready line, and what is left after `kill -9`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::token;

pub(crate) struct Program {
    child: Child,
    ready: Value,
}

impl Program {
    pub(crate) fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hotshoe-localhub"))
            .args(["serve", "--mqtt-port", "0", "--https-port", "0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, ready: serde_json::from_str(&line).expect("a ready line") }
    }

    pub(crate) async fn rest(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        drop(rustls::crypto::ring::default_provider().install_default());
        let ca = std::fs::read(self.ready["ca"].as_str().unwrap()).unwrap();
        let owner = std::fs::read_to_string(self.ready["owner"].as_str().unwrap()).unwrap();
        let (_, key) = owner.rsplit_once("SharedAccessKey=").unwrap();
        let url = format!("https://localhost:{}{path}", self.ready["httpsPort"]);
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
            .build()
            .unwrap();
        let request = client.request(method, url).body(body.to_string());
        let request = request.header("authorization", token("localhost", key, Some("iothubowner"), 60));
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut etag = Value::Null;
    for round in 0..3 {
        let program = Program::start(&data);
        if round > 0 {
            let (status, twin) = program.rest(Method::GET, "/twins/d", json!(null)).await;
            assert_eq!((status, &twin["properties"]["desired"]["round"]), (200, &json!(round - 1)));
            assert_eq!(twin["etag"], etag);
        }
        program.rest(Method::PUT, "/devices/d", json!({})).await;
        let patch = json!({"properties": {"desired": {"round": round}}});
        let (status, twin) = program.rest(Method::PATCH, "/twins/d", patch).await;
        assert_eq!(status, 200);
        etag = twin["etag"].clone();
        drop(program); // SIGKILL
    }
}

#[test]
fn the_authoritys_key_and_the_owners_string_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let certificate = |data: &Path| std::fs::read(data.join("ca.pem")).unwrap();
    drop(Program::start(&data));
    let first = certificate(&data);
    for file in ["ca.key.pem", "owner.connection-string"] {
        let mode = std::fs::metadata(data.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    drop(Program::start(&data));
    assert_eq!(first, certificate(&data), "the authority is made once");
}
