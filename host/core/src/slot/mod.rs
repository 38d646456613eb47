//! Which slot boots: the boot record's transitions, decided without touching a disk.
//!
//! Promise: whatever happens, exactly one slot is *good* (bootable without a trial), an unproven image boots at
//! most once, and the slot the device runs from is never a slot one may write. There is no transition that makes
//! an image permanent but [`Event::Confirm`], sent by the image itself after it booted.
//!
//! Why a count that is lowered *before* the boot: an image that hangs, panics or loses power tells nobody. If its
//! only try was spent before it started, the next boot falls back without anyone having to act.
//!
//! It does not write anything: the caller stores the record that [`BootRecord::after`] returns, flushes it, and
//! only then acts. How a record looks on the disk is in [`record`], and how the memories of other boot loaders look in
//! [`loader`], [`environment`] and [`environment_block`].

mod environment;
mod environment_block;
pub mod loader;
mod record;

use crate::planted::{self, Bug};

pub use environment::{Environment, current};
pub use environment_block::{BLOCK, EnvironmentBlock, SECTOR};
pub use record::{COPIES, RECORD_BYTES, RecordError, copy_for, decode, encode, newest};

/// Longest name of a slot in bytes: two names fit a record of one disk sector with room to spare.
pub const NAME_LIMIT: usize = 64;

/// How many boots an unproven image gets.
pub const TRIES: u8 = 1;

/// What the boot loader knows. One value of it is one durable record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootRecord {
    /// Grows by one with each stored record; the newer of two valid copies counts.
    pub sequence: u64,
    /// The slot that boots when there is no trial.
    pub good: String,
    /// The slot that was booted last.
    pub running: String,
    /// An image on trial, armed or already booted.
    pub trial: Option<Trial>,
}

/// An image that has yet to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Where it stands.
    pub slot: String,
    /// Boots it has left: [`TRIES`] when armed, 0 once it was booted.
    pub tries: u8,
}

/// What may happen to a boot record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Arm one trial boot of this slot. The caller has made sure that it is sealed.
    Activate(&'a str),
    /// The running image says that it is healthy.
    Confirm,
    /// Give up the trial, armed or running: the good slot boots next.
    Revert,
    /// The boot loader is about to boot. The new record must be durable before it does.
    Boot,
}

/// Why an event was refused. The record stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The device runs from that slot.
    #[error("slot {0:?} is the one the device runs from; use another slot")]
    Running(String),
    /// That slot is what the boot loader falls back to.
    #[error(
        "slot {0:?} is the good slot that the boot loader falls back to, and the device runs from one that was given up; \
         restart the device first"
    )]
    Good(String),
    /// A trial is armed or running.
    #[error("a trial boot of slot {0:?} is neither confirmed nor reverted; confirm or revert it first")]
    Trial(String),
    /// The running image's trial was given up.
    #[error(
        "the trial of slot {running:?} was given up, slot {good:?} boots next; it cannot be confirmed any more"
    )]
    GivenUp {
        /// The slot the device still runs from.
        running: String,
        /// The slot that boots next.
        good: String,
    },
    /// A slot's name is empty or longer than [`NAME_LIMIT`].
    #[error("slot name {0:?} is empty or longer than 64 bytes")]
    Name(String),
}

impl BootRecord {
    /// The record of a device on which nothing was ever installed: it runs from its first slot, which is good.
    pub fn fresh(first: &str) -> Self {
        Self { sequence: 0, good: first.to_owned(), running: first.to_owned(), trial: None }
    }

    /// The record after an event. Equal to `self`, sequence included, if there is nothing to store.
    pub fn after(&self, event: Event<'_>) -> Result<Self, Refusal> {
        let mut next = self.clone();
        match event {
            Event::Activate(slot) => {
                if slot.is_empty() || slot.len() > NAME_LIMIT {
                    return Err(Refusal::Name(slot.to_owned()));
                }
                match &self.trial {
                    // Armed already, or another one is.
                    Some(trial) if trial.tries > 0 && trial.slot == slot => {}
                    Some(trial) => return Err(Refusal::Trial(trial.slot.clone())),
                    None if slot == self.running => return Err(Refusal::Running(slot.to_owned())),
                    None if slot == self.good => return Err(Refusal::Good(slot.to_owned())),
                    None if planted::on(Bug::ActivateIsConfirm) => next.good = slot.to_owned(),
                    None => next.trial = Some(Trial { slot: slot.to_owned(), tries: TRIES }),
                }
            }
            Event::Confirm => match &self.trial {
                Some(trial) if self.on_trial() => {
                    if !planted::on(Bug::ConfirmForgetsGood) {
                        next.good = trial.slot.clone();
                    }
                    next.trial = None;
                }
                // An armed trial is not the running image's affair: that one is good already.
                _ if self.running == self.good => {}
                _ => {
                    return Err(Refusal::GivenUp { running: self.running.clone(), good: self.good.clone() });
                }
            },
            Event::Revert => {
                let trial = next.trial.take();
                if let Some(trial) = trial.filter(|_| planted::on(Bug::RevertConfirms)) {
                    next.good = trial.slot;
                }
            }
            Event::Boot => match &mut next.trial {
                Some(trial) if trial.tries > 0 => {
                    trial.tries -= u8::from(!planted::on(Bug::TriesAfterBoot));
                    next.running = trial.slot.clone();
                    if planted::on(Bug::TrialGoodAtOnce) {
                        next.good = trial.slot.clone();
                        next.trial = None;
                    }
                }
                Some(trial) if planted::on(Bug::LapsedTrialBootsAgain) => next.running = trial.slot.clone(),
                _ => {
                    next.trial = None;
                    next.running = next.good.clone();
                }
            },
        }
        if next != *self {
            next.sequence = self.sequence.saturating_add(1);
        }
        Ok(next)
    }

    /// The record with this slot running: what the kernel says of this boot, over what was remembered of it.
    ///
    /// A trial that runs has spent its try, whatever the count says; one that has spent it and does not run has lapsed.
    pub fn with_running(mut self, running: &str) -> Self {
        running.clone_into(&mut self.running);
        self.trial = match self.trial {
            Some(trial) if trial.slot == running => Some(Trial { tries: 0, ..trial }),
            Some(trial) if trial.tries == 0 => None,
            trial => trial,
        };
        self
    }

    /// Whether the running image is the one on trial.
    pub fn on_trial(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.tries == 0 && trial.slot == self.running)
    }

    /// Whether a slot's bytes may change now: not the running one, not the fallback, and none during a trial.
    pub fn writable(&self, slot: &str) -> Result<(), Refusal> {
        if slot == self.running && !planted::on(Bug::RunningWritable) {
            return Err(Refusal::Running(slot.to_owned()));
        }
        if planted::on(Bug::FallbackWritable) {
            return Ok(());
        }
        if let Some(trial) = &self.trial {
            return Err(Refusal::Trial(trial.slot.clone()));
        }
        if slot == self.good {
            return Err(Refusal::Good(slot.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(record: &BootRecord, events: &[Event<'_>]) -> BootRecord {
        events.iter().fold(record.clone(), |record, event| record.after(*event).unwrap())
    }

    fn places(record: &BootRecord) -> (&str, &str, Option<(&str, u8)>) {
        (&record.good, &record.running, record.trial.as_ref().map(|trial| (trial.slot.as_str(), trial.tries)))
    }

    #[test]
    fn lives_of_a_boot_record() {
        use Event::*;
        type Case<'a> = (&'a str, &'a [Event<'a>], (&'a str, &'a str, Option<(&'a str, u8)>));
        let cases: &[Case<'_>] = &[
            ("a plain boot changes nothing", &[Boot, Boot], ("a", "a", None)),
            ("armed, not booted yet", &[Activate("b")], ("a", "a", Some(("b", 1)))),
            ("arming twice is arming once", &[Activate("b"), Activate("b")], ("a", "a", Some(("b", 1)))),
            ("the trial boots with its try spent", &[Activate("b"), Boot], ("a", "b", Some(("b", 0)))),
            ("confirmed", &[Activate("b"), Boot, Confirm], ("b", "b", None)),
            ("confirmed stays", &[Activate("b"), Boot, Confirm, Confirm, Boot], ("b", "b", None)),
            ("nobody confirmed: it lapses", &[Activate("b"), Boot, Boot], ("a", "a", None)),
            ("and stays lapsed", &[Activate("b"), Boot, Boot, Boot], ("a", "a", None)),
            ("reverted before the boot", &[Activate("b"), Revert, Boot], ("a", "a", None)),
            ("reverted while it runs", &[Activate("b"), Boot, Revert], ("a", "b", None)),
            ("reverted, then booted", &[Activate("b"), Boot, Revert, Boot], ("a", "a", None)),
            (
                "confirming an armed one leaves it armed",
                &[Activate("b"), Confirm],
                ("a", "a", Some(("b", 1))),
            ),
            ("back again", &[Activate("b"), Boot, Confirm, Activate("a"), Boot, Confirm], ("a", "a", None)),
            (
                "after a lapse it may be tried again",
                &[Activate("b"), Boot, Boot, Activate("b"), Boot],
                ("a", "b", Some(("b", 0))),
            ),
        ];
        for (name, events, expected) in cases {
            let record = after(&BootRecord::fresh("a"), events);
            assert_eq!(places(&record), *expected, "{name}");
        }
    }

    #[test]
    fn what_the_kernel_says_counts() {
        let fresh = BootRecord::fresh("a");
        let armed = after(&fresh, &[Event::Activate("b")]);
        // A boot loader that does not write down what it boots: the trial is spent, and `running` is of before.
        let mut spent = armed.clone();
        spent.trial = Some(Trial { slot: "b".into(), tries: 0 });
        let cases = [
            (&fresh, "a", ("a", "a", None)),
            (&fresh, "b", ("a", "b", None)),
            (&armed, "a", ("a", "a", Some(("b", 1)))),
            (&armed, "b", ("a", "b", Some(("b", 0)))),
            (&spent, "b", ("a", "b", Some(("b", 0)))),
            (&spent, "a", ("a", "a", None)),
        ];
        for (record, running, expected) in cases {
            let record = record.clone().with_running(running);
            assert_eq!(places(&record), expected, "{running}");
            assert!(record.writable(running).is_err() && record.writable("a").is_err());
        }
        let stray = fresh.with_running("b");
        assert!(matches!(stray.after(Event::Confirm), Err(Refusal::GivenUp { .. })), "nobody armed it");
    }

    #[test]
    fn an_event_that_changes_nothing_needs_no_write() {
        let armed = after(&BootRecord::fresh("a"), &[Event::Activate("b")]);
        assert_eq!(armed.sequence, 1);
        assert_eq!(armed.after(Event::Activate("b")).unwrap(), armed);
        assert_eq!(BootRecord::fresh("a").after(Event::Boot).unwrap().sequence, 0);
    }

    #[test]
    fn refusals() {
        let fresh = BootRecord::fresh("a");
        assert_eq!(fresh.after(Event::Activate("a")), Err(Refusal::Running("a".into())));
        assert_eq!(fresh.after(Event::Activate("")), Err(Refusal::Name(String::new())));
        let armed = after(&fresh, &[Event::Activate("b")]);
        assert_eq!(armed.after(Event::Activate("c")), Err(Refusal::Trial("b".into())));
        let booted = after(&armed, &[Event::Boot]);
        assert_eq!(booted.after(Event::Activate("b")), Err(Refusal::Trial("b".into())));
        let reverted = after(&booted, &[Event::Revert]);
        assert!(matches!(reverted.after(Event::Confirm), Err(Refusal::GivenUp { .. })));
        assert_eq!(reverted.after(Event::Activate("a")), Err(Refusal::Good("a".into())));
    }

    #[test]
    fn what_may_be_written() {
        let fresh = BootRecord::fresh("a");
        assert_eq!(fresh.writable("a"), Err(Refusal::Running("a".into())));
        assert_eq!(fresh.writable("b"), Ok(()));
        let armed = after(&fresh, &[Event::Activate("b")]);
        assert_eq!(armed.writable("b"), Err(Refusal::Trial("b".into())));
        assert_eq!(armed.writable("c"), Err(Refusal::Trial("b".into())));
        let booted = after(&armed, &[Event::Boot]);
        assert_eq!(booted.writable("a"), Err(Refusal::Trial("b".into())), "the fallback of a trial");
        let confirmed = after(&booted, &[Event::Confirm]);
        assert_eq!(confirmed.writable("a"), Ok(()), "what was good before is spare now");
        assert_eq!(after(&booted, &[Event::Revert]).writable("a"), Err(Refusal::Good("a".into())));
    }

    #[test]
    fn in_every_reachable_state_there_is_a_way_back() {
        // All words of events up to length 6: the good slot was confirmed, and no boot leads elsewhere unasked.
        let events = [Event::Activate("a"), Event::Activate("b"), Event::Confirm, Event::Revert, Event::Boot];
        let mut states = vec![BootRecord::fresh("a")];
        let mut visited = 0;
        for _ in 0..6 {
            let mut next = Vec::new();
            for state in &states {
                for event in events {
                    let Ok(after) = state.after(event) else { continue };
                    visited += 1;
                    assert!(["a", "b"].contains(&after.good.as_str()));
                    if after.good != state.good {
                        assert_eq!((event, &after.good), (Event::Confirm, &state.running));
                    }
                    if event == Event::Boot && after.running != state.good {
                        assert!(after.on_trial() && !state.on_trial(), "an unproven image booted twice");
                    }
                    assert!(after.writable(&after.running).is_err() && after.writable(&after.good).is_err());
                    next.push(after);
                }
            }
            states = next;
        }
        assert!(visited > 1000, "{visited}");
    }
}
