//! The place of one plugin: its record, what of it is loaded, and the effects of the machine in their order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hotshoe_core::digest::Digest;
use hotshoe_core::grants::Grants;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::{Effect, Event, Record, Release, Standing, step};
use tokio::sync::MutexGuard;
use tokio_util::sync::CancellationToken;

use super::error::InstallError;
use super::health::Watch;
use super::loaded::Loaded;
use super::patience::{Failed, patiently};
use super::plugins::{Shared, lock};
use crate::capability::{Author, Line};
use crate::disk::blocking;
use crate::plugin::{LoadError, Loading};

/// One plugin.
pub(super) struct Seat {
    /// Held for the length of an operation: one at a time.
    pub(super) operation: Arc<tokio::sync::Mutex<()>>,
    inner: Mutex<Inner>,
}

struct Inner {
    record: Record,
    loaded: Vec<Loaded>,
    /// Of the timer that runs: cancelled when another one is set.
    timer: CancellationToken,
}

/// The version before, as it could be loaded.
pub(super) struct Previous {
    release: Release,
    loaded: Result<Loaded, Failed>,
}

/// What to do when the record cannot be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unstored {
    /// Leave everything as it is.
    Refuse,
    /// Go on: what is live does harm, or nothing is live at all. After a restart the stored record counts again.
    GoOn,
}

impl Seat {
    pub(super) fn new(record: Record) -> Seat {
        let inner = Inner { record, loaded: Vec::new(), timer: CancellationToken::new() };
        Seat { operation: Arc::default(), inner: Mutex::new(inner) }
    }

    pub(super) fn record(&self) -> Record {
        lock(&self.inner).record.clone()
    }

    /// Whether there is something of it on the device.
    pub(super) fn is_known(&self) -> bool {
        lock(&self.inner).record.releases().next().is_some()
    }

    /// Whether it has a file.
    pub(super) fn is_remembered(&self) -> bool {
        let inner = lock(&self.inner);
        inner.record.floor.is_some() || !inner.record.bad.is_empty()
    }

    /// The live release, where it is loaded.
    pub(super) fn live(&self) -> Option<Loaded> {
        let inner = lock(&self.inner);
        let live = inner.record.live.as_ref()?;
        inner.loaded.iter().find(|loaded| loaded.digest == live.digest).cloned()
    }

    /// All that is loaded.
    pub(super) fn loaded(&self) -> Vec<Loaded> {
        lock(&self.inner).loaded.clone()
    }

    fn find(&self, digest: &Digest) -> Option<Loaded> {
        lock(&self.inner).loaded.iter().find(|loaded| loaded.digest == *digest).cloned()
    }

    /// Takes a loaded release in, in place of an older loading of it, which is returned.
    pub(super) fn take_in(&self, loaded: Loaded) -> Option<Loaded> {
        let before = self.drop_loaded(&loaded.digest);
        lock(&self.inner).loaded.push(loaded);
        before
    }

    /// Gives a loaded release back.
    pub(super) fn drop_loaded(&self, digest: &Digest) -> Option<Loaded> {
        let mut inner = lock(&self.inner);
        let place = inner.loaded.iter().position(|loaded| loaded.digest == *digest)?;
        Some(inner.loaded.remove(place))
    }

    fn set(&self, record: Record) {
        lock(&self.inner).record = record;
    }
}

impl Shared {
    /// Makes a component callable, with at most these grants.
    pub(super) async fn load(
        self: &Arc<Self>,
        component: &[u8],
        digest: &Digest,
        limit: Option<&Grants>,
        compiled: &(dyn Fn() + Send + Sync),
    ) -> Result<Loaded, LoadError> {
        let name = self.engine.inspect(component)?.name;
        let watch = Arc::new(Watch::new(self, name.clone(), digest.clone()));
        let terms = Loading {
            policy: &self.policy,
            limit,
            settings: self.settings.get(&name).cloned().unwrap_or_default(),
            services: Arc::clone(&self.services),
            health: Some(Arc::clone(&watch) as _),
            compiled,
        };
        let plugin = self.engine.load_on(component, terms).await?;
        Ok(Loaded { digest: digest.clone(), plugin, watch })
    }

    /// Reads a component from the shelf.
    pub(super) async fn read(&self, digest: &Digest) -> Result<Bytes, InstallError> {
        let (shelf, wanted) = (self.shelf.clone(), digest.clone());
        let read = blocking(move || shelf.read(&wanted)).await.map_err(|_| InstallError::Busy)?;
        let component = read.map_err(InstallError::Unread)?;
        component.map(Bytes::from).ok_or_else(|| InstallError::Missing(digest.clone()))
    }

    /// Something has happened to a plugin by itself. What it means is done when this returns.
    pub(super) async fn happened(self: &Arc<Self>, name: &PluginName, mut event: Event) {
        let Some(seat) = lock(&self.seats).get(name).cloned() else { return };
        let failing = matches!(event, Event::Struck { .. })
            && matches!(seat.record().standing, Standing::Probation { .. });
        // Before the lock: it may compile, and those who fail elsewhere wait for the lock.
        let previous = if failing { self.load_previous(&seat).await } else { None };
        let changing = self.changing.lock().await;
        let _ = self.take_previous(&changing, &seat, previous);
        if let Event::Struck { back, .. } = &mut event {
            *back = seat.record().previous.is_some_and(|previous| seat.find(&previous.digest).is_some());
        }
        if let Err(error) = self.transition(&changing, &seat, event, None, Unstored::GoOn).await {
            tracing::error!(plugin = %name, %error, "what became of the plugin could not be carried out");
        }
    }

    /// Loads the version before, where there is one and it is not ready to be called. For [`Self::take_previous`].
    pub(super) async fn load_previous(self: &Arc<Self>, seat: &Seat) -> Option<Previous> {
        let release = seat.record().previous.filter(|previous| seat.find(&previous.digest).is_none())?;
        let loaded = patiently(|| self.again(&release)).await;
        Some(Previous { release, loaded })
    }

    /// Has the version before ready to be called. One that is missing on the disk is forgotten.
    ///
    /// # Errors
    /// It cannot be had now, which is logged; everything is as it was then.
    pub(super) fn take_previous(
        &self,
        _changing: &MutexGuard<'_, ()>,
        seat: &Seat,
        previous: Option<Previous>,
    ) -> Result<(), InstallError> {
        let Some(Previous { release, loaded }) = previous else { return Ok(()) };
        let error = match loaded {
            Ok(loaded) => {
                seat.take_in(loaded);
                return Ok(());
            }
            Err(Failed { error, .. }) => error,
        };
        let record = seat.record();
        tracing::error!(plugin = %record.name, version = %release.version, %error, "the version before cannot be had");
        // Whatever else it is, a policy or a want of memory, may be another tomorrow.
        if !matches!(error, InstallError::Missing(_)) {
            return Err(error);
        }
        let lost = Event::Lost { digest: release.digest };
        seat.set(step(record, lost, self.now(), &self.machine).0);
        Ok(())
    }

    /// Lets an event happen and performs what follows, in order.
    ///
    /// # Errors
    /// The disk refused; with [`Unstored::Refuse`] everything is as it was.
    pub(super) async fn transition(
        self: &Arc<Self>,
        _changing: &MutexGuard<'_, ()>,
        seat: &Arc<Seat>,
        event: Event,
        component: Option<&Bytes>,
        unstored: Unstored,
    ) -> Result<(), InstallError> {
        let before = seat.record();
        let (next, effects) = step(before.clone(), event, self.now(), &self.machine);
        if !effects.contains(&Effect::Store) {
            seat.set(next.clone());
        }
        for effect in effects {
            match effect {
                Effect::Keep(digest) => {
                    if let Err(error) = self.keep(&digest, component).await
                        && unstored == Unstored::Refuse
                    {
                        return Err(error);
                    }
                }
                Effect::Store => {
                    if let Err(error) = self.store(&next).await {
                        tracing::error!(plugin = %next.name, %error, "the record of a plugin was not stored");
                        if unstored == Unstored::Refuse {
                            // It may have been written and not acknowledged: what was said before is said again.
                            let _ = self.store(&before).await;
                            return Err(error);
                        }
                    }
                    self.tell(&before, &next);
                    seat.set(next.clone());
                }
                Effect::Route(digest) => self.route(seat, &digest)?,
                Effect::Unroute => {
                    self.routes.remove(&next.name);
                    self.mount();
                }
                Effect::Bar(why) => {
                    seat.live().into_iter().for_each(|live| live.watch.bar(Some(why.clone())))
                }
                Effect::Unbar => {
                    if let Some(live) = seat.live() {
                        live.watch.prove(self.machine.probation_calls);
                        live.watch.bar(None);
                    }
                }
                Effect::Wake { after } => self.wake(seat, after),
                Effect::Collect => self.collect(seat).await,
            }
        }
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// Says what has changed, in the device's log and in the plugin's own.
    fn tell(&self, before: &Record, next: &Record) {
        let version = |record: &Record| record.live.as_ref().map(|live| live.version.to_string());
        let (was, is) = (version(before), version(next));
        let text = if before.live.as_ref().map(|live| &live.digest)
            != next.live.as_ref().map(|live| &live.digest)
        {
            let trouble = next.last.as_ref().map(|last| &last.text);
            tracing::info!(plugin = %next.name, was, is, trouble, "another version is live");
            let trouble = trouble.map(|text| format!(": {text}")).unwrap_or_default();
            match (&was, &is) {
                (Some(was), Some(is)) => format!("version {is} is live in place of {was}{trouble}"),
                (None, Some(is)) => format!("version {is} is live{trouble}"),
                (_, None) => format!("no version is live any more{trouble}"),
            }
        } else if before.standing != next.standing {
            tracing::info!(plugin = %next.name, is, standing = ?next.standing, "the plugin stands differently");
            match &next.standing {
                Standing::Quarantined { why, .. } => format!("it is quarantined: {why}"),
                Standing::Recovering { .. } => "it is back from quarantine, on trial".to_owned(),
                Standing::Settled => "it has proved itself".to_owned(),
                Standing::Probation { .. } | Standing::Absent => return,
            }
        } else {
            return;
        };
        self.engine.logs().of(&next.name).add(Line {
            number: 0,
            at: self.now(),
            version: is.unwrap_or_default(),
            author: Author::Host,
            level: "info",
            message: text,
            fields: None,
        });
    }

    /// Sees that a component is on the shelf.
    pub(super) async fn keep(&self, digest: &Digest, component: Option<&Bytes>) -> Result<(), InstallError> {
        let Some(component) = component.cloned() else { return Ok(()) };
        let (shelf, digest) = (self.shelf.clone(), digest.clone());
        let kept = blocking(move || shelf.put(&digest, &component)).await;
        let kept = kept.map_err(|_| InstallError::Busy)?;
        kept.map_err(|error| InstallError::Disk(error.to_string()))
    }

    async fn store(&self, record: &Record) -> Result<(), InstallError> {
        let (state, record) = (self.state.clone(), record.clone());
        let stored = blocking(move || state.write(&file_name(&record), &record)).await;
        let stored = stored.map_err(|_| InstallError::Busy)?;
        stored.map_err(|error| InstallError::Disk(error.to_string()))
    }

    fn route(&self, seat: &Arc<Seat>, digest: &Digest) -> Result<(), InstallError> {
        let Some(loaded) = seat.find(digest) else { return Err(InstallError::Missing(digest.clone())) };
        let on_trial =
            matches!(seat.record().standing, Standing::Probation { .. } | Standing::Recovering { .. });
        loaded.watch.prove(if on_trial { self.machine.probation_calls } else { 0 });
        loaded.watch.bar(None);
        self.routes.replace(&loaded.plugin)?;
        self.mount();
        Ok(())
    }

    fn wake(self: &Arc<Self>, seat: &Arc<Seat>, after: u64) {
        let overtaken = CancellationToken::new();
        std::mem::replace(&mut lock(&seat.inner).timer, overtaken.clone()).cancel();
        let (plugins, seat) = (Arc::downgrade(self), Arc::downgrade(seat));
        self.runtime.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(after)) => {}
                () = overtaken.cancelled() => return,
            }
            let (Some(plugins), Some(seat)) = (plugins.upgrade(), seat.upgrade()) else { return };
            let changing = plugins.changing.lock().await;
            if overtaken.is_cancelled() {
                return;
            }
            let due = plugins.transition(&changing, &seat, Event::TimerDue, None, Unstored::GoOn).await;
            if let Err(error) = due {
                tracing::error!(%error, "what became of a plugin could not be carried out");
            }
        });
    }

    /// Jobs have ended or gone over to another version: what only they needed is given back.
    pub(super) async fn jobs_moved(&self) {
        let seats: Vec<Arc<Seat>> = lock(&self.seats).values().cloned().collect();
        for seat in seats {
            let superfluous = !seat.record().older.is_empty() || lock(&seat.inner).loaded.len() > 1;
            if superfluous {
                let _changing = self.changing.lock().await;
                self.collect(&seat).await;
                self.changed.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    /// Gives back what neither a record nor a job needs, in memory and on the disk.
    async fn collect(&self, seat: &Arc<Seat>) {
        let record = seat.record();
        let pinned = self.jobs.pinned(&record.name);
        let (next, effects) = step(record, Event::Trim { pinned: pinned.clone() }, self.now(), &self.machine);
        if effects.contains(&Effect::Store)
            && let Err(error) = self.store(&next).await
        {
            tracing::warn!(plugin = %next.name, %error, "a version that nothing needs stays");
            return;
        }
        seat.set(next.clone());
        {
            let mut inner = lock(&seat.inner);
            let fresh = matches!(next.standing, Standing::Probation { .. });
            let previous =
                next.previous.as_ref().filter(|previous| fresh || pinned.contains(&previous.version));
            let kept: Vec<&Digest> =
                next.live.iter().chain(previous).chain(&next.older).map(|release| &release.digest).collect();
            inner.loaded.retain(|loaded| kept.contains(&&loaded.digest));
        }
        self.mount();
        let mut needed = std::collections::BTreeSet::new();
        for seat in lock(&self.seats).values() {
            needed.extend(seat.record().needed().into_iter().cloned());
        }
        let shelf = self.shelf.clone();
        let _ = blocking(move || shelf.collect(&needed)).await;
    }
}

/// The file of a record: a name that ends in `.new` is none of a state file.
pub(super) fn file_name(record: &Record) -> String {
    record.name.as_str().replace('.', "_")
}
