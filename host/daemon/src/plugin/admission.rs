//! How many calls there are at once, and whose.
//!
//! Instances are few, and a call holds one for as long as it takes: a job for hours. So a plugin has a number of places
//! for calls and one for jobs, and waits for its own when they are taken. The first of each comes from a part of the
//! pool that is for firsts alone, all others share the rest: as long as there are no more plugins than firsts, no number
//! of calls of any others keeps a plugin from being entered.
//!
//! All versions of a plugin share its places. What is asked of one that is to take another's place has some of its own,
//! or else a version whose calls hang could not be replaced as long as they do.
//!
//! The same holds for the processor. A guest that computes for longer than a tick, or without ever resting for as long
//! as it computed, takes turns with all others that do, a tick each; of one plugin only one stands in that line. There
//! is one place fewer than there are threads, so that one of them is always there for the hub and for calls that are
//! answered at once. A device with a single processor has one: there everything else waits a tick at most.
//!
//! Waiting is in the order of coming, and counts as the call's own time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hotshoe_core::manifest::PluginName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::capability::Allowance;

/// How many instances there may be at once, over all plugins. Each sets 4 GiB of address space aside, which is how
/// compiled code goes without bounds checks; more than 64 would not fit the address space of small processors.
pub const INSTANCES: u32 = 32;
/// How many of them are for the first call and the first job of a plugin.
const FIRSTS: usize = 24;
/// How many calls of a plugin there may be at once, how many runs of its jobs, and how many questions of a swap.
const CALLS: usize = 8;
const JOBS: usize = 4;
const SWAPS: usize = 4;

/// What a plugin is entered for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Somebody wants an answer.
    Call,
    /// To run a job.
    Job,
    /// A version is looked at before it goes live, or asked whether it takes a job over.
    Swap,
}

/// Why nobody comes in any more. The semaphores are never closed.
#[derive(Debug)]
pub(super) struct Closed;

impl From<tokio::sync::AcquireError> for Closed {
    fn from(_: tokio::sync::AcquireError) -> Closed {
        Closed
    }
}

/// The places of the device.
pub(super) struct Admission {
    firsts: Arc<Semaphore>,
    others: Arc<Semaphore>,
    computing: Arc<Semaphore>,
    /// Of each plugin, whatever versions of it are loaded.
    shares: Mutex<HashMap<PluginName, Arc<Share>>>,
}

/// What all versions of a plugin share of the device.
pub(super) struct Share {
    calls: Lane,
    jobs: Lane,
    swaps: Lane,
    computing: Arc<Semaphore>,
    /// What its capabilities may take.
    pub(super) allowance: Arc<Allowance>,
}

struct Lane {
    places: Arc<Semaphore>,
    first: Arc<Semaphore>,
}

/// A place, until it is dropped.
pub(super) struct Place(#[allow(dead_code)] [Option<OwnedSemaphorePermit>; 3]);

/// The right to compute, until it is dropped.
pub(super) struct Turn(#[allow(dead_code)] [OwnedSemaphorePermit; 2]);

impl Admission {
    /// Places for a machine that runs guests on this many threads.
    pub(super) fn new(threads: usize) -> Admission {
        Admission {
            firsts: Arc::new(Semaphore::new(FIRSTS)),
            others: Arc::new(Semaphore::new((INSTANCES as usize).saturating_sub(FIRSTS))),
            computing: Arc::new(Semaphore::new(threads.saturating_sub(1).max(1))),
            shares: Mutex::default(),
        }
    }

    /// What a plugin has of the device.
    pub(super) fn share(&self, plugin: &PluginName) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of plugins that are gone and owe nothing.
        shares.retain(|_, share| Arc::strong_count(share) > 1 || !share.allowance.is_whole());
        Arc::clone(shares.entry(plugin.clone()).or_default())
    }

    /// Waits for a place.
    pub(super) async fn enter(&self, share: &Share, purpose: Purpose) -> Result<Place, Closed> {
        let lane = match purpose {
            Purpose::Call => &share.calls,
            Purpose::Job => &share.jobs,
            Purpose::Swap => &share.swaps,
        };
        let own = Arc::clone(&lane.places).acquire_owned().await?;
        let first = async {
            let first = Arc::clone(&lane.first).acquire_owned().await?;
            let place = Arc::clone(&self.firsts).acquire_owned().await?;
            Ok(Place([Some(place), Some(first), None]))
        };
        let other = async {
            let place = Arc::clone(&self.others).acquire_owned().await?;
            Ok(Place([Some(place), None, None]))
        };
        let entered: Result<Place, Closed> = tokio::select! {
            biased;
            entered = first => entered,
            entered = other => entered,
        };
        let Place([place, first, _]) = entered?;
        Ok(Place([place, first, Some(own)]))
    }

    /// Waits for the plugin's turn to compute. The future is the caller's to keep: dropping it gives the turn up.
    pub(super) fn turn(
        &self,
        share: &Share,
    ) -> impl Future<Output = Result<Turn, Closed>> + Send + use<> + 'static {
        let (own, all) = (Arc::clone(&share.computing), Arc::clone(&self.computing));
        async move {
            let own = own.acquire_owned().await?;
            Ok(Turn([own, all.acquire_owned().await?]))
        }
    }
}

impl Default for Share {
    fn default() -> Share {
        let lane =
            |places| Lane { places: Arc::new(Semaphore::new(places)), first: Arc::new(Semaphore::new(1)) };
        Share {
            calls: lane(CALLS),
            jobs: lane(JOBS),
            swaps: lane(SWAPS),
            computing: Arc::new(Semaphore::new(1)),
            allowance: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn name(number: usize) -> PluginName {
        format!("acme.plugin-{number}").parse().unwrap()
    }

    #[tokio::test]
    async fn no_number_of_calls_of_others_keeps_a_plugin_out() {
        let admission = Admission::new(2);
        let mut taken = Vec::new();
        for number in 0..FIRSTS / 2 - 1 {
            let share = admission.share(&name(number));
            for purpose in [Purpose::Call, Purpose::Job] {
                while let Some(place) = admission.enter(&share, purpose).now_or_never() {
                    taken.push(place.unwrap());
                }
            }
        }
        assert!(taken.len() > INSTANCES as usize - FIRSTS);
        let share = admission.share(&name(99));
        let enter = |purpose| admission.enter(&share, purpose).now_or_never();
        let call = enter(Purpose::Call).expect("its first call comes in").unwrap();
        let job = enter(Purpose::Job).expect("its first job comes in").unwrap();
        assert!(enter(Purpose::Call).is_none(), "the rest is taken");
        drop((call, job));
        assert!(enter(Purpose::Call).is_some());
    }

    #[tokio::test]
    async fn a_plugin_alone_has_its_number_of_places_and_no_more() {
        let admission = Admission::new(2);
        let share = admission.share(&name(1));
        let places = || std::iter::from_fn(|| admission.enter(&share, Purpose::Call).now_or_never());
        assert_eq!(places().collect::<Vec<_>>().len(), CALLS);
        assert_eq!(places().collect::<Vec<_>>().len(), CALLS, "all were given back");
    }

    #[tokio::test]
    async fn a_version_is_looked_at_however_many_calls_of_another_hang() {
        let admission = Admission::new(2);
        let share = admission.share(&name(1));
        let enter = |purpose| admission.enter(&share, purpose).now_or_never();
        let hang = [Purpose::Call, Purpose::Job].map(|purpose| std::iter::from_fn(move || enter(purpose)));
        let taken: Vec<_> = hang.into_iter().flatten().collect();
        assert!(taken.len() > JOBS, "{}", taken.len());
        assert!(enter(Purpose::Swap).is_some());
    }

    #[tokio::test]
    async fn of_one_plugin_only_one_computes_and_of_all_one_fewer_than_threads() {
        let admission = Admission::new(3);
        let shares: Vec<_> = (0..3).map(|number| admission.share(&name(number))).collect();
        let first = admission.turn(&shares[0]).now_or_never().unwrap().unwrap();
        assert!(admission.turn(&shares[0]).now_or_never().is_none());
        let _second = admission.turn(&shares[1]).now_or_never().unwrap().unwrap();
        assert!(admission.turn(&shares[2]).now_or_never().is_none());
        drop(first);
        assert!(admission.turn(&shares[2]).now_or_never().is_some());
    }
}
