//! All the plugins of the device, as the rest of it sees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hotshoe_core::grants::grant;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::policy::Policy;
use hotshoe_core::swap::{
    Demand, MethodSummary, Origin, PluginDetail, PluginSummary, Record, Release, Settings,
};
use semver::Version;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::error::InstallError;
use super::seat::Seat;
use super::settings::Factory;
use super::shelf::Shelf;
use crate::capability::Services;
use crate::job::{Clock, Jobs};
use crate::plugin::{Engine, Routes};
use crate::state::StateDir;

/// How many plugins a device may have.
pub(super) const PLUGINS: usize = 64;

/// A plugin's file that somebody wants live.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its bytes.
    pub component: Bytes,
    /// Who vouches for them. Whoever says [`Origin::Signed`] or [`Origin::Digest`] has verified it in these bytes.
    pub origin: Origin,
    /// What was asked for; a component that says otherwise is refused.
    pub expected: Option<(PluginName, Option<Version>)>,
    /// Who wants it.
    pub demand: Demand,
}

impl Candidate {
    /// A file that somebody wants now, without a word on what it should be.
    pub fn new(component: Bytes, origin: Origin) -> Candidate {
        Candidate { component, origin, expected: None, demand: Demand::Explicit }
    }
}

/// What became of a candidate that was not refused.
#[derive(Clone, PartialEq, Debug)]
pub enum Installed {
    /// It is live.
    Live(PluginSummary),
    /// It waits for somebody to grant what it asks for, a phrase each. What was live is live.
    Held(PluginSummary, Vec<String>),
    /// It was live already.
    Unchanged(PluginSummary),
}

impl Installed {
    /// The plugin as it stands now.
    pub fn summary(&self) -> &PluginSummary {
        match self {
            Installed::Live(summary) | Installed::Held(summary, _) | Installed::Unchanged(summary) => summary,
        }
    }
}

/// All the plugins of the device. Cheap to clone; clones are the same plugins.
#[derive(Clone)]
pub struct Plugins(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) services: Arc<Services>,
    pub(super) jobs: Jobs,
    pub(super) policy: Policy,
    pub(super) machine: Settings,
    pub(super) clock: Clock,
    pub(super) state: StateDir,
    pub(super) shelf: Shelf,
    pub(super) routes: Routes,
    pub(super) runtime: Handle,
    /// The plugins of the image, and where they stand.
    pub(super) factory: HashMap<PluginName, (Release, Factory)>,
    /// The operator's settings for plugins.
    pub(super) settings: HashMap<PluginName, Value>,
    pub(super) seats: Mutex<BTreeMap<PluginName, Arc<Seat>>>,
    /// Held from the last look at what others own until the routes are changed, and by whatever changes a record.
    pub(super) changing: tokio::sync::Mutex<()>,
    pub(super) changed: watch::Sender<u64>,
}

impl Plugins {
    /// The plugins, by name.
    pub fn list(&self) -> Vec<PluginSummary> {
        let seats: Vec<Arc<Seat>> = lock(&self.0.seats).values().cloned().collect();
        seats.iter().filter(|seat| seat.is_known()).map(|seat| self.0.summary(seat)).collect()
    }

    /// One plugin; `None` where there is none of that name.
    pub fn show(&self, name: &PluginName) -> Option<PluginDetail> {
        let seat = self.0.known(name).ok()?;
        let record = seat.record();
        let summary = self.0.summary(&seat);
        let plugin = seat.live().map(|live| live.plugin);
        let manifest = plugin.as_ref().map(|plugin| plugin.manifest());
        let grants = plugin.as_ref().map(|plugin| plugin.grants().phrases()).unwrap_or_default();
        let denials = manifest.map(|manifest| grant(manifest, &self.0.policy).1).unwrap_or_default();
        let methods = manifest.map(|manifest| manifest.methods.as_slice()).unwrap_or_default();
        Some(PluginDetail {
            summary,
            about: manifest.map(|manifest| manifest.summary.clone()).unwrap_or_default(),
            api: manifest.map(|manifest| manifest.api.clone()).unwrap_or_default(),
            methods: methods
                .iter()
                .map(|method| MethodSummary {
                    name: method.name.clone(),
                    timeout_ms: u64::try_from(method.timeout.as_millis()).unwrap_or(u64::MAX),
                })
                .collect(),
            reported: manifest.map(|manifest| manifest.reported.clone()).unwrap_or_default(),
            desired: manifest.and_then(|manifest| manifest.desired.clone()),
            grants,
            denials: denials.iter().map(ToString::to_string).collect(),
            quotas: plugin.as_ref().map(|plugin| plugin.quotas().summary()).unwrap_or_default(),
            bad: record.rolled_back(),
        })
    }

    /// Ticks when [`list`](Plugins::list) may say something else.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Who answers which method.
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }
}

impl Shared {
    /// The plugin of that name, where it ever was one.
    pub(super) fn known(&self, name: &PluginName) -> Result<Arc<Seat>, InstallError> {
        let seat = lock(&self.seats).get(name).cloned();
        seat.filter(|seat| seat.is_known()).ok_or_else(|| InstallError::Unknown(name.clone()))
    }

    /// The place of a plugin, made where there is none.
    pub(super) fn seat(&self, name: &PluginName) -> Result<Arc<Seat>, InstallError> {
        let mut seats = lock(&self.seats);
        if let Some(seat) = seats.get(name) {
            return Ok(Arc::clone(seat));
        }
        // Those that were refused and never were on the device.
        seats.retain(|_, seat| seat.is_known() || Arc::strong_count(seat) > 1 || seat.is_remembered());
        let there = seats.values().filter(|seat| seat.is_known()).count();
        if there >= PLUGINS {
            return Err(InstallError::TooMany(there));
        }
        let seat = Arc::new(Seat::new(Record::new(name.clone())));
        seats.insert(name.clone(), Arc::clone(&seat));
        Ok(seat)
    }

    pub(super) fn summary(&self, seat: &Seat) -> PluginSummary {
        let record = seat.record();
        let mut summary = record.summary(&self.pinned(&record));
        if seat.live().is_none() {
            summary.state = "absent".to_owned();
        }
        summary
    }

    /// The versions beside the live one that open jobs run on.
    pub(super) fn pinned(&self, record: &Record) -> BTreeSet<Version> {
        let mut pinned = self.jobs.pinned(&record.name);
        if let Some(live) = &record.live {
            pinned.remove(&live.version);
        }
        pinned
    }

    pub(super) fn now(&self) -> u64 {
        (self.clock)()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
