//! Direct methods: an operator's call, a device's answer (`iothub.md` §3, §6.3).
//!
//! At most once, never queued: a device that is away gets nothing, and the caller hears so after the connect
//! time-out. Payloads pass through as the text they are. The answer's body is taken leniently, because one
//! tutorial's device answers with text that is not JSON: such a body becomes a JSON string.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hotshoe_core::{method, topic};
use rand::Rng as _;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::events::What;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Name;
use crate::links::Answer;
use crate::throttle::Operation;

/// A call as the operator wants it.
#[derive(Debug)]
pub struct Invocation {
    /// The method's name, at most 100 characters.
    pub method: String,
    /// JSON text of at most 128 KiB; `None` is sent as `null`.
    pub payload: Option<Box<RawValue>>,
    /// How long to wait for the answer, 5 to 300 s over REST.
    pub response_timeout: Duration,
    /// How long to wait for the device to connect and subscribe, 0 to 300 s over REST.
    pub connect_timeout: Duration,
}

/// What the device answered.
#[derive(Debug)]
pub struct Answered {
    /// The device's own status.
    pub status: i32,
    /// JSON text.
    pub payload: Box<RawValue>,
}

impl Hub {
    /// Calls a direct method and waits for the answer.
    pub async fn invoke(self: &Arc<Self>, name: &Name, call: Invocation) -> Result<Answered, Fault> {
        self.call(name, call, true).await
    }

    /// [`Hub::invoke`] for a job, whose devices have taken turns: the throttle of direct methods does not hold.
    pub(crate) async fn invoke_in_turn(
        self: &Arc<Self>,
        name: &Name,
        call: Invocation,
    ) -> Result<Answered, Fault> {
        self.call(name, call, false).await
    }

    async fn call(
        self: &Arc<Self>,
        name: &Name,
        call: Invocation,
        is_throttled: bool,
    ) -> Result<Answered, Fault> {
        let (began, method) = (Instant::now(), call.method.clone());
        let answered = self.call_and_wait(name, call, is_throttled).await;
        let (status, error) = match &answered {
            Ok(answered) => (Some(answered.status), None),
            Err(fault) => (None, Some(fault.name())),
        };
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.events.tell(name, &What::Method { name: &method, status, error, milliseconds });
        answered
    }

    async fn call_and_wait(
        self: &Arc<Self>,
        name: &Name,
        call: Invocation,
        is_throttled: bool,
    ) -> Result<Answered, Fault> {
        check_name(&call.method)?;
        let payload = Bytes::from(call.payload.as_deref().map_or("null", RawValue::get).to_owned());
        if payload.len() > method::PAYLOAD_LIMIT {
            let text =
                format!("the payload has {} bytes, more than {}", payload.len(), method::PAYLOAD_LIMIT);
            return Err(Fault::TooLarge(text));
        }
        if is_throttled {
            self.throttle.pass(Operation::Method(payload.len())).await?;
        }
        if !self.links.is_connected(name) {
            self.record(name).await?; // a connected device is a registered one
        }
        let request_id = format!("{:016x}", rand::rng().random::<u64>());
        let topic = topic::method_request(&call.method, &request_id);
        let mut changes = self.links.changes();
        let connect_until = Instant::now() + call.connect_timeout;
        let answer = loop {
            changes.mark_unchanged();
            if let Ok(answer) = self.links.call(name, &request_id, topic.clone(), payload.clone()) {
                break answer;
            }
            if tokio::time::timeout_at(connect_until, changes.changed()).await.is_err() {
                return Err(Fault::DeviceNotOnline(call.connect_timeout));
            }
        };
        let answer_until = Instant::now() + call.response_timeout;
        match tokio::time::timeout_at(answer_until, answer).await {
            Ok(Ok(Ok(answer))) => read_answer(answer),
            Ok(Ok(Err(_replaced))) => Err(Fault::LinkReplaced),
            Ok(Err(_link_ended)) => {
                // The device may still be working, but its answer is lost with the connection; IoT Hub's caller
                // hears nothing before the time-out, and neither does ours.
                tokio::time::sleep_until(answer_until).await;
                Err(Fault::GatewayTimeout(call.response_timeout))
            }
            Err(_elapsed) => {
                self.links.forget(name, &request_id);
                Err(Fault::GatewayTimeout(call.response_timeout))
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let forbidden = |c: char| !c.is_ascii_graphic() || "$()<>@,;:\\\"/[]?={}#+".contains(c);
    if name.is_empty() || name.len() > 100 || name.contains(forbidden) {
        let text = format!("the method name {name:?} is not 1 to 100 printable characters fit for a topic");
        return Err(Fault::ArgumentInvalid(text));
    }
    Ok(())
}

fn read_answer(answer: Answer) -> Result<Answered, Fault> {
    let Answer { status, payload } = answer;
    if payload.len() > method::PAYLOAD_LIMIT {
        let text =
            format!("the device's answer has {} bytes, more than {}", payload.len(), method::PAYLOAD_LIMIT);
        return Err(Fault::TooLarge(text));
    }
    let text = String::from_utf8_lossy(&payload);
    let trimmed = text.trim();
    let read = if trimmed.is_empty() { "null" } else { trimmed };
    let payload = serde_json::from_str::<Box<RawValue>>(read)
        .or_else(|_| serde_json::value::to_raw_value(read))
        .map_err(|error| Fault::Internal(format!("the device's answer cannot be passed on: {error}")))?;
    Ok(Answered { status, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_json_becomes_a_string_and_an_empty_one_null() {
        let read = |body: &'static str| {
            let answer = Answer { status: 200, payload: Bytes::from_static(body.as_bytes()) };
            read_answer(answer).unwrap().payload.get().to_owned()
        };
        assert_eq!(read("'FirmwareUpdate started.'"), "\"'FirmwareUpdate started.'\"");
        assert_eq!(read(""), "null");
        assert_eq!(read("{\"big\":12345678901234567890123}"), "{\"big\":12345678901234567890123}");
    }

    #[test]
    fn names_that_would_change_the_topic_are_refused() {
        assert!(check_name("component*command").is_ok());
        for name in ["", "a/b", "a?b", "a b", "a+", "#", &"x".repeat(101)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
