//! Who runs the jobs: the live release of each plugin, and the older ones that jobs still need.

use std::collections::BTreeSet;
use std::sync::Arc;

use hotshoe_core::manifest::PluginName;
use semver::Version;

use super::plugins::{Shared, lock};
use crate::job::{Guest, Guests, Jobs};

/// The versions that open jobs of a plugin were begun with.
pub(super) fn pinned(_jobs: &Jobs, _plugin: &PluginName) -> BTreeSet<Version> {
    BTreeSet::new()
}

impl Shared {
    /// Tells the jobs who runs them from now on.
    pub(super) fn mount(&self) {
        let mut guests = Guests::new();
        for (name, seat) in lock(&self.seats).iter() {
            if let Some(live) = seat.live() {
                let guest: Arc<dyn Guest> = Arc::new(live.plugin);
                guests.insert(name.clone(), guest);
            }
        }
        self.jobs.mount(guests);
    }
}
