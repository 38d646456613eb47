//! Device identities (iothub.md §6.5).

use reqwest::Method;
use serde_json::{Value, json};

use super::{Hub, HubError, Request};

impl Hub {
    /// Adds a device; fails when it is there already.
    ///
    /// `authentication` is the member of that name. Empty keys are made by the hub.
    pub(crate) async fn create_device(
        &self,
        device: &str,
        enabled: bool,
        authentication: Value,
    ) -> Result<Value, HubError> {
        let status = if enabled { "enabled" } else { "disabled" };
        let body = json!({ "deviceId": device, "status": status, "authentication": authentication });
        let path = ["devices", device];
        self.send(Request::new(format!("create device {device}"), Method::PUT, &path).body(body)).await
    }

    /// All devices, at most so many.
    pub(crate) async fn devices(&self, top: u16) -> Result<Vec<Value>, HubError> {
        let query = format!("&top={top}");
        let request = Request::new("list the devices", Method::GET, &["devices"]).query(&query);
        match self.send(request).await? {
            Value::Array(devices) => Ok(devices),
            _ => Err(HubError::Answer {
                tried: "list the devices".to_owned(),
                reason: "not an array".to_owned(),
            }),
        }
    }

    /// One device, with its keys.
    pub(crate) async fn device(&self, device: &str) -> Result<Value, HubError> {
        self.send(Request::new(format!("show device {device}"), Method::GET, &["devices", device])).await
    }

    /// Deletes a device, whatever its state.
    pub(crate) async fn delete_device(&self, device: &str) -> Result<(), HubError> {
        let path = ["devices", device];
        let request =
            Request::new(format!("delete device {device}"), Method::DELETE, &path).if_match(Some("*"));
        self.send(request).await.map(drop)
    }
}
