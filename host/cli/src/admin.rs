//! A device's admin socket, as seen by a client: requests and the answers as JSON.
//!
//! No hub, no network and no connection string: who may connect is the socket's own affair. A refusal of the device
//! becomes a [`Failure`] with its code and its reason; an exit code says whether a later try may help.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Body, Method, RequestBuilder, Response, redirect};
use rustls::RootCertStore;
use serde_json::Value;

use crate::failure::{Exit, Failure};

/// The environment variable that names the socket.
pub(crate) const VARIABLE: &str = "HOTSHOE_ADMIN_SOCKET";
/// Where it is otherwise.
pub(crate) const DEFAULT: &str = "/run/hotshoe/admin.sock";
/// The longest line that is taken, in bytes.
const LINE: usize = 1024 * 1024;

/// A device, by its socket.
pub(crate) struct Admin {
    client: reqwest::Client,
    socket: PathBuf,
}

impl Admin {
    /// Prepares to ask; connects with the first request.
    pub(crate) fn new(socket: &Path) -> Result<Admin, Failure> {
        let failed =
            |error: String| Failure::new(Exit::Software, format!("could not set up the connection: {error}"));
        // Nothing is encrypted on a socket of this machine; the client wants to be told of TLS nevertheless.
        let tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| failed(error.to_string()))?
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .unix_socket(socket)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Admin { client, socket: socket.to_owned() })
    }

    /// A document.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.document(self.request(Method::GET, path)).await
    }

    /// A text, as it is.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Failure> {
        let response = self.send(self.request(Method::GET, path)).await?;
        response.text().await.map_err(|error| self.broke(&error))
    }

    /// Has something done.
    pub(crate) async fn act(&self, method: Method, path: &str) -> Result<Value, Failure> {
        self.document(self.request(method, path)).await
    }

    /// Lines of JSON, each given to `line` as it comes, until the device ends them or `line` breaks.
    pub(crate) async fn lines(
        &self,
        path: &str,
        line: impl FnMut(Value) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let response = self.send(self.request(Method::GET, path)).await?;
        self.each_line(response, line).await
    }

    /// Installs what is in `body`, a component's bytes or an order in JSON. `phase` is told how far it has come.
    ///
    /// The answer is the device's: `{"outcome", "plugin", "wants"?}`.
    pub(crate) async fn install(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
        mut phase: impl FnMut(&str),
    ) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path).header("content-type", content_type).body(body);
        let response = self.send(request).await?;
        let mut done = None;
        self.each_line(response, |line| {
            if let Some(name) = line.get("phase").and_then(Value::as_str) {
                phase(name);
            } else if line.get("error").is_some() {
                return Err(refusal(&line, None));
            } else if let Some(outcome) = line.get("done") {
                done = Some(outcome.clone());
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        done.ok_or_else(|| {
            Failure::new(Exit::TempFail, "the device broke off before it said what became of the plugin")
                .hint("`hotshoe plugin list` shows what is live")
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://hotshoe{path}"))
    }

    async fn document(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.send(request).await?;
        response.json().await.map_err(|error| self.broke(&error))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        if status < 400 {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let document = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Err(refusal(&document, Some(status)))
    }

    async fn each_line(
        &self,
        mut response: Response,
        mut line: impl FnMut(Value) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let mut pending = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.broke(&error))? {
            for part in piece.split_inclusive(|byte| *byte == b'\n') {
                pending.extend_from_slice(part);
                if pending.len() > LINE {
                    return Err(Failure::new(Exit::Software, "the device sent a line without an end"));
                }
                if part.ends_with(b"\n") {
                    let value = serde_json::from_slice(&pending).map_err(|error| {
                        Failure::new(Exit::Software, format!("the device sent what is not JSON: {error}"))
                    })?;
                    pending.clear();
                    if line(value)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let denied = cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        let text = format!("could not connect to {}: {cause}", self.socket.display());
        if denied {
            Failure::new(Exit::NoPermission, text)
                .hint("ask to be put into the group of the socket, or use sudo")
        } else {
            Failure::new(Exit::Unavailable, text)
                .hint(format!("is hotshoed running here? name its socket with --socket or {VARIABLE}"))
        }
    }

    fn broke(&self, error: &reqwest::Error) -> Failure {
        Failure::new(Exit::Unavailable, format!("{} broke off: {error}", self.socket.display()))
    }
}

/// The device's refusal, with its code, its reason and what a script makes of it.
fn refusal(document: &Value, status: Option<u16>) -> Failure {
    let text = |key: &str| document.pointer(&format!("/error/{key}")).and_then(Value::as_str);
    let told = document.pointer("/error/status").and_then(Value::as_u64);
    let status = told.and_then(|status| u16::try_from(status).ok()).or(status).unwrap_or(500);
    let exit = match status {
        403 => Exit::NoPermission,
        404 => Exit::NoInput,
        408 | 429 | 503 => Exit::TempFail,
        507 => Exit::OsError,
        400..=499 => Exit::Data,
        _ => Exit::Software,
    };
    let code = text("code").unwrap_or("unknown");
    let reason = text("message").unwrap_or("the device did not say why");
    Failure {
        exit,
        text: format!("refused ({code}): {reason}"),
        hint: None,
        status: Some(status),
        code: Some(code.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_its_code_and_its_reason() {
        let document = json!({ "error": { "code": "claimed", "message": "the method ping is acme.one's", "status": 409 } });
        let failure = refusal(&document, None);
        assert_eq!(failure.text, "refused (claimed): the method ping is acme.one's");
        assert_eq!(
            (failure.exit, failure.status, failure.code.as_deref()),
            (Exit::Data, Some(409), Some("claimed"))
        );
        assert_eq!(refusal(&Value::Null, Some(503)).exit, Exit::TempFail);
        assert_eq!(refusal(&Value::Null, Some(403)).exit, Exit::NoPermission);
    }
}
