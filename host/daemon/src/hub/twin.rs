//! Twin requests: a publish with a request id, and the answer with the same one.
//!
//! One request is open at a time on a connection. That keeps reported patches in order (the hub may apply
//! concurrent ones out of order) and makes what a GET tells exact: no patch is half-way while it is answered.
//! A request that is not answered is repeated under a new id, twice; then the link counts as dead. (iothub.md 2)

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hotshoe_core::topic;
use serde_json::Value;
use tokio::sync::oneshot;

use super::link::{Link, Lost};
use super::lock;

/// How often one request is sent before the link is given up.
const TRIES: u32 = 3;

/// The hub's answer to a twin request.
#[derive(Debug)]
pub(super) struct Answer {
    /// 200 for a GET, 204 for a PATCH, else what went wrong.
    pub(super) status: u16,
    /// The twin, or an error document, or nothing.
    pub(super) body: Vec<u8>,
}

/// What a status asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Done.
    Accepted,
    /// This very request is wrong and stays wrong.
    Rejected,
    /// Not now: throttled, out of quota, a fault of the hub, a twin that moved meanwhile.
    Later,
}

impl Answer {
    pub(super) fn verdict(&self) -> Verdict {
        match self.status {
            200..=299 => Verdict::Accepted,
            401 | 403 | 408 | 412 | 429 => Verdict::Later,
            400..=499 => Verdict::Rejected,
            _ => Verdict::Later,
        }
    }

    /// What the hub says about an error: its `message`, else the beginning of the body.
    pub(super) fn message(&self) -> String {
        let document: Option<Value> = serde_json::from_slice(&self.body).ok();
        match document.as_ref().and_then(|document| document.get("message")).and_then(Value::as_str) {
            Some(message) => message.to_owned(),
            None => String::from_utf8_lossy(&self.body).chars().take(200).collect(),
        }
    }
}

/// The twin requests of one connection.
pub(super) struct Requests {
    link: Link,
    timeout: Duration,
    open: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    turn: tokio::sync::Mutex<()>,
    next: AtomicU64,
}

impl Requests {
    pub(super) fn new(link: Link, timeout: Duration) -> Self {
        let next = AtomicU64::new(1);
        Requests { link, timeout, open: Mutex::default(), turn: tokio::sync::Mutex::new(()), next }
    }

    /// Asks for the whole twin.
    pub(super) async fn read(&self) -> Result<Answer, Lost> {
        // The hub ignores the payload; its own clients send one space.
        self.exchange("a twin GET", topic::twin_get, b" ").await
    }

    /// Sends a reported patch.
    pub(super) async fn patch(&self, patch: &Value) -> Result<Answer, Lost> {
        self.exchange("a twin PATCH", topic::twin_patch, patch.to_string().as_bytes()).await
    }

    /// Waits for the open request and keeps the next one from starting, as long as the guard lives.
    pub(super) async fn pause(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// An answer arrived. One that nobody asked for, or asked for no longer, is dropped.
    pub(super) fn answered(&self, request_id: &str, answer: Answer) {
        match lock(&self.open).remove(request_id) {
            Some(waiting) => drop(waiting.send(answer)),
            None => {
                tracing::debug!(request_id, status = answer.status, "twin answer to no open request dropped")
            }
        }
    }

    async fn exchange(
        &self,
        what: &'static str,
        topic: fn(&str) -> String,
        body: &[u8],
    ) -> Result<Answer, Lost> {
        let _turn = self.turn.lock().await;
        for _ in 0..TRIES {
            // The connection's number keeps a late answer to an earlier connection from matching.
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let request_id = format!("{:x}-{number:x}", self.link.number());
            let (sender, receiver) = oneshot::channel();
            lock(&self.open).insert(request_id.clone(), sender);
            self.link.publish(topic(&request_id), body.to_vec())?;
            match tokio::time::timeout(self.timeout, receiver).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(_)) => return Err(Lost::Link("the session ended".to_owned())),
                Err(_) => {
                    lock(&self.open).remove(&request_id);
                    tracing::warn!(request_id, "{what} was not answered; repeating it");
                }
            }
        }
        Err(Lost::Silent { what, timeout: self.timeout * TRIES })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrong_patch_is_given_up() {
        let verdict = |status| Answer { status, body: Vec::new() }.verdict();
        assert_eq!(verdict(204), Verdict::Accepted);
        for status in [400, 404, 413] {
            assert_eq!(verdict(status), Verdict::Rejected, "{status}");
        }
        for status in [401, 403, 408, 412, 429, 500, 503, 302, 0, 999] {
            assert_eq!(verdict(status), Verdict::Later, "{status}");
        }
    }

    #[test]
    fn error_message_comes_from_the_document_or_the_text() {
        let message = |body: &[u8]| Answer { status: 400, body: body.to_vec() }.message();
        assert_eq!(message(br#"{"errorCode":400004,"message":"too deep"}"#), "too deep");
        assert_eq!(message(b"no \xff JSON"), "no \u{fffd} JSON");
    }
}
