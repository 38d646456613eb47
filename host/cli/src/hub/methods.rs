//! Direct methods (iothub.md §6.3).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{CONNECT_TIMEOUT, Hub, HubError, Request};

/// What to call.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    /// The device.
    pub(crate) device: &'a str,
    /// The method.
    pub(crate) name: &'a str,
    /// Its payload.
    pub(crate) payload: Value,
    /// How long the device may take, in seconds.
    pub(crate) timeout: u64,
    /// How long to wait for the device to connect, in seconds.
    pub(crate) connect_timeout: u64,
}

/// What the device answered.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Answer {
    /// The device's own status.
    pub(crate) status: i64,
    /// The device's answer.
    pub(crate) payload: Value,
}

impl Hub {
    /// Calls a direct method. A device's status of any number is an answer, not an error.
    pub(crate) async fn invoke(&self, call: Call<'_>) -> Result<Answer, HubError> {
        let Call { device, name, payload, timeout, connect_timeout } = call;
        let tried = format!("call {name} on {device}");
        let body = json!({
            "methodName": name,
            "payload": payload,
            "responseTimeoutInSeconds": timeout,
            "connectTimeoutInSeconds": connect_timeout,
        });
        // The hub itself answers when the two are over; the rest is for the way there and back.
        let patience = Duration::from_secs(timeout + connect_timeout) + CONNECT_TIMEOUT;
        let path = ["twins", device, "methods"];
        let request = Request::new(tried.clone(), Method::POST, &path).body(body).timeout(patience);
        let mut answer = self.send(request).await?;
        let status = answer
            .get("status")
            .and_then(Value::as_i64)
            .ok_or_else(|| HubError::Answer { tried, reason: "it has no `status`".to_owned() })?;
        let payload = answer.get_mut("payload").map(Value::take).unwrap_or_default();
        Ok(Answer { status, payload })
    }
}
