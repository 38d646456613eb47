//! IoT Hub's REST, as far as an operator needs it (iothub.md §6). Azure and the local hub are the same to it.
//!
//! Every request carries a token of its own, made from the connection string, so that a long watch never ends with
//! an expired one. Redirects are not followed: the token must not go elsewhere. A request that only reads is not
//! repeated here either; whoever follows something decides that.

mod configurations;
mod devices;
mod error;
mod events;
mod jobs;
mod methods;
mod query;
mod statistics;
mod time;
mod twins;

use std::{fmt, time::Duration};

use hotshoe_core::{
    connection_string::{ConnectionString, Credential},
    sas,
};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH},
    redirect,
};
use serde_json::Value;
use time::HubTime;

pub(crate) use devices::BULK;
pub(crate) use error::HubError;
pub(crate) use events::Watched;
pub(crate) use jobs::{Job, Work};
pub(crate) use methods::{Answer, Call};
pub(crate) use query::PAGE;

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
    time: HubTime,
}

/// Whom a request is about: a device, or a module of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Of<'a> {
    /// The device's id.
    pub(crate) device: &'a str,
    /// The module's id.
    pub(crate) module: Option<&'a str>,
}

impl<'a> Of<'a> {
    /// A device itself.
    pub(crate) fn device(device: &'a str) -> Self {
        Of { device, module: None }
    }

    /// Its path below `devices` or `twins`, and what follows it.
    fn path(&self, root: &'static str, then: Option<&'static str>) -> Vec<&'a str> {
        let module = self.module.into_iter().flat_map(|module| ["modules", module]);
        [root, self.device].into_iter().chain(module).chain(then).collect()
    }
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.module {
            Some(module) => write!(formatter, "{}/{module}", self.device),
            None => formatter.write_str(self.device),
        }
    }
}

/// One request.
struct Request<'a> {
    /// What is tried, for messages: `show device pump-7`.
    tried: String,
    method: Method,
    /// The path, each part still plain.
    path: Vec<&'a str>,
    /// What stands in the query beside the version.
    query: &'a str,
    body: Option<Value>,
    /// `*` or an etag, without quotes.
    if_match: Option<&'a str>,
    /// Further headers: names and values.
    headers: Vec<(HeaderName, String)>,
    /// A status that is an answer although it says no.
    also: Option<u16>,
    timeout: Duration,
}

/// What came back.
struct Reply {
    status: u16,
    headers: HeaderMap,
    /// `null` where there is no body.
    body: Value,
}

impl Reply {
    fn header(&self, name: &HeaderName) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

impl<'a> Request<'a> {
    fn new(tried: impl Into<String>, method: Method, path: impl Into<Vec<&'a str>>) -> Self {
        Request {
            tried: tried.into(),
            method,
            path: path.into(),
            query: "",
            body: None,
            if_match: None,
            headers: Vec::new(),
            also: None,
            timeout: TIMEOUT,
        }
    }

    fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn also(mut self, status: u16) -> Self {
        self.also = Some(status);
        self
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
        Ok(Hub { http, connection, clock, time: HubTime::default() })
    }

    /// What time it is at the hub, as far as its answers have told; before the first of them it is this machine's time.
    ///
    /// For whatever is compared with times that the hub has set, or that another machine reads.
    pub(crate) fn now(&self) -> Timestamp {
        self.time.at((self.clock)())
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

    /// Whether this is Azure's own, and not a hub of somebody's.
    pub(crate) fn is_azure(&self) -> bool {
        let host = self.connection.host.to_ascii_lowercase();
        host.contains(".azure-devices.") || host.contains(".azure-devices-")
    }

    /// Sends a request; the answer is JSON, or `null` where there is no body.
    async fn send(&self, request: Request<'_>) -> Result<Value, HubError> {
        Ok(self.exchange(request).await?.body)
    }

    /// Sends a request; status and headers of the answer count as well.
    async fn exchange(&self, request: Request<'_>) -> Result<Reply, HubError> {
        let (tried, also) = (request.tried.clone(), request.also);
        let response = self.begin(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let unreachable = |error: reqwest::Error| HubError::unreachable(&tried, &self.address(), &error);
        let bytes = response.bytes().await.map_err(unreachable)?;
        if !status.is_success() && also != Some(status.as_u16()) {
            let name = headers.get("iothub-errorcode").and_then(|name| name.to_str().ok()).map(str::to_owned);
            return Err(HubError::refused(&tried, status.as_u16(), name, &bytes));
        }
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .map_err(|error| HubError::Answer { tried, reason: error.to_string() })?
        };
        Ok(Reply { status: status.as_u16(), headers, body })
    }

    /// Sends a request; the body of the answer is still to come.
    async fn begin(&self, request: Request<'_>) -> Result<reqwest::Response, HubError> {
        let Request { tried, method, path, query, body, if_match, headers: more, also: _, timeout } = request;
        let path: Vec<String> =
            path.iter().map(|part| utf8_percent_encode(part, SEGMENT).to_string()).collect();
        let url = format!("https://{}/{}?api-version={API_VERSION}{query}", self.address(), path.join("/"));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization(&tried)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        let more = more.into_iter().chain(if_match.map(|etag| (IF_MATCH, format!("\"{etag}\""))));
        for (name, value) in more {
            let value = HeaderValue::from_str(&value)
                .map_err(|_| HubError::Header { tried: tried.clone(), value: value.clone() })?;
            headers.insert(name, value);
        }
        let mut http = self.http.request(method, url).headers(headers).timeout(timeout);
        if let Some(body) = body {
            http = http.body(body.to_string());
        }
        let sent = http.send().await;
        let response = sent.map_err(|error| HubError::unreachable(&tried, &self.address(), &error))?;
        self.time.heard(response.headers(), (self.clock)());
        Ok(response)
    }
}
