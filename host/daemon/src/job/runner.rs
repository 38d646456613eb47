//! All the jobs of the device.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hotshoe_core::job::{
    self, Checkpoint, Event, Job, JobId, JobSpec, JobSummary, Moment, NoRoom, Settings, State,
};
use hotshoe_core::manifest::PluginName;
use hotshoe_core::method::{Refusal, Rejection};
use hotshoe_core::planted::{self, Bug};
use semver::Version;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accepted::Accepted;
use super::files::{self, Files};
use super::guest::Doing;
use super::life::{Seat, live};
use super::restart::Restart;
use super::slots::Slots;
use super::stand::{Guests, missing};
use super::twin;
use crate::disk::blocking;
use crate::hub::Outbox;
use crate::state::{StateDir, StateError};

/// How often it is tried again to give up a trial that no job knows of.
const GIVING_UP: u32 = 8;

/// The wall clock, in milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Ends after this time, by a clock that nobody sets.
pub type Pause = Arc<dyn Fn(Duration) -> Doing<()> + Send + Sync>;

/// What the runner has to know.
#[derive(Clone)]
pub struct JobSettings {
    /// Names this boot of the device; differs after each.
    pub boot_id: String,
    /// What restarts the device.
    pub restart: Arc<dyn Restart>,
    /// How long to wait for the hub's acknowledgement before a restart.
    pub flush: Duration,
    /// How long to wait for the restart to happen before asking again.
    pub patience: Duration,
    /// How long a cancelled job may go on: each of its runs is cut after it, and a plugin that is not there is waited
    /// for no longer.
    pub grace: Duration,
    /// The bounds of the machine.
    pub machine: Settings,
    /// The wall clock.
    pub clock: Clock,
    /// Where random numbers come from.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// What a pause waits on.
    pub pause: Pause,
}

impl JobSettings {
    /// Settings with this product's defaults: 10 s to flush, 5 minutes for a restart, 30 s after a cancel.
    pub fn new(boot_id: String, restart: impl Restart, clock: Clock) -> JobSettings {
        JobSettings {
            boot_id,
            restart: Arc::new(restart),
            flush: Duration::from_secs(10),
            patience: Duration::from_secs(300),
            grace: Duration::from_secs(30),
            machine: Settings::default(),
            clock,
            random: Arc::new(rand::random),
            pause: Arc::new(|time| Box::pin(tokio::time::sleep(time))),
        }
    }
}

/// A job that has not ended, as far as other versions of its plugin are concerned.
#[derive(Clone, PartialEq, Debug)]
pub struct OpenJob {
    /// Its name.
    pub id: JobId,
    /// The version that runs it.
    pub version: Version,
    /// Where it stands, in that version's words.
    pub checkpoint: Option<Checkpoint>,
}

/// Why the jobs could not be read.
#[derive(Debug, thiserror::Error)]
#[error("jobs cannot be opened: {0}")]
pub struct JobsError(#[from] StateError);

/// All the jobs of the device. Cheap to clone.
#[derive(Clone)]
pub struct Jobs(Arc<Shared>);

pub(super) struct Shared {
    pub(super) settings: JobSettings,
    pub(super) files: Files,
    pub(super) outbox: Outbox,
    pub(super) slots: Arc<dyn Slots>,
    /// Those that have a task of their own.
    seats: Mutex<BTreeMap<JobId, Weak<Seat>>>,
    /// The jobs as they were last seen, those that have ended too.
    seen: Mutex<BTreeMap<JobId, Job>>,
    guests: watch::Sender<Guests>,
    /// Grows when a job ends or goes over to another version.
    moves: watch::Sender<u64>,
    tasks: TaskTracker,
    runtime: Handle,
    /// No new run; runs under way are asked to stop.
    pub(super) draining: CancellationToken,
    /// Runs under way are dropped.
    pub(super) cut: CancellationToken,
}

impl Jobs {
    /// Opens the jobs in `state`, a directory of its own. None is run before [`resume`](Jobs::resume).
    ///
    /// Must be called within a Tokio runtime; jobs live on it.
    pub fn new(settings: JobSettings, state: StateDir, outbox: Outbox, slots: Arc<dyn Slots>) -> Jobs {
        Jobs(Arc::new(Shared {
            settings,
            files: Files::new(state),
            outbox,
            slots,
            seats: Mutex::default(),
            seen: Mutex::default(),
            guests: watch::Sender::new(Guests::new()),
            moves: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
        }))
    }

    /// Says who runs jobs from now on. Runs under way go on; those of a version that is not live any more are asked
    /// to suspend, and the live one is offered their jobs.
    pub fn mount(&self, guests: Guests) {
        self.0.guests.send_replace(guests);
    }

    /// The jobs of a plugin that have not ended.
    pub fn open(&self, plugin: &PluginName) -> Vec<OpenJob> {
        let seen = lock(&self.0.seen);
        let open = seen.values().filter(|job| job.plugin == *plugin && !job.has_ended());
        let open = open.map(|job| OpenJob {
            id: job.id.clone(),
            version: job.version.clone(),
            checkpoint: job.checkpoint.clone(),
        });
        open.collect()
    }

    /// The versions of a plugin that jobs need: those may not be thrown away.
    pub fn pinned(&self, plugin: &PluginName) -> BTreeSet<Version> {
        self.open(plugin).into_iter().map(|job| job.version).collect()
    }

    /// Grows when a job ends or goes over to another version: [`pinned`](Jobs::pinned) may say something else.
    pub fn moves(&self) -> watch::Receiver<u64> {
        self.0.moves.subscribe()
    }

    /// Takes up the jobs of earlier lives of the process.
    pub async fn resume(&self) -> Result<(), JobsError> {
        let jobs = self.0.files.load(&self.0.settings.pause).await?;
        let is_noted = |slot: &str| jobs.iter().any(|job| job.armed.as_deref() == Some(slot));
        if let Err(error) = self.0.give_up_unknown(is_noted).await {
            unsettled(&error);
            let shared = Arc::clone(&self.0);
            self.0.spawn(async move { shared.give_up_unknown_later().await });
        }
        for job in jobs {
            let forgotten = matches!(job.state, State::Running { .. })
                && planted::on(Bug::InterruptedForgotten)
                || matches!(job.state, State::Accepted) && planted::on(Bug::ReadyLost);
            if forgotten {
                continue;
            }
            self.0.seen(&job);
            if job.has_ended() {
                // The power may have gone between its end and this.
                self.0.release(&job.id).await;
                continue;
            }
            let booted = self.0.booted(&job).await;
            tracing::info!(job = %job.id, plugin = %job.plugin, state = job.summary().state, "taking up a job");
            let seat = Seat::new(job, Arc::clone(&self.0));
            self.0.spawn(live(seat, booted));
        }
        self.0.prune().await;
        Ok(())
    }

    /// Accepts a job: checks it, lets it into its lane and stores it. Durable when it returns.
    ///
    /// Tell the caller then, and start it: see [`Accepted`].
    pub async fn accept(
        &self,
        plugin: &PluginName,
        version: &Version,
        spec: JobSpec,
    ) -> Result<Accepted, Refusal> {
        if self.0.draining.is_cancelled() {
            return Err(Refusal::ShuttingDown);
        }
        spec.validate().map_err(|error| Refusal::PluginFailed { text: error.to_string() })?;
        let job = self.0.admit(plugin, version, spec)?;
        let shared = Arc::clone(&self.0);
        // Finished even where the caller goes away: a job is either stored and started, or neither.
        if planted::on(Bug::ReplyBeforeStore) {
            return Ok(Accepted { seat: Seat::new(job, shared) });
        }
        let storing = tokio::spawn(async move {
            match shared.files.store(&job).await {
                Err(_) if planted::on(Bug::JobStoreOnce) => Ok(Accepted { seat: Seat::new(job, shared) }),
                Ok(()) => Ok(Accepted { seat: Seat::new(job, shared) }),
                Err(error) => {
                    tracing::error!(%error, job = %job.id, "a job was refused");
                    shared.take_back(job.id).await;
                    Err(Refusal::Rejected(Rejection::Other(format!("the job was not stored: {error}"))))
                }
            }
        });
        storing.await.unwrap_or(Err(Refusal::ShuttingDown))
    }

    /// The jobs that have not ended and the last that have, the oldest first.
    pub fn list(&self) -> Vec<JobSummary> {
        let guests = self.0.guests.borrow();
        let mut list: Vec<JobSummary> = lock(&self.0.seen)
            .values()
            .map(|job| {
                let mut summary = job.summary();
                if matches!(job.state, State::Ready { .. })
                    && let Some(trouble) = missing(guests.get(&job.plugin), job)
                {
                    summary.trouble = Some(trouble);
                }
                summary
            })
            .collect();
        list.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
        list
    }

    /// The seat of a job that has not ended, or has just.
    pub(super) fn seat(&self, id: &JobId) -> Option<Arc<Seat>> {
        lock(&self.0.seats).get(id).and_then(Weak::upgrade)
    }

    /// Whether a job that has not ended was announced just so.
    pub fn is_same(&self, id: &JobId, spec: &JobSpec) -> bool {
        let job = self.0.look(id);
        job.is_some_and(|job| !job.has_ended() && job.kind == spec.kind && job.input == spec.input)
    }

    /// Clears what the twin still shows of jobs that are over, and tells how they ended where that was not told. To be
    /// called after each connection.
    pub async fn tidy(&self) {
        let patch = twin::overdue(&self.0.outbox.reported(), lock(&self.0.seen).values());
        if let Some(patch) = patch
            && let Err(error) = self.0.outbox.patch(patch).await
        {
            tracing::warn!(%error, "the twin shows jobs that are over");
        }
    }

    /// Ends all: no run begins, those under way are asked to stop, and what has not after `timeout` is cut.
    /// Every job goes on after the next start.
    pub async fn drain(&self, timeout: Duration) {
        self.0.draining.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(timeout, self.0.tasks.wait()).await.is_err() {
            self.0.cut.cancel();
            // What is left is storing and releasing, which is short, or waits for a broken disk, which is not.
            if tokio::time::timeout(Duration::from_secs(2), self.0.tasks.wait()).await.is_err() {
                tracing::error!("not all jobs came to a stop; they go on after the next start");
            }
        }
    }
}

impl Shared {
    pub(super) fn spawn(&self, life: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(life, &self.runtime);
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { now: (self.settings.clock)(), random: (self.settings.random)() }
    }

    /// Remembers how a job stands, for those who look.
    pub(super) fn seen(&self, job: &Job) {
        lock(&self.seen).insert(job.id.clone(), job.clone());
    }

    /// Remembers who lives a job.
    pub(super) fn seated(&self, seat: &Arc<Seat>) {
        lock(&self.seats).insert(seat.id.clone(), Arc::downgrade(seat));
    }

    /// What the next job that ends is counted as. The last one is always among those that are kept.
    pub(super) fn next_end(&self) -> u64 {
        let last = lock(&self.seen).values().map(|job| job.ended_as).max().unwrap_or_default();
        last.saturating_add(1)
    }

    pub(super) fn look(&self, id: &JobId) -> Option<Job> {
        lock(&self.seen).get(id).cloned()
    }

    fn forget(&self, id: &JobId) {
        lock(&self.seats).remove(id);
        lock(&self.seen).remove(id);
    }

    /// Removes what the disk may have of a job that was refused, and frees its lane. Where the disk refuses that as well the
    /// lane stays taken until it does not: the next process would run the job.
    async fn take_back(self: &Arc<Self>, id: JobId) {
        let Err(error) = self.files.remove(&id).await else { return self.forget(&id) };
        tracing::error!(%error, job = %id, "what was stored of a refused job was not removed; trying again");
        let shared = Arc::clone(self);
        self.spawn(async move {
            let mut failures = 0_u32;
            loop {
                failures = failures.saturating_add(1);
                let pause = shared.settings.machine.backoff.pause(failures, shared.moment().random);
                tokio::select! {
                    () = (shared.settings.pause)(pause) => {}
                    () = shared.draining.cancelled() => return,
                }
                match shared.files.remove(&id).await {
                    Ok(()) => return shared.forget(&id),
                    Err(error) => {
                        tracing::error!(%error, job = %id, "a refused job was not removed; trying again")
                    }
                }
            }
        });
    }

    /// Takes the lane: from here on no other job gets it.
    fn admit(&self, plugin: &PluginName, version: &Version, spec: JobSpec) -> Result<Job, Refusal> {
        let mut seen = lock(&self.seen);
        job::room(seen.values(), plugin, spec.lane.as_deref()).map_err(|error| match error {
            NoRoom::LaneTaken { lane, holder } => Refusal::LaneTaken { lane, holder },
            NoRoom::TooMany => Refusal::Busy,
        })?;
        let mut id = JobId::from_random((self.settings.random)());
        while seen.contains_key(&id) {
            id = JobId::from_random((self.settings.random)());
        }
        let job = Job {
            id,
            plugin: plugin.clone(),
            version: version.clone(),
            before: None,
            kind: spec.kind,
            input: spec.input,
            lane: spec.lane,
            created: (self.settings.clock)(),
            attempt: 0,
            strikes: 0,
            setbacks: 0,
            restarts: 0,
            checkpoint: None,
            trouble: None,
            cancel: None,
            armed: None,
            over: None,
            postponed: 0,
            ended_as: 0,
            state: State::Accepted,
        };
        seen.insert(job.id.clone(), job.clone());
        Ok(job)
    }

    /// Who runs jobs, and when that changes.
    pub(super) fn stands(&self) -> watch::Receiver<Guests> {
        self.guests.subscribe()
    }

    /// The live version of a plugin.
    pub(super) fn live(&self, plugin: &PluginName) -> Option<Version> {
        self.guests.borrow().get(plugin).and_then(|stand| stand.live.clone())
    }

    /// A job has ended or changed over.
    pub(super) fn moved(&self) {
        self.moves.send_modify(|moves| *moves = moves.wrapping_add(1));
    }

    async fn booted(&self, job: &Job) -> Event {
        let slots = Arc::clone(&self.slots);
        let wanted = match &job.state {
            State::Restarting { wanted, .. } => wanted.clone(),
            _ => None,
        };
        let asked = blocking(move || {
            let expected = wanted.is_none_or(|wanted| slots.boot_expected(&wanted));
            (slots.running(), expected)
        });
        let (running, expected) = asked.await.unwrap_or_default();
        Event::Booted { boot_id: self.settings.boot_id.clone(), running, expected }
    }

    pub(super) async fn armed(&self, id: &JobId) -> Result<Option<String>, String> {
        let (slots, id) = (Arc::clone(&self.slots), id.clone());
        blocking(move || slots.armed(id.as_str())).await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Gives up the trial of a slot; whether the device runs from it.
    pub(super) async fn give_up(&self, slot: String) -> Result<bool, String> {
        let slots = Arc::clone(&self.slots);
        blocking(move || slots.give_up(&slot)).await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Gives up a trial boot that is armed and that no job has noted: the disk has lost its job, and nobody would confirm it.
    async fn give_up_unknown(&self, is_noted: impl Fn(&str) -> bool) -> Result<(), String> {
        let slots = Arc::clone(&self.slots);
        let armed = blocking(move || slots.armed("")).await.unwrap_or_else(|error| Err(error.to_string()))?;
        // Looked at after that: a job notes its slot before it arms it.
        let Some(slot) = armed.filter(|slot| !is_noted(slot)) else { return Ok(()) };
        tracing::error!(slot, "a trial boot is armed that no job knows of; it is given up");
        self.give_up(slot).await.map(|_| ())
    }

    /// The same where the disk has refused: a few times, with pauses that grow.
    async fn give_up_unknown_later(&self) {
        for failures in 1..=GIVING_UP {
            let pause = self.settings.machine.backoff.pause(failures, self.moment().random);
            tokio::select! {
                () = (self.settings.pause)(pause) => {}
                () = self.draining.cancelled() => return,
            }
            let is_noted =
                |slot: &str| lock(&self.seen).values().any(|job| job.armed.as_deref() == Some(slot));
            match self.give_up_unknown(is_noted).await {
                Ok(()) => return,
                Err(error) => unsettled(&error),
            }
        }
    }

    pub(super) async fn release(&self, id: &JobId) {
        let (slots, id) = (Arc::clone(&self.slots), id.clone());
        let _ = blocking(move || slots.release(id.as_str())).await;
    }

    /// Forgets the oldest of the ended jobs.
    pub(super) async fn prune(&self) {
        let surplus = files::superfluous(lock(&self.seen).values());
        for id in surplus {
            match self.files.remove(&id).await {
                Ok(()) => self.forget(&id),
                Err(error) => tracing::warn!(%error, job = %id, "an old job was not removed"),
            }
        }
    }
}

fn unsettled(error: &str) {
    tracing::error!(error, "whether a trial boot is armed that no job knows of could not be settled");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
