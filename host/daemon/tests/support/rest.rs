//! A service app's side of the hub, over its REST.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hotshoe_core::connection_string::{ConnectionString, Credential};
use hotshoe_core::sas;
use reqwest::{Client, Method};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::Value;

/// An owner's access to a hub.
pub(super) struct Rest {
    client: Client,
    base: String,
    token: String,
}

impl Rest {
    pub(super) fn new(ca: &Path, owner: &Path) -> Rest {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&std::fs::read(ca).unwrap()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        let owner: ConnectionString = std::fs::read_to_string(owner).unwrap().trim().parse().unwrap();
        let Credential::Key { key, policy } = &owner.credential else { panic!("the owner has a key") };
        let expiry = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
        let token = sas::token(&owner.host, key.expose(), policy.as_deref(), expiry).unwrap();
        let base = format!("https://{}:{}", owner.host, owner.port.unwrap_or(443));
        Rest { client, base, token }
    }

    /// The status and the body as JSON.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("{}{path}?api-version=2021-04-12", self.base);
        let mut request = self.client.request(method, url).header("authorization", &self.token);
        request = request.timeout(Duration::from_secs(120));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}
