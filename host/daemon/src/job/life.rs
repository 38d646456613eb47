//! The life of one job: performs the machine's effects in their order, each finished before the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hotshoe_core::job::{Effect, Event, Job, JobId, Progress, RunEnd, State, Wake, step};
use hotshoe_core::manifest::PluginName;
use hotshoe_core::planted::{self, Bug};
use semver::Version;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::guest::{Guest, JobHandle, JobRun};
use super::runner::Shared;
use super::stand::{Next, missing, next};
use super::twin;
use crate::hub::OutboxError;
use crate::state::StateError;

/// One job and all that its task and its runs share.
pub(super) struct Seat {
    pub(super) id: JobId,
    plugin: PluginName,
    /// The job as it stands. Held while it is written, so that nothing overtakes a write.
    pub(super) job: Mutex<Job>,
    pub(super) jobs: Arc<Shared>,
    /// Even between runs, odd in a run; a handle of an earlier run knows that its time is over.
    runs: AtomicU64,
    /// The version that did not want the job when it was offered last.
    refused: ArcSwapOption<Version>,
    /// Cancelled once the job's cancel is stored.
    pub(super) cancelled: CancellationToken,
    /// What the device's policy said in the run under way: how long the job is put off, and why.
    pub(super) hold: ArcSwapOption<(Duration, String)>,
}

/// Whether somebody runs a job that is ready.
enum Found {
    Guest(Arc<dyn Guest>),
    /// Nobody in the time that is left to a cancelled job.
    Nobody,
    /// The process ends.
    Leave,
}

/// What comes of an effect.
enum Flow {
    /// The next effect.
    On,
    /// Something has happened.
    Event(Event),
    /// The process ends; the rest is for the next one.
    Leave,
}

impl Seat {
    pub(super) fn new(job: Job, jobs: Arc<Shared>) -> Arc<Seat> {
        let (id, plugin) = (job.id.clone(), job.plugin.clone());
        let cancelled = CancellationToken::new();
        if job.cancel.is_some() {
            cancelled.cancel();
        }
        let seat = Arc::new(Seat {
            id,
            plugin,
            job: Mutex::new(job),
            jobs,
            runs: AtomicU64::new(0),
            refused: ArcSwapOption::empty(),
            cancelled,
            hold: ArcSwapOption::empty(),
        });
        seat.jobs.seated(&seat);
        seat
    }

    /// What the machine says.
    pub(super) fn decide(&self, job: Job, event: Event) -> (Job, Vec<Effect>) {
        let had_ended = job.has_ended();
        let (mut job, effects) = step(job, event, self.jobs.moment(), &self.jobs.settings.machine);
        if job.has_ended() && !had_ended {
            job.ended_as = self.jobs.next_end();
        }
        (job, effects)
    }

    /// Makes it so, here and for those who look.
    pub(super) fn settle(&self, job: &mut Job, next: Job) {
        self.jobs.seen(&next);
        *job = next;
    }

    /// The number of the run that is under way.
    pub(super) fn run(&self) -> Option<u64> {
        let runs = self.runs.load(Ordering::Acquire);
        (runs % 2 == 1).then_some(runs)
    }

    /// Whether another version than this is live and would have the job.
    pub(super) fn is_wanted_elsewhere(&self, version: &Version) -> bool {
        let refused = self.refused.load();
        self.jobs.live(&self.plugin).is_some_and(|live| live != *version && refused.as_deref() != Some(&live))
    }

    /// Waits until somebody is there to run the job, and sees to it that it is theirs.
    async fn guest(self: &Arc<Self>) -> Found {
        let mut stands = self.jobs.stands();
        loop {
            if self.jobs.draining.is_cancelled() {
                return Found::Leave;
            }
            let job = self.job.lock().await.clone();
            let stand = stands.borrow_and_update().get(&self.plugin).cloned();
            let refused = self.refused.load_full();
            match next(stand.as_ref(), &job, refused.as_deref()).await {
                Next::Run(guest) => return Found::Guest(guest),
                Next::Refused(version) => self.refused.store(Some(Arc::new(version))),
                Next::Change(event) => {
                    if let Flow::Leave = self.change(event).await {
                        return Found::Leave;
                    }
                    self.jobs.moved();
                }
                Next::Wait => {
                    let why = missing(stand.as_ref(), &job);
                    tracing::error!(why, "the job is ready and does not run");
                    tokio::select! {
                        changed = stands.changed() => if changed.is_err() { return Found::Leave },
                        () = self.jobs.draining.cancelled() => return Found::Leave,
                        () = self.overdue() => return Found::Nobody,
                    }
                }
            }
        }
    }

    pub(super) fn show(&self, progress: &Progress) {
        if let Some(job) = self.jobs.look(&self.id) {
            self.jobs.outbox.progress(twin::progress(&job, progress));
        }
    }

    /// Whether a cancel that came meanwhile has made an effect void: the pause or the restart is not to be any more.
    async fn is_void(&self, effect: &Effect) -> bool {
        let job = self.job.lock().await;
        match effect {
            Effect::Wake { .. } => !matches!(job.state, State::Waiting { .. } | State::Restarting { .. }),
            Effect::FlushOutbox | Effect::Restart => !matches!(job.state, State::Restarting { .. }),
            _ => false,
        }
    }

    /// Ends when the job is cancelled that was not when this began.
    fn newly_cancelled(&self) -> impl Future<Output = ()> + '_ {
        let before = self.cancelled.is_cancelled();
        async move {
            if before {
                std::future::pending::<()>().await;
            }
            self.cancelled.cancelled().await;
        }
    }

    async fn perform(self: &Arc<Self>, effect: Effect, guest: Option<&Arc<dyn Guest>>) -> Flow {
        let cancelled = self.newly_cancelled();
        if self.is_void(&effect).await {
            return Flow::On;
        }
        match effect {
            Effect::Store => self.store().await,
            // Told by whoever accepted it.
            Effect::Reply => Flow::On,
            Effect::Run { wake } => match guest {
                Some(guest) => Flow::Event(self.run_guest(wake, Arc::clone(guest)).await),
                None => Flow::Event(Event::Cut),
            },
            Effect::Wake { after } => {
                tokio::select! {
                    () = (self.jobs.settings.pause)(Duration::from_millis(after)) => Flow::Event(Event::TimerDue),
                    () = cancelled => Flow::On,
                    () = self.jobs.draining.cancelled() => Flow::Leave,
                }
            }
            Effect::FlushOutbox => {
                tokio::select! {
                    sent = self.jobs.outbox.flush(self.jobs.settings.flush) => {
                        if !sent {
                            tracing::warn!("restarting though the hub has not acknowledged all; it is sent afterwards");
                        }
                        Flow::On
                    }
                    () = cancelled => Flow::On,
                    () = self.jobs.draining.cancelled() => Flow::Leave,
                }
            }
            Effect::Restart => self.restart(cancelled).await,
            Effect::Revert => self.revert().await,
            Effect::Release => self.release().await,
        }
    }

    /// Gives the job to another version: on the disk first, then for all who look.
    async fn change(&self, event: Event) -> Flow {
        let mut failures = 0_u32;
        loop {
            let mut job = self.job.lock().await;
            let (after, _) = self.decide(job.clone(), event.clone());
            match self.jobs.files.store(&after).await {
                Ok(()) => {
                    self.settle(&mut job, after);
                    return Flow::On;
                }
                Err(error) => self.refused_by_disk(&job, &error),
            }
            drop(job);
            if let Flow::Leave = self.pause(&mut failures).await {
                return Flow::Leave;
            }
        }
    }

    /// Writes the job. A disk that refuses is asked again until it takes it or the process ends: what follows
    /// may not happen before.
    async fn store(&self) -> Flow {
        let mut failures = 0_u32;
        loop {
            let job = self.job.lock().await;
            match self.jobs.files.store(&job).await {
                Ok(()) => return Flow::On,
                Err(_) if planted::on(Bug::JobStoreOnce) => return Flow::On,
                Err(error) => self.refused_by_disk(&job, &error),
            }
            drop(job);
            if let Flow::Leave = self.pause(&mut failures).await {
                return Flow::Leave;
            }
        }
    }

    fn refused_by_disk(&self, job: &Job, error: &StateError) {
        tracing::error!(%error, state = job.summary().state, "the job was not stored; trying again");
    }

    /// Waits before the disk is asked again, longer each time.
    async fn pause(&self, failures: &mut u32) -> Flow {
        *failures = failures.saturating_add(1);
        let pause = self.jobs.settings.machine.backoff.pause(*failures, self.jobs.moment().random);
        tokio::select! {
            () = (self.jobs.settings.pause)(pause) => Flow::On,
            () = self.jobs.cut.cancelled() => Flow::Leave,
        }
    }

    async fn run_guest(self: &Arc<Self>, wake: Wake, guest: Arc<dyn Guest>) -> Event {
        let job = self.job.lock().await.clone();
        let run = self.runs.fetch_add(1, Ordering::AcqRel) + 1;
        let version = job.version;
        tracing::info!(?wake, attempt = job.attempt, "the job runs");
        let run = JobRun {
            id: job.id,
            plugin: job.plugin,
            version: version.clone(),
            kind: job.kind,
            input: job.input,
            wake,
            attempt: job.attempt,
            checkpoint: job.checkpoint,
            handle: JobHandle { seat: Arc::clone(self), run, version: version.clone() },
        };
        self.hold.store(None);
        // A task of its own, so that a panic under it ends the run and not the job.
        let future = async move { guest.run(run).await };
        let mut task = AbortOnDropHandle::new(tokio::spawn(future.in_current_span()));
        let end = tokio::select! {
            ended = &mut task => Some(ended.unwrap_or_else(|error| {
                tracing::error!(%error, "the host failed during the run");
                RunEnd::Trapped("the host failed during the run".to_owned())
            })),
            () = self.overdue() => {
                task.abort();
                let _ = (&mut task).await;
                Some(RunEnd::TimedOut)
            }
            () = self.jobs.cut.cancelled() => None,
        };
        self.runs.fetch_add(1, Ordering::AcqRel);
        match end {
            // Asked for, so that another version can go on: at once, and no pause.
            Some(RunEnd::Suspended) if self.is_wanted_elsewhere(&version) => {
                log(&RunEnd::Suspended);
                Event::Cut
            }
            Some(end) => {
                let end = match (end, self.hold.swap(None)) {
                    (RunEnd::Transient(_), Some(hold)) => RunEnd::Held(hold.0, hold.1.clone()),
                    (end, _) => end,
                };
                log(&end);
                let wanted = if end == RunEnd::Restart { self.wanted().await } else { None };
                Event::RunEnded { end, wanted }
            }
            None => {
                task.abort();
                let _ = task.await;
                tracing::warn!("the run did not stop in time and was cut; it goes on after the next start");
                Event::Cut
            }
        }
    }

    /// The slot that is expected to run after the restart that the job asks for. Where the boot loader's record cannot be
    /// read it is the one that the job has noted: "any will do" would tell it of a trial that may not have been.
    async fn wanted(&self) -> Option<String> {
        match self.jobs.armed(&self.id).await {
            Ok(armed) => armed,
            Err(error) => {
                tracing::error!(error, "the armed slot is not known");
                self.job.lock().await.armed.clone()
            }
        }
    }

    /// Gives up what a job that was cancelled or has failed may have armed. A disk that refuses is asked again: what follows may not happen
    /// before.
    async fn revert(&self) -> Flow {
        let mut failures = 0_u32;
        loop {
            let armed = self.job.lock().await.armed.clone();
            let Some(slot) = armed else { return Flow::On };
            match self.jobs.give_up(slot.clone()).await {
                Ok(on_trial) => {
                    tracing::warn!(
                        slot,
                        on_trial,
                        "the trial boot of a job that will not confirm it is given up"
                    );
                    let boot_id = self.jobs.settings.boot_id.clone();
                    return Flow::Event(Event::Reverted { boot_id, on_trial });
                }
                Err(error) => tracing::error!(slot, error, "the trial boot was not given up; trying again"),
            }
            if let Flow::Leave = self.pause(&mut failures).await {
                return Flow::Leave;
            }
        }
    }

    async fn restart(&self, cancelled: impl Future<Output = ()>) -> Flow {
        tracing::warn!("restarting the device");
        let asked = tokio::select! {
            asked = self.jobs.settings.restart.ask() => asked,
            // The restart is what ends this process, as a rule.
            () = self.jobs.draining.cancelled() => return Flow::Leave,
        };
        let why = match asked {
            Ok(()) => {
                tokio::select! {
                    () = (self.jobs.settings.pause)(self.jobs.settings.patience) => {}
                    () = cancelled => return Flow::On,
                    () = self.jobs.draining.cancelled() => return Flow::Leave,
                }
                format!("nothing came of the restart within {:?}", self.jobs.settings.patience)
            }
            Err(why) => why,
        };
        tracing::error!(reason = why, "the device was not restarted; asking again later");
        Flow::Event(Event::RestartFailed(why))
    }

    /// Tells the end of the job. A disk that refuses is asked again; what a process that ends leaves untold the next one
    /// makes up for ([`Jobs::tidy`](super::Jobs::tidy)).
    async fn release(&self) -> Flow {
        let job = self.job.lock().await.clone();
        self.jobs.release(&self.id).await;
        let Some(patch) = twin::ended(&job) else { return Flow::On };
        let mut failures = 0_u32;
        loop {
            match self.jobs.outbox.patch(patch.clone()).await {
                Ok(()) => return Flow::On,
                Err(error @ (OutboxError::State(_) | OutboxError::WriteFailed(_))) => {
                    tracing::error!(%error, "the end of the job was not reported; trying again");
                }
                Err(error) => {
                    tracing::error!(%error, "the end of the job was not reported");
                    return Flow::On;
                }
            }
            if let Flow::Leave = self.pause(&mut failures).await {
                return Flow::Leave;
            }
        }
    }
}

/// Lives on from this event until the job has ended or the process does.
pub(super) async fn live(seat: Arc<Seat>, first: Event) {
    let (plugin, kind) = {
        let job = seat.job.lock().await;
        (job.plugin.clone(), job.kind.clone())
    };
    let span = tracing::info_span!("job", job = %seat.id, %plugin, kind);
    go_on(seat, first).instrument(span).await;
}

async fn go_on(seat: Arc<Seat>, first: Event) {
    let mut next = Some(first);
    let mut guest = None;
    loop {
        let event = match next.take() {
            Some(event) => event,
            None => {
                let (ready, alone) = {
                    let job = seat.job.lock().await;
                    (matches!(job.state, State::Ready { .. }), job.needs_nobody())
                };
                let start = Event::Start { boot_id: seat.jobs.settings.boot_id.clone() };
                match ready {
                    false => break,
                    true if alone && seat.jobs.draining.is_cancelled() => break,
                    true if alone => start,
                    true => match seat.guest().await {
                        Found::Guest(found) => {
                            guest = Some(found);
                            start
                        }
                        Found::Nobody => Event::Unattended,
                        Found::Leave => break,
                    },
                }
            }
        };
        let effects = {
            let mut job = seat.job.lock().await;
            let (after, effects) = seat.decide(job.clone(), event);
            seat.settle(&mut job, after);
            effects
        };
        for effect in effects {
            match seat.perform(effect, guest.as_ref()).await {
                Flow::On => {}
                Flow::Event(event) => next = Some(event),
                Flow::Leave => return,
            }
        }
    }
    if seat.job.lock().await.has_ended() {
        seat.jobs.prune().await;
        seat.jobs.moved();
    }
}

fn log(end: &RunEnd) {
    match end {
        RunEnd::Done(_) => tracing::info!("the job is done"),
        RunEnd::Later(pause) => tracing::info!(?pause, "the job pauses"),
        RunEnd::Restart => tracing::info!("the job wants the device restarted"),
        RunEnd::Suspended => tracing::info!("the run stopped because the host asked for it"),
        RunEnd::Transient(why) => tracing::warn!(reason = why, "the run failed; trying again later"),
        RunEnd::Held(pause, why) => tracing::info!(?pause, reason = why, "the job is put off"),
        RunEnd::Permanent(why) => tracing::error!(reason = why, "the job failed"),
        RunEnd::Trapped(why) => tracing::error!(reason = why, "the run trapped; trying again later"),
        RunEnd::TimedOut => {
            tracing::error!("the run took longer than its plugin is given; trying again later")
        }
    }
}
