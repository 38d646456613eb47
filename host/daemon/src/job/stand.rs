//! Which version of its plugin runs a job.
//!
//! Promise: a job is run by one version at a time and changes over only between two runs, with its checkpoint, and
//! on the disk before the new version is entered. A version that does not want the job never gets it: it stays with
//! the one that had it, for as long as that one is there.
//!
//! What is asked, in this order, before each run of a job whose version is not the live one:
//! 1. the live version, whether it adopts the checkpoint (once; a refusal stands while that version is live);
//! 2. where it refuses and the job's version was rolled back: is the live one what the job had before? Then the job
//!    is again what it was then. Repeating steps is what jobs are made for, running on in a bad version is not;
//! 3. the job's own version, which the device keeps for as long as jobs need it, also where the plugin was taken out and no
//!    version is live.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use hotshoe_core::job::{Event, Job};
use hotshoe_core::manifest::PluginName;
use semver::Version;

use super::guest::{Adoption, Guest};

/// Who runs the jobs of which plugin.
pub type Guests = HashMap<PluginName, Stand>;

/// The versions of one plugin that run jobs.
#[derive(Clone)]
pub struct Stand {
    /// The version that new jobs and those of other versions are offered to; `None` where the plugin was taken out.
    pub live: Option<Version>,
    /// All versions that can run: the live one, and those that jobs stayed with.
    pub guests: BTreeMap<Version, Arc<dyn Guest>>,
    /// Versions that were rolled back: nothing stays with them that can go elsewhere.
    pub bad: BTreeSet<Version>,
}

impl Stand {
    /// A plugin with one version.
    pub fn of(live: Version, guest: Arc<dyn Guest>) -> Stand {
        Stand { live: Some(live.clone()), guests: BTreeMap::from([(live, guest)]), bad: BTreeSet::new() }
    }
}

/// What is to be done with a job that is ready.
pub(super) enum Next {
    /// This guest runs it.
    Run(Arc<dyn Guest>),
    /// It changes over first.
    Change(Event),
    /// The live version does not want it; remembered.
    Refused(Version),
    /// Nobody is there who could run it.
    Wait,
}

/// Decides for a job, asking guests where that is needed. `refused` is the version that did not want it.
pub(super) async fn next(stand: Option<&Stand>, job: &Job, refused: Option<&Version>) -> Next {
    let Some(stand) = stand else { return Next::Wait };
    let own = || stand.guests.get(&job.version).map_or(Next::Wait, |guest| Next::Run(Arc::clone(guest)));
    let Some(live) = stand.live.as_ref().filter(|live| **live != job.version) else { return own() };
    if let Some(guest) = stand.guests.get(live).filter(|_| refused != Some(live)) {
        let why = match guest.adopt(job.version.clone(), job.checkpoint.clone()).await {
            Adoption::Taken(checkpoint) => {
                tracing::info!(from = %job.version, to = %live, "the job goes over to another version");
                return Next::Change(Event::Adopted { version: live.clone(), checkpoint });
            }
            Adoption::Refused(why) | Adoption::Failed(why) => why,
        };
        tracing::warn!(from = %job.version, to = %live, reason = why, "the job stays with its version");
        return Next::Refused(live.clone());
    }
    let came_from_live = job.before.as_ref().is_some_and(|before| before.version == *live);
    if stand.bad.contains(&job.version) && came_from_live {
        tracing::warn!(from = %job.version, to = %live, "the job goes back to where it was with this version");
        return Next::Change(Event::Returned);
    }
    own()
}

/// Why a job does not run though it is ready; `None` where it will.
pub(super) fn missing(stand: Option<&Stand>, job: &Job) -> Option<String> {
    match stand {
        None => Some(format!("waits for the plugin {}, which is not mounted", job.plugin)),
        Some(stand) if stand.live.as_ref().is_some_and(|live| stand.guests.contains_key(live)) => None,
        Some(stand) if stand.guests.contains_key(&job.version) => None,
        Some(_) => Some(format!("waits for version {} of the plugin {}", job.version, job.plugin)),
    }
}
