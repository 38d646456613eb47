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

use super::record::{Bad, Held, LastEvent, Record, Standing};
use super::release::{Demand, Origin, Release};
use crate::digest::Digest;
use crate::job::remaining;

/// The longest reason that is kept, in characters.
const TEXT_LIMIT: usize = 512;
/// How many rolled-back releases are remembered.
const BAD_LIMIT: usize = 16;

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
        Some(floor) if version < floor && !settings.downgrade => {
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
        Event::Struck { digest, why } if record.is_live(&digest) => struck(record, &why, now, settings),
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

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `first`, doubled for each time but the first, at most `longest`; in milliseconds.
fn doubled(first: Duration, longest: Duration, times: u32) -> u64 {
    let doublings = times.saturating_sub(1).min(32);
    milliseconds(first).saturating_mul(1 << doublings).min(milliseconds(longest))
}

fn shortened(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).collect()
}

fn on_trial(standing: &Standing) -> bool {
    matches!(standing, Standing::Probation { .. } | Standing::Recovering { .. })
}

fn ready(
    mut record: Record,
    release: Release,
    demand: Demand,
    granted: bool,
    now: u64,
    settings: &Settings,
) -> (Record, Vec<Effect>) {
    let digest = release.digest.clone();
    match admit(&record, &release.version, &digest, demand, now, settings) {
        Err(_) => return (record, vec![]),
        Ok(Admission::Unchanged) if granted => return regrant(record, release),
        Ok(Admission::Unchanged) => return (record, vec![]),
        Ok(Admission::Go) => {}
    }
    let wants = record.live.as_ref().map(|live| release.grants.beyond(&live.grants)).unwrap_or_default();
    if !wants.is_empty() && !granted {
        let held = Some(Held { release, wants });
        if same_held(&record.held, &held) {
            return (record, vec![]);
        }
        record.held = held;
        return (record, vec![Effect::Keep(digest), Effect::Store, Effect::Collect]);
    }
    record = go_live(record, release, now);
    let pause = milliseconds(settings.probation);
    record.standing = Standing::Probation { until: now.saturating_add(pause), pause };
    let effects = vec![
        Effect::Keep(digest.clone()),
        Effect::Store,
        Effect::Route(digest),
        Effect::Wake { after: pause },
        Effect::Collect,
    ];
    (record, effects)
}

fn same_held(one: &Option<Held>, other: &Option<Held>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            one.release.digest == other.release.digest && one.release.grants == other.release.grants
        }
        _ => false,
    }
}

/// The live release, with more rights than before.
fn regrant(mut record: Record, release: Release) -> (Record, Vec<Effect>) {
    record.held = None;
    let digest = release.digest.clone();
    if let Some(live) = &mut record.live {
        live.grants = release.grants;
    }
    let mut effects = vec![Effect::Store, Effect::Route(digest)];
    if let Standing::Quarantined { why, .. } = &record.standing {
        effects.push(Effect::Bar(why.clone()));
    }
    effects.push(Effect::Collect);
    (record, effects)
}

/// Puts a release into the live one's place. What is to go back to is what had proved itself.
fn go_live(mut record: Record, release: Release, now: u64) -> Record {
    let old = record.live.take();
    let proven = matches!(record.standing, Standing::Settled | Standing::Recovering { .. });
    let (previous, surplus) = match record.previous.take() {
        Some(previous) if !proven => (Some(previous), old),
        previous => (old, previous),
    };
    // Going back to what comes in now would be no way back.
    record.previous = previous.filter(|previous| previous.digest != release.digest);
    record.older.retain(|older| older.digest != release.digest);
    record.older.extend(surplus.filter(|surplus| surplus.digest != release.digest));
    record.held = record
        .held
        .filter(|held| held.release.digest != release.digest && held.release.version > release.version);
    record.live = Some(Release { at: now, ..release });
    record.strikes.clear();
    record.rounds = 0;
    record.last = None;
    record
}

fn struck(mut record: Record, why: &str, now: u64, settings: &Settings) -> (Record, Vec<Effect>) {
    match &record.standing {
        Standing::Absent | Standing::Quarantined { .. } => (record, vec![]),
        Standing::Probation { .. } if record.previous.is_some() => roll_back(record, why, now, settings),
        Standing::Probation { .. } | Standing::Recovering { .. } => quarantine(record, why, now, settings),
        Standing::Settled => {
            let window = milliseconds(settings.strike_window);
            record.strikes.retain(|at| now.saturating_sub(*at) < window);
            record.strikes.push(now);
            if record.strikes.len() < usize::try_from(settings.strikes).unwrap_or(usize::MAX) {
                return (record, vec![]);
            }
            quarantine(record, why, now, settings)
        }
    }
}

fn quarantine(mut record: Record, why: &str, now: u64, settings: &Settings) -> (Record, Vec<Effect>) {
    record.rounds = record.rounds.saturating_add(1);
    let pause = doubled(settings.quarantine, settings.longest_quarantine, record.rounds);
    let version = record.live.as_ref().map(|live| live.version.to_string()).unwrap_or_default();
    let why = shortened(&format!("version {version} failed too often; the last: {why}"));
    let until = now.saturating_add(pause);
    record.standing = Standing::Quarantined { until, pause, why: why.clone() };
    record.last = Some(LastEvent { at: now, text: why.clone() });
    (record, vec![Effect::Store, Effect::Bar(why), Effect::Wake { after: pause }])
}

fn roll_back(mut record: Record, why: &str, now: u64, settings: &Settings) -> (Record, Vec<Effect>) {
    let (Some(failed), Some(previous)) = (record.live.take(), record.previous.take()) else {
        return (record, vec![]);
    };
    let times = record.bad.get(&failed.digest).map_or(1, |bad| bad.times.saturating_add(1));
    let pause = doubled(settings.bad, settings.longest_bad, times);
    let text = format!("version {} was rolled back to {}: {why}", failed.version, previous.version);
    let bad = Bad {
        version: failed.version.clone(),
        why: shortened(why),
        times,
        until: now.saturating_add(pause),
        pause,
    };
    record.bad.insert(failed.digest.clone(), bad);
    while record.bad.len() > BAD_LIMIT {
        let oldest = record.bad.iter().min_by_key(|(_, bad)| bad.until).map(|(digest, _)| digest.clone());
        let Some(oldest) = oldest else { break };
        record.bad.remove(&oldest);
    }
    record.older.retain(|older| older.digest != previous.digest);
    record.older.push(failed);
    let digest = previous.digest.clone();
    record.live = Some(Release { at: now, ..previous });
    record.standing = Standing::Settled;
    record.strikes.clear();
    record.rounds = 0;
    record.last = Some(LastEvent { at: now, text: shortened(&text) });
    (record, vec![Effect::Store, Effect::Route(digest), Effect::Collect])
}

fn settle(mut record: Record) -> (Record, Vec<Effect>) {
    if let Some(live) = &record.live {
        record.floor =
            Some(record.floor.take().map_or(live.version.clone(), |floor| floor.max(live.version.clone())));
        record.bad.remove(&live.digest);
    }
    record.standing = Standing::Settled;
    record.strikes.clear();
    record.rounds = 0;
    record.last = None;
    (record, vec![Effect::Store, Effect::Collect])
}

fn timer(mut record: Record, now: u64, settings: &Settings) -> (Record, Vec<Effect>) {
    match &record.standing {
        Standing::Probation { .. } | Standing::Recovering { .. } => settle(record),
        Standing::Quarantined { .. } => {
            let pause = milliseconds(settings.probation);
            record.standing = Standing::Recovering { until: now.saturating_add(pause), pause };
            (record, vec![Effect::Store, Effect::Unbar, Effect::Wake { after: pause }])
        }
        Standing::Absent | Standing::Settled => (record, vec![]),
    }
}

fn remove(mut record: Record, factory: Option<Release>, now: u64) -> (Record, Vec<Effect>) {
    let Some(live) = record.live.take() else { return (record, vec![]) };
    let gone = [Some(live), record.previous.take(), record.held.take().map(|held| held.release)];
    record.older.extend(gone.into_iter().flatten());
    if let Some(factory) = &factory {
        record.older.retain(|older| older.digest != factory.digest);
    }
    record.strikes.clear();
    record.rounds = 0;
    record.last = None;
    let effects = match factory {
        Some(factory) => {
            let digest = factory.digest.clone();
            record.live = Some(Release { at: now, ..factory });
            record.standing = Standing::Settled;
            vec![Effect::Keep(digest.clone()), Effect::Store, Effect::Route(digest), Effect::Collect]
        }
        None => {
            record.standing = Standing::Absent;
            vec![Effect::Store, Effect::Unroute, Effect::Collect]
        }
    };
    (record, effects)
}

fn booted(
    mut record: Record,
    chosen: Option<Release>,
    failures: &[String],
    now: u64,
    settings: &Settings,
) -> (Record, Vec<Effect>) {
    let trouble =
        (!failures.is_empty()).then(|| LastEvent { at: now, text: shortened(&failures.join("; ")) });
    let Some(chosen) = chosen else {
        record.last = trouble.or(record.last);
        return (record, vec![]);
    };
    let digest = chosen.digest.clone();
    if record.is_live(&digest) {
        if let Some(live) = record.live.as_mut().filter(|_| matches!(chosen.origin, Origin::Factory { .. })) {
            // The policy of the image's plugins is the policy of the day.
            live.grants = chosen.grants;
        }
        let mut effects = vec![Effect::Route(digest)];
        match &record.standing {
            Standing::Probation { until, pause } | Standing::Recovering { until, pause } => {
                effects.push(Effect::Wake { after: remaining(*until, *pause, now) });
            }
            Standing::Quarantined { until, pause, why } => {
                effects.push(Effect::Bar(why.clone()));
                effects.push(Effect::Wake { after: remaining(*until, *pause, now) });
            }
            Standing::Absent | Standing::Settled => {}
        }
        effects.push(Effect::Collect);
        return (record, effects);
    }
    let is_factory = |release: &Release| matches!(release.origin, Origin::Factory { .. });
    let newer = is_factory(&chosen)
        && record.live.as_ref().is_some_and(|live| !is_factory(live) && chosen.version > live.version);
    let mut effects = vec![Effect::Keep(digest.clone()), Effect::Store, Effect::Route(digest)];
    if newer {
        // The image brings a newer one: a swap like any other.
        record = go_live(record, chosen, now);
        let pause = milliseconds(settings.probation);
        record.standing = Standing::Probation { until: now.saturating_add(pause), pause };
        effects.push(Effect::Wake { after: pause });
    } else {
        // The first one, the image's own after an update of the image, or what was fallen back to.
        record.older.extend(record.live.take());
        record.older.extend(record.previous.take());
        record.older.retain(|older| older.digest != chosen.digest);
        if is_factory(&chosen) && failures.is_empty() {
            let version = chosen.version.clone();
            record.floor = Some(record.floor.take().map_or(version.clone(), |floor| floor.max(version)));
        }
        record.live = Some(Release { at: now, ..chosen });
        record.standing = Standing::Settled;
        record.strikes.clear();
        record.rounds = 0;
    }
    record.last = trouble.or(record.last);
    effects.push(Effect::Collect);
    (record, effects)
}

/// Stored with the next change: the next start would find out by itself.
fn lost(mut record: Record, digest: &Digest) -> (Record, Vec<Effect>) {
    record.previous = record.previous.filter(|previous| previous.digest != *digest);
    record.held = record.held.filter(|held| held.release.digest != *digest);
    record.older.retain(|older| older.digest != *digest);
    (record, vec![])
}

fn trim(mut record: Record, pinned: &BTreeSet<Version>) -> (Record, Vec<Effect>) {
    let before = record.older.len();
    let mut seen = BTreeSet::new();
    let live = record.live.as_ref().map(|live| live.version.clone());
    // The newest of each version is at the end.
    record.older.reverse();
    record.older.retain(|older| {
        pinned.contains(&older.version)
            && live.as_ref() != Some(&older.version)
            && seen.insert(older.version.clone())
    });
    record.older.reverse();
    if record.older.len() == before { (record, vec![]) } else { (record, vec![Effect::Store]) }
}
