//! What follows from each event, one function a move.
//!
//! Each takes the record and gives it back with the effects, in the order that `machine` promises: what a record names is
//! on the disk before the record is, and the record before calls go anywhere else.

use std::collections::BTreeSet;
use std::time::Duration;

use semver::Version;

use super::machine::{Admission, Effect, Settings, admit};
use super::record::{Bad, Held, LastEvent, Record, Standing};
use super::release::{Demand, Origin, Release};
use crate::digest::Digest;
use crate::job::remaining;

/// The longest reason that is kept, in characters.
const TEXT_LIMIT: usize = 512;
/// How many rolled-back releases are remembered.
const BAD_LIMIT: usize = 16;

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

pub(super) fn on_trial(standing: &Standing) -> bool {
    matches!(standing, Standing::Probation { .. } | Standing::Recovering { .. })
}

pub(super) fn ready(
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
        // Going back to what comes in now would be no way back.
        Some(previous) if !proven && previous.digest != release.digest => (Some(previous), old),
        previous => (old, previous),
    };
    record.previous = previous;
    record.older.retain(|older| older.digest != release.digest);
    record.older.extend(surplus.filter(|surplus| surplus.digest != release.digest));
    record.held =
        record.held.filter(|held| held.release.digest != release.digest && is_newer(&held.release, &release));
    record.live = Some(Release { at: now, ..release });
    record.strikes.clear();
    record.rounds = 0;
    record.last = None;
    record
}

pub(super) fn struck(
    mut record: Record,
    why: &str,
    back: bool,
    now: u64,
    settings: &Settings,
) -> (Record, Vec<Effect>) {
    match &record.standing {
        Standing::Absent | Standing::Quarantined { .. } => (record, vec![]),
        Standing::Probation { .. } if back && record.previous.is_some() => {
            roll_back(record, why, now, settings)
        }
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

pub(super) fn roll_back(
    mut record: Record,
    why: &str,
    now: u64,
    settings: &Settings,
) -> (Record, Vec<Effect>) {
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
    record.held = record.held.filter(|held| held.release.digest != digest);
    record.live = Some(Release { at: now, ..previous });
    record.standing = Standing::Settled;
    record.strikes.clear();
    record.rounds = 0;
    record.last = Some(LastEvent { at: now, text: shortened(&text) });
    (record, vec![Effect::Store, Effect::Route(digest), Effect::Collect])
}

/// Whether a release is of a newer version than another one; builds of one version are not.
fn is_newer(release: &Release, other: &Release) -> bool {
    release.version.cmp_precedence(&other.version).is_gt()
}

/// The floor after this version has proved itself over it.
fn raised(floor: Option<Version>, proven: &Version) -> Option<Version> {
    floor.filter(|floor| proven.cmp_precedence(floor).is_le()).or_else(|| Some(proven.clone()))
}

pub(super) fn settle(mut record: Record) -> (Record, Vec<Effect>) {
    if let Some(live) = &record.live {
        record.floor = raised(record.floor.take(), &live.version);
        record.bad.remove(&live.digest);
    }
    record.standing = Standing::Settled;
    record.strikes.clear();
    record.rounds = 0;
    record.last = None;
    (record, vec![Effect::Store, Effect::Collect])
}

pub(super) fn timer(mut record: Record, now: u64, settings: &Settings) -> (Record, Vec<Effect>) {
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

pub(super) fn remove(mut record: Record, factory: Option<Release>, now: u64) -> (Record, Vec<Effect>) {
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

pub(super) fn booted(
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
        // It may have come out of the image, in place of a component that is damaged.
        let mut effects = vec![Effect::Keep(digest.clone()), Effect::Route(digest)];
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
        && record.live.as_ref().is_some_and(|live| !is_factory(live) && is_newer(&chosen, live));
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
            record.floor = raised(record.floor.take(), &chosen.version);
        }
        record.held = record.held.filter(|held| held.release.digest != chosen.digest);
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
pub(super) fn lost(mut record: Record, digest: &Digest) -> (Record, Vec<Effect>) {
    record.previous = record.previous.filter(|previous| previous.digest != *digest);
    record.held = record.held.filter(|held| held.release.digest != *digest);
    record.older.retain(|older| older.digest != *digest);
    (record, vec![])
}

pub(super) fn trim(mut record: Record, pinned: &BTreeSet<Version>) -> (Record, Vec<Effect>) {
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
