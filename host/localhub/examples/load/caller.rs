//! A caller of direct methods: one HTTPS connection, one request at a time.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::tls::{Stream, open};

pub(crate) struct Caller {
    stream: Stream,
    token: String,
    read: Vec<u8>,
}

impl Caller {
    pub(crate) async fn connect(tls: &Arc<rustls::ClientConfig>, port: u16, token: String) -> Self {
        Self { stream: open(tls, port).await.unwrap(), token, read: Vec::new() }
    }

    /// Calls a device's method; the answer must be its echo.
    pub(crate) async fn invoke(&mut self, device: usize) {
        let path = format!("/twins/device-{device}/methods?api-version=2021-04-12");
        let body = r#"{"methodName":"echo","payload":{"hello":"there"},"responseTimeoutInSeconds":30}"#;
        let (status, answer) = self.send("POST", &path, body).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains("there"), "{answer}");
    }

    /// Sends a request; gives status and body.
    pub(crate) async fn send(&mut self, verb: &str, path: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{verb} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.read.clear();
        loop {
            assert_ne!(self.stream.read_buf(&mut self.read).await.unwrap(), 0, "the hub closed");
            let Some(head) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&self.read[..head]).unwrap();
            let status = text[9..12].parse().unwrap();
            let length = text.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            let end = head + 4 + length.unwrap_or(0);
            if self.read.len() >= end {
                return (status, String::from_utf8(self.read[head + 4..end].to_vec()).unwrap());
            }
        }
    }
}
