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
use crate::faults::What;
use crate::links::Answer;
use crate::throttle::Operation;

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
    /// Acts on a publish; gives what to send back besides the acknowledgement, or `None` if a fault lost it and it is
    /// not to be acknowledged. An error ends the connection.
    pub(super) async fn published(
        &mut self,
        topic_name: &str,
        payload: &Bytes,
        flags: Flags,
    ) -> Result<Option<Vec<Step>>, End> {
        let name = self.login.name.clone();
        match topic::parse_from_device(topic_name, name.device_id(), name.module_id()) {
            FromDevice::MethodResponse { status, request_id } => {
                let times = self.passes(What::Answers).await?;
                for _ in 0..times {
                    self.hand_over(request_id, Answer { status, payload: payload.clone() });
                }
                Ok((times > 0).then(Vec::new))
            }
            FromDevice::TwinGet { request_id } => {
                let read = match self.hub.throttle.pass(Operation::TwinRead).await {
                    Ok(()) => self.hub.record(&name).await,
                    Err(fault) => Err(fault),
                };
                let (status, body) = match read {
                    Ok(record) => (200, record.twin.for_device().to_string()),
                    Err(fault) => (fault.status(), fault.twin_body().to_string()),
                };
                self.twin_answer(status, request_id, None, body).await
            }
            FromDevice::TwinPatch { request_id, version } => match self.patch_twin(payload, version).await {
                Ok(version) => self.twin_answer(204, request_id, Some(version), String::new()).await,
                Err(fault) => {
                    tracing::debug!(device = %name, %fault, "a twin patch was refused");
                    let body = fault.twin_body().to_string();
                    self.twin_answer(fault.status(), request_id, None, body).await
                }
            },
            FromDevice::Telemetry { properties } => {
                check_size(properties, payload).map_err(|reason| self.offence(reason))?;
                let throttled = self.hub.throttle.pass(Operation::Telemetry).await;
                throttled.map_err(|fault| fault.to_string())?;
                let times = self.passes(What::Telemetry).await?;
                for _ in 0..times {
                    self.hub.keep_telemetry(&name, &flags.noted_in(properties), payload);
                }
                Ok((times > 0).then(Vec::new))
            }
            FromDevice::Unknown => {
                Err(self.offence(format!("a publish to {topic_name:?}, where nothing listens")))
            }
        }
    }

    async fn patch_twin(&self, payload: &[u8], expected: Option<u64>) -> Result<u64, Fault> {
        let name = &self.login.name;
        if let Some(fault) = self.hub.faults.patch(name) {
            return Err(fault);
        }
        self.hub.throttle.pass(Operation::TwinUpdate).await?;
        self.hub.report(name, self.read_patch(payload)?, expected).await
    }

    fn read_patch(&self, payload: &[u8]) -> Result<Value, Fault> {
        if !self.login.has_api_version {
            return Err(Fault::ArgumentInvalid("the user name of this connection has no api-version".into()));
        }
        serde_json::from_slice(payload)
            .map_err(|error| Fault::ArgumentInvalid(format!("the patch is not JSON: {error}")))
    }

    async fn twin_answer(
        &mut self,
        status: u16,
        request_id: &str,
        version: Option<u64>,
        body: String,
    ) -> Result<Option<Vec<Step>>, End> {
        let topic = topic::twin_response(status, request_id, version);
        if !self.subscriptions.matches(&topic) {
            return Ok(Some(Vec::new()));
        }
        let times = self.passes(What::Twin).await?;
        let body = Bytes::from(body);
        Ok(Some((0..times).flat_map(|_| self.protocol.publish(&topic, &body)).collect()))
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
