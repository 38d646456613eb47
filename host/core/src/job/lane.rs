//! Lanes: at most one job of a plugin holds a lane at a time.
//!
//! A lane is held from the moment that the job is accepted until it has ended, over restarts, pauses and
//! retries. Lanes of different plugins have nothing to do with each other; what is truly shared, a slot, has a
//! lease of its own. A job without a lane runs beside all others, so the number of jobs is bounded here too.

use super::{Job, JobId};
use crate::manifest::PluginName;

/// The most jobs of one plugin that have not ended. A device is no work queue: more of them is a mistake.
pub const LIVE_LIMIT: usize = 16;

/// Why there is no room for one more job.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoRoom {
    /// Another job holds the lane; wait for it to end.
    #[error("lane {lane:?} is held by job {holder} until that has ended")]
    LaneTaken {
        /// The lane that was asked for.
        lane: String,
        /// The job that holds it.
        holder: JobId,
    },
    /// The plugin has too many jobs that have not ended.
    #[error("the plugin has {LIVE_LIMIT} jobs that have not ended, which is the limit")]
    TooMany,
}

/// Whether a job of this plugin may begin on this lane, given all the jobs of the device.
pub fn room<'a>(
    jobs: impl Iterator<Item = &'a Job>,
    plugin: &PluginName,
    lane: Option<&str>,
) -> Result<(), NoRoom> {
    let mut live = 0;
    for job in jobs.filter(|job| job.plugin == *plugin && !job.has_ended()) {
        if let Some(wanted) = lane.filter(|wanted| job.lane.as_deref() == Some(wanted)) {
            return Err(NoRoom::LaneTaken { lane: wanted.to_owned(), holder: job.id.clone() });
        }
        live += 1;
    }
    if live >= LIVE_LIMIT { Err(NoRoom::TooMany) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::testing::{ended, job};
    use crate::job::{Ended, State};

    #[test]
    fn a_lane_has_one_holder_until_it_has_ended() {
        let name = job(State::Accepted).plugin;
        let held = job(State::Accepted);
        let taken = room([&held].into_iter(), &name, Some("firmware"));
        assert_eq!(taken, Err(NoRoom::LaneTaken { lane: "firmware".into(), holder: held.id.clone() }));
        assert_eq!(room([&held].into_iter(), &name, Some("other")), Ok(()));
        assert_eq!(room([&held].into_iter(), &name, None), Ok(()));
        let over = job(ended(Ended::Failed("x".into())));
        assert_eq!(room([&over].into_iter(), &name, Some("firmware")), Ok(()));
    }

    #[test]
    fn the_lanes_of_another_plugin_do_not_matter() {
        let held = job(State::Accepted);
        let other = "acme.other".parse().unwrap();
        assert_eq!(room([&held].into_iter(), &other, Some("firmware")), Ok(()));
    }

    #[test]
    fn jobs_without_a_lane_are_bounded() {
        let one = Job { lane: None, ..job(State::Accepted) };
        let jobs = vec![one.clone(); LIVE_LIMIT];
        assert_eq!(room(jobs.iter(), &one.plugin, None), Err(NoRoom::TooMany));
        assert_eq!(room(jobs.iter().skip(1), &one.plugin, None), Ok(()));
    }
}
