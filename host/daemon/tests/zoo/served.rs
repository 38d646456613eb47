//! A server of files, for what plugins do with files that they may have.

use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::server::{Answer, Server, Step};

/// How many bytes each file has.
pub(crate) const SIZE: usize = 64 * 1024;

/// Serves the same bytes under every name. Each connection is for one file, so that none is left open.
pub(crate) async fn start() -> Server {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nConnection: close");
    Server::start(move |_, _| Answer { head: head.clone(), steps: vec![Step::Send(file()), Step::Abort] })
        .await
}

fn file() -> Vec<u8> {
    vec![7; SIZE]
}

/// What the bytes hash to.
pub(crate) fn file_digest() -> String {
    let hex: String = digest(&SHA256, &file()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The same with the server's port in place of `{port}`.
pub(crate) fn addressed(payload: &Value, port: u16) -> Value {
    serde_json::from_str(&payload.to_string().replace("{port}", &port.to_string())).unwrap()
}
