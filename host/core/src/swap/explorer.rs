//! Tries every cut: for all orders of events, the power is cut between any two effects, and what was promised is checked
//! all along.
//!
//! The disk here is honest (what was stored is there, all of it); that a real one is made so is the concern of the state
//! directory and the shelf. Worlds that are alike are tried once, so the search comes to an end by itself.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::testing::*;
use super::*;
use crate::digest::Digest;

/// What the outside may do.
const DEEDS: [Deed; 13] = [
    Deed::Offer(1, Demand::Explicit, false),
    Deed::Offer(2, Demand::Desired, false),
    Deed::Offer(3, Demand::Explicit, false),
    Deed::OfferGreedy,
    Deed::Grant,
    Deed::Strike(true),
    Deed::Strike(false),
    Deed::Prove,
    Deed::Timer,
    Deed::RollBack,
    Deed::Remove,
    Deed::Restart,
    Deed::DamageLive,
];

#[derive(Clone, Copy, Debug)]
enum Deed {
    Offer(u8, Demand, bool),
    OfferGreedy,
    Grant,
    /// Whether the version before can be called.
    Strike(bool),
    Prove,
    Timer,
    RollBack,
    Remove,
    Restart,
    /// The live component rots on the disk; the next start finds out.
    DamageLive,
}

/// A whole device, cheap to clone, so that the search can go on from any point.
#[derive(Clone, PartialEq, Debug)]
struct World {
    // Durable.
    disk: Record,
    shelf: BTreeSet<Digest>,
    image: Option<Release>,
    // Of this life.
    record: Record,
    routed: Option<Digest>,
    barred: bool,
    timer: bool,
    /// Whether somebody has granted flash.
    granted: bool,
    /// What was rolled back and not asked for by hand since.
    shunned: BTreeSet<Digest>,
    deeds: u32,
    cuts: u32,
}

impl World {
    fn new(image: Option<Release>) -> World {
        let record = Record::new("acme.pump".parse().unwrap());
        let mut world = World {
            disk: record.clone(),
            shelf: BTreeSet::new(),
            image,
            record,
            routed: None,
            barred: false,
            timer: false,
            granted: false,
            shunned: BTreeSet::new(),
            deeds: 0,
            cuts: 0,
        };
        world.start();
        world
    }

    /// The process begins: what the disk holds is all it knows.
    fn boot(&mut self) -> Vec<Effect> {
        self.record = self.disk.clone();
        (self.routed, self.barred, self.timer) = (None, false, false);
        let (mut chosen, mut failures) = (None, Vec::new());
        for release in self.record.candidates(self.image.as_ref()) {
            let of_image = self.image.as_ref().is_some_and(|image| image.digest == release.digest);
            if of_image || self.shelf.contains(&release.digest) {
                chosen = Some(release);
                break;
            }
            failures.push(format!("version {} is damaged", release.version));
        }
        if !failures.is_empty() {
            // It fell back, which may be to what was rolled back before.
            self.pardon(chosen.as_ref());
        }
        self.decide(Event::Booted { chosen, failures })
    }

    fn start(&mut self) {
        for effect in self.boot() {
            self.perform(effect);
        }
        self.check();
    }

    fn decide(&mut self, event: Event) -> Vec<Effect> {
        let (next, effects) = step(self.record.clone(), event, NOW, &Settings::default());
        self.record = next;
        effects
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Keep(digest) => drop(self.shelf.insert(digest)),
            Effect::Store => {
                for release in
                    self.record.live.iter().chain(self.record.held.iter().map(|held| &held.release))
                {
                    let known = self.disk.release(&release.digest).is_some();
                    assert!(
                        known || self.shelf.contains(&release.digest),
                        "a record names what is not there"
                    );
                }
                self.disk = self.record.clone();
            }
            Effect::Route(digest) => {
                assert!(self.disk.is_live(&digest), "called before it was stored");
                (self.routed, self.barred) = (Some(digest), false);
            }
            Effect::Unroute => {
                assert!(self.disk.live.is_none(), "taken away before that was stored");
                (self.routed, self.barred) = (None, false);
            }
            Effect::Bar(_) => self.barred = true,
            Effect::Unbar => self.barred = false,
            Effect::Wake { .. } => self.timer = true,
            Effect::Collect => {
                let (record, _) = step(
                    self.record.clone(),
                    Event::Trim { pinned: BTreeSet::new() },
                    NOW,
                    &Settings::default(),
                );
                self.record = record;
                self.disk = self.record.clone();
                let needed: BTreeSet<Digest> = self.record.needed().into_iter().cloned().collect();
                self.shelf = self.shelf.intersection(&needed).cloned().collect();
            }
        }
    }

    /// What is true whenever nothing is under way.
    fn check(&self) {
        let live = self.disk.live.as_ref().map(|live| &live.digest);
        if self.routed.is_none() && live.is_some_and(|live| !self.shelf.contains(live)) {
            // The last one rotted away: there is nothing to call.
            return;
        }
        assert_eq!(self.routed.as_ref(), live, "what is called is what is recorded");
        assert_eq!(self.record.live, self.disk.live);
        assert_eq!(live.is_none(), self.disk.standing == Standing::Absent);
        assert_eq!(self.barred, matches!(self.record.standing, Standing::Quarantined { .. }));
        assert!(self.timer || matches!(self.record.standing, Standing::Absent | Standing::Settled));
        if let Some(held) = &self.disk.held {
            assert_ne!(live, Some(&held.release.digest), "a held version is live");
        }
        let flash = self.disk.live.as_ref().is_some_and(|live| live.grants.flash);
        assert!(!flash || self.granted, "more rights than anybody granted");
        if let Some(live) = live {
            assert!(!self.shunned.contains(live), "what was rolled back is live again");
        }
    }

    /// What of the deed follows; `None` where it cannot be done now.
    fn deed(&mut self, deed: Deed) -> Option<Vec<Effect>> {
        let event = match deed {
            Deed::Offer(major, demand, granted) => {
                if demand == Demand::Explicit {
                    self.pardon(Some(&release(major)));
                }
                Event::Ready { release: release(major), demand, granted }
            }
            Deed::OfferGreedy => {
                self.pardon(Some(&greedy(4)));
                // The first version of a plugin is granted what the policy allows.
                self.granted |= self.record.live.is_none();
                Event::Ready { release: greedy(4), demand: Demand::Explicit, granted: false }
            }
            Deed::Grant => {
                let held = self.record.held.clone()?;
                self.granted = true;
                self.shunned.remove(&held.release.digest);
                Event::Ready { release: held.release, demand: Demand::Explicit, granted: true }
            }
            Deed::Strike(back) => {
                let live = self.record.live.clone().filter(|_| self.routed.is_some())?;
                let leaves = matches!(self.record.standing, Standing::Probation { .. });
                if back && leaves && self.record.previous.is_some() {
                    self.shunned.insert(live.digest.clone());
                    self.back();
                }
                Event::Struck { digest: live.digest, why: "it trapped".into(), back }
            }
            Deed::Prove => Event::Proven { digest: self.routed.clone()? },
            Deed::Timer if self.timer => Event::TimerDue,
            Deed::Timer => return None,
            Deed::RollBack => {
                self.record.previous.as_ref()?;
                let live = self.record.live.clone()?;
                self.shunned.insert(live.digest);
                self.back();
                Event::RollBack
            }
            Deed::Remove => {
                let image = self.image.clone();
                self.pardon(image.as_ref());
                Event::Remove { factory: image }
            }
            Deed::Restart => return Some(self.boot()),
            Deed::DamageLive => {
                let live = self.record.live.clone()?;
                self.shelf.remove(&live.digest);
                return Some(self.boot());
            }
        };
        Some(self.decide(event))
    }

    /// Going back to the version before is no new installation of it.
    fn back(&mut self) {
        let previous = self.record.previous.clone();
        self.pardon(previous.as_ref());
    }

    /// It may be live again.
    fn pardon(&mut self, release: Option<&Release>) {
        if let Some(release) = release {
            self.shunned.remove(&release.digest);
        }
    }
}

/// Tries all orders of so many deeds with so many cuts; returns how many worlds and cuts that were.
fn explore(image: Option<Release>, deeds: u32, cuts: u32) -> (usize, u64) {
    let (mut seen, mut tried) = (HashSet::new(), 0);
    let mut open = VecDeque::from([World::new(image)]);
    while let Some(world) = open.pop_front() {
        if world.deeds == deeds {
            continue;
        }
        for deed in DEEDS {
            let mut next = world.clone();
            next.deeds += 1;
            let settled_before = world.record.previous.clone();
            let Some(effects) = next.deed(deed) else { continue };
            for effect in effects {
                if next.cuts < cuts {
                    // The power is cut here; the process that starts may be cut again, anywhere.
                    tried += 1;
                    let mut other = next.clone();
                    other.cuts += 1;
                    // What was not stored has not happened.
                    let disk = other.disk.clone();
                    other.shunned.retain(|digest| disk.bad.contains_key(digest) && !disk.is_live(digest));
                    other.start();
                    if seen.insert(format!("{other:?}")) {
                        open.push_back(other);
                    }
                }
                next.perform(effect);
            }
            next.check();
            let fresh = matches!(next.record.standing, Standing::Probation { .. });
            if fresh && !matches!(deed, Deed::Restart | Deed::DamageLive) && settled_before.is_some() {
                assert!(next.record.previous.is_some(), "no way back from {deed:?} in {world:#?}");
            }
            // What rotted before is not there, whatever is done.
            let previous = next.record.previous.as_ref().filter(|_| fresh);
            if let Some(previous) = previous.filter(|previous| world.shelf.contains(&previous.digest))
                && !matches!(deed, Deed::DamageLive)
            {
                assert!(next.shelf.contains(&previous.digest), "the way back is not on the disk");
            }
            if seen.insert(format!("{next:?}")) {
                open.push_back(next);
            }
        }
    }
    (seen.len(), tried)
}

#[test]
fn exactly_one_version_is_live_whatever_is_cut() {
    for image in [None, Some(factory(1)), Some(factory(2))] {
        let (worlds, cuts) = explore(image, 5, 1);
        assert!(worlds > 500 && cuts > 1_000, "{cuts} cuts in {worlds} worlds: the search is blind");
    }
}

#[test]
fn two_cuts_are_no_worse_than_one() {
    let (worlds, cuts) = explore(Some(factory(1)), 4, 2);
    assert!(worlds > 500 && cuts > 1_000, "{cuts} cuts in {worlds} worlds: the search is blind");
}
