//! Who runs the jobs: the live release of each plugin, and the older ones that jobs still need. Those run on where the
//! plugin was taken out.

use std::collections::BTreeMap;
use std::sync::Arc;

use semver::Version;

use super::loaded::Loaded;
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

/// The releases of a plugin that are loaded; where none is live those that jobs stayed with, and `None` without any.
fn stand(seat: &Seat) -> Option<Stand> {
    let (live, record) = (seat.live(), seat.record());
    // Of a plugin that was taken out only what is kept for jobs, and not what is about to come in.
    let is_kept =
        |loaded: &Loaded| live.is_some() || record.older.iter().any(|older| older.digest == loaded.digest);
    let mut guests: BTreeMap<Version, Arc<dyn Guest>> = BTreeMap::new();
    // The live one last: of two releases with one version it counts.
    for loaded in seat.loaded().into_iter().filter(is_kept).chain(live.clone()) {
        guests.insert(loaded.plugin.manifest().version.clone(), Arc::new(loaded.plugin));
    }
    if guests.is_empty() {
        return None;
    }
    let live = live.map(|live| live.plugin.manifest().version.clone());
    let bad = record.bad.into_values().map(|bad| bad.version).collect();
    Some(Stand { live, guests, bad })
}
