//! IoT Hub's REST, as far as an operator needs it (iothub.md §6). Azure and the local hub are the same to it.
//!
//! Every request carries a token of its own, made from the connection string, so that a long watch never ends with
//! an expired one. Redirects are not followed: the token must not go elsewhere. A request that only reads is not
//! repeated here either; whoever follows something decides that.

mod devices;
mod error;
mod methods;
mod twins;

use std::time::Duration;

use hotshoe_core::{
    connection_string::{ConnectionString, Credential},
    sas,
};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH},
    redirect,
};
use serde_json::Value;

pub(crate) use error::HubError;
pub(crate) use methods::{Answer, Call};

use crate::failure::{Exit, Failure};

const API_VERSION: &str = "2021-04-12";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a token is good; each request has its own, so this only has to bridge clocks that differ.
const TOKEN_LIFETIME: i64 = 600;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A hub, and the operator's right to ask it.
pub(crate) struct Hub {
    http: reqwest::Client,
    connection: ConnectionString,
    clock: fn() -> Timestamp,
}

/// One request.
struct Request<'a> {
    /// What is tried, for messages: `show device pump-7`.
    tried: String,
    method: Method,
    /// The path, each part still plain.
    path: &'a [&'a str],
    /// What stands in the query beside the version.
    query: &'a str,
    body: Option<Value>,
    /// `*` or an etag, without quotes.
    if_match: Option<&'a str>,
    timeout: Duration,
}

impl<'a> Request<'a> {
    fn new(tried: impl Into<String>, method: Method, path: &'a [&'a str]) -> Self {
        Request { tried: tried.into(), method, path, query: "", body: None, if_match: None, timeout: TIMEOUT }
    }

    fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    fn if_match(mut self, etag: Option<&'a str>) -> Self {
        self.if_match = etag;
        self
    }

    fn query(mut self, query: &'a str) -> Self {
        self.query = query;
        self
    }

    fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Hub {
    /// Prepares to ask the hub of an operator's connection string. Does not connect.
    pub(crate) fn new(
        connection: ConnectionString,
        tls: rustls::ClientConfig,
        clock: fn() -> Timestamp,
    ) -> Result<Hub, Failure> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("hotshoe/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::new(Exit::Software, format!("could not set up HTTPS: {error}")))?;
        Ok(Hub { http, connection, clock })
    }

    /// The hub's host name, without a port: what a device's connection string names.
    pub(crate) fn host(&self) -> &str {
        &self.connection.host
    }

    fn address(&self) -> String {
        match self.connection.port {
            Some(port) => format!("{}:{port}", self.connection.host),
            None => self.connection.host.clone(),
        }
    }

    fn authorization(&self, tried: &str) -> Result<HeaderValue, HubError> {
        let failed = |reason: String| HubError::Token { tried: tried.to_owned(), reason };
        let text = match &self.connection.credential {
            Credential::Key { key, policy } => {
                let expiry = (self.clock)().as_second().saturating_add(TOKEN_LIFETIME);
                let expiry = u64::try_from(expiry).unwrap_or_default();
                sas::token(&self.connection.host, key.expose(), policy.as_deref(), expiry)
                    .map_err(|error| failed(error.to_string()))?
            }
            Credential::Token(token) => token.expose().to_owned(),
            Credential::X509 => return Err(failed("the hub's REST takes no client certificate".to_owned())),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|error| failed(error.to_string()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Sends a request; the answer is JSON, or `null` where there is no body.
    async fn send(&self, request: Request<'_>) -> Result<Value, HubError> {
        let Request { tried, method, path, query, body, if_match, timeout } = request;
        let path: Vec<String> =
            path.iter().map(|part| utf8_percent_encode(part, SEGMENT).to_string()).collect();
        let url = format!("https://{}/{}?api-version={API_VERSION}{query}", self.address(), path.join("/"));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization(&tried)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if let Some(etag) = if_match {
            let quoted = HeaderValue::from_str(&format!("\"{etag}\""))
                .map_err(|_| HubError::Etag { tried: tried.clone(), etag: etag.to_owned() })?;
            headers.insert(IF_MATCH, quoted);
        }
        let mut http = self.http.request(method, url).headers(headers).timeout(timeout);
        if let Some(body) = body {
            http = http.body(body.to_string());
        }
        let unreachable = |error: reqwest::Error| HubError::unreachable(&tried, &self.address(), &error);
        let response = http.send().await.map_err(unreachable)?;
        let status = response.status();
        let name =
            response.headers().get("iothub-errorcode").and_then(|name| name.to_str().ok()).map(str::to_owned);
        let bytes = response.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(HubError::refused(&tried, status.as_u16(), name, &bytes));
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| HubError::Answer { tried, reason: error.to_string() })
    }
}
