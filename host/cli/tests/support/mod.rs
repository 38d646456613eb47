//! A hub of one's own for the tests: real TLS on a real socket, answers written down beforehand.
//!
//! Every request's token is checked as a hub would, so a test that passes has signed correctly.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, each of which uses some"
)]

pub(crate) mod fleet;
pub(crate) mod local;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use hotshoe_core::sas::Token;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
};
use tokio_rustls::{TlsAcceptor, rustls, server::TlsStream};

pub(crate) const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// An answer: status, headers, body.
pub(crate) type Scripted = (u16, Vec<(&'static str, &'static str)>, String);

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) verb: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct World {
    answers: HashMap<String, Vec<Scripted>>,
    seen: Vec<Seen>,
}

/// The hub. It goes with the test's runtime.
pub(crate) struct Hub {
    world: Arc<Mutex<World>>,
    pub(crate) port: u16,
    directory: TempDir,
}

impl Hub {
    pub(crate) async fn start() -> Hub {
        let directory = tempfile::tempdir().unwrap();
        let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(directory.path().join("ca.pem"), issued.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![issued.cert.der().clone()], key)
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = Arc::new(Mutex::new(World::default()));
        let router = Router::new().fallback(answer).with_state(world.clone());
        let listener = Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        tokio::spawn(async move { axum::serve(listener, router).await });
        let owner =
            format!("HostName=localhost:{port};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}\n");
        std::fs::write(directory.path().join("owner"), owner).unwrap();
        Hub { world, port, directory }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the hub says to `GET /devices/d`: one after the other, and the last one again and again.
    pub(crate) fn script(&self, request: &str, answers: impl IntoIterator<Item = Scripted>) {
        let mut answers: Vec<Scripted> = answers.into_iter().collect();
        answers.reverse();
        self.world.lock().unwrap().answers.insert(request.to_owned(), answers);
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.world.lock().unwrap().seen.clone()
    }

    /// The command line with this hub's certificate and owner.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.arg("--ca").arg(self.file("ca.pem")).arg("--connection-string-file").arg(self.file("owner"));
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().await.unwrap())
    }
}

/// The command line alone.
pub(crate) fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotshoe"));
    for name in ["HOTSHOE_CONNECTION_STRING", "HOTSHOE_PROFILE", "HOTSHOE_CA"] {
        command.env_remove(name);
    }
    // Nobody's own profiles count.
    command.args(arguments).env("XDG_CONFIG_HOME", "/nonexistent").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            exit: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// 200 with a JSON body.
pub(crate) fn ok(body: Value) -> Scripted {
    (200, Vec::new(), body.to_string())
}

async fn answer(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let seen = Seen {
        verb: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    let authorized = authorized(&seen);
    let mut world = world.lock().unwrap();
    let key = format!("{} {}", seen.verb, seen.path);
    world.seen.push(seen);
    if !authorized {
        return StatusCode::IM_A_TEAPOT.into_response();
    }
    let (status, headers, body) = match world.answers.get_mut(&key) {
        Some(answers) if answers.len() > 1 => answers.pop().unwrap(),
        Some(answers) => answers.last().unwrap().clone(),
        None => (404, Vec::new(), format!("{{\"Message\":\"ErrorCode:NotScripted;{key}\"}}")),
    };
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn authorized(seen: &Seen) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let text =
        seen.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Ok(token) = Token::parse(text) else { return false };
    token.verify(KEY, now, 0).is_ok()
        && token.policy.as_deref() == Some("iothubowner")
        && token.resource_raw == "localhost"
        && token.expiry > now
        && seen.query.starts_with("api-version=2021-04-12")
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
