//! When each identity came, went and was last heard of (`iothub.md` §6.5: `connectionStateUpdatedTime`,
//! `lastActivityTime`).
//!
//! Kept in memory and written down together every [`EVERY`], because ten thousand devices that connect at once
//! must not cost ten thousand flushes of the disk. A hub that is killed forgets the last seconds of this; nothing
//! rests on it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Name;
use crate::store::{Store, StoreError};

/// How often what is new is written down.
const EVERY: Duration = Duration::from_secs(10);

/// What is known of one identity; `None` is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seen {
    /// When it last connected or disconnected.
    #[serde(default)]
    pub(crate) state_changed: Option<Timestamp>,
    /// When it last sent anything that a person would call activity: a connection, a message, a twin request.
    #[serde(default)]
    pub(crate) last_activity: Option<Timestamp>,
}

#[derive(Default)]
struct Table {
    seen: HashMap<Name, Seen>,
    fresh: HashSet<Name>,
}

/// The table.
pub(crate) struct Presence(Mutex<Table>);

impl Presence {
    /// What an earlier run of the hub wrote down.
    pub(crate) fn load(store: &Store) -> Result<Self, StoreError> {
        let seen = store.presence()?.into_iter().collect();
        Ok(Self(Mutex::new(Table { seen, fresh: HashSet::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an identity.
    pub(crate) fn seen(&self, name: &Name) -> Seen {
        self.lock().seen.get(name).copied().unwrap_or_default()
    }

    /// It connected now.
    pub(crate) fn came(&self, name: &Name) {
        let now = clock::now();
        self.note(name, |seen| *seen = Seen { state_changed: Some(now), last_activity: Some(now) });
    }

    /// It disconnected now, unless it was removed, which ends its connection too.
    pub(crate) fn went(&self, name: &Name) {
        if self.lock().seen.contains_key(name) {
            self.note(name, |seen| seen.state_changed = Some(clock::now()));
        }
    }

    /// It did something now.
    pub(crate) fn active(&self, name: &Name) {
        let now = clock::now();
        self.note(name, |seen| seen.last_activity = Some(now));
    }

    /// It was removed.
    pub(crate) fn forget(&self, name: &Name) {
        let is_gone = |other: &Name| {
            other == name || (name.module_id().is_none() && other.device_id() == name.device_id())
        };
        let mut table = self.lock();
        table.seen.retain(|other, _| !is_gone(other));
        table.fresh.retain(|other| !is_gone(other));
    }

    fn note(&self, name: &Name, change: impl FnOnce(&mut Seen)) {
        let mut table = self.lock();
        change(table.seen.entry(name.clone()).or_default());
        table.fresh.insert(name.clone());
    }

    fn take_fresh(&self) -> Vec<(Name, Seen)> {
        let mut table = self.lock();
        let fresh = std::mem::take(&mut table.fresh);
        fresh.into_iter().filter_map(|name| table.seen.get(&name).map(|seen| (name.clone(), *seen))).collect()
    }

    fn write_down(&self, store: &Store) -> Result<(), Fault> {
        let fresh = self.take_fresh();
        if fresh.is_empty() { Ok(()) } else { store.keep_presence(&fresh) }
    }
}

/// Writes down what is new until `stop`, and once more then.
pub(crate) async fn keep(hub: Arc<Hub>, stop: CancellationToken) {
    loop {
        let stopped = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = stop.cancelled() => true,
        };
        if let Err(fault) = hub.blocking(|hub| hub.presence.write_down(&hub.store)).await {
            tracing::warn!(%fault, "when devices were last heard of could not be kept");
        }
        if stopped {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_known_again_and_a_removed_device_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (device, module, other) =
            (Name::device("d").unwrap(), Name::module("d", "m").unwrap(), Name::device("d2").unwrap());
        let store = Store::open(&directory.path().join("hub.redb")).unwrap();
        let presence = Presence::load(&store).unwrap();
        for name in [&device, &module, &other] {
            presence.came(name);
        }
        presence.write_down(&store).unwrap();
        let seen = presence.seen(&device);
        assert!(seen.state_changed.is_some() && seen.last_activity.is_some());
        assert_eq!(Presence::load(&store).unwrap().seen(&device), seen);
        presence.forget(&device);
        presence.went(&device);
        assert_eq!(presence.seen(&device), Seen::default());
        assert_eq!(presence.seen(&module), Seen::default());
        assert_ne!(presence.seen(&other), Seen::default());
    }
}
