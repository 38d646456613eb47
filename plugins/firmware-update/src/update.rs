//! The job: one update from its order to its end, over a restart and any number of interruptions.
//!
//! Straight-line code over calls that are safe to repeat; a checkpoint ([`Step`]) marks each point from which
//! going back would be wrong or waste. What is reported is told before the checkpoint that says so is stored:
//! after a power cut between the two it is told twice, never left out.
//!
//! ```text
//!             ┌─▶ Receiving ─▶ Sealing ──────────┐
//!   – ─▶ Fetching ─▶ Storing ─▶ Fetched ─▶ Staging ─┴▶ Booting ═restart═▶ Confirming ─▶ completed
//!                   Receiving ◀─damaged in its slot───┤   ◀─power cut────┘
//!                                                     ╚═restart═▶ FellBack ─▶ rolledBack
//!   at any point, after an error that no retry helps: ─▶ failed
//!   at any point, when an operator cancels it: ─▶ cancelled
//! ```
//!
//! The upper way is that of images that are known before they are fetched (`streamed`), the lower one goes through the
//! host's artifact store. Before the trial is armed the device's policy is asked; what it puts off is told and asked again
//! later.
//!
//! A restart that nobody asked for (a power cut) may come while the trial is armed, or before it is confirmed:
//! then the slots tell what runs. Where that leaves open whose fault it was the trial is armed again, [`TRIALS`]
//! times in all. What a trial has left damaged in its slot is received anew before.

use std::time::Duration;

use hotshoe_guest::download::{self, Artifact};
use hotshoe_guest::flash::{self, Activation, Staging};
use hotshoe_guest::{Checkpoint, Failure, Job, Outcome, Wake, device, error, info, report, warn};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::dialect::{self, Dialect, News};
use crate::payload::Order;
use crate::place::{Piece, is_armed, is_confirmed, runs, short};
use crate::section;
use crate::streamed::ANEW;
use crate::trouble::{ATTEMPTS, Stage, Trouble, shortened};

/// How often the trial of one update is armed at most.
pub const TRIALS: u32 = 3;

/// How long a phase waits for the hub to have heard of it, so that who watches sees each one. Nothing depends
/// on it.
const HEARD: Duration = Duration::from_secs(1);

/// How far the update has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// It is to be seen which way the images go.
    Fetching,
    /// The image is on its way into the artifact store.
    Storing,
    /// The images are on their way into their slots.
    Receiving(Course),
    /// The images are in their slots; the last one is to be sealed.
    Sealing(Course),
    /// The image is in the store; a slot is to be chosen.
    Fetched {
        /// The digest of what was fetched.
        digest: String,
    },
    /// The image is in the store and on its way into the slot.
    Staging {
        /// The slot.
        slot: String,
        /// The digest of what was fetched.
        digest: String,
        /// What the slot is sealed with.
        version: String,
    },
    /// The slot is sealed; its trial boot is to be armed, or is, or is over.
    Booting(Course),
    /// The trial boot runs and is to be confirmed.
    Confirming(Course),
    /// The trial did not stay up; this is still to be told.
    FellBack {
        /// The slot.
        slot: String,
        /// What it was sealed with.
        version: String,
    },
}

/// Images on their way into their slots, and through their trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// The group of slots.
    pub slot: String,
    /// What it is sealed with, once it is.
    #[serde(default)]
    pub version: String,
    /// Each image with its slot, in the order in which they are written. Versions before wrote none once they were sealed.
    #[serde(default)]
    pub pieces: Vec<Piece>,
    /// How often they were received anew.
    #[serde(default)]
    pub anew: u32,
    /// How often the trial was armed.
    #[serde(default)]
    pub trials: u32,
}

impl Step {
    /// Whether checkpoints of this schema are read. Version 1 knew nothing of images that go straight into their slots;
    /// all that it wrote means the same today.
    pub fn reads(schema: u32) -> bool {
        schema == Self::SCHEMA || (schema == 1 && !cfg!(feature = "next-layout"))
    }
}

impl Checkpoint for Step {
    const SCHEMA: u32 = if cfg!(feature = "next-layout") { 3 } else { 2 };

    fn upgrade(schema: u32, bytes: &[u8]) -> Option<Step> {
        match serde_json::from_slice(bytes).ok().filter(|_| Step::reads(schema))? {
            // Some of it may be in the store.
            Step::Fetching => Some(Step::Storing),
            step => Some(step),
        }
    }

    fn phase(&self) -> &str {
        match self {
            Step::Fetching => "fetching",
            Step::Storing => "storing",
            Step::Receiving(_) => "receiving",
            Step::Sealing(_) => "sealing",
            Step::Fetched { .. } => "fetched",
            Step::Staging { .. } => "staging",
            Step::Booting(_) => "booting",
            Step::Confirming(_) => "confirming",
            Step::FellBack { .. } => "fell-back",
        }
    }
}

/// How one step ended.
pub(crate) enum Next {
    /// Go on with this one.
    Step(Step),
    /// The run ends.
    End(End),
}

/// How a run ended that met no error.
pub(crate) enum End {
    /// The job goes on later, or is done.
    Well(Outcome),
    /// The job has failed, and the twin says so.
    Failed(String),
}

/// Runs the job.
pub fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
    let order: Order = job.input()?;
    let mut step = job.load::<Step>()?;
    let update = Update { job, order, dialects: dialect::chosen() };
    if job.cancelled() {
        return update.cancelled(step.as_ref());
    }
    match update.go(&mut step) {
        Ok(End::Well(outcome)) => Ok(outcome),
        Ok(End::Failed(reason)) => Err(Failure::Permanent(reason)),
        // Cancelled meanwhile: the next run tells, once what was armed is given up.
        Err(_) if job.cancelled() => Ok(Outcome::Suspended),
        Err(trouble) if trouble.transient && job.attempt() < ATTEMPTS => {
            warn!("the update is tried again"; attempt = job.attempt(), code = trouble.code, reason = trouble.message);
            Err(trouble.failure())
        }
        Err(trouble) => update.failed(step.as_ref(), &trouble),
    }
}

/// One run of the job.
pub(crate) struct Update<'run> {
    pub(crate) job: &'run Job<'run>,
    pub(crate) order: Order,
    dialects: Vec<Dialect>,
}

impl Update<'_> {
    /// Takes step after step. `at` is where it stands, for what must be undone after an error.
    fn go(&self, at: &mut Option<Step>) -> Result<End, Trouble> {
        loop {
            let next = match at.clone() {
                None => self.accept()?,
                Some(Step::Fetching) => self.fetch()?,
                Some(Step::Storing) => self.store()?,
                Some(Step::Receiving(course)) => self.receive(course)?,
                Some(Step::Sealing(course)) => self.seal(course)?,
                Some(Step::Fetched { digest }) => self.choose(&digest)?,
                Some(Step::Staging { slot, digest, version }) => self.stage(&slot, &digest, &version)?,
                Some(Step::Booting(course)) => self.boot(course)?,
                Some(Step::Confirming(course)) => self.confirm(course)?,
                Some(Step::FellBack { slot, version }) => self.fell_back(&slot, &version)?,
            };
            match next {
                Next::End(end) => return Ok(end),
                Next::Step(step) => {
                    self.job.store(&step)?;
                    *at = Some(step);
                }
            }
            if self.job.should_suspend() {
                return Ok(End::Well(Outcome::Suspended));
            }
        }
    }

    fn accept(&self) -> Result<Next, Trouble> {
        info!("an update begins"; uri = self.order.shown_uri(), version = self.order.version.as_deref().unwrap_or("-"));
        let running = running_version();
        self.tell(News::Waiting { order: &self.order, running: running.as_deref() })?;
        self.tell(News::Downloading)?;
        Ok(Next::Step(Step::Fetching))
    }

    fn fetch(&self) -> Result<Next, Trouble> {
        self.job.progress("downloading", 0, self.order.size);
        Ok(Next::Step(self.plan()?.unwrap_or(Step::Storing)))
    }

    /// Stored as soon as it is done: an order without a digest would be fetched again.
    fn store(&self) -> Result<Next, Trouble> {
        self.job.progress("downloading", 0, self.order.size);
        let digest = self.image(self.order.digest.clone())?.digest();
        Ok(Next::Step(Step::Fetched { digest }))
    }

    fn choose(&self, digest: &str) -> Result<Next, Trouble> {
        info!("the image is here"; digest);
        self.tell(News::Downloaded)?;
        let slot = flash::spare()?.name;
        let version = self.order.version.clone().unwrap_or_else(|| short(digest));
        self.tell(News::Applying { slot: &slot })?;
        Ok(Next::Step(Step::Staging { slot, digest: digest.to_owned(), version }))
    }

    fn stage(&self, slot: &str, digest: &str, version: &str) -> Result<Next, Trouble> {
        // From the store, where it is kept; from the server again, should it have been thrown out.
        let image = self.image(Some(digest.to_owned()))?;
        self.job.progress("applying", 0, Some(image.size()));
        let staging = Staging::open(slot, digest)?;
        staging.append_artifact(&image)?;
        staging.seal(version)?;
        info!("the image is in the slot"; slot, version);
        self.tell(News::Restarting)?;
        let (slot, version) = (slot.to_owned(), version.to_owned());
        let piece =
            Piece { image: 0, slot: slot.clone(), digest: digest.to_owned(), version: version.clone() };
        Ok(Next::Step(Step::Booting(Course { slot, version, pieces: vec![piece], ..Course::default() })))
    }

    fn boot(&self, course: Course) -> Result<Next, Trouble> {
        if runs(&course.slot)? {
            return Ok(Next::Step(Step::Confirming(course)));
        }
        // Armed, and the device went down before it was restarted: that trial is still to come.
        let armed = is_armed(&course.slot)?;
        // Once may have been a power cut on the way up, which is nobody's fault and leaves no trace.
        let fell_back = course.trials > 1 && matches!(self.job.wake(), Wake::Restarted { .. });
        if !armed && (fell_back || course.trials >= TRIALS) {
            return Ok(Next::Step(Step::FellBack { slot: course.slot, version: course.version }));
        }
        if !armed {
            // Counted before it is armed: a device that never comes this far again must not do so for ever.
            self.job.store(&Step::Booting(Course { trials: course.trials + 1, ..course.clone() }))?;
        }
        let activation = match flash::activate_if_allowed(&course.slot) {
            Ok(activation) => activation,
            Err(error) => {
                // What was not armed was no trial: three of them would be told as an image that does not boot. Where even
                // this cannot be seen or stored, it counts.
                if !armed
                    && is_armed(&course.slot).is_ok_and(|armed| !armed)
                    && let Err(error) = self.job.store(&Step::Booting(course.clone()))
                {
                    warn!("a trial that was not armed counts"; reason = error);
                }
                return self.damaged(course, error);
            }
        };
        match activation {
            Activation::Armed => {
                if matches!(self.job.wake(), Wake::Due) {
                    // It may have been put off before.
                    self.tell(News::Restarting)?;
                }
                Ok(Next::End(End::Well(Outcome::Restart)))
            }
            Activation::Postponed { reason, retry_after } => {
                info!("the restart is put off"; reason, seconds = retry_after.as_secs());
                self.job.store(&Step::Booting(course))?;
                self.tell(News::Postponed { reason: &shortened(&reason), seconds: retry_after.as_secs() })?;
                Ok(Next::End(End::Well(Outcome::Later(retry_after))))
            }
        }
    }

    /// Goes back for what is damaged in its slot by now: a trial that the power cut short has written to it, or it rotted.
    /// Not for ever, since the medium may be to blame; once more than while it came, so that what was mended then has a
    /// second trial as well.
    fn damaged(&self, course: Course, error: flash::Error) -> Result<Next, Trouble> {
        if !matches!(error, flash::Error::DigestMismatch(_) | flash::Error::NotSealed(_)) {
            return Err(error.into());
        }
        if course.anew > ANEW || course.pieces.is_empty() {
            return Err(Trouble::new(Stage::Apply, error.code(), error.to_string(), false));
        }
        info!("the image is not whole any more and is received anew"; slot = course.slot, reason = error);
        self.tell(News::Downloading)?;
        Ok(Next::Step(Step::Receiving(Course { anew: course.anew + 1, ..course })))
    }

    fn confirm(&self, course: Course) -> Result<Next, Trouble> {
        if !runs(&course.slot)? {
            // The device went down before this point was reached, and the trial has lapsed.
            return Ok(Next::Step(Step::Booting(course)));
        }
        flash::confirm().map_err(|error| {
            // Busy with nothing that passes: its trial was given up.
            let passes = error.is_transient() && !matches!(error, flash::Error::Busy(_));
            Trouble::new(Stage::Apply, error.code(), error.to_string(), passes)
        })?;
        info!("the new image is confirmed"; slot = course.slot, version = course.version);
        Ok(Next::End(End::Well(self.completed(&course.slot, &course.version)?)))
    }

    fn completed(&self, slot: &str, version: &str) -> Result<Outcome, Trouble> {
        self.tell(News::Completed { version })?;
        section::forget_failure(&self.order);
        Ok(Outcome::Done(json!({ "slot": slot, "version": version })))
    }

    fn fell_back(&self, slot: &str, version: &str) -> Result<Next, Trouble> {
        let running = running_version();
        let shown = running.as_deref().unwrap_or(dialect::BEFORE);
        let message = format!("slot {slot} with version {version} did not stay up; {shown} runs again");
        error!("{message}");
        section::remember_failure(&self.order, &message);
        self.tell(News::RolledBack { running: running.as_deref(), message: &message })?;
        Ok(Next::End(End::Failed(message)))
    }

    /// The image, from the store or the server.
    fn image(&self, digest: Option<String>) -> Result<Artifact, Trouble> {
        Ok(download::firmware(&self.order.uri).digest(digest).size(self.order.size).fetch()?)
    }

    /// Tells the twin. Durable when it returns, and mostly heard.
    pub(crate) fn tell(&self, news: News<'_>) -> Result<(), Trouble> {
        report::patch(&dialect::patch(&self.dialects, news, &device::timestamp()))?;
        report::flush(HEARD);
        Ok(())
    }

    /// Ends a job that an operator has cancelled; the host has given up what was armed.
    fn cancelled(&self, at: Option<&Step>) -> Result<Outcome, Failure> {
        warn!("the update was cancelled by an operator");
        section::remember_failure(&self.order, "it was cancelled by an operator of the device");
        let stage = match at {
            None | Some(Step::Fetching | Step::Storing | Step::Receiving(_)) => Stage::Download,
            Some(_) => Stage::Apply,
        };
        self.tell(News::Cancelled { stage, boots: confirmed_version().as_deref() })
            .map_err(|trouble| trouble.failure())?;
        Ok(Outcome::Done(json!("cancelled")))
    }

    /// Ends the job: gives up a trial that may be armed, and tells why.
    ///
    /// But an image that is confirmed is no failure, whatever came afterwards; and as long as nobody can say whether it is
    /// nothing is told.
    fn failed(&self, at: Option<&Step>, trouble: &Trouble) -> Result<Outcome, Failure> {
        if let Some(Step::Confirming(Course { slot, version, .. })) = at {
            let completed = match is_confirmed(slot) {
                Ok(true) => self.completed(slot, version).map(Some),
                confirmed => confirmed.map(|_| None),
            };
            match completed {
                Ok(Some(done)) => return Ok(done),
                Err(again) if again.transient && self.job.attempt() < 2 * ATTEMPTS => {
                    return Err(again.failure());
                }
                _ => {}
            }
        }
        error!("the update has failed"; code = trouble.code, reason = trouble.message);
        if matches!(at, Some(Step::Booting(_) | Step::Confirming(_)))
            && let Err(error) = flash::revert()
        {
            error!("the trial could not be given up"; reason = error);
        }
        section::remember_failure(&self.order, &trouble.message);
        if let Err(untold) = self.tell(News::Failed { trouble, boots: confirmed_version().as_deref() }) {
            error!("the failure could not be reported"; reason = untold.message);
            // The twin would say for ever what was true before.
            if untold.transient && self.job.attempt() < 2 * ATTEMPTS {
                return Err(untold.failure());
            }
        }
        Err(Failure::Permanent(trouble.message.clone()))
    }
}

/// The version that boots without a trial, where its slot was sealed with one.
pub(crate) fn confirmed_version() -> Option<String> {
    flash::slots().ok()?.into_iter().find(|slot| slot.good)?.version
}

/// The version that the device runs, where its slot was sealed with one.
pub(crate) fn running_version() -> Option<String> {
    flash::slots().ok()?.into_iter().find(|slot| slot.running)?.version
}
