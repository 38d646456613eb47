//! The device: a boot loader, a host on it, and whoever restarts the two. All of the device's code in it is the real one.
//!
//! Everything runs on one thread, in one order: work on the disk is done in place, pauses end when all others have had
//! their turn, and nobody asks a clock.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use hotshoe_core::{
    manifest::PluginName,
    method::{Refusal, Rejection},
};
use hotshoed::{
    daemon::SafeMode,
    disk::Folder,
    flash::{Flash, boot::boot},
    hub::{Outbox, Work},
    job::{CancelError, Doing, Guests, JobId, JobSettings, JobSpec, Jobs, Restart, Stand},
    state::StateDir,
};
use semver::Version;
use tokio::{runtime::Builder, task::yield_now, time::Instant};

use super::{
    Answer, Cancelled, Character, World, crash,
    guest::{Updater, input},
    judge,
};
use crate::machine::Machine;

/// How often a device may boot before its story must be over.
const BOOTS: u32 = 40;
/// How often in one boot the process may be started.
const STARTS: u32 = 12;
/// How many turns without an operation make a rest: more than any pause takes.
const REST: u32 = 12;
/// How many turns without an operation, and with something still to be done, make a standstill.
const STANDSTILL: u32 = 200_000;
/// A pause that only a restart ends.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// How a stretch of a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is left to be done.
    Quiet,
    /// It did not come to an end; what is wrong is written down.
    Broken,
}

/// How a process ended.
enum Process {
    Quiet,
    Restart,
    /// It ended itself: init starts it again.
    Failed(String),
    Standstill(String),
}

/// Lives until nothing is left to be done. Where only the process was killed the boot goes on.
pub fn live(machine: &Machine, killed: bool) -> End {
    let mut same_boot = killed && !machine.with(|state| state.booting);
    loop {
        if !same_boot {
            match power_on(machine) {
                Some(true) => {}
                Some(false) => continue,
                None => return End::Broken,
            }
        }
        same_boot = false;
        let mut starts = 0;
        loop {
            starts += 1;
            if starts > STARTS {
                machine
                    .violate(format!("the host was started {STARTS} times in one boot and does not stay up"));
                return End::Broken;
            }
            match process(machine) {
                Process::Quiet => return End::Quiet,
                Process::Failed(why) => machine.note(|| format!("the host ended: {why}")),
                Process::Restart => break,
                Process::Standstill(why) => {
                    machine.violate(format!("nothing happens any more: {why}"));
                    return End::Broken;
                }
            }
        }
        machine.note(|| "the device restarts".to_owned());
        machine.with(super::State::reset);
    }
}

/// Boots: the loader, and what it starts. `Some(true)` where the host is next, `Some(false)` where it must boot again,
/// `None` where all is lost.
fn power_on(machine: &Machine) -> Option<bool> {
    let boots = machine.with(|state| {
        state.boots += 1;
        state.restart = false;
        state.booting = true;
        state.boots
    });
    if boots > BOOTS {
        machine.violate(format!("the device was booted {BOOTS} times and is not done"));
        return None;
    }
    let booted =
        match machine.root().folder("flash").and_then(|folder| boot(folder).map_err(std::io::Error::other)) {
            Ok(booted) => booted,
            Err(error) => {
                machine.note(|| format!("the boot loader failed and starts over: {error}"));
                return Some(false);
            }
        };
    let slot = booted.slot.unwrap_or_else(|| super::SLOTS[0].to_owned());
    machine.note(|| format!("boot {boots}: slot {slot}{}", if booted.trial { " on trial" } else { "" }));
    let judged = machine.with(|state| {
        state.running.clone_from(&slot);
        let judged = judge::booted(state, &slot, booted.trial);
        if booted.trial {
            state.soil();
        }
        judged
    });
    match judged {
        Ok(Character::NeverBoots) => {
            machine.note(|| "the image hangs, and the watchdog resets".to_owned());
            Some(false)
        }
        Ok(_) => {
            machine.with(|state| state.booting = false);
            Some(true)
        }
        Err(wrong) => {
            machine.violate(wrong);
            None
        }
    }
}

impl super::State {
    /// A restart that was asked for: in an orderly one all is written first.
    fn reset(&mut self) {
        let loss = if self.world.abrupt {
            *[crate::disk::Loss::Everything, crate::disk::Loss::Some]
                .get(self.random.below(2) as usize)
                .unwrap_or(&crate::disk::Loss::Everything)
        } else {
            crate::disk::Loss::Nothing
        };
        let super::State { disk, random, .. } = self;
        disk.cut(loss, random);
    }
}

fn process(machine: &Machine) -> Process {
    let runtime = match Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return Process::Standstill(format!("the simulator cannot go on: {error}")),
    };
    let end = runtime.block_on(host(machine));
    runtime.shutdown_background();
    end
}

/// Asks for nothing but a note: the device sees it at its next turn.
struct Button(Machine);

impl Restart for Button {
    fn ask(&self) -> Doing<Result<(), String>> {
        let machine = self.0.clone();
        Box::pin(async move {
            machine.tell(
                || "init is asked for a restart".to_owned(),
                |state| {
                    state.restart = true;
                    state.unkept_wish().into_iter().collect()
                },
            );
            Ok(())
        })
    }
}

fn settings(machine: &Machine) -> JobSettings {
    let (clock, chance) = (machine.clone(), machine.clone());
    let boot_id = machine.with(|state| format!("boot-{}", state.boots));
    let mut settings =
        JobSettings::new(boot_id, Button(machine.clone()), Arc::new(move || clock.with(super::State::now)));
    settings.flush = Duration::ZERO;
    settings.patience = FOR_EVER;
    settings.random = Arc::new(move || chance.with(|state| state.random.bits()));
    settings.pause = Arc::new(|time| {
        Box::pin(async move {
            if time >= FOR_EVER {
                pending::<()>().await;
            }
            for _ in 0..3 {
                yield_now().await;
            }
        })
    });
    settings
}

/// A host that was opened.
struct Host {
    jobs: Jobs,
    outbox: Outbox,
    flash: Flash,
    /// In worlds in which the host dies.
    life: Option<SafeMode>,
}

fn open(machine: &Machine) -> Result<Host, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let root = machine.root();
    let folder = root.folder("flash").map_err(|error| text(&error))?;
    let world = machine.with(|state| Arc::clone(&state.world));
    let state = StateDir::of(root);
    let settings = settings(machine);
    let life = crash::begin(machine, &state, &settings.boot_id)?;
    let outbox = state.subdirectory("hub").map_err(|error| text(&error))?;
    let outbox = Outbox::open(outbox).map_err(|error| text(&error))?;
    let flash = world.flash(folder).map_err(|error| text(&error))?;
    let jobs = state.subdirectory("jobs").map_err(|error| text(&error))?;
    let jobs = Jobs::new(settings, jobs, outbox.clone(), Arc::new(flash.clone()));
    if !crash::is_safe(life.as_ref()) {
        let (machine, flash, outbox) = (machine.clone(), flash.clone(), outbox.clone());
        let updater = Updater { machine, world, flash, outbox };
        jobs.mount(Guests::from([(plugin(), Stand::of(VERSION, Arc::new(updater)))]));
    }
    Ok(Host { jobs, outbox, flash, life })
}

/// The version of the guest.
const VERSION: Version = Version::new(1, 0, 0);

fn plugin() -> PluginName {
    "acme.update".parse().expect("it is a name")
}

async fn host(machine: &Machine) -> Process {
    let Host { jobs, outbox, flash, life } = match open(machine) {
        Ok(opened) => opened,
        Err(why) => return Process::Failed(why),
    };
    if let Some(life) = &life
        && let Err(why) = crash::before(machine, life, &flash, &outbox).await
    {
        return Process::Failed(why);
    }
    let safe = life.as_ref().filter(|life| life.reason().is_some());
    if let Err(error) = jobs.resume().await {
        return Process::Failed(error.to_string());
    }
    let plugin = plugin();
    let world = machine.with(|state| Arc::clone(&state.world));
    let mut linked = false;
    let (mut ops, mut still) = (0, 0);
    loop {
        if !world.late && !linked {
            linked = true;
            tokio::spawn(carry(machine.clone(), outbox.clone(), jobs.clone()));
        }
        if machine.with(|state| state.restart) {
            if !world.abrupt {
                jobs.drain(Duration::from_secs(5)).await;
            }
            return Process::Restart;
        }
        if machine.with(|state| std::mem::take(&mut state.dead)) {
            return Process::Failed("it dies of the plugin".to_owned());
        }
        if let Some(id) = machine.with(|state| state.to_cancel()) {
            cancel(machine, &jobs, &id).await;
        }
        yield_now().await;
        let now = machine.ops();
        still = if now == ops { still + 1 } else { 0 };
        ops = now;
        if still < REST {
            continue;
        }
        if let Some(safe) = safe {
            if outbox.flush(FOR_EVER).now_or_never() == Some(true) {
                crash::leave(machine, safe);
                return Process::Failed("safe mode is left".to_owned());
            }
            if still > STANDSTILL {
                return Process::Standstill("the outbox of a host in safe mode is not empty".to_owned());
            }
            continue;
        }
        let idle = jobs.open(&plugin).is_empty();
        if let Some(number) = machine.with(|state| state.hub.next()).filter(|_| idle || still == REST) {
            order(machine, &world, &jobs, &plugin, number).await;
            continue;
        }
        if !idle {
            if still > STANDSTILL {
                return Process::Standstill(format!("{:?}", jobs.list()));
            }
            continue;
        }
        if !linked {
            linked = true;
            tokio::spawn(carry(machine.clone(), outbox.clone(), jobs.clone()));
            still = 0;
            continue;
        }
        if outbox.flush(FOR_EVER).now_or_never() == Some(true) {
            return Process::Quiet;
        }
        if still > STANDSTILL {
            return Process::Standstill("the outbox is not empty".to_owned());
        }
    }
}

/// The operator orders, again and again until an answer is heard.
async fn order(machine: &Machine, world: &World, jobs: &Jobs, plugin: &PluginName, number: usize) {
    let Some(image) = world.orders.get(number) else { return };
    let ticket = machine.with(super::State::ticket);
    let input = input(number, *image, ticket);
    machine.with(|state| state.orders(&input));
    let spec = JobSpec { kind: "update".to_owned(), input, lane: Some("firmware".to_owned()) };
    match jobs.accept(plugin, &VERSION, spec).await {
        Ok(accepted) => {
            let answer = Answer::Accepted(accepted.id().clone());
            machine.tell(
                || format!("order {number} is answered: {answer:?}"),
                |state| state.answered(number, answer.clone()),
            );
            accepted.start();
        }
        // By the job of an order whose answer was never heard, or of the one before: only the first says that all is well.
        Err(Refusal::LaneTaken { holder, .. }) => {
            if machine.with(|state| state.order_of(&holder)) == Some(number as u64) {
                machine
                    .tell(|| format!("order {number} is held"), |state| state.answered(number, Answer::Held));
            }
        }
        // The disk refused: ordered again at the next turn.
        Err(Refusal::Rejected(Rejection::Other(_))) => machine.with(|state| state.refused(ticket)),
        Err(other) => machine.violate(format!("an order was refused: {other}")),
    }
}

async fn cancel(machine: &Machine, jobs: &Jobs, id: &JobId) {
    let answer = match jobs.cancel(id).await {
        Ok(_) => Cancelled::Taken(id.clone()),
        Err(CancelError::Ended { .. } | CancelError::Confirmed { .. } | CancelError::Unknown(_)) => {
            Cancelled::TooLate
        }
        // The disk refused: again at the next turn.
        Err(error) => return machine.note(|| format!("the job was not cancelled: {error}")),
    };
    machine.tell(
        || format!("the cancel of job {id} is answered: {answer:?}"),
        |state| {
            state.hub.cancelled = Some(answer.clone());
            Vec::new()
        },
    );
}

/// Carries the outbox to the hub, over a link that may be lost.
async fn carry(machine: Machine, outbox: Outbox, jobs: Jobs) {
    loop {
        outbox.known(machine.with(|state| state.hub.twin().clone()));
        outbox.linked(true);
        jobs.tidy().await;
        loop {
            let patch = match outbox.next(Instant::now()).await {
                Work::Durable(patch) => patch,
                Work::Progress(patch) => {
                    outbox.shown(&patch);
                    continue;
                }
            };
            yield_now().await;
            machine.tell(|| format!("twin: {patch}"), |state| state.hear(&patch));
            let lost = machine.with(|state| state.world.lossy && state.random.one_in(4));
            if lost {
                machine.note(|| "the link is lost before the acknowledgement".to_owned());
                break;
            }
            outbox.acknowledged().await;
        }
        outbox.linked(false);
        yield_now().await;
    }
}
