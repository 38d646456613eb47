//! Direct method calls: in from the hub, on to whoever answers, the answer back under the same request id.
//!
//! Refused here, before anything else sees it: payloads over 128 KiB or not JSON (400), a full queue (429), a device
//! that is ending (503). Every call that is delivered gets exactly one answer, be it that whoever took it never
//! gave one (500, or 504 after the hub's own longest time-out).
//!
//! Request ids are opaque and belong to one connection: the hub may count from one again on the next. A call that
//! is delivered twice on a connection is answered once. One that comes again on a later connection, marked as a
//! redelivery, is not run again; it gets the first run's answer. An answer whose connection is gone is kept for
//! that case and otherwise dropped, for under a reused id it would answer somebody else. (iothub.md 3)

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hotshoe_core::method::{self, MethodResponse, Refusal};
use hotshoe_core::topic;
use tokio::sync::{mpsc, oneshot, watch};

use super::MethodCall;
use super::link::Link;
use super::lock;
use super::metrics::HubMetrics;

/// How many calls wait at most to be taken.
pub(super) const QUEUE_LIMIT: usize = 32;
/// How many request ids are remembered.
const RECENT_LIMIT: usize = 256;
/// Answers up to this size are remembered with their request id; larger ones are sent once only.
const ANSWER_LIMIT: usize = 4096;
/// The hub's longest `responseTimeoutInSeconds`: after it nobody waits for the answer.
const LONGEST: Duration = Duration::from_secs(300);

/// A call as it stands on the wire.
pub(super) struct Delivery<'a> {
    pub(super) name: &'a str,
    pub(super) request_id: &'a str,
    /// MQTT's mark on a message that was sent before.
    pub(super) again: bool,
    pub(super) payload: Bytes,
}

/// The method side of the session; lives as long as it, over all connections.
#[derive(Clone)]
pub(super) struct Methods(Arc<Inner>);

struct Inner {
    calls: mpsc::Sender<MethodCall>,
    ending: watch::Sender<bool>,
    /// Calls handed on and not answered yet.
    open: watch::Sender<usize>,
    /// The current connection and what was delivered lately; one lock, as an answer needs both.
    desk: Mutex<Desk>,
    metrics: HubMetrics,
}

#[derive(Default)]
struct Desk {
    link: Option<Link>,
    recent: VecDeque<Recent>,
}

struct Recent {
    request_id: String,
    name: String,
    /// Where it was delivered first: with the request id, this names the call.
    origin: u64,
    /// Where it was delivered last: its answer goes there.
    connection: u64,
    answer: Option<(i32, Vec<u8>)>,
}

impl Methods {
    pub(super) fn new(metrics: HubMetrics) -> (Methods, mpsc::Receiver<MethodCall>) {
        let (calls, receiver) = mpsc::channel(QUEUE_LIMIT);
        let (ending, open) = (watch::Sender::new(false), watch::Sender::new(0));
        (Methods(Arc::new(Inner { calls, ending, open, desk: Mutex::default(), metrics })), receiver)
    }

    /// From now on answers go through `link`; `None` while there is no connection.
    pub(super) fn through(&self, link: Option<Link>) {
        lock(&self.0.desk).link = link;
    }

    /// From now on every call is answered with 503.
    pub(super) fn end(&self) {
        self.0.ending.send_replace(true);
    }

    /// Waits until every call is answered.
    pub(super) async fn quiet(&self) {
        let mut open = self.0.open.subscribe();
        let _ = open.wait_for(|open| *open == 0).await;
    }

    /// A call arrived over connection number `connection`.
    pub(super) fn deliver(&self, delivery: Delivery<'_>, connection: u64) {
        if self.0.is_repetition(&delivery, connection) {
            self.0.metrics.calls_repeated.inc();
            return;
        }
        let Delivery { name, request_id, payload, .. } = delivery;
        let span = tracing::debug_span!("method", name, request_id);
        let _entered = span.enter();
        match self.0.hand_on(name, request_id, connection, payload) {
            Ok(answer) => {
                self.0.metrics.calls.inc();
                self.0.open.send_modify(|open| *open += 1);
                let (inner, request_id) = (Arc::clone(&self.0), request_id.to_owned());
                tokio::spawn(async move {
                    let response = match tokio::time::timeout(LONGEST, answer).await {
                        Ok(Ok(response)) => response,
                        Ok(Err(_)) => {
                            Refusal::PluginFailed { text: "the call was given up".to_owned() }.response()
                        }
                        Err(_) => Refusal::TimedOut.response(),
                    };
                    inner.answer(&request_id, connection, response);
                    inner.open.send_modify(|open| *open = open.saturating_sub(1));
                });
            }
            Err(refusal) => {
                self.0.metrics.calls_refused.inc();
                let response = refusal.response();
                tracing::info!(status = response.status, "method call refused");
                self.0.answer(request_id, connection, response);
            }
        }
    }
}

impl Inner {
    /// Whether this call was seen before; then it is dealt with. Else it is remembered.
    fn is_repetition(&self, delivery: &Delivery<'_>, connection: u64) -> bool {
        let mut desk = lock(&self.desk);
        let seen = desk.recent.iter_mut().rev().find(|recent| {
            recent.request_id == delivery.request_id
                && (recent.connection == connection || (delivery.again && recent.name == delivery.name))
        });
        let Some(seen) = seen else {
            if desk.recent.len() >= RECENT_LIMIT {
                desk.recent.pop_front();
            }
            desk.recent.push_back(Recent {
                request_id: delivery.request_id.to_owned(),
                name: delivery.name.to_owned(),
                origin: connection,
                connection,
                answer: None,
            });
            return false;
        };
        tracing::debug!(request_id = delivery.request_id, "method call delivered again; not run again");
        if seen.connection != connection {
            // The first answer may have gone down with its connection: this one answers, now or when it is there.
            seen.connection = connection;
            if let Some((status, body)) = seen.answer.clone() {
                desk.publish(status, delivery.request_id, body);
            }
        }
        true
    }

    fn hand_on(
        &self,
        name: &str,
        request_id: &str,
        connection: u64,
        payload: Bytes,
    ) -> Result<oneshot::Receiver<MethodResponse>, Refusal> {
        if *self.ending.borrow() {
            return Err(Refusal::ShuttingDown);
        }
        method::parse_payload(&payload)?;
        let (reply, answer) = oneshot::channel();
        let call_id = format!("{connection:x}-{request_id}");
        let call = MethodCall { name: name.to_owned(), payload, reply, call_id };
        match self.calls.try_send(call) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Refusal::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Refusal::ShuttingDown),
        }
    }

    /// Answers the call that was first delivered over connection `origin`.
    fn answer(&self, request_id: &str, origin: u64, response: MethodResponse) {
        let (status, body) = response.encode();
        let mut desk = lock(&self.desk);
        let mut connection = origin;
        let call = desk
            .recent
            .iter_mut()
            .rev()
            .find(|recent| recent.origin == origin && recent.request_id == request_id);
        if let Some(call) = call {
            connection = call.connection;
            if body.len() <= ANSWER_LIMIT {
                call.answer = Some((status, body.clone()));
            }
        }
        if desk.link.as_ref().is_some_and(|link| link.number() == connection) {
            desk.publish(status, request_id, body);
        } else {
            tracing::warn!(
                request_id,
                status,
                "the connection of this method call is gone; its answer is not sent"
            );
        }
    }
}

impl Desk {
    fn publish(&self, status: i32, request_id: &str, body: Vec<u8>) {
        let Some(link) = &self.link else { return };
        // At QoS 1: the connection is not closed before the hub has it.
        if let Err(error) = link.publish_acknowledged(topic::method_response(status, request_id), body) {
            tracing::warn!(request_id, %error, "the answer to a method call could not be sent");
        }
    }
}
