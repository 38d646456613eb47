//! Where the capabilities ask the device's policy, and whether the job was cancelled.
//!
//! Each call that fetches, writes or arms asks here first. What is only put off is told with the reason, and the job is
//! held back by the host for as long (`JobHandle::hold`), so that a plugin that merely tries again does not use up its
//! attempts.

use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::policy::floor::{Rank, name_of};
use hotshoe_core::policy::update::{POSTPONEMENTS, Postponement};

use super::Context;
use super::bindings::hotshoe::plugin::download;
use super::bindings::hotshoe::plugin::flash::{self, Activation, Space};
use super::entry::{IMAGE, SOON};
use crate::fetch::FetchError;
use crate::flash::{Flash, FlashError};
use crate::gate::{Gate, PluginQuotas, Question, STATE_ROOM};
use crate::job::{ActError, JobHandle};
use crate::trust::Target;

/// What a call under way holds on to: the job it is for, and the policy.
pub(super) struct Hold {
    job: Option<JobHandle>,
    gate: Gate,
    quotas: Arc<PluginQuotas>,
}

impl Hold {
    /// Fetches, unless the job is cancelled meanwhile. Where a cap is reached the job is held until there is room.
    pub(super) async fn fetching<T>(
        &self,
        fetch: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, download::Error> {
        let fetched = match &self.job {
            Some(job) => job.unless_cancelled(fetch).await,
            None => Ok(fetch.await),
        };
        match fetched {
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(FetchError::Capped(text))) => {
                Err(self.put_off_fetch(self.gate.capped().or_else(|| self.quotas.fetched.reached()), text))
            }
            Ok(Err(error)) => Err(error.into()),
            Err(cancelled) => Err(download::Error::Interrupted(cancelled.to_string())),
        }
    }

    /// Writes to a slot, unless the job was cancelled. A write under way loses its lease by a cancel and ends soon. Where
    /// the plugin has written as much as it may in a day the job is held until it may again.
    pub(super) async fn writing<T>(
        &self,
        write: impl Future<Output = Result<T, flash::Error>>,
    ) -> Result<T, flash::Error> {
        match self.cancelled() {
            Some(error) => Err(error),
            None => write.await.map_err(|error| self.not_written(error)),
        }
    }

    /// What the plugin is told of a write that failed.
    pub(super) fn not_written(&self, error: flash::Error) -> flash::Error {
        if let (flash::Error::Busy(_), Some(job)) = (&error, &self.job)
            && let Some(Postponement { reason, retry_after }) = self.quotas.flashed.reached()
        {
            job.hold(retry_after, reason);
        }
        self.cancelled().unwrap_or(error)
    }

    fn cancelled(&self) -> Option<flash::Error> {
        self.job.as_ref().and_then(|job| job.check().err()).map(denied)
    }

    fn put_off_fetch(&self, postponement: Option<Postponement>, text: String) -> download::Error {
        let Some(Postponement { reason, retry_after }) = postponement else {
            return download::Error::Interrupted(text);
        };
        if let Some(job) = &self.job {
            job.hold(retry_after, reason.clone());
        }
        download::Error::Interrupted(reason)
    }
}

impl Context {
    /// What a call that takes long holds on to.
    pub(super) fn hold(&self) -> Hold {
        Hold {
            job: self.handle(),
            gate: self.services.gate.clone(),
            quotas: Arc::clone(self.tenant.quotas()),
        }
    }

    fn handle(&self) -> Option<JobHandle> {
        self.job.as_ref().map(|run| run.handle.clone())
    }

    fn not_cancelled(&self) -> Result<(), ActError> {
        self.job.as_ref().map_or(Ok(()), |run| run.handle.check())
    }

    /// Whether a fetch may begin: no cancel, room to write down what becomes of it, no cap, quota
    /// or window against it.
    pub(super) async fn may_fetch(&mut self) -> Result<(), download::Error> {
        self.not_cancelled().map_err(|error| download::Error::Denied(error.to_string()))?;
        self.has_room().await.map_err(download::Error::Io)?;
        let put_off = self.services.gate.put_off_fetch();
        match put_off.or_else(|| self.tenant.quotas().fetched.reached()) {
            None => Ok(()),
            put_off => Err(self.hold().put_off_fetch(put_off, String::new())),
        }
    }

    /// Whether a slot may be opened: no cancel, and room to write down what becomes of it.
    pub(super) async fn may_stage(&mut self) -> Result<(), flash::Error> {
        self.not_cancelled().map_err(denied)?;
        self.has_room().await.map_err(flash::Error::Io)
    }

    /// Room to write down what becomes of an update, for which downloads that nobody holds make way. It passes: the disk
    /// of the state is nobody's image's.
    async fn has_room(&mut self) -> Result<(), String> {
        let gate = self.services.gate.clone();
        if gate.room().is_err() {
            let fetcher = self.services.fetcher.clone();
            match self.disk().blocking(SOON, move || fetcher.make_room(STATE_ROOM)).await? {
                Ok(()) => {}
                Err(error) => tracing::error!(%error, "downloads cannot be removed"),
            }
        }
        gate.room().inspect_err(|error| tracing::error!(error, "no update is let in"))
    }

    /// Checks a signed image against the minimum version of its name. The text names both.
    pub(super) async fn above_floor(&mut self, target: &Target) -> Result<(), String> {
        let rank = Rank { version: target.custom.version.clone(), sequence: target.custom.sequence };
        let name = name_of(target.custom.name.as_deref(), &target.name).to_owned();
        let gate = self.services.gate.clone();
        self.disk().blocking(SOON, move || gate.check_floor(&name, &rank)).await.and_then(|checked| checked)
    }

    /// Whether a slot is large enough for a signed image, before a byte of it is fetched or written.
    pub(super) async fn fits_slot(&mut self, slot: &str, needed: u64) -> Result<(), flash::Error> {
        let slots = self.with_flash(Flash::slots).await?;
        match slots.iter().find(|it| it.name == slot).map(|it| it.size) {
            Some(available) if needed > available => {
                Err(flash::Error::InsufficientSpace(Space { needed, available }))
            }
            _ => Ok(()),
        }
    }

    /// Whether any slot but the running one is large enough for a signed image, before a byte of it is fetched. A device
    /// without slots, and a plugin that may not touch them, fetch for something else.
    pub(super) async fn fits_a_slot(&mut self, needed: u64) -> Result<(), download::Error> {
        let Ok(slots) = self.with_flash(Flash::slots).await else { return Ok(()) };
        match slots.iter().filter(|slot| !slot.running).map(|slot| slot.size).max() {
            // Not `insufficient-space`, which is the store's, and passes.
            Some(actual) if needed > actual => Err(download::Error::Denied(format!(
                "the image has {needed} bytes, and no slot that could take it has more than {actual}"
            ))),
            _ => Ok(()),
        }
    }

    /// Arms a slot's trial boot, if no cancel, window or check is against it. What is armed already stays so.
    pub(super) async fn activate_if_allowed(&mut self, slot: String) -> Result<Activation, flash::Error> {
        let holder = self.holder()?;
        let Some(job) = self.handle() else { return Err(flash::Error::Denied("there is no job".into())) };
        job.check().map_err(denied)?;
        let armed = {
            let holder = holder.clone();
            self.with_flash(move |flash| flash.armed(&holder)).await?
        };
        if armed.as_deref() != Some(slot.as_str()) {
            self.may_arm(&slot).await?;
            if let Some(Postponement { reason, retry_after }) = self.put_off(&slot, &job).await? {
                tracing::info!(slot, reason, ?retry_after, "an image is not armed yet");
                let retry_after = nanoseconds(retry_after);
                return Ok(Activation::Postponed(flash::Postponement { reason, retry_after }));
            }
            // It takes as long as reading the image does, so before the job is locked for the arming.
            let (flash, wanted, holder) = (self.services.flash.clone(), slot.clone(), holder.clone());
            let disk = self.disk();
            let proving = disk.blocking(IMAGE, move || flash.prove(&wanted, &holder));
            let proven = job.unless_cancelled(proving).await.map_err(denied)?;
            proven.map_err(flash::Error::Io)??;
        }
        let (flash, wanted) = (self.services.flash.clone(), slot.clone());
        let disk = self.disk();
        let act = async move { disk.blocking(SOON, move || flash.activate(&wanted, &holder)).await };
        let armed = job.arm(&slot, act).await.map_err(denied)?;
        armed.map_err(flash::Error::Io)?.map_err(flash::Error::from)?;
        Ok(Activation::Armed)
    }

    /// Whether what stands in a slot may boot by the policy of now: a plugin may arm what it never staged.
    async fn may_arm(&mut self, slot: &str) -> Result<(), flash::Error> {
        let (gate, unsigned, wanted) = (self.services.gate.clone(), self.services.unsigned, slot.to_owned());
        let check = move |flash: &Flash| Ok(gate.check_sealed(&flash.sealed(&wanted)?, unsigned));
        let checked = self.with_flash(check).await?;
        checked.map_err(flash::Error::Untrusted)
    }

    async fn put_off(&mut self, slot: &str, job: &JobHandle) -> Result<Option<Postponement>, flash::Error> {
        if let Some(closed) = self.services.gate.closed() {
            return Ok(Some(closed));
        }
        let name = slot.to_owned();
        let staged = self.with_flash(move |flash| flash.staged(&name)).await?;
        let question = Question {
            slot: slot.to_owned(),
            version: staged.version,
            image: staged.digest,
            size: staged.length,
        };
        let gate = self.services.gate.clone();
        let asked = job.unless_cancelled(gate.ask(question, job.id().as_str())).await.map_err(denied)?;
        let Err(reason) = asked else { return Ok(None) };
        let times = job.postponed().await.map_err(denied)?;
        if times > POSTPONEMENTS {
            // Not `busy`, which passes.
            return Err(flash::Error::Denied(format!("given up after {POSTPONEMENTS} times: {reason}")));
        }
        Ok(Some(Postponement { reason, retry_after: self.services.gate.check_pause(times) }))
    }

    /// Marks the running slot good, and raises the minimum version of what runs; in this order.
    pub(super) async fn confirm_running(&mut self) -> Result<(), flash::Error> {
        self.may_flash()?;
        let (flash, gate) = (self.services.flash.clone(), self.services.gate.clone());
        let disk = self.disk();
        let act = async move {
            let confirming = disk.blocking(SOON, move || {
                flash.confirm()?;
                gate.confirmed();
                Ok::<(), FlashError>(())
            });
            confirming.await
        };
        let confirmed = match self.handle() {
            Some(job) => job.confirm(act).await.map_err(denied)?,
            None => act.await,
        };
        confirmed.map_err(flash::Error::Io)?.map_err(flash::Error::from)
    }
}

fn denied(error: ActError) -> flash::Error {
    match error {
        ActError::Disk(_) => flash::Error::Io(error.to_string()),
        _ => flash::Error::Denied(error.to_string()),
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
