//! Identities of devices and their modules (iothub.md §6.5), one and a hundred at a time.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Hub, HubError, Of, Request};

/// How many identities the hub takes in one bulk request.
pub(crate) const BULK: usize = 100;

impl Hub {
    /// Adds a device or a module; fails when it is there already.
    ///
    /// `authentication` is the member of that name. Empty keys are made by the hub. A module has no status.
    pub(crate) async fn create_identity(
        &self,
        of: Of<'_>,
        enabled: bool,
        authentication: Value,
    ) -> Result<Value, HubError> {
        let mut body = json!({ "deviceId": of.device, "authentication": authentication });
        if let Some(members) = body.as_object_mut() {
            match of.module {
                Some(module) => members.insert("moduleId".to_owned(), json!(module)),
                None => {
                    members.insert("status".to_owned(), json!(if enabled { "enabled" } else { "disabled" }))
                }
            };
        }
        let request = Request::new(format!("create {}", named(of)), Method::PUT, of.path("devices", None));
        self.send(request.body(body)).await
    }

    /// Writes a whole identity over the one that has this etag.
    pub(crate) async fn update_identity(
        &self,
        of: Of<'_>,
        identity: Value,
        etag: &str,
    ) -> Result<Value, HubError> {
        let request = Request::new(format!("update {}", named(of)), Method::PUT, of.path("devices", None));
        self.send(request.body(identity).if_match(Some(etag))).await
    }

    /// All devices, at most so many.
    pub(crate) async fn devices(&self, top: u16) -> Result<Vec<Value>, HubError> {
        let query = format!("&top={top}");
        let tried = "list the devices";
        array(tried, self.send(Request::new(tried, Method::GET, ["devices"]).query(&query)).await?)
    }

    /// The modules of a device.
    pub(crate) async fn modules(&self, device: &str) -> Result<Vec<Value>, HubError> {
        let tried = format!("list the modules of {device}");
        let request = Request::new(tried.clone(), Method::GET, ["devices", device, "modules"]);
        array(&tried, self.send(request).await?)
    }

    /// One device or module, with its keys.
    pub(crate) async fn identity(&self, of: Of<'_>) -> Result<Value, HubError> {
        self.send(Request::new(format!("show {}", named(of)), Method::GET, of.path("devices", None))).await
    }

    /// Deletes a device or a module, whatever its state.
    pub(crate) async fn delete_identity(&self, of: Of<'_>) -> Result<(), HubError> {
        let request = Request::new(format!("delete {}", named(of)), Method::DELETE, of.path("devices", None));
        self.send(request.if_match(Some("*"))).await.map(drop)
    }

    /// Creates, changes or deletes up to [`BULK`] devices, each with an `importMode`. The answer names those that
    /// were refused; the others were done.
    pub(crate) async fn bulk(&self, devices: Vec<Value>) -> Result<Value, HubError> {
        let tried = format!("write {} devices", devices.len());
        let request = Request::new(tried.clone(), Method::POST, ["devices"]).body(Value::Array(devices));
        let reply = self.exchange(request.also(400)).await?;
        if reply.body.get("isSuccessful").is_none() {
            let told = reply.body.to_string();
            return Err(match reply.status {
                400 => HubError::refused(&tried, 400, None, told.as_bytes()),
                _ => HubError::Answer { tried, reason: "it has no `isSuccessful`".to_owned() },
            });
        }
        Ok(reply.body)
    }
}

fn named(of: Of<'_>) -> String {
    if of.module.is_some() { format!("module {of}") } else { format!("device {of}") }
}

pub(super) fn array(tried: &str, answer: Value) -> Result<Vec<Value>, HubError> {
    match answer {
        Value::Array(found) => Ok(found),
        _ => Err(HubError::Answer { tried: tried.to_owned(), reason: "it is not an array".to_owned() }),
    }
}
