//! The desired properties as last seen, durable, and how they are kept true.
//!
//! The hub pushes a change only to a device that is connected, so each connection begins with a GET. After that
//! changes come with the next version: one that is older or the same is dropped, one that leaves a gap means GET
//! again. A change that fits is applied at once, and confirmed by a GET when no further one waits: a service that
//! *replaces* the desired properties is announced like one that changes them, and only the whole document tells
//! which keys went. Order: disk, then subscribers. (iothub.md 2.7)

use std::sync::Arc;

use hotshoe_core::twin;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

use super::link::Lost;
use super::outbox::Outbox;
use super::settings::Pace;
use super::twin::{Requests, Verdict};
use crate::disk::blocking;
use crate::state::{StateDir, StateError};

const SEEN: &str = "desired";

/// Version and document, without `$version` and `$metadata`.
pub type Document = Option<(u64, Value)>;

/// The desired properties. Cheap to clone.
#[derive(Clone)]
pub struct Desired(Arc<Inner>);

struct Inner {
    state: StateDir,
    current: watch::Sender<Document>,
}

#[derive(Serialize, Deserialize)]
struct Seen {
    version: u64,
    properties: Value,
}

/// A change as it was pushed.
#[derive(Debug)]
pub(super) struct Notice {
    /// From the topic; the body's `$version` counts if it is missing there.
    pub(super) version: Option<u64>,
    pub(super) body: Vec<u8>,
}

impl Desired {
    /// Opens what an earlier run saw last.
    pub fn open(state: StateDir) -> Result<Desired, StateError> {
        let seen: Option<Seen> = state.read(SEEN)?;
        let current = watch::Sender::new(seen.map(|seen| (seen.version, seen.properties)));
        Ok(Desired(Arc::new(Inner { state, current })))
    }

    /// As last seen, in this run or an earlier one; `None` before the first connection of the device's life.
    pub fn current(&self) -> Document {
        self.0.current.borrow().clone()
    }

    /// Changes as they come; the receiver starts with [`Desired::current`], already marked as seen.
    pub fn subscribe(&self) -> watch::Receiver<Document> {
        self.0.current.subscribe()
    }

    /// Keeps the document true over one connection; ends only with it.
    pub(super) async fn follow(
        &self,
        requests: &Requests,
        notices: &mut mpsc::Receiver<Notice>,
        outbox: &Outbox,
        pace: &Pace,
    ) -> Lost {
        loop {
            if let Err(lost) = self.fetch(requests, outbox, pace).await {
                return lost;
            }
            let mut confirmed = true;
            loop {
                let notice = match notices.try_recv() {
                    Ok(notice) => notice,
                    Err(_) if !confirmed => break,
                    Err(_) => match notices.recv().await {
                        Some(notice) => notice,
                        None => return Lost::Link("the session ended".to_owned()),
                    },
                };
                let step = step(self.0.current.borrow().as_ref(), &notice);
                match step {
                    Step::Known => {}
                    Step::Next(version, properties) => {
                        self.store(version, properties).await;
                        confirmed = false;
                    }
                    Step::Gap => break,
                }
            }
        }
    }

    async fn fetch(&self, requests: &Requests, outbox: &Outbox, pace: &Pace) -> Result<(), Lost> {
        let mut put_off = 0_u32;
        loop {
            let answer = requests.read().await?;
            if answer.verdict() == Verdict::Accepted {
                match serde_json::from_slice::<Twin>(&answer.body) {
                    Ok(twin) => {
                        outbox.known(twin.reported);
                        let (version, properties) = plain(twin.desired);
                        self.store(version.unwrap_or_default(), properties).await;
                        // Not before: who compares the two halves of the twin is to have both.
                        outbox.tick();
                        return Ok(());
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the hub's twin is not what it should be; asking again")
                    }
                }
            } else {
                tracing::warn!(
                    status = answer.status,
                    message = answer.message(),
                    "twin GET refused; asking again"
                );
            }
            tokio::time::sleep(pace.throttled.delay(put_off, rand::random())).await;
            put_off = put_off.saturating_add(1);
        }
    }

    /// Disk, then subscribers; nothing if nothing changed. A full disk does not hide a change from this run.
    async fn store(&self, version: u64, properties: Value) {
        let unchanged = self
            .0
            .current
            .borrow()
            .as_ref()
            .is_some_and(|(seen, document)| (*seen, document) == (version, &properties));
        if unchanged {
            return;
        }
        let inner = Arc::clone(&self.0);
        let stored = blocking(move || {
            let seen = Seen { version, properties };
            if let Err(error) = inner.state.write(SEEN, &seen) {
                tracing::error!(%error, "desired properties could not be stored; a restart will see older ones first");
            }
            inner.current.send_replace(Some((seen.version, seen.properties)));
        });
        if stored.await.is_err() {
            tracing::error!("desired properties could not be stored: the task was cancelled");
        }
    }
}

/// The answer to a GET.
#[derive(Deserialize)]
struct Twin {
    #[serde(default)]
    desired: Map<String, Value>,
    #[serde(default)]
    reported: Value,
}

#[derive(Debug, PartialEq)]
enum Step {
    Known,
    Next(u64, Value),
    Gap,
}

/// What a pushed change means after what was seen.
fn step(seen: Option<&(u64, Value)>, notice: &Notice) -> Step {
    let Ok(Value::Object(body)) = serde_json::from_slice(&notice.body) else {
        tracing::warn!("desired change is not a JSON object; asking for the whole document");
        return Step::Gap;
    };
    let (in_body, patch) = plain(body);
    let (Some(version), Some((seen, document))) = (notice.version.or(in_body), seen) else {
        return Step::Gap;
    };
    if version <= *seen {
        return Step::Known;
    }
    if version != seen.saturating_add(1) {
        return Step::Gap;
    }
    let mut document = document.clone();
    twin::merge(&mut document, &patch);
    Step::Next(version, document)
}

/// The document without the hub's own members, and the version among them.
fn plain(mut document: Map<String, Value>) -> (Option<u64>, Value) {
    let version = document.get("$version").and_then(Value::as_u64);
    document.retain(|key, _| !key.starts_with('$'));
    (version, Value::Object(document))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn notice(version: Option<u64>, body: &Value) -> Notice {
        Notice { version, body: body.to_string().into_bytes() }
    }

    #[test]
    fn versions_decide() {
        let seen = (7, json!({"a": 1, "b": 2}));
        let change = json!({"a": null, "c": 3, "$version": 8});
        let next = Step::Next(8, json!({"b": 2, "c": 3}));
        assert_eq!(step(Some(&seen), &notice(Some(8), &change)), next);
        assert_eq!(step(Some(&seen), &notice(None, &change)), next);
        assert_eq!(step(Some(&seen), &notice(Some(7), &change)), Step::Known);
        assert_eq!(step(Some(&seen), &notice(Some(9), &change)), Step::Gap);
        assert_eq!(step(None, &notice(Some(8), &change)), Step::Gap);
        assert_eq!(step(Some(&seen), &notice(None, &json!({"a": 1}))), Step::Gap);
        assert_eq!(step(Some(&seen), &Notice { version: Some(8), body: b"[".to_vec() }), Step::Gap);
    }
}
