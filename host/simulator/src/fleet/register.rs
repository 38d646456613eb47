//! How the devices get into the hub: a hundred a request (iothub.md §6.2), or one by one where a hub cannot do that.
//!
//! Keys are made here, of random bits, and set: a device that was there before gets a new key and keeps its twin.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hotshoe_core::{
    connection_string::{ConnectionString, Credential},
    sas,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, StatusCode};
use rustls::RootCertStore;
use serde_json::{Map, Value, json};

use super::board::{Board, more};

/// The most devices of one request.
const BULK: usize = 100;
/// How often a request is repeated that the hub put off.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The hub's registry.
pub(super) struct Registry {
    client: Client,
    base: String,
    owner: ConnectionString,
}

impl Registry {
    pub(super) fn new(owner: &ConnectionString, roots: &Arc<RootCertStore>) -> Result<Registry> {
        if !matches!(owner.credential, Credential::Key { policy: Some(_), .. }) {
            bail!("--hub: a connection string with SharedAccessKeyName and SharedAccessKey is needed");
        }
        let tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(Arc::clone(roots))
                .with_no_client_auth();
        let client = Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE).build()?;
        let base = format!("https://{}:{}", owner.host, owner.port.unwrap_or(443));
        Ok(Registry { client, base, owner: owner.clone() })
    }

    /// Makes the devices, or gives those that are there new keys; returns the keys.
    pub(super) async fn create(
        &self,
        names: &[String],
        tags: &Map<String, Value>,
        board: &Board,
    ) -> Result<Vec<String>> {
        let mut keys = Vec::with_capacity(names.len());
        let mut bulk = true;
        for names in names.chunks(BULK) {
            let made: Vec<String> = names.iter().map(|_| key()).collect();
            if bulk {
                bulk = self.create_many(names, &made, tags).await?;
            }
            for (name, key) in names.iter().zip(&made) {
                if !bulk {
                    self.create_one(name, key, tags).await.with_context(|| format!("device {name}"))?;
                }
                more(&board.registered);
            }
            keys.extend(made);
        }
        debug_assert_eq!(board.registered.load(Ordering::Relaxed), names.len() as u64);
        Ok(keys)
    }

    /// Removes the devices.
    pub(super) async fn remove(&self, names: &[String]) -> Result<()> {
        for names in names.chunks(BULK) {
            let items: Vec<Value> =
                names.iter().map(|name| json!({ "id": name, "importMode": "delete" })).collect();
            let (status, _) = self.send(Method::POST, "/devices", Some(&json!(items)), None).await?;
            if status.is_success() {
                continue;
            }
            for name in names {
                let (status, body) = self.send(Method::DELETE, &device(name), None, Some("\"*\"")).await?;
                if !status.is_success() && status != StatusCode::NOT_FOUND {
                    bail!("device {name} was not removed: {status}: {body}");
                }
            }
        }
        Ok(())
    }

    /// False where the hub has no bulk requests.
    async fn create_many(
        &self,
        names: &[String],
        keys: &[String],
        tags: &Map<String, Value>,
    ) -> Result<bool> {
        let item = |(name, key): (&String, &String)| {
            json!({
                "id": name, "importMode": "createOrUpdate", "status": "enabled", "tags": tags,
                "authentication": { "type": "sas", "symmetricKey": { "primaryKey": key, "secondaryKey": key } },
            })
        };
        let items: Vec<Value> = names.iter().zip(keys).map(item).collect();
        let (status, body) = self.send(Method::POST, "/devices", Some(&json!(items)), None).await?;
        match status {
            StatusCode::OK if body.get("isSuccessful") != Some(&json!(false)) => Ok(true),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            _ => bail!("the hub did not take {} devices at once: {status}: {body}", names.len()),
        }
    }

    async fn create_one(&self, name: &str, key: &str, tags: &Map<String, Value>) -> Result<()> {
        let identity = json!({
            "deviceId": name, "status": "enabled",
            "authentication": { "type": "sas", "symmetricKey": { "primaryKey": key, "secondaryKey": key } },
        });
        let (mut status, mut body) = self.send(Method::PUT, &device(name), Some(&identity), None).await?;
        if status == StatusCode::CONFLICT {
            (status, body) = self.send(Method::PUT, &device(name), Some(&identity), Some("\"*\"")).await?;
        }
        if !status.is_success() {
            bail!("the hub did not take the identity: {status}: {body}");
        }
        let path = format!("/twins/{}", utf8_percent_encode(name, UNRESERVED));
        let (status, body) =
            self.send(Method::PATCH, &path, Some(&json!({ "tags": tags })), Some("\"*\"")).await?;
        if !status.is_success() {
            bail!("the hub did not take the tags: {status}: {body}");
        }
        Ok(())
    }

    /// One request, repeated while the hub says that it is too much.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<(StatusCode, Value)> {
        let url = format!("{}{path}?api-version=2021-04-12", self.base);
        for _ in 0..TRIES {
            let mut request =
                self.client.request(method.clone(), &url).header("authorization", self.token()?);
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            if let Some(etag) = etag {
                request = request.header("if-match", etag);
            }
            let response = request.send().await.with_context(|| format!("the hub at {}", self.base))?;
            let status = response.status();
            if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let body = response.bytes().await?;
            return Ok((status, serde_json::from_slice(&body).unwrap_or_default()));
        }
        bail!("the hub puts {method} {path} off again and again; it is throttled")
    }

    fn token(&self) -> Result<String> {
        let Credential::Key { key, policy } = &self.owner.credential else {
            bail!("the owner's connection string has no key");
        };
        let expiry = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default() + 3600;
        Ok(sas::token(&self.owner.host, key.expose(), policy.as_deref(), expiry)?)
    }
}

fn device(name: &str) -> String {
    format!("/devices/{}", utf8_percent_encode(name, UNRESERVED))
}

fn key() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}
