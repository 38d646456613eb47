//! Direct methods (iothub.md §6.3).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{CONNECT_TIMEOUT, Hub, HubError, Of, Request};

/// What to call.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    /// The device, or a module of it.
    pub(crate) of: Of<'a>,
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

impl Call<'_> {
    /// As the hub reads it, for one device or in a job.
    pub(super) fn body(&self) -> Value {
        json!({
            "methodName": self.name,
            "payload": self.payload,
            "responseTimeoutInSeconds": self.timeout,
            "connectTimeoutInSeconds": self.connect_timeout,
        })
    }
}

impl Hub {
    /// Calls a direct method. A device's status of any number is an answer, not an error.
    pub(crate) async fn invoke(&self, call: Call<'_>) -> Result<Answer, HubError> {
        let tried = format!("call {} on {}", call.name, call.of);
        // The hub itself answers when the two are over; the rest is for the way there and back.
        let patience = Duration::from_secs(call.timeout + call.connect_timeout) + CONNECT_TIMEOUT;
        let request = Request::new(tried.clone(), Method::POST, call.of.path("twins", Some("methods")));
        let request = request.body(call.body()).timeout(patience);
        let mut answer = self.send(request).await?;
        let status = answer
            .get("status")
            .and_then(Value::as_i64)
            .ok_or_else(|| HubError::Answer { tried, reason: "it has no `status`".to_owned() })?;
        let payload = answer.get_mut("payload").map(Value::take).unwrap_or_default();
        Ok(Answer { status, payload })
    }
}
