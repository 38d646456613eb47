//! Device-to-cloud messages: a bounded queue in memory, emptied in order while the link is up.
//!
//! At least once within the life of the process: a message leaves the queue when the hub has acknowledged it and
//! is sent again on the next connection otherwise. Not durable; what must arrive is reported state. A full queue is
//! an error for the sender and never waits, so that a chatty plugin slows nobody down. (iothub.md 4.1)
//!
//! A hub has no word for refusing a message: it closes the connection, or stays silent until this side does. So that
//! one message, or a quota that is used up, does not keep the device off its hub, sending pauses for longer and longer
//! while nothing is acknowledged, and a message over which [`TRIES`] connections ended is dropped with an error in the log.

use std::sync::Arc;

use hotshoe_core::topic;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::link::{Link, Lost};
use super::metrics::HubMetrics;
use super::settings::Pace;

/// The largest message in bytes: body, names and values of its properties and of those that are added here.
pub const MESSAGE_LIMIT: usize = 256 * 1024;
/// How many messages wait at most.
pub(super) const QUEUE_LIMIT: usize = 256;
/// MQTT's own limit for a topic, in which the properties travel.
const TOPIC_LIMIT: usize = u16::MAX as usize;
/// How many connections may end over one message.
const TRIES: u32 = 5;

/// Why a message was not taken.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// Too many messages wait for the link. A retry helps later.
    #[error("telemetry not queued: {limit} messages wait for the link already; try again later")]
    Full {
        /// How many are kept.
        limit: usize,
    },
    /// The hub would drop the link over it.
    #[error("telemetry not queued: the message is {size} bytes with its properties, the hub takes {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The session has ended.
    #[error("telemetry not queued: the device is shutting down")]
    ShuttingDown,
}

/// Where messages go in. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    queue: mpsc::Sender<Message>,
    device: Arc<str>,
    module: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Message {
    topic: String,
    body: Vec<u8>,
    /// The sender's, free again when the message has left.
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

/// The other end of [`Telemetry`]; the session empties it.
pub struct TelemetryQueue {
    messages: mpsc::Receiver<Message>,
    unacknowledged: Option<Message>,
    /// How often that was sent.
    tries: u32,
    /// How often something was sent since the hub acknowledged anything.
    setbacks: u32,
    /// When the next may be sent.
    resumes: Instant,
}

impl Telemetry {
    /// A queue of `limit` messages for this device or module. Nothing is sent until a session takes the other end.
    pub fn queue(device: &str, module: Option<&str>, limit: usize) -> (Telemetry, TelemetryQueue) {
        let (queue, messages) = mpsc::channel(limit);
        let telemetry = Telemetry { queue, device: device.into(), module: module.map(Into::into) };
        let resumes = Instant::now();
        (telemetry, TelemetryQueue { messages, unacknowledged: None, tries: 0, setbacks: 0, resumes })
    }

    /// Queues a JSON message with application properties. Does **not** wait and does **not** write to the disk.
    pub fn send(&self, body: Value, properties: Vec<(String, String)>) -> Result<(), TelemetryError> {
        self.send_in(body, properties, None)
    }

    /// The same in a place of the sender's, which it has back when the message was sent, or could not be queued.
    pub fn send_in(
        &self,
        body: Value,
        properties: Vec<(String, String)>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<(), TelemetryError> {
        let body = body.to_string().into_bytes();
        let mut all =
            vec![("$.ct".to_owned(), "application/json".to_owned()), ("$.ce".to_owned(), "utf-8".to_owned())];
        all.extend(properties);
        let size = all.iter().fold(body.len(), |size, (name, value)| size + name.len() + value.len());
        if size > MESSAGE_LIMIT {
            return Err(TelemetryError::TooLarge { size, limit: MESSAGE_LIMIT });
        }
        let topic = topic::telemetry(&self.device, self.module.as_deref(), &all);
        if topic.len() > TOPIC_LIMIT {
            return Err(TelemetryError::TooLarge { size: topic.len(), limit: TOPIC_LIMIT });
        }
        self.queue.try_send(Message { topic, body, _place: place.map(Arc::new) }).map_err(|error| match error
        {
            mpsc::error::TrySendError::Full(_) => TelemetryError::Full { limit: self.queue.max_capacity() },
            mpsc::error::TrySendError::Closed(_) => TelemetryError::ShuttingDown,
        })
    }
}

impl TelemetryQueue {
    /// Sends over one connection; ends only with it, or when nobody can send any more.
    pub(super) async fn run(&mut self, link: &Link, pace: &Pace, metrics: &HubMetrics) -> Lost {
        loop {
            if self.tries >= TRIES {
                let size = self.unacknowledged.take().map(|message| message.body.len());
                tracing::error!(
                    size,
                    "telemetry message dropped: the hub acknowledged it on none of {TRIES} connections"
                );
                metrics.telemetry_dropped.inc();
                self.tries = 0;
            }
            tokio::time::sleep_until(self.resumes).await;
            let message = match &self.unacknowledged {
                Some(message) => message.clone(),
                None => match self.messages.recv().await {
                    Some(message) => self.unacknowledged.insert(message).clone(),
                    None => std::future::pending().await,
                },
            };
            // Counted before it is sent: this future ends with the connection. One that ends may be an accident.
            self.tries += 1;
            if self.setbacks > 0 {
                self.resumes = Instant::now() + pace.refused.delay(self.setbacks - 1, rand::random());
            }
            self.setbacks = self.setbacks.saturating_add(1);
            let notice = match link.publish_acknowledged(message.topic, message.body) {
                Ok(notice) => notice,
                Err(lost) => return lost,
            };
            match tokio::time::timeout(pace.answer, notice.wait_completion_async()).await {
                Ok(Ok(())) => {
                    self.unacknowledged = None;
                    (self.tries, self.setbacks, self.resumes) = (0, 0, Instant::now());
                    metrics.telemetry.inc();
                }
                Ok(Err(error)) => return Lost::Link(error.to_string()),
                Err(_) => return Lost::Silent { what: "a telemetry message", timeout: pace.answer },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn full_queue_is_told_and_nothing_waits() {
        let (telemetry, _queue) = Telemetry::queue("dev", None, 2);
        telemetry.send(json!(1), Vec::new()).unwrap();
        telemetry.send(json!(2), Vec::new()).unwrap();
        assert!(matches!(telemetry.send(json!(3), Vec::new()), Err(TelemetryError::Full { limit: 2 })));
    }

    #[test]
    fn size_counts_body_and_properties() {
        let (telemetry, _queue) = Telemetry::queue("dev", None, 2);
        // Less content type and encoding: each message has them.
        let body = |length: usize| Value::String("x".repeat(length - 2 - 29));
        telemetry.send(body(MESSAGE_LIMIT), Vec::new()).unwrap();
        let properties = vec![("k".to_owned(), String::new())];
        assert!(matches!(
            telemetry.send(body(MESSAGE_LIMIT), properties),
            Err(TelemetryError::TooLarge { size, .. }) if size == MESSAGE_LIMIT + 1
        ));
        let properties = vec![("k".to_owned(), "%".repeat(30_000))];
        assert!(matches!(telemetry.send(json!(1), properties), Err(TelemetryError::TooLarge { .. })));
    }
}
