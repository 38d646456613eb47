//! The service's topics and documents (iothub.md §7). Pure.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::Assignment;

/// What is subscribed.
pub(super) const RESPONSES: &str = "$dps/registrations/res/#";
const RESPONSE: &str = "$dps/registrations/res/";
/// The version of the protocol.
pub(super) const API_VERSION: &str = "2019-03-31";
/// How long to wait before a registration is asked about, where the service does not say.
const POLL: Duration = Duration::from_secs(2);
/// The longest that the service may make a device wait before it asks.
const POLL_LIMIT: Duration = Duration::from_secs(120);

/// Why a registration did not go well.
#[derive(Debug, Error)]
pub(in crate::hub) enum Failed {
    #[error(
        "the provisioning service refused the credential (CONNACK {code}); check id_scope, registration_id, key and clock"
    )]
    Credential { code: u8 },
    #[error(
        "the provisioning service refused the registration ({status}): {message}; check its enrollment, id_scope and the key"
    )]
    Refused { status: u16, message: String },
    #[error("the provisioning service put the registration off ({status}): {message}")]
    Later { status: u16, message: String, after: Option<Duration> },
    #[error(
        "the registration is {status}: {message}; look at the enrollment and the hubs linked to the service"
    )]
    Unassigned { status: String, message: String },
    #[error("the provisioning service did not answer {what} within {} s", after.as_secs())]
    Silent { what: &'static str, after: Duration },
    #[error(
        "the provisioning service is still assigning a hub after {polls} questions; look at the registration there"
    )]
    Endless { polls: u32 },
    #[error("the provisioning service answered something that is no answer: {0}")]
    Nonsense(String),
    #[error("no connection to the provisioning service: {0}")]
    Link(String),
}

/// An answer of the service.
#[derive(Debug, PartialEq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) request: String,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// What an answer means for a registration.
#[derive(Debug, PartialEq)]
pub(super) enum Standing {
    Assigned(Assignment),
    /// Ask about this operation after a while.
    Assigning(String, Duration),
}

pub(super) fn register(request: &str) -> String {
    format!("$dps/registrations/PUT/iotdps-register/?$rid={request}")
}

pub(super) fn poll(request: &str, operation: &str) -> String {
    format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid={request}&operationId={operation}")
}

pub(super) fn registration(id: &str) -> Vec<u8> {
    json!({ "registrationId": id }).to_string().into_bytes()
}

impl Response {
    /// `None` where the topic is none of an answer.
    pub(super) fn read(topic: &str, body: &[u8]) -> Option<Response> {
        let (status, query) = topic.strip_prefix(RESPONSE)?.split_once("/?")?;
        let (mut request, mut retry_after) = (None, None);
        for field in query.split('&') {
            match field.split_once('=')? {
                ("$rid", id) => request = Some(id.to_owned()),
                ("retry-after", seconds) => retry_after = seconds.parse().ok().map(Duration::from_secs),
                _ => {}
            }
        }
        let retry_after = retry_after.map(|after: Duration| after.min(POLL_LIMIT));
        Some(Response { status: status.parse().ok()?, request: request?, retry_after, body: body.to_vec() })
    }

    /// How the registration stands.
    pub(super) fn standing(self) -> Result<Standing, Failed> {
        if self.status >= 300 {
            let message = message(&self.body);
            return Err(match self.status {
                429 | 500.. => Failed::Later { status: self.status, message, after: self.retry_after },
                status => Failed::Refused { status, message },
            });
        }
        let document: Document =
            serde_json::from_slice(&self.body).map_err(|error| Failed::Nonsense(error.to_string()))?;
        let after = self.retry_after.unwrap_or(POLL);
        match (document.status.as_str(), document.operation_id, document.registration_state) {
            ("assigned", _, Some(State { assigned_hub: Some(hub), device_id: Some(device), .. })) => {
                Ok(Standing::Assigned(Assignment { hub, device }))
            }
            ("assigning" | "unassigned", Some(operation), _) if self.status == 202 => {
                Ok(Standing::Assigning(operation, after))
            }
            ("assigning", Some(operation), _) => Ok(Standing::Assigning(operation, after)),
            ("assigned", ..) => Err(Failed::Nonsense("it is assigned, and to no hub".to_owned())),
            (status, _, state) => {
                let state = state.unwrap_or_default();
                let words = state.error_message.unwrap_or_else(|| "the service says no more".to_owned());
                let code = state.error_code.filter(|code| *code != 0);
                let message = code.map_or(words.clone(), |code| format!("{words} ({code})"));
                Err(Failed::Unassigned { status: status.to_owned(), message })
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    operation_id: Option<String>,
    #[serde(default)]
    status: String,
    #[serde(default)]
    registration_state: Option<State>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct State {
    assigned_hub: Option<String>,
    device_id: Option<String>,
    error_code: Option<i64>,
    error_message: Option<String>,
}

/// What the service says about an error: its `message`, else the beginning of the body.
fn message(body: &[u8]) -> String {
    let document: Option<Value> = serde_json::from_slice(body).ok();
    let told = document.as_ref().and_then(|document| document.get("message")).and_then(Value::as_str);
    told.map_or_else(|| String::from_utf8_lossy(body).chars().take(200).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(topic: &str, body: Value) -> Result<Standing, Failed> {
        Response::read(topic, body.to_string().as_bytes()).unwrap().standing()
    }

    #[test]
    fn a_registration_goes_from_assigning_to_assigned() {
        let body = json!({ "operationId": "4.a.b", "status": "assigning" });
        let assigning = standing("$dps/registrations/res/202/?$rid=1&retry-after=3", body.clone()).unwrap();
        assert_eq!(assigning, Standing::Assigning("4.a.b".to_owned(), Duration::from_secs(3)));
        let assigning = standing("$dps/registrations/res/202/?$rid=1", body).unwrap();
        assert_eq!(assigning, Standing::Assigning("4.a.b".to_owned(), POLL));
        let body = json!({
            "operationId": "4.a.b", "status": "assigned",
            "registrationState": {
                "registrationId": "camera-1", "assignedHub": "hub.example", "deviceId": "camera-1", "status": "assigned",
                "substatus": "initialAssignment", "etag": "x",
            },
        });
        let assigned = standing("$dps/registrations/res/200/?$rid=2", body).unwrap();
        let wanted = Assignment { hub: "hub.example".to_owned(), device: "camera-1".to_owned() };
        assert_eq!(assigned, Standing::Assigned(wanted));
    }

    #[test]
    fn what_went_wrong_is_told_with_what_to_look_at() {
        let body = json!({ "errorCode": 401002, "trackingId": "x", "message": "Unauthorized" });
        let told = standing("$dps/registrations/res/401/?$rid=1", body).unwrap_err().to_string();
        assert!(told.contains("(401): Unauthorized; check its enrollment"), "{told}");
        let later = standing("$dps/registrations/res/429/?$rid=1&retry-after=7", json!({})).unwrap_err();
        assert!(matches!(later, Failed::Later { after: Some(after), .. } if after.as_secs() == 7), "{later}");
        let disabled = json!({ "status": "disabled", "registrationState": { "errorCode": 0 } });
        let told = standing("$dps/registrations/res/200/?$rid=1", disabled).unwrap_err().to_string();
        assert!(told.contains("the registration is disabled"), "{told}");
        let failed = json!({
            "operationId": "1", "status": "failed",
            "registrationState": { "errorCode": 400207, "errorMessage": "Custom allocation failed" },
        });
        let told = standing("$dps/registrations/res/200/?$rid=1", failed).unwrap_err().to_string();
        assert!(told.contains("Custom allocation failed (400207)"), "{told}");
        let nowhere = json!({ "status": "assigned", "registrationState": {} });
        assert!(matches!(standing("$dps/registrations/res/200/?$rid=1", nowhere), Err(Failed::Nonsense(_))));
    }

    #[test]
    fn other_topics_are_no_answers() {
        for topic in
            ["$dps/registrations/res/200", "$iothub/twin/res/200/?$rid=1", "$dps/registrations/res/x/?$rid=1"]
        {
            assert_eq!(Response::read(topic, b""), None, "{topic}");
        }
    }
}
