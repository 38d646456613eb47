//! Who runs the jobs: the live release of each plugin, and the older ones that jobs still need.

use std::collections::BTreeMap;
use std::sync::Arc;

use semver::Version;

use super::plugins::{Shared, lock};
use super::seat::Seat;
use crate::job::{Guest, Guests, Stand};

impl Shared {
    /// Tells the jobs who runs them from now on.
    pub(super) fn mount(&self) {
        let mut guests = Guests::new();
        for (name, seat) in lock(&self.seats).iter() {
            if let Some(stand) = stand(seat) {
                guests.insert(name.clone(), stand);
            }
        }
        self.jobs.mount(guests);
    }
}

/// The releases of a plugin that are loaded; `None` where none is live.
fn stand(seat: &Seat) -> Option<Stand> {
    let live = seat.live()?;
    let mut guests: BTreeMap<Version, Arc<dyn Guest>> = BTreeMap::new();
    // The live one last: of two releases with one version it counts.
    for loaded in seat.loaded().into_iter().chain([live.clone()]) {
        guests.insert(loaded.plugin.manifest().version.clone(), Arc::new(loaded.plugin));
    }
    let bad = seat.record().bad.into_values().map(|bad| bad.version).collect();
    Some(Stand { live: live.plugin.manifest().version.clone(), guests, bad })
}
