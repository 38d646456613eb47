//! What a client's publish means: an answer to a direct method, a twin request, telemetry, or an offence.
//!
//! Twin answers are published only to clients that subscribed to them; a failed one carries a body with
//! `errorCode`, because the Node SDK looks there alone (`iothub.md` §2.4).

use bytes::Bytes;
use hotshoe_core::topic::{self, FromDevice};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::protocol::Step;
use super::session::{End, Session};
use crate::fault::Fault;
use crate::links::Answer;

/// A device-to-cloud message with its properties, in bytes (`iothub.md` §1.9).
const LARGEST_TELEMETRY: usize = 256 * 1024;

/// What a publish said of itself. IoT Hub keeps nothing for later subscribers, and passes both on as properties.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags {
    pub(super) retain: bool,
    pub(super) duplicate: bool,
}

impl Flags {
    fn noted_in(self, properties: &str) -> String {
        let notes = [(self.retain, "mqtt-retain=true"), (self.duplicate, "mqtt-dup=true")];
        let notes = notes.into_iter().filter(|(is_set, _)| *is_set).map(|(_, note)| note);
        let all: Vec<&str> =
            (!properties.is_empty()).then_some(properties).into_iter().chain(notes).collect();
        all.join("&")
    }
}

/// Counts body, names and values, as they are when decoded.
fn check_size(properties: &str, payload: &[u8]) -> Result<(), End> {
    let decoded = |text: &str| percent_decode_str(text).count();
    let bag: usize = properties
        .split('&')
        .map(|pair| {
            pair.split_once('=').map_or_else(|| decoded(pair), |(name, value)| decoded(name) + decoded(value))
        })
        .sum();
    let size = payload.len() + bag;
    if size > LARGEST_TELEMETRY {
        return Err(format!(
            "a message of {size} bytes, properties included; at most {LARGEST_TELEMETRY} fit"
        ));
    }
    Ok(())
}

impl Session {
    /// Acts on a publish; gives what to send back besides the acknowledgement. An error ends the connection.
    pub(super) async fn published(
        &mut self,
        topic_name: &str,
        payload: &Bytes,
        flags: Flags,
    ) -> Result<Vec<Step>, End> {
        let name = self.login.name.clone();
        match topic::parse_from_device(topic_name, name.device_id(), name.module_id()) {
            FromDevice::MethodResponse { status, request_id } => {
                let answer = Answer { status, payload: payload.clone() };
                self.hub.links.answer(&name, self.number, request_id, answer);
                Ok(Vec::new())
            }
            FromDevice::TwinGet { request_id } => {
                let (status, body) = match self.hub.record(&name).await {
                    Ok(record) => (200, record.twin.for_device().to_string()),
                    Err(fault) => (fault.status(), fault.twin_body().to_string()),
                };
                Ok(self.twin_answer(status, request_id, None, body))
            }
            FromDevice::TwinPatch { request_id, version } => {
                let reported = match self.read_patch(payload) {
                    Ok(patch) => self.hub.report(&name, patch, version).await,
                    Err(fault) => Err(fault),
                };
                Ok(match reported {
                    Ok(version) => self.twin_answer(204, request_id, Some(version), String::new()),
                    Err(fault) => {
                        tracing::debug!(device = %name, %fault, "a twin patch was refused");
                        self.twin_answer(fault.status(), request_id, None, fault.twin_body().to_string())
                    }
                })
            }
            FromDevice::Telemetry { properties } => {
                check_size(properties, payload)?;
                self.hub.keep_telemetry(&name, &flags.noted_in(properties), payload);
                Ok(Vec::new())
            }
            FromDevice::Unknown => Err(format!("a publish to {topic_name:?}, where nothing listens")),
        }
    }

    fn read_patch(&self, payload: &[u8]) -> Result<Value, Fault> {
        if !self.login.has_api_version {
            return Err(Fault::ArgumentInvalid("the user name of this connection has no api-version".into()));
        }
        serde_json::from_slice(payload)
            .map_err(|error| Fault::ArgumentInvalid(format!("the patch is not JSON: {error}")))
    }

    fn twin_answer(
        &mut self,
        status: u16,
        request_id: &str,
        version: Option<u64>,
        body: String,
    ) -> Vec<Step> {
        let topic = topic::twin_response(status, request_id, version);
        if !self.subscriptions.matches(&topic) {
            return Vec::new();
        }
        self.protocol.publish(&topic, &Bytes::from(body))
    }

    /// A will is telemetry of the client's own, or nothing.
    pub(super) fn deliver_will(&self, topic_name: &str, payload: &[u8]) {
        let name = &self.login.name;
        if let FromDevice::Telemetry { properties } =
            topic::parse_from_device(topic_name, name.device_id(), name.module_id())
        {
            if check_size(properties, payload).is_err() {
                return;
            }
            let and = if properties.is_empty() { "" } else { "&" };
            self.hub.keep_telemetry(name, &format!("{properties}{and}iothub-MessageType=Will"), payload);
        }
    }
}
