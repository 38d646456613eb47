//! Faults on request: what networks, tokens and hubs do to devices on bad days, whenever a developer asks for it.
//!
//! A [`Rule`] says what goes wrong, for which devices, how often and from when; rules come from the command line
//! (`--fault`) or are posted to `/localhub/faults`. The doors ask at a few named points whether a fault strikes;
//! while there is no rule, that is one relaxed load. Whether a rule strikes is not chance but a function of its
//! seed, the device and how many times this device has come by: the same rule does the same to a device in every
//! run, however devices are interleaved. Rules live in memory: a restarted hub has those of its command line.
//!
//! These faults stand beside the real failures of the code around them and never weaken a promise of the hub's
//! own: a message is dropped or delayed *after* what it reports is durable, or before anything was done with it.

mod rule;
mod toss;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;

use self::rule::Kind;
pub use self::rule::{HELP, Rule};
use self::toss::Counts;
use crate::fault::Fault;
use crate::identity::Name;

/// More rules than anybody keeps in mind.
const MOST: usize = 100;

/// What a message on its way is; `what=` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// Direct method requests, to the device.
    Methods,
    /// Their answers, from the device.
    Answers,
    /// Notifications of changed desired properties, to the device.
    Desired,
    /// Answers to twin requests, to the device.
    Twin,
    /// Cloud-to-device messages.
    Messages,
    /// Device-to-cloud messages.
    Telemetry,
}

impl What {
    /// Reads the topic of a publish to a device.
    pub(crate) fn to_device(topic: &str) -> Self {
        if topic.starts_with("$iothub/methods/") {
            Self::Methods
        } else if topic.starts_with("$iothub/twin/res/") {
            Self::Twin
        } else if topic.starts_with("$iothub/twin/") {
            Self::Desired
        } else {
            Self::Messages
        }
    }
}

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It goes on as if nothing were.
    Through,
    /// It is lost.
    Dropped,
    /// It comes later, and with it everything behind it.
    Delayed(Duration),
    /// It comes twice.
    Twice,
}

/// What happens to a client at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It comes in, if it may.
    Open,
    /// Its token counts as a bad one: CONNACK 5.
    Unauthorized,
    /// The hub counts as busy: CONNACK 3.
    Unavailable,
    /// It is let in, but what the hub kept of its session is lost.
    Forgotten,
}

/// The rules that are set, and how often each has struck.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    any: AtomicBool,
    last: AtomicU64,
    rules: RwLock<Vec<Arc<Set>>>,
}

#[derive(Debug)]
struct Set {
    id: u64,
    rule: Rule,
    counts: Counts,
}

/// A rule that is set, as `GET /localhub/faults` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: u64,
    fault: String,
    /// How often it could have struck.
    asked: u64,
    /// How often it did.
    struck: u64,
}

impl Faults {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let faults = Self::default();
        for rule in rules.iter().take(MOST) {
            drop(faults.add(rule.clone()));
        }
        faults
    }

    /// Sets a rule; it holds from now on.
    pub(crate) fn add(&self, rule: Rule) -> Result<u64, Fault> {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        if rules.len() >= MOST {
            return Err(Fault::ArgumentInvalid(format!("{MOST} faults are set already; delete some")));
        }
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::warn!(id, fault = %rule, "a fault is set");
        rules.push(Arc::new(Set { id, rule, counts: Counts::default() }));
        self.any.store(true, Ordering::Release);
        Ok(id)
    }

    /// Takes a rule away, or all of them; gives how many.
    pub(crate) fn remove(&self, id: Option<u64>) -> usize {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let before = rules.len();
        rules.retain(|set| id.is_some_and(|id| set.id != id));
        self.any.store(!rules.is_empty(), Ordering::Release);
        before - rules.len()
    }

    /// All rules, in the order in which they were set.
    pub(crate) fn list(&self) -> Vec<Shown> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let shown = |set: &Arc<Set>| {
            let (asked, struck) = set.counts.totals();
            Shown { id: set.id, fault: set.rule.to_string(), asked, struck }
        };
        rules.iter().map(shown).collect()
    }

    /// The first rule, in order, that applies and strikes. Rules that do not apply do not count the visit.
    fn strike<T>(&self, device: &str, applies: impl Fn(&Kind) -> Option<T>) -> Option<T> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.iter().find_map(|set| {
            let effect = applies(&set.rule.kind)?;
            if !set.rule.names(device) || !set.counts.toss(&set.rule.odds, device) {
                return None;
            }
            tracing::info!(device, fault = %set.rule, "a fault strikes");
            Some(effect)
        })
    }

    /// A message passes.
    pub(crate) fn message(&self, name: &Name, passing: What) -> Way {
        if !self.any.load(Ordering::Acquire) {
            return Way::Through;
        }
        let way = self.strike(&name.to_string(), |kind| match *kind {
            Kind::Drop(what) if what.is_none_or(|what| what == passing) => Some(Way::Dropped),
            Kind::Delay(what, by) if what.is_none_or(|what| what == passing) => Some(Way::Delayed(by)),
            Kind::Duplicate(what) if what.is_none_or(|what| what == passing) => Some(Way::Twice),
            _ => None,
        });
        way.unwrap_or(Way::Through)
    }

    /// A client shows a good token or certificate.
    pub(crate) fn entry(&self, name: &Name) -> Entry {
        if !self.any.load(Ordering::Acquire) {
            return Entry::Open;
        }
        let entry = self.strike(&name.to_string(), |kind| match kind {
            Kind::RefuseToken => Some(Entry::Unauthorized),
            Kind::RefuseConnect => Some(Entry::Unavailable),
            Kind::LoseSession => Some(Entry::Forgotten),
            _ => None,
        });
        entry.unwrap_or(Entry::Open)
    }

    /// A device patches its twin: the fault to answer with instead of doing it.
    pub(crate) fn patch(&self, name: &Name) -> Option<Fault> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.strike(&name.to_string(), |kind| match kind {
            Kind::RejectTwin(status) => Some(as_asked(*status)),
            _ => None,
        })
    }

    /// A device answers a direct method: how late the caller is to hear.
    pub(crate) fn late(&self, name: &Name) -> Option<Duration> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.strike(&name.to_string(), |kind| match kind {
            Kind::LateMethod(by) => Some(*by),
            _ => None,
        })
    }

    /// A packet came from a client that has sent so many: whether its connection ends here, or goes silent.
    pub(crate) fn packet(&self, name: &Name, packets: u64) -> Option<Ending> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.strike(&name.to_string(), |kind| match *kind {
            Kind::CloseAfter(after) if packets == after => Some(Ending::Closed),
            Kind::MuteAfter(after) if packets == after => Some(Ending::Mute),
            _ => None,
        })
    }

    /// A request came to REST: a fault to answer with, or a time to wait first. The path's device is its second
    /// segment; a request that names none, or what cannot be one, counts as the device `-`.
    pub(crate) fn request(&self, path: &str) -> Option<Trouble> {
        if !self.any.load(Ordering::Acquire) || path.starts_with("/localhub/") {
            return None;
        }
        let device = path.split('/').nth(2).filter(|device| Name::device(device).is_ok()).unwrap_or("-");
        self.strike(device, |kind| match *kind {
            Kind::FailRest(status) => Some(Trouble::Failed(as_asked(status))),
            Kind::DelayRest(by) => Some(Trouble::Slow(by)),
            _ => None,
        })
    }
}

/// How a connection stops working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is closed.
    Closed,
    /// It stays open and nothing comes any more.
    Mute,
}

/// What a REST request meets.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// This answer.
    Failed(Fault),
    /// Its own answer, later.
    Slow(Duration),
}

fn as_asked(status: u16) -> Fault {
    let text = "a fault was asked for".to_owned();
    match status {
        400 => Fault::ArgumentInvalid(text),
        401 => Fault::Unauthorized(text),
        412 => Fault::PreconditionFailed(text),
        429 => Fault::Throttled { text, method: false },
        503 => Fault::Unavailable(text),
        _ => Fault::Internal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rules: &[&str]) -> Faults {
        Faults::new(&rules.iter().map(|rule| rule.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn the_first_rule_that_applies_and_strikes_counts() {
        let faults = faults(&[
            "drop:what=methods,device=dev-*,times=1",
            "delay:by=2s,what=methods",
            "reject-twin:status=429",
        ]);
        let [dev, other] = ["dev-1", "other"].map(|id| Name::device(id).unwrap());
        assert_eq!(faults.message(&dev, What::Methods), Way::Dropped);
        assert_eq!(faults.message(&dev, What::Methods), Way::Delayed(Duration::from_secs(2)));
        assert_eq!(faults.message(&other, What::Methods), Way::Delayed(Duration::from_secs(2)));
        assert_eq!(faults.message(&dev, What::Telemetry), Way::Through);
        assert_eq!(faults.patch(&other).unwrap().status(), 429);
        assert_eq!(faults.remove(Some(1)), 1);
        assert_eq!(faults.remove(None), 2);
        assert_eq!(faults.message(&dev, What::Methods), Way::Through);
    }

    #[test]
    fn the_same_seed_does_the_same_to_a_device_whatever_others_do() {
        let run = |neighbours: usize, seed: u64| -> Vec<Way> {
            let faults = faults(&[&format!("drop:probability=0.5,seed={seed}")]);
            let (device, other) = (Name::device("d").unwrap(), Name::device("e").unwrap());
            let visit = |_| {
                for _ in 0..neighbours {
                    faults.message(&other, What::Telemetry);
                }
                faults.message(&device, What::Telemetry)
            };
            (0..64).map(visit).collect()
        };
        assert_eq!(run(0, 7), run(3, 7));
        assert_ne!(run(0, 7), run(0, 8));
        let dropped = run(0, 7).iter().filter(|way| **way == Way::Dropped).count();
        assert!((16..48).contains(&dropped), "{dropped} of 64 at even odds");
    }

    #[test]
    fn rest_faults_leave_the_hubs_own_endpoints_alone() {
        let faults = faults(&["fail-rest:status=503,device=d"]);
        assert!(faults.request("/localhub/faults").is_none());
        assert!(faults.request("/twins/e").is_none());
        assert!(matches!(faults.request("/twins/d/methods"), Some(Trouble::Failed(Fault::Unavailable(_)))));
    }
}
