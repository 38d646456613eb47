//! The durable reported state: what was reported here reaches the hub's twin, come what may.
//!
//! A patch is checked, merged into what already waits and on disk before [`Outbox::patch`] returns; callers that
//! come at the same moment share one write. Twin patches merge, so what waits is one document and no queue: a
//! device that was offline for a month sends one patch (`kept` names the exception). The patch on its way stays on disk until the hub has
//! acknowledged it (`inflight`), whatever comes meanwhile waits beside it (`pending`), and a restart sends the two
//! composed. Sending a patch twice is harmless, sending an older one after a newer one is not: therefore one
//! patch is on its way at a time.
//!
//! A patch that the hub calls wrong (400) must not hold up the rest for ever: it is halved by its keys
//! until the wrong part stands alone, which is set aside on disk ([`REJECTED`]) with an error in the log.
//!
//! This module does not talk to the hub; `reporter` does, and whoever else carries it there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hotshoe_core::planted::{self, Bug};
use hotshoe_core::twin::{self, TwinError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::kept::{Kept, empty_object, is_empty_object, path};
use super::lock;
use super::progress::Progress;
use crate::disk::blocking;
use crate::state::{StateDir, StateError};

/// The file of unacknowledged reported state.
const KEPT: &str = "outbox";
/// The file of the last patches that the hub refused.
pub const REJECTED: &str = "outbox-rejected";
/// How much may wait for the hub, in bytes as it counts them.
const KEPT_LIMIT: usize = 4 * twin::REPORTED_LIMIT;
/// How many refused patches are kept to be looked at.
const REJECTED_LIMIT: usize = 16;

/// Why a patch was not taken. Nothing of it was merged.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// The hub would refuse it.
    #[error("reported patch refused: {0}")]
    Invalid(TwinError),
    /// The reported properties would be over the twin's limit.
    #[error(
        "reported patch refused: the reported properties would be {size} bytes, the twin takes {limit}; delete keys first"
    )]
    TooLarge {
        /// Size of the merged document as the hub counts it.
        size: usize,
        /// The hub's limit.
        limit: usize,
    },
    /// It could not be made durable.
    #[error("reported patch not stored: {0}")]
    State(#[from] StateError),
    /// It could not be made durable, in one write with the patch that got the error itself.
    #[error("reported patch not stored: {0}")]
    WriteFailed(String),
    /// The process is ending.
    #[error("reported patch not stored: the device is shutting down")]
    ShuttingDown,
}

/// The reported state of the device. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    state: StateDir,
    /// Held while the file is written, and by whoever changes `kept`: disk and memory change together.
    writing: Mutex<()>,
    queue: Mutex<Vec<Queued>>,
    shared: Mutex<Shared>,
    idle: watch::Sender<bool>,
    work: Notify,
    refreshed: watch::Sender<u64>,
}

struct Queued {
    patch: Value,
    done: oneshot::Sender<Result<(), Refused>>,
}

/// Like [`OutboxError`], but shared by all the patches of one write.
enum Refused {
    TooLarge { size: usize, limit: usize },
    State(StateError),
    WriteFailed(String),
}

#[derive(Default)]
struct Shared {
    kept: Kept,
    /// The hub's reported document as far as it is known here.
    known: Value,
    progress: Progress,
    linked: bool,
}

/// A patch that the hub refused, for people to look at.
#[derive(Debug, Serialize, Deserialize)]
struct Rejected {
    status: u16,
    message: String,
    patch: Value,
}

/// What is to be sent next.
#[derive(Debug, PartialEq)]
pub enum Work {
    /// State that must arrive; comes again until it is settled.
    Durable(Value),
    /// Something to look at, good for once.
    Progress(Value),
}

impl Outbox {
    /// Opens the outbox over a directory of its own, with what an earlier run could not deliver.
    pub fn open(state: StateDir) -> Result<Outbox, OutboxError> {
        let kept: Kept = state.read(KEPT)?.unwrap_or_default();
        let kept = kept.after_restart();
        let idle = watch::Sender::new(kept.is_empty());
        let shared = Shared { kept, known: empty_object(), ..Shared::default() };
        Ok(Outbox(Arc::new(Inner {
            state,
            writing: Mutex::new(()),
            queue: Mutex::default(),
            shared: Mutex::new(shared),
            idle,
            work: Notify::new(),
            refreshed: watch::Sender::new(0),
        })))
    }

    /// Merges `patch` (an object; `null` deletes a key, RFC 7396) into the reported properties.
    ///
    /// Durable when it returns: it reaches the hub over disconnects, restarts and power cuts. On an error nothing
    /// of it was merged. Limits: iothub.md 2.5. Dropping the future does not undo the patch.
    pub async fn patch(&self, patch: Value) -> Result<(), OutboxError> {
        twin::validate_patch(&patch).map_err(OutboxError::Invalid)?;
        if is_empty_object(&patch) {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        lock(&self.0.queue).push(Queued { patch, done });
        let inner = Arc::clone(&self.0);
        drop(blocking(move || inner.commit()));
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refused::TooLarge { size, limit })) => Err(OutboxError::TooLarge { size, limit }),
            Ok(Err(Refused::State(error))) => Err(OutboxError::State(error)),
            Ok(Err(Refused::WriteFailed(text))) => Err(OutboxError::WriteFailed(text)),
            Err(_) => Err(OutboxError::ShuttingDown),
        }
    }

    /// Waits until the hub has acknowledged everything that was reported, at most `timeout`.
    /// False when the time was up first; nothing is lost then.
    pub async fn flush(&self, timeout: Duration) -> bool {
        let mut idle = self.0.idle.subscribe();
        tokio::time::timeout(timeout, idle.wait_for(|idle| *idle)).await.is_ok_and(|found| found.is_ok())
    }

    /// Shows progress in the twin: volatile, several become one, at most one a second, dropped while the link is
    /// down. Does **not** write to the disk. An invalid patch is dropped with a warning.
    pub fn progress(&self, patch: Value) {
        if let Err(error) = twin::validate_patch(&patch) {
            tracing::warn!(%error, "progress dropped: the hub would refuse it");
            return;
        }
        let mut shared = lock(&self.0.shared);
        if shared.linked && !is_empty_object(&patch) {
            shared.progress.add(patch);
            drop(shared);
            self.0.work.notify_one();
        }
    }

    /// The reported properties as last known: the hub's, with everything that still waits merged in.
    pub fn reported(&self) -> Value {
        let shared = lock(&self.0.shared);
        shared.kept.over(shared.known.clone())
    }

    /// How often the hub's own document was read: after each connection, at least. Ticks when the desired properties
    /// that were read with it have been stored.
    pub fn refreshed(&self) -> watch::Receiver<u64> {
        self.0.refreshed.subscribe()
    }

    /// Takes over the hub's reported document, as a twin GET tells it.
    pub fn known(&self, mut reported: Value) {
        if let Value::Object(members) = &mut reported {
            members.retain(|key, _| !key.starts_with('$'));
            lock(&self.0.shared).known = reported;
        }
    }

    /// Ticks [`refreshed`](Outbox::refreshed).
    pub(super) fn tick(&self) {
        self.0.refreshed.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Tells whether progress has anywhere to go.
    pub fn linked(&self, linked: bool) {
        let mut shared = lock(&self.0.shared);
        shared.linked = linked;
        if !linked {
            shared.progress.take();
        }
    }

    /// Waits for the next thing to send: durable state first, then progress, not before `progress_from`.
    ///
    /// Durable state comes again until [`Outbox::acknowledged`] or [`Outbox::rejected`] settles it. Nothing is
    /// written: on disk the patch may stand as pending, which means the same after a restart.
    pub async fn next(&self, progress_from: Instant) -> Work {
        loop {
            let progress_waits = {
                let mut shared = lock(&self.0.shared);
                if let Some(patch) = shared.kept.send() {
                    return Work::Durable(patch.clone());
                }
                if Instant::now() >= progress_from
                    && let Some(patch) = shared.progress.take()
                {
                    return Work::Progress(patch);
                }
                shared.progress.is_waiting()
            };
            tokio::select! {
                () = self.0.work.notified() => {}
                () = tokio::time::sleep_until(progress_from), if progress_waits => {}
            }
        }
    }

    /// The hub has taken what [`Outbox::next`] gave out.
    pub async fn acknowledged(&self) {
        self.settle(|shared| {
            if let Some(patch) = shared.kept.acknowledge() {
                twin::merge(&mut shared.known, &patch);
            }
            None
        })
        .await;
    }

    /// Progress arrived: part of what the hub knows.
    pub fn shown(&self, patch: &Value) {
        twin::merge(&mut lock(&self.0.shared).known, patch);
    }

    /// The hub called the patch wrong: try its halves, or set the last single key aside.
    pub async fn rejected(&self, status: u16, message: String) {
        self.settle(move |shared| shared.kept.halve().map(|patch| Rejected { status, message, patch })).await;
    }

    /// Changes what is kept, in memory and then on disk, off the async threads.
    async fn settle(&self, change: impl FnOnce(&mut Shared) -> Option<Rejected> + Send + 'static) {
        let inner = Arc::clone(&self.0);
        let done = blocking(move || {
            let _writing = lock(&inner.writing);
            let (kept, rejected) = {
                let mut shared = lock(&inner.shared);
                let rejected = change(&mut shared);
                (shared.kept.clone(), rejected)
            };
            if let Some(rejected) = rejected {
                inner.set_aside(rejected);
            }
            // A failure here costs a repetition after a restart, never a loss: what is on disk is older, not less.
            if let Err(error) = inner.store(&kept) {
                tracing::error!(%error, "the outbox could not be brought up to date; a restart will repeat a patch");
            }
            inner.idle.send_replace(kept.is_empty());
        });
        if done.await.is_err() {
            tracing::error!("the outbox could not be brought up to date: the task was cancelled");
        }
    }
}

impl Inner {
    /// Takes every patch that is queued by now and makes them durable with one write.
    fn commit(&self) {
        let _writing = lock(&self.writing);
        let queued = std::mem::take(&mut *lock(&self.queue));
        if queued.is_empty() {
            return;
        }
        let (mut kept, known) = {
            let shared = lock(&self.shared);
            (shared.kept.clone(), shared.known.clone())
        };
        let mut document = kept.over(known);
        let mut size = twin::size(&document);
        let mut taken = Vec::new();
        for Queued { patch, done } in queued {
            let mut merged = document.clone();
            twin::merge(&mut merged, &patch);
            let merged_size = twin::size(&merged);
            // A document that is over the limit already may shrink.
            if merged_size > twin::REPORTED_LIMIT && merged_size >= size {
                let _ = done.send(Err(Refused::TooLarge { size: merged_size, limit: twin::REPORTED_LIMIT }));
                continue;
            }
            let mut grown = kept.clone();
            grown.add(&patch);
            // Deletions do not count for the document, but they wait like all else.
            if grown.size() > KEPT_LIMIT {
                let _ = done.send(Err(Refused::TooLarge { size: grown.size(), limit: KEPT_LIMIT }));
                continue;
            }
            (kept, document, size) = (grown, merged, merged_size);
            taken.push((patch, done));
        }
        if taken.is_empty() {
            return;
        }
        match self.store(&kept) {
            Ok(()) => {
                {
                    let mut shared = lock(&self.shared);
                    for (patch, _) in &taken {
                        // `next` may have moved pending to inflight during the write; adding is right either way.
                        shared.kept.add(patch);
                        shared.progress.overridden_by(patch);
                    }
                    self.idle.send_replace(false);
                }
                self.work.notify_one();
                for (_, done) in taken {
                    let _ = done.send(Ok(()));
                }
            }
            Err(error) => {
                let text = error.to_string();
                let mut error = Some(error);
                for (_, done) in taken {
                    let refused =
                        error.take().map_or_else(|| Refused::WriteFailed(text.clone()), Refused::State);
                    let _ = done.send(Err(refused));
                }
            }
        }
    }

    fn store(&self, kept: &Kept) -> Result<(), StateError> {
        if planted::on(Bug::OutboxUnstored) {
            return Ok(());
        }
        self.state.write(KEPT, kept)
    }

    fn set_aside(&self, rejected: Rejected) {
        let path = path(&rejected.patch);
        tracing::error!(
            status = rejected.status,
            message = %rejected.message,
            %path,
            "the hub refused reported properties; they are set aside in {REJECTED}"
        );
        let mut all: Vec<Rejected> = match self.state.read(REJECTED) {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "{REJECTED} could not be read");
                return;
            }
        };
        all.push(rejected);
        let surplus = all.len().saturating_sub(REJECTED_LIMIT);
        all.drain(..surplus);
        if let Err(error) = self.state.write(REJECTED, &all) {
            tracing::error!(%error, "{REJECTED} could not be written");
        }
    }
}
