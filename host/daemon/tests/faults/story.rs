//! One update with one fault in it, to its end, and what must hold on the way.
//!
//! After each end of the process: the old slot is as it was; what may boot is whole; a job that was promised is there;
//! "completed" is told only once the new slot is good. In the end: the update is there, the twin says so and nothing
//! else, no chunk that was durable was sent again, and who could not go on has said why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::device::{Device, Process, tail};
use crate::place::{Place, SIZE};
use crate::support::strace::{self, Attached, Fault, Injection, Look, Trace};

const CHUNK: u64 = 64 * 1024;
/// How long a process may stand still with its fault before somebody starts it anew.
const STANDSTILL: Duration = Duration::from_secs(15);
/// How long a story may take.
const LONGEST: Duration = Duration::from_secs(120);
/// What a runtime says that cannot wake its threads, or is told of no signal, and then does what it can.
const NO_KERNEL: [&str; 2] = ["failed to wake I/O driver", "Bad read on self-pipe"];

/// Which threads the device's work is done on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Threads {
    One,
    Real,
}

/// Which life of the process is traced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// From the order to its end for the restart.
    First,
    /// From its start in the trial boot to the end of the job.
    Second,
}

impl Threads {
    pub(crate) const ALL: [Threads; 2] = [Threads::One, Threads::Real];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Threads::One => "one",
            Threads::Real => "real",
        }
    }
}

impl Life {
    pub(crate) const ALL: [Life; 2] = [Life::First, Life::Second];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Life::First => "1",
            Life::Second => "2",
        }
    }
}

/// Where the fault is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    pub(crate) threads: Threads,
    pub(crate) life: Life,
    pub(crate) injection: Injection,
}

impl Point {
    /// As `HOTSHOE_FAULT` takes it.
    pub(crate) fn name(&self) -> String {
        let Injection { call, fault, k } = &self.injection;
        format!("{} {} {call} {} {k}", self.threads.name(), self.life.name(), fault.name())
    }
}

/// What came of a story without a violation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// There was no such call.
    NotReached,
    /// The process went on.
    WentOn,
    /// It ended, and the next one went on.
    NextStart,
    /// It stood still, and the next one went on.
    StoodStill,
    /// The job failed, as the twin says; the next order went through.
    OrderedAgain,
}

/// Tells an update with this to look at, in this life.
pub(crate) struct Story {
    place: Arc<Place>,
    device: Device,
    threads: Threads,
    traced: Life,
    look: Look,
    tracing: Option<Attached>,
    pub(crate) trace: Option<Trace>,
    ordering: Option<JoinHandle<Option<(i64, Value)>>>,
    promised: bool,
    outcome: Outcome,
    /// Answers with bytes of the image before the kill, and how much was durable.
    killed: Option<(usize, u64)>,
    old: Vec<u8>,
}

macro_rules! ensure {
    ($so:expr, $($text:tt)*) => { if !$so { return Err(format!($($text)*)); } };
}

impl Story {
    pub(crate) async fn new(place: &Arc<Place>, threads: Threads, traced: Life, look: Look) -> Story {
        let device = place.device(place.folder()).await;
        let old = device.content("a");
        Story {
            place: Arc::clone(place),
            device,
            threads,
            traced,
            look,
            tracing: None,
            trace: None,
            ordering: None,
            promised: false,
            outcome: Outcome::WentOn,
            killed: None,
            old,
        }
    }

    /// The update, from its order to its end. An error is a promise that was not kept.
    pub(crate) async fn tell(&mut self) -> Result<Outcome, String> {
        let told = tokio::time::timeout(LONGEST, self.update()).await;
        let told = told.unwrap_or_else(|_| Err(format!("it does not end; the job: {:?}", self.device.job())));
        if let Some(tracing) = self.tracing.take() {
            self.trace = Some(tracing.end(false).await);
        }
        told.map_err(|error| {
            let trace = self.trace.as_ref().map(|trace| tail(&trace.log, 3)).unwrap_or_default();
            let log = self.device.log();
            format!("{error}\n  the call:\n{trace}  the log:\n{}", tail(&log, 60))
        })
    }

    /// What the device has logged.
    pub(crate) fn log(&self) -> String {
        self.device.log()
    }

    async fn update(&mut self) -> Result<Outcome, String> {
        let mut process = self.device.start(self.threads, false).await;
        self.device.until_reported(&mut process).await;
        if self.traced == Life::First {
            self.attach(&process).await;
        }
        self.live(process).await?;
        let (state, job) = self.device.job().unwrap_or_default();
        let failed = job["state"]["ended"]["outcome"]["failed"].as_str().map(str::to_owned);
        if let Some(why) = failed {
            self.clear(&why, "the job failed")?;
            let reported = self.device.reported().await;
            ensure!(reported["firmwareStatus"] == "failed", "the job failed, and the twin says {reported:#}");
            self.outcome = Outcome::OrderedAgain;
            self.promised = false;
            let process = self.device.start(self.threads, false).await;
            self.live(process).await?;
        }
        ensure!(state == "ended", "the job is {state}");
        self.look_at_the_end().await?;
        Ok(match (&self.look, &self.trace) {
            (Look::With(_), Some(trace)) if trace.reached() => self.outcome,
            (Look::With(_), _) => Outcome::NotReached,
            (Look::At, _) => Outcome::WentOn,
        })
    }

    async fn attach(&mut self, process: &Process) {
        let log = self.device.folder.join("strace");
        let all = self.threads == Threads::Real;
        self.tracing = Some(strace::attach(process.thread, all, &self.look, &log).await);
    }

    /// Init and boot loader, from this process on, until the job is over and the twin says so. The last process is
    /// stopped.
    async fn live(&mut self, mut process: Process) -> Result<(), String> {
        let mut began = Instant::now();
        let mut ended_since = None;
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if let Some(status) = process.ended() {
                self.untrace(true).await;
                self.look_at_death(status.code()).await?;
                self.look_at_slots().await?;
                process = self.device.start(self.threads, false).await;
                began = Instant::now();
            } else if self.device.wants_restart() {
                ensure!(
                    process.stop().await || self.cannot_be(),
                    "it does not end within ten seconds of SIGTERM"
                );
                self.untrace(true).await;
                self.look_at_slots().await?;
                self.device.boot()?;
                let traced = self.traced == Life::Second && self.trace.is_none() && self.tracing.is_none();
                process = self.device.start(self.threads, traced).await;
                if traced {
                    self.attach(&process).await;
                    process.go().await;
                }
                began = Instant::now();
            } else if self.is_over().await? {
                let since = *ended_since.get_or_insert_with(Instant::now);
                if self.twin_is_quiet().await || since.elapsed() > STANDSTILL * 2 {
                    self.untrace(false).await;
                    process.stop().await;
                    return self.look_at_slots().await;
                }
            } else if self.tracing.is_some() && self.stands_still(began.elapsed()) {
                // Somebody comes by and starts it anew.
                self.outcome = Outcome::StoodStill;
                let log = self.device.log();
                self.clear(&log, "it stood still")?;
                process.stop().await;
                self.untrace(true).await;
                self.look_at_slots().await?;
                process = self.device.start(self.threads, false).await;
                began = Instant::now();
            }
            self.order().await?;
        }
    }

    /// Whether nothing more is to be expected of a process that has run so long. One that names no fault may only be slow.
    fn stands_still(&self, since: Duration) -> bool {
        since > LONGEST / 2
            || (since > STANDSTILL && self.clear(&self.device.log(), "it stands still").is_ok())
    }

    /// A service app that wants the update: it asks until somebody has taken the job.
    async fn order(&mut self) -> Result<(), String> {
        if self.promised {
            return Ok(());
        }
        if let Some(ordering) = self.ordering.take_if(|ordering| ordering.is_finished()) {
            match ordering.await.unwrap() {
                Some((200, _)) => self.promised = true,
                Some((409, _)) | None => self.promised = self.has_job(),
                Some((status, answer)) => {
                    // Refused, and it says why.
                    let said = answer.to_string();
                    self.clear(&said, &format!("the order was refused with {status}"))?;
                }
            }
            return Ok(());
        }
        if self.ordering.is_none() {
            if self.has_job() {
                self.promised = true;
                return Ok(());
            }
            let (hub, id) = (Arc::clone(&self.place.hub), self.device.id.clone());
            let order = self.place.order(&id);
            let calling = async move { hub.try_call_within(5, &id, "firmwareUpdate", &order).await };
            self.ordering = Some(tokio::spawn(calling));
        }
        Ok(())
    }

    /// Whether there is a job that is not one which has failed and was told.
    fn has_job(&self) -> bool {
        let again = self.outcome == Outcome::OrderedAgain;
        self.device.job().is_some_and(|(state, job)| {
            !again || state != "ended" || job["state"]["ended"]["outcome"]["failed"].is_null()
        })
    }

    async fn is_over(&self) -> Result<bool, String> {
        Ok(self.has_job() && self.device.job().is_some_and(|(state, _)| state == "ended"))
    }

    async fn twin_is_quiet(&self) -> bool {
        let reported = self.device.reported().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        reported["hotshoe"]["jobs"].as_object().is_none_or(serde_json::Map::is_empty)
            && matches!(reported["firmwareStatus"].as_str(), Some("completed" | "failed"))
    }

    async fn untrace(&mut self, over: bool) {
        if let Some(tracing) = self.tracing.take() {
            self.trace = Some(tracing.end(over).await);
        }
    }

    /// The process ended by itself: by the kill, or by an error that it names.
    async fn look_at_death(&mut self, code: Option<i32>) -> Result<(), String> {
        self.outcome = Outcome::NextStart;
        let fault = self.fault();
        if fault == Some(Fault::Kill) && code.is_none() {
            self.killed =
                Some((self.place.served(&self.device.id).await.len(), self.device.durable_chunks()));
            return Ok(());
        }
        if self.cannot_be() {
            return Ok(());
        }
        // The last two are those of a program that could not be loaded.
        ensure!(matches!(code, Some(69 | 70 | 74 | 78 | 126 | 127)), "it ended with {code:?}");
        let log = self.device.log();
        self.clear(&log, "it ended")
    }

    fn fault(&self) -> Option<Fault> {
        match &self.look {
            Look::With(injection) => Some(injection.fault),
            Look::At => None,
        }
    }

    /// A fault that no kernel has: what tells a thread to wake up, or of a signal, never fails so. In a program with
    /// several threads one of them may meet it, and another something else.
    fn cannot_be(&self) -> bool {
        let log = self.device.log();
        NO_KERNEL.iter().any(|words| log.contains(words))
            || self.trace.as_ref().is_some_and(|trace| {
                let mut injected = trace.log.lines().filter(|line| line.contains("(INJECTED)"));
                injected.any(|line| line.contains("anon_inode:[event"))
            })
    }

    /// Panics that do not come of a fault that no kernel has.
    fn panics(&self) -> usize {
        let log = self.device.log();
        let excused: usize = NO_KERNEL.iter().map(|words| log.matches(words).count()).sum();
        log.matches("panicked at").count().saturating_sub(excused)
    }

    /// Where something did not go on, somebody must be able to read why.
    fn clear(&self, said: &str, what: &str) -> Result<(), String> {
        let Some(why) = self.fault().map(Fault::said) else {
            return Err(format!("{what}, with no error in sight: {}", tail(said, 5)));
        };
        // The C library has no better words: its resolver for what kept it from its files, its loader for any error.
        let library = ["failed to lookup address information", "error while loading shared libraries"];
        ensure!(
            said.contains(why) || library.iter().any(|words| said.contains(words)),
            "{what}, and nothing says {why}: {}",
            tail(said, 5)
        );
        Ok(())
    }

    async fn look_at_slots(&mut self) -> Result<(), String> {
        ensure!(!self.promised || self.has_job(), "the job that was promised is lost");
        ensure!(self.device.content("a") == self.old, "the running slot was written");
        let (a, b) = self.device.slots()?;
        ensure!(a.good != b.good, "exactly one slot is good: {a:?} {b:?}");
        ensure!(a.running != b.running, "exactly one slot runs: {a:?} {b:?}");
        if b.trial || b.running || b.good {
            let whole = self.device.content("b").starts_with(&self.place.image);
            ensure!(whole, "what may boot is not the image: {b:?}");
        }
        let status = self.device.reported().await["firmwareStatus"].clone();
        ensure!(status != "completed" || b.good, "completed is told and not so: {b:?}");
        ensure!(status != "rolledBack", "a good image was given up: {b:?}");
        Ok(())
    }

    async fn look_at_the_end(&self) -> Result<(), String> {
        let (a, b) = self.device.slots()?;
        ensure!(b.good && b.running && !a.good, "the update is not there: {a:?} {b:?}");
        ensure!(b.version.as_deref() == Some("2.0.0"), "it has another version: {b:?}");
        let reported = self.device.reported().await;
        ensure!(reported["firmwareStatus"] == "completed", "the twin says {reported:#}");
        let jobs = &reported["hotshoe"]["jobs"];
        ensure!(jobs.as_object().is_none_or(serde_json::Map::is_empty), "a job is still shown: {jobs}");
        let times = ["logTime", "downloadComplete", "startedApplyingImage", "lastFirmwareUpdate"];
        let times = times.map(|time| reported[time].as_str().unwrap_or_default());
        ensure!(times.is_sorted() && !times.contains(&""), "the times are not in order: {times:?}");
        ensure!(self.panics() == 0, "a panic");
        let served = self.place.served(&self.device.id).await;
        if let Some((before, durable)) = self.killed {
            let again: u64 = served.iter().skip(before).sum();
            let missing = (SIZE as u64).saturating_sub(durable * CHUNK);
            ensure!(again <= missing + CHUNK, "{again} bytes sent again for {missing} that were missing");
        }
        let all: u64 = served.iter().sum();
        // Each fault costs one more request at most, for what is missing.
        let faults = self.trace.as_ref().map_or(0, |trace| trace.log.matches("(INJECTED)").count());
        let most = (2 + faults as u64) * SIZE as u64;
        ensure!(all <= most, "{all} bytes sent for an image of {SIZE}: {}", json!(served));
        Ok(())
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if let Some(ordering) = &self.ordering {
            ordering.abort();
        }
        let _ = std::fs::remove_dir_all(&self.device.folder);
    }
}
