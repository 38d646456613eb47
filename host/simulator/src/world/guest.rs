//! The update as a guest of the real job runner: the steps of `plugins/firmware-update`, over the host's own functions.
//!
//! The plugin itself is a component and would cost an engine for each of a million lives. What is kept of it is what
//! matters for cuts: which calls are made in which order, what is stored between them, which errors are tried again,
//! and who is blamed for a boot that fell back.

use std::sync::{Arc, Mutex};

use hotshoe_core::policy::Unsigned;
use hotshoed::{
    flash::{Flash, FlashError, Staging},
    hub::Outbox,
    job::{ActError, Adoption, Checkpoint, Doing, Guest, JobRun, RunEnd, Wake},
    receive::{self, ReceiveError, Receiver, Source},
};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Character, Image, World,
    server::{Server, settings},
};
use crate::machine::Machine;

/// How often the trial of one update is armed at most.
const TRIALS: u32 = 3;
/// How many runs in a row may end badly before the update has failed.
const ATTEMPTS: u32 = 8;
/// How many bytes the server sends at a time.
const PIECE: usize = 1024;

/// How far the update has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    Begun,
    Staging { slot: String },
    Booting { slot: String, trials: u32 },
    Confirming { slot: String, trials: u32 },
    FellBack { slot: String },
}

enum Next {
    Step(Step),
    End(RunEnd),
}

/// Why a run came to nothing.
struct Trouble {
    words: String,
    transient: bool,
}

impl Trouble {
    fn of_act(error: ActError) -> Trouble {
        Trouble { transient: !matches!(error, ActError::Cancelled(_)), words: error.to_string() }
    }

    fn passing(error: &dyn std::fmt::Display) -> Trouble {
        Trouble { words: error.to_string(), transient: true }
    }
}

impl From<FlashError> for Trouble {
    fn from(error: FlashError) -> Trouble {
        let transient = matches!(
            error,
            FlashError::Leased { .. } | FlashError::DigestMismatch { .. } | FlashError::Io { .. }
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

/// What an order says.
pub(super) fn input(order: usize, image: usize) -> Value {
    json!({ "order": order, "image": image })
}

impl Updater {
    async fn update(&self, run: JobRun) -> RunEnd {
        let number = |name: &str| run.input.get(name).and_then(Value::as_u64).unwrap_or_default() as usize;
        let Some(image) = self.world.images.get(number("image")) else {
            return RunEnd::Permanent("there is no such image".to_owned());
        };
        let mut step = run.checkpoint.as_ref().and_then(|kept| serde_json::from_slice(&kept.bytes).ok());
        let update = Update { host: self, run: &run, order: number("order"), image };
        match update.go(&mut step).await {
            Ok(end) => end,
            Err(trouble) if trouble.transient && run.attempt < ATTEMPTS => RunEnd::Transient(trouble.words),
            Err(trouble) => update.failed(step.as_ref(), trouble).await,
        }
    }
}

struct Update<'run> {
    host: &'run Updater,
    run: &'run JobRun,
    order: usize,
    image: &'run Image,
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
                Some(Step::Staging { slot }) => self.stage(slot).await?,
                Some(Step::Booting { slot, trials }) => self.boot(slot, trials).await?,
                Some(Step::Confirming { slot, trials }) => self.confirm(slot, trials).await?,
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
            if self.run.handle.is_cancelled() {
                return Err(Trouble { words: "an operator cancelled it".to_owned(), transient: false });
            }
            if self.run.handle.should_suspend() {
                return Ok(RunEnd::Suspended);
            }
        }
    }

    async fn choose(&self) -> Result<Next, Trouble> {
        let slots = self.host.flash.slots()?;
        let spare = slots.into_iter().find(|slot| !slot.running);
        let slot = spare.ok_or_else(|| Trouble { words: "no spare slot".to_owned(), transient: false })?.name;
        self.tell("applying", Some(&slot)).await?;
        Ok(Next::Step(Step::Staging { slot }))
    }

    /// From the server to the slot, from where it was left.
    async fn stage(&self, slot: String) -> Result<Next, Trouble> {
        let mut staging =
            self.host.flash.stage(&slot, &self.image.digest, self.run.id.as_str(), Unsigned::Digest)?;
        if self.host.world.streamed {
            staging = self.receive(staging).await?;
        }
        while (staging.written() as usize) < self.image.bytes.len() {
            let from = staging.written() as usize;
            let broken = self.host.machine.with(|state| state.world.flaky && state.random.one_in(8));
            if broken {
                return Err(Trouble::passing(&"the server broke off"));
            }
            let piece = self.image.served(from, PIECE);
            self.host.machine.with(|state| state.served += piece.len() as u64);
            staging.append(&piece)?;
            tokio::task::yield_now().await;
        }
        staging.seal(&self.image.version)?;
        self.tell("restarting", Some(&slot)).await?;
        Ok(Next::Step(Step::Booting { slot, trials: 0 }))
    }

    /// From the servers to the slot by the host's receiver, chunk by chunk.
    async fn receive(&self, staging: Staging) -> Result<Staging, Trouble> {
        let image = receive::Image {
            digest: self.image.digest.clone(),
            length: Some(self.image.bytes.len() as u64),
            root: Some(self.image.digest.clone()),
            outboard: true,
            zstd: false,
        };
        let server = |name, image: Image| -> Arc<dyn Source> {
            Arc::new(Server { machine: self.host.machine.clone(), image, name })
        };
        let mut sources = vec![server("server", self.image.clone())];
        if self.host.world.mirrored {
            sources.insert(0, server("server with a wrong byte", self.image.clone().corrupt()));
        }
        let staging = Arc::new(Mutex::new(staging));
        let receiver = Receiver::new(settings());
        let cancel = CancellationToken::new();
        let received = receiver.receive(Arc::clone(&staging), &image, &sources, &|_, _| {}, &cancel).await;
        match received {
            Ok(_) => {}
            Err(ReceiveError::Flash(error)) => return Err(error.into()),
            Err(error) => return Err(Trouble::passing(&error)),
        }
        let staging = Arc::into_inner(staging).and_then(|staging| staging.into_inner().ok());
        staging.ok_or_else(|| Trouble::passing(&"the receiver holds the slot"))
    }

    async fn boot(&self, slot: String, trials: u32) -> Result<Next, Trouble> {
        let slots = self.host.flash.slots()?;
        let found = slots.iter().find(|info| info.name == slot);
        if found.is_some_and(|info| info.running) {
            return Ok(Next::Step(Step::Confirming { slot, trials }));
        }
        // Armed, and the device went down before the restart was asked for: that trial is still to come.
        let armed = found.is_some_and(|info| info.trial);
        // Once may have been a power cut on the way up, before anything could remember it.
        let fell_back = trials > 1 && matches!(self.run.wake, Wake::Restarted { .. });
        if !armed && (fell_back || trials >= TRIALS) {
            return Ok(Next::Step(Step::FellBack { slot }));
        }
        if !armed {
            self.save(&Step::Booting { slot: slot.clone(), trials: trials + 1 }).await?;
        }
        let (flash, armed, id) = (self.host.flash.clone(), slot.clone(), self.run.id.clone());
        let act = self.run.handle.arm(&slot, async move { flash.activate(&armed, id.as_str()) }).await;
        act.map_err(Trouble::of_act)??;
        Ok(Next::End(RunEnd::Restart))
    }

    async fn confirm(&self, slot: String, trials: u32) -> Result<Next, Trouble> {
        if !self.runs(&slot)? {
            return Ok(Next::Step(Step::Booting { slot, trials }));
        }
        if self.image.character == Character::FailsItsTest {
            return Err(Trouble { words: "the new image fails its self-test".to_owned(), transient: false });
        }
        let flash = self.host.flash.clone();
        let act = self.run.handle.confirm(async move { flash.confirm() }).await;
        act.map_err(Trouble::of_act)??;
        self.tell("completed", Some(&slot)).await?;
        Ok(Next::End(RunEnd::Done(json!({ "slot": slot, "version": self.image.version }))))
    }

    async fn failed(&self, at: Option<&Step>, trouble: Trouble) -> RunEnd {
        self.host.machine.note(|| format!("the update has failed: {}", trouble.words));
        let mut tried = None;
        if let Some(Step::Booting { slot, .. } | Step::Confirming { slot, .. }) = at {
            let _ = self.host.flash.revert();
            tried = Some(slot.as_str());
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
        let saved = self.run.handle.save(Checkpoint { phase, schema: 1, bytes }).await;
        saved.map_err(|error| Trouble::passing(&error))
    }

    async fn tell(&self, status: &str, slot: Option<&str>) -> Result<(), Trouble> {
        let words = json!({ "firmware": {
            "order": self.order, "status": status, "version": self.image.version, "slot": slot,
        } });
        self.host.outbox.patch(words).await.map_err(|error| Trouble::passing(&error))
    }

    fn runs(&self, slot: &str) -> Result<bool, Trouble> {
        Ok(self.host.flash.slots()?.iter().any(|it| it.name == slot && it.running))
    }
}
