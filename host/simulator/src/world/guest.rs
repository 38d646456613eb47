//! The update as a guest of the real job runner: the steps of `plugins/firmware-update`, over the host's own functions.
//!
//! The plugin itself is a component and would cost an engine for each of a million lives. What is kept of it is what
//! matters for cuts: which calls are made in which order, what is stored between them, which errors are tried again,
//! and who is blamed for a boot that fell back.
//!
//! How the bytes come into the slot is in [`fill`](super::fill).

use std::{future::pending, sync::Arc};

use hotshoe_core::policy::Unsigned;
use hotshoed::{
    flash::{Content, Flash, FlashError},
    hub::Outbox,
    job::{ActError, Adoption, Checkpoint, Doing, Guest, JobRun, RunEnd, Wake},
};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Character, Image, World};
use crate::machine::Machine;

/// How often the trial of one update is armed at most.
const TRIALS: u32 = 3;
/// How many runs in a row may end badly before the update has failed.
const ATTEMPTS: u32 = 8;
/// How often images are received anew after what was read back was not what was promised.
const ANEW: u32 = 1;

/// How far the update has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    Begun,
    /// By way of the store, as far as the plugin is concerned.
    Staging {
        slot: String,
        anew: u32,
        trials: u32,
    },
    /// Straight into the slots.
    Receiving {
        slot: String,
        anew: u32,
        trials: u32,
    },
    Sealing {
        slot: String,
        anew: u32,
        trials: u32,
    },
    Booting {
        slot: String,
        trials: u32,
        anew: u32,
    },
    Confirming {
        slot: String,
        trials: u32,
        anew: u32,
    },
    FellBack {
        slot: String,
    },
}

enum Next {
    Step(Step),
    End(RunEnd),
}

/// Why a run came to nothing.
pub(super) struct Trouble {
    words: String,
    transient: bool,
}

impl Trouble {
    fn of_act(error: ActError) -> Trouble {
        Trouble { transient: !matches!(error, ActError::Cancelled(_)), words: error.to_string() }
    }

    pub(super) fn passing(error: &dyn std::fmt::Display) -> Trouble {
        Trouble { words: error.to_string(), transient: true }
    }

    fn lasting(words: impl Into<String>) -> Trouble {
        Trouble { words: words.into(), transient: false }
    }
}

impl From<FlashError> for Trouble {
    fn from(error: FlashError) -> Trouble {
        let transient = matches!(
            error,
            FlashError::Busy(_)
                | FlashError::Unknown(_)
                | FlashError::Leased { .. }
                | FlashError::DigestMismatch { .. }
                | FlashError::Io { .. }
        );
        Trouble { words: error.to_string(), transient }
    }
}

/// The guest.
#[derive(Clone)]
pub(super) struct Updater {
    pub(super) machine: Machine,
    pub(super) world: Arc<World>,
    pub(super) flash: Flash,
    pub(super) outbox: Outbox,
}

impl Guest for Updater {
    fn run(&self, run: JobRun) -> Doing<RunEnd> {
        let updater = self.clone();
        Box::pin(async move { updater.update(run).await })
    }

    fn adopt(&self, _: Version, checkpoint: Option<Checkpoint>) -> Doing<Adoption> {
        Box::pin(async move { Adoption::Taken(checkpoint) })
    }
}

/// What an order says; the ticket is another one each time that it is given.
pub(super) fn input(order: usize, image: usize, ticket: u64) -> Value {
    json!({ "order": order, "image": image, "ticket": ticket })
}

impl Updater {
    async fn update(&self, run: JobRun) -> RunEnd {
        let number = |name: &str| run.input.get(name).and_then(Value::as_u64).unwrap_or_default();
        let checkpoint = run.checkpoint.as_ref().map(|kept| kept.bytes.as_slice());
        if let Some(wrong) = self.machine.with(|state| state.unwritten(&run.input, checkpoint)) {
            self.machine.violate(wrong);
        }
        let Some(image) = self.world.images.get(number("image") as usize) else {
            return RunEnd::Permanent("there is no such image".to_owned());
        };
        let mut step = checkpoint.and_then(|bytes| serde_json::from_slice(bytes).ok());
        if self.machine.with(super::State::dies_of_the_plugin) {
            pending::<()>().await;
        }
        let mut wrong = self.machine.with(|state| state.begins(&run.id, number("ticket"), checkpoint));
        wrong.extend(self.told_falsely(&run, step.as_ref()));
        wrong.into_iter().for_each(|wrong| self.machine.violate(wrong));
        if self.world.meddled {
            self.meddle();
        }
        let update = Update { host: self, run: &run, order: number("order") as usize, image };
        if run.handle.is_cancelled() {
            return update.cancelled().await;
        }
        match update.go(&mut step).await {
            Ok(end) => end,
            // Cancelled meanwhile: the next run tells, once what was armed is given up.
            Err(_) if run.handle.is_cancelled() => RunEnd::Suspended,
            Err(trouble) if trouble.transient && run.attempt < ATTEMPTS => RunEnd::Transient(trouble.words),
            Err(trouble) => update.failed(step.as_ref(), trouble).await,
        }
    }

    /// What is wrong with what the host says of the restart.
    fn told_falsely(&self, run: &JobRun, step: Option<&Step>) -> Option<String> {
        let (Wake::Restarted(boot), Some(Step::Booting { slot, .. })) = (&run.wake, step) else {
            return None;
        };
        let running = self.machine.with(|state| state.running.clone());
        (boot.expected && running != *slot).then(|| {
            format!("job {} is told that slot {slot} runs as it wished, and slot {running} does", run.id)
        })
    }

    /// Another plugin asks for what it must not have. It lets go of what it gets.
    fn meddle(&self) {
        const MEDDLER: &str = "meddler";
        let Some(foreign) = self.world.images.first().and_then(|image| image.pieces.first()) else { return };
        let slots = self.flash.slots().unwrap_or_default();
        for slot in slots.iter().filter(|slot| slot.running || slot.good || slot.trial) {
            let staging = self.flash.stage(&slot.name, &foreign.digest, MEDDLER, Unsigned::Digest);
            if let Ok(mut staging) = staging {
                let _ = staging.append(b"something else");
            }
        }
        self.flash.release(MEDDLER);
    }
}

pub(super) struct Update<'run> {
    pub(super) host: &'run Updater,
    pub(super) run: &'run JobRun,
    pub(super) image: &'run Image,
    order: usize,
}

impl Update<'_> {
    async fn go(&self, at: &mut Option<Step>) -> Result<RunEnd, Trouble> {
        loop {
            self.host.machine.note(|| format!("{:?} attempt {}: {at:?}", self.run.wake, self.run.attempt));
            let next = match at.clone() {
                None => {
                    self.tell("downloading", None).await?;
                    Next::Step(Step::Begun)
                }
                Some(Step::Begun) => self.choose().await?,
                Some(Step::Staging { slot, anew, trials }) => self.stage(slot, anew, trials).await?,
                Some(Step::Receiving { slot, anew, trials }) => self.receive(slot, anew, trials).await?,
                Some(Step::Sealing { slot, anew, trials }) => self.seal(slot, anew, trials).await?,
                Some(Step::Booting { slot, trials, anew }) => self.boot(slot, trials, anew).await?,
                Some(Step::Confirming { slot, trials, anew }) => self.confirm(slot, trials, anew).await?,
                Some(Step::FellBack { slot }) => {
                    self.tell("rolledBack", Some(&slot)).await?;
                    Next::End(RunEnd::Permanent(format!("slot {slot} did not stay up")))
                }
            };
            match next {
                Next::End(end) => return Ok(end),
                Next::Step(step) => {
                    self.save(&step).await?;
                    *at = Some(step);
                }
            }
            if self.run.handle.should_suspend() {
                return Ok(RunEnd::Suspended);
            }
        }
    }

    async fn choose(&self) -> Result<Next, Trouble> {
        let slots = self.host.flash.slots()?;
        let spare = slots.into_iter().find(|slot| !slot.running);
        let spare = spare.ok_or_else(|| Trouble::lasting("no spare slot"))?.name;
        let slot = spare.split('/').next().unwrap_or_default().to_owned();
        if self.is_streamed() {
            return Ok(Next::Step(Step::Receiving { slot, anew: 0, trials: 0 }));
        }
        self.tell("applying", Some(&slot)).await?;
        Ok(Next::Step(Step::Staging { slot, anew: 0, trials: 0 }))
    }

    /// From the store to the slot, from where it was left.
    async fn stage(&self, slot: String, anew: u32, trials: u32) -> Result<Next, Trouble> {
        let mut staging = self.open(&slot, 0)?;
        staging = self.fill(staging, 0).await?;
        self.be_hasty(&slot).await?;
        staging.seal(&self.image.version)?;
        self.tell("restarting", Some(&slot)).await?;
        Ok(Next::Step(Step::Booting { slot, trials, anew }))
    }

    /// From the servers into the slots, one after the other; all but the last one are sealed.
    async fn receive(&self, slot: String, anew: u32, trials: u32) -> Result<Next, Trouble> {
        let names = self.host.world.names(&slot);
        for (number, name) in names.iter().enumerate() {
            if self.run.handle.should_suspend() {
                return Ok(Next::End(RunEnd::Suspended));
            }
            let mut staging = self.open(name, number)?;
            if !self.is_sealed(name, number)? {
                staging = self.fill(staging, number).await?;
            }
            if number + 1 < names.len()
                && let Some(next) =
                    self.unless_wrong(staging.seal(&self.image.version), &slot, anew, trials).await?
            {
                return Ok(next);
            }
            self.be_hasty(&slot).await?;
        }
        self.tell("applying", Some(&slot)).await?;
        Ok(Next::Step(Step::Sealing { slot, anew, trials }))
    }

    async fn seal(&self, slot: String, anew: u32, trials: u32) -> Result<Next, Trouble> {
        let names = self.host.world.names(&slot);
        if let Some((number, last)) = names.iter().enumerate().next_back() {
            let mut staging = self.open(last, number)?;
            if let Some(next) =
                self.unless_wrong(staging.seal(&self.image.version), &slot, anew, trials).await?
            {
                return Ok(next);
            }
        }
        self.tell("restarting", Some(&slot)).await?;
        Ok(Next::Step(Step::Booting { slot, trials, anew }))
    }

    /// What was read back and is not what was promised is received anew, not for ever.
    async fn unless_wrong(
        &self,
        sealed: Result<(), FlashError>,
        slot: &str,
        anew: u32,
        trials: u32,
    ) -> Result<Option<Next>, Trouble> {
        match sealed {
            Ok(()) => Ok(None),
            Err(error @ (FlashError::DigestMismatch { .. } | FlashError::NotSealed(_))) => {
                if anew >= ANEW {
                    return Err(Trouble::lasting(error.to_string()));
                }
                self.tell("downloading", None).await?;
                Ok(Some(Next::Step(Step::Receiving { slot: slot.to_owned(), anew: anew + 1, trials })))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a run before came so far.
    fn is_sealed(&self, name: &str, number: usize) -> Result<bool, Trouble> {
        let digest = self.image.pieces.get(number).map(|piece| &piece.digest);
        Ok(self.host.flash.slots()?.iter().any(|slot| {
            slot.name == name && slot.content == Content::Sealed && slot.digest.as_ref() == digest
        }))
    }

    /// Arms the slot before its time, as a plugin might that was written in a hurry. Where it may, it may.
    async fn be_hasty(&self, slot: &str) -> Result<(), Trouble> {
        if self.host.world.hasty && self.arm(slot).await?.is_ok() {
            self.host.machine.note(|| format!("slot {slot} is armed before its time"));
        }
        Ok(())
    }

    /// As the host's own gate does it for a plugin: what is not armed is read back, and the job knows of the trial before
    /// there is one.
    async fn arm(&self, slot: &str) -> Result<Result<(), FlashError>, Trouble> {
        if self.host.flash.armed(self.run.id.as_str())?.as_deref() != Some(slot)
            && let Err(error) = self.host.flash.prove(slot, self.run.id.as_str())
        {
            return Ok(Err(error));
        }
        let (flash, armed, id) = (self.host.flash.clone(), slot.to_owned(), self.run.id.clone());
        let act = self.run.handle.arm(slot, async move { flash.activate(&armed, id.as_str()) }).await;
        act.map_err(Trouble::of_act)
    }

    async fn boot(&self, slot: String, trials: u32, anew: u32) -> Result<Next, Trouble> {
        let slots = self.host.flash.slots()?;
        let found = slots.iter().find(|info| info.belongs_to(&slot));
        if found.is_some_and(|info| info.running) {
            return Ok(Next::Step(Step::Confirming { slot, trials, anew }));
        }
        // Armed, and the device went down before the restart was asked for: that trial is still to come.
        let armed = found.is_some_and(|info| info.trial);
        // Once may have been a power cut on the way up, before anything could remember it.
        let fell_back = trials > 1 && matches!(self.run.wake, Wake::Restarted { .. });
        if !armed && (fell_back || trials >= TRIALS) {
            return Ok(Next::Step(Step::FellBack { slot }));
        }
        if !armed {
            self.save(&Step::Booting { slot: slot.clone(), trials: trials + 1, anew }).await?;
        }
        match self.arm(&slot).await? {
            Ok(()) => Ok(Next::End(RunEnd::Restart)),
            // A trial has left it damaged: received anew, not for ever.
            Err(FlashError::DigestMismatch { .. } | FlashError::NotSealed(_)) if anew <= ANEW => {
                self.tell("downloading", None).await?;
                let anew = anew + 1;
                Ok(Next::Step(match self.is_streamed() {
                    true => Step::Receiving { slot, anew, trials },
                    false => Step::Staging { slot, anew, trials },
                }))
            }
            Err(error @ FlashError::DigestMismatch { .. }) => Err(Trouble::lasting(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    async fn confirm(&self, slot: String, trials: u32, anew: u32) -> Result<Next, Trouble> {
        if !self.runs(&slot)? {
            return Ok(Next::Step(Step::Booting { slot, trials, anew }));
        }
        if self.image.character == Character::FailsItsTest {
            return Err(Trouble::lasting("the new image fails its self-test"));
        }
        let flash = self.host.flash.clone();
        let act = self.run.handle.confirm(async move { flash.confirm() }).await;
        act.map_err(Trouble::of_act)??;
        Ok(Next::End(self.completed(&slot).await?))
    }

    async fn completed(&self, slot: &str) -> Result<RunEnd, Trouble> {
        self.tell("completed", Some(slot)).await?;
        Ok(RunEnd::Done(json!({ "slot": slot, "version": self.image.version })))
    }

    /// Ends a job that an operator has cancelled; the host has given up what was armed.
    async fn cancelled(&self) -> RunEnd {
        match self.tell("cancelled", None).await {
            Ok(()) => RunEnd::Done(json!("cancelled")),
            Err(trouble) => RunEnd::Transient(trouble.words),
        }
    }

    async fn failed(&self, at: Option<&Step>, trouble: Trouble) -> RunEnd {
        self.host.machine.note(|| format!("the update has failed: {}", trouble.words));
        if let Some(Step::Confirming { slot, .. }) = at {
            let completed = match self.is_confirmed(slot) {
                Ok(true) => self.completed(slot).await.map(Some),
                confirmed => confirmed.map(|_| None),
            };
            match completed {
                Ok(Some(done)) => return done,
                Err(again) if again.transient && self.run.attempt < 2 * ATTEMPTS => {
                    return RunEnd::Transient(again.words);
                }
                _ => {}
            }
        }
        let mut tried = None;
        if let Some(Step::Booting { slot, .. } | Step::Confirming { slot, .. }) = at {
            let _ = self.host.flash.revert();
            tried = Some(slot.as_str());
        }
        if self.host.world.meddled {
            self.host.meddle();
        }
        match self.tell("failed", tried).await {
            // The twin would say for ever what was true before.
            Err(untold) if self.run.attempt < 2 * ATTEMPTS => RunEnd::Transient(untold.words),
            _ => RunEnd::Permanent(trouble.words),
        }
    }

    async fn save(&self, step: &Step) -> Result<(), Trouble> {
        let bytes = serde_json::to_vec(step).map_err(|error| Trouble::passing(&error))?;
        let words = format!("{step:?}");
        let phase = words.split([' ', '{']).next().unwrap_or_default().to_lowercase();
        self.host.machine.with(|state| state.saves(&self.run.id, &bytes));
        let saved = self.run.handle.save(Checkpoint { phase, schema: 1, bytes }).await;
        saved.map_err(|error| Trouble::passing(&error))?;
        self.host.machine.with(super::State::saved);
        Ok(())
    }

    async fn tell(&self, status: &str, slot: Option<&str>) -> Result<(), Trouble> {
        let firmware = json!({
            "order": self.order, "status": status, "version": self.image.version, "slot": slot,
        });
        self.host.machine.with(|state| state.reports(&firmware));
        let words = json!({ "firmware": firmware });
        self.host.outbox.patch(words).await.map_err(|error| Trouble::passing(&error))
    }

    fn is_confirmed(&self, slot: &str) -> Result<bool, Trouble> {
        Ok(self.host.flash.slots()?.iter().any(|it| it.belongs_to(slot) && it.running && it.good))
    }

    fn runs(&self, slot: &str) -> Result<bool, Trouble> {
        Ok(self.host.flash.slots()?.iter().any(|it| it.belongs_to(slot) && it.running))
    }
}
