//! The swap machine: record × event → record × effects.
//!
//! What it promises, whatever is cut where (proved by `explorer`, which tries all of it):
//! - At most one release is live, and it is the one of the stored record: the record is stored before calls go to
//!   another release (`Keep`, `Store`, `Route`), and a component is on the disk before a record names it.
//! - A release that asks for more rights than the live one is never live before somebody granted them.
//! - A release that was rolled back comes again only by explicit demand, or after a growing time.
//! - The release to go back to is kept until the live one has proved itself.
//!
//! What it does not do: write each strike. Below the number that quarantines they are kept in memory and stored with
//! the next change, since flash wears; a restart forgives them.

use std::collections::BTreeSet;
use std::time::Duration;

use semver::Version;

use super::moves::{booted, lost, on_trial, ready, remove, roll_back, settle, struck, timer, trim};
use super::record::Record;
use super::release::{Demand, Release};
use crate::digest::Digest;
use crate::job::remaining;

/// The bounds of the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// A new version has proved itself after so many calls that were answered.
    pub probation_calls: u32,
    /// Or after this long without a strike.
    pub probation: Duration,
    /// So many strikes within the window put a settled version into quarantine.
    pub strikes: u32,
    /// The window.
    pub strike_window: Duration,
    /// The first quarantine; each further one is twice as long.
    pub quarantine: Duration,
    /// The longest quarantine.
    pub longest_quarantine: Duration,
    /// How long the desired properties do not bring back what was rolled back; twice as long each time.
    pub bad: Duration,
    /// The longest such time.
    pub longest_bad: Duration,
    /// Whether a version below the floor may be installed: the policy `plugins.downgrade`.
    pub downgrade: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Settings {
            probation_calls: 20,
            probation: minutes(10),
            strikes: 5,
            strike_window: minutes(10),
            quarantine: Duration::from_secs(30),
            longest_quarantine: minutes(60),
            bad: minutes(10),
            longest_bad: minutes(24 * 60),
            downgrade: false,
        }
    }
}

/// What can happen to a plugin.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A candidate came through all its steps and was admitted ([`admit`]).
    Ready {
        /// It, with the grants that it is to run with.
        release: Release,
        /// Who wants it.
        demand: Demand,
        /// Whether somebody granted what it wants beyond the live one.
        granted: bool,
    },
    /// A call into a release trapped or ran out of time.
    Struck {
        /// Which release.
        digest: Digest,
        /// How.
        why: String,
        /// Whether the previous release, where there is one, could be called now.
        back: bool,
    },
    /// A release answered as many calls as it had to.
    Proven {
        /// Which release.
        digest: Digest,
    },
    /// The time of [`Effect::Wake`] is over.
    TimerDue,
    /// Somebody wants the previous release back.
    RollBack,
    /// Somebody wants what was installed gone.
    Remove {
        /// The release of the device's image, which comes back.
        factory: Option<Release>,
    },
    /// The process begins.
    Booted {
        /// The first of [`Record::candidates`] that could be loaded.
        chosen: Option<Release>,
        /// Why those before it could not, a sentence each.
        failures: Vec<String>,
    },
    /// A release turned out not to be had any more.
    Lost {
        /// Which release.
        digest: Digest,
    },
    /// Jobs have ended.
    Trim {
        /// The versions that open jobs still need.
        pinned: BTreeSet<Version>,
    },
}

/// What is to be done, in the order given, each durable or finished before the next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// See that the component is on the disk.
    Keep(Digest),
    /// Write the record; durable before anything else happens.
    Store,
    /// From here on calls go to this release.
    Route(Digest),
    /// From here on there is nothing to call.
    Unroute,
    /// From here on calls are answered with this reason.
    Bar(String),
    /// From here on the release is entered again.
    Unbar,
    /// Send [`Event::TimerDue`] after so many milliseconds, and none that was asked for before.
    Wake {
        /// How many.
        after: u64,
    },
    /// Give back what no release of the record and no job needs.
    Collect,
}

/// What becomes of a candidate that is not refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It may go on.
    Go,
    /// It is live.
    Unchanged,
}

/// Why a candidate may not go live, whatever it is made of.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// An older version would come back.
    #[error(
        "version {version} is below {floor}, which has proved itself here; the policy plugins.downgrade allows no way back"
    )]
    BelowFloor {
        /// The candidate's.
        version: Version,
        /// The highest that has proved itself.
        floor: Version,
    },
    /// It was rolled back, and only the desired properties want it again.
    #[error(
        "version {version} was rolled back: {why}; it is tried again in {seconds} s, or when somebody installs it by hand"
    )]
    RolledBackBefore {
        /// The candidate's.
        version: Version,
        /// Its digest.
        digest: Digest,
        /// Why it was rolled back.
        why: String,
        /// How long it is left alone.
        seconds: u64,
    },
}

/// Whether a candidate may go on, by its version, its digest and who wants it. `now` is the wall clock, in milliseconds
/// since the Unix epoch.
///
/// # Errors
/// See [`Refused`].
pub fn admit(
    record: &Record,
    version: &Version,
    digest: &Digest,
    demand: Demand,
    now: u64,
    settings: &Settings,
) -> Result<Admission, Refused> {
    if record.is_live(digest) {
        return Ok(Admission::Unchanged);
    }
    if let Some(bad) = record.bad.get(digest).filter(|_| demand == Demand::Desired) {
        let left = remaining(bad.until, bad.pause, now);
        if left > 0 {
            return Err(Refused::RolledBackBefore {
                version: version.clone(),
                digest: digest.clone(),
                why: bad.why.clone(),
                seconds: left.div_ceil(1000),
            });
        }
    }
    match &record.floor {
        // Not by `Ord`, which would have builds of one version be below each other.
        Some(floor) if version.cmp_precedence(floor).is_lt() && !settings.downgrade => {
            Err(Refused::BelowFloor { version: version.clone(), floor: floor.clone() })
        }
        _ => Ok(Admission::Go),
    }
}

/// What follows when this happens to this plugin. `now` is the wall clock, in milliseconds since the Unix epoch.
///
/// An event that means nothing in the state (a strike against a release that is not live any more) changes nothing and
/// has no effects.
pub fn step(record: Record, event: Event, now: u64, settings: &Settings) -> (Record, Vec<Effect>) {
    match event {
        Event::Ready { release, demand, granted } => ready(record, release, demand, granted, now, settings),
        Event::Struck { digest, why, back } if record.is_live(&digest) => {
            struck(record, &why, back, now, settings)
        }
        Event::Proven { digest } if record.is_live(&digest) && on_trial(&record.standing) => settle(record),
        Event::TimerDue => timer(record, now, settings),
        Event::RollBack if record.previous.is_some() => {
            roll_back(record, "it was rolled back by hand", now, settings)
        }
        Event::Remove { factory } => remove(record, factory, now),
        Event::Booted { chosen, failures } => booted(record, chosen, &failures, now, settings),
        Event::Lost { digest } => lost(record, &digest),
        Event::Trim { pinned } => trim(record, &pinned),
        Event::Struck { .. } | Event::Proven { .. } | Event::RollBack => (record, vec![]),
    }
}
