//! `flash`: the device's slots.
//!
//! The rules of slots are `flash`'s. What is added here: only a job stages, because the lease on a slot is a job's and
//! ends with it; each call does its disk work on a thread for that; and where the guest is cut in the middle of a
//! write, that write ends by itself and the slot's record stays true.
//!
//! `receive` brings the two capabilities together: what `download` has resolved goes straight into the slot. The engine
//! is `receive`'s; here it is given the places, shows its progress as the job's, and ends with the call.

use std::sync::{Arc, Mutex, PoisonError};

use hotshoe_core::digest::{Digest, DigestError};
use hotshoe_core::job::Progress;
use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Resource;

use super::bindings::hotshoe::plugin::download;
use super::bindings::hotshoe::plugin::flash::{
    self, Activation, Content, Error, Group, ReceiveError, Slot, Space,
};
use super::entry::{Disk, IMAGE, SOON};
use super::{Context, OpenSource};
use crate::artifact::Artifact;
use crate::flash::{self as slots, Assurance, Flash, FlashError, SignedImage, Staging};
use crate::receive;

/// What the progress of writing is called where the plugin has not named a phase.
const PHASE: &str = "writing";
/// What the progress of receiving is called.
const RECEIVING: &str = "downloading";

/// What stands behind a guest's handle of an image on its way.
#[derive(Clone)]
pub struct OpenStaging {
    staging: Arc<Mutex<Staging>>,
    /// What the slot is staged for.
    digest: Digest,
    /// Counts the bytes that are written.
    flashed: Counter,
    disk: Disk,
}

impl OpenStaging {
    /// How far the image has come.
    fn written(&self) -> u64 {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner).written()
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Staging) -> Result<T, FlashError> + Send + 'static,
    ) -> Result<T, Error> {
        let (staging, flashed) = (Arc::clone(&self.staging), self.flashed.clone());
        let done = self.disk.blocking(IMAGE, move || {
            let mut staging = staging.lock().unwrap_or_else(PoisonError::into_inner);
            let before = staging.written();
            let done = work(&mut staging);
            flashed.inc_by(staging.written().saturating_sub(before));
            done
        });
        done.await.map_err(Error::Io)?.map_err(Error::from)
    }
}

impl From<FlashError> for Error {
    fn from(error: FlashError) -> Self {
        match error {
            FlashError::UnknownSlot(..) => Error::UnknownSlot(error.to_string()),
            FlashError::Busy(text) => Error::Busy(text),
            FlashError::Leased { holder, .. } => Error::Leased(holder),
            FlashError::InsufficientSpace { needed, available } => {
                Error::InsufficientSpace(Space { needed, available })
            }
            FlashError::DigestMismatch { actual, .. } => Error::DigestMismatch(actual.to_string()),
            FlashError::Untrusted(text) => Error::Untrusted(text),
            FlashError::NotSealed(text) => Error::NotSealed(text),
            FlashError::Unknown(_) => Error::Busy(error.to_string()),
            FlashError::Configuration(_) | FlashError::Io { .. } => Error::Io(error.to_string()),
        }
    }
}

impl From<slots::SlotInfo> for Slot {
    fn from(slot: slots::SlotInfo) -> Self {
        Slot {
            name: slot.name,
            size: slot.size,
            running: slot.running,
            good: slot.good,
            trial: slot.trial,
            content: match slot.content {
                slots::Content::Empty => Content::Empty,
                slots::Content::Partial => Content::Partial,
                slots::Content::Sealed => Content::Sealed,
            },
            version: slot.version,
            digest: slot.digest.map(|digest| digest.to_string()),
        }
    }
}

impl Context {
    pub(super) fn may_flash(&self) -> Result<(), Error> {
        if self.tenant.grants.flash {
            return Ok(());
        }
        Err(Error::Denied(format!("{} was not granted flash", self.tenant.name)))
    }

    /// The job for which a slot is written or armed.
    pub(super) fn holder(&self) -> Result<String, Error> {
        self.may_flash()?;
        let job = self.job.as_ref().map(|run| run.id.to_string());
        job.ok_or_else(|| {
            Error::Denied("slots are written and armed by jobs alone: answer `accepted` with a job".into())
        })
    }

    pub(super) async fn with_flash<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Flash) -> Result<T, FlashError> + Send + 'static,
    ) -> Result<T, Error> {
        self.may_flash()?;
        let flash = self.services.flash.clone();
        self.disk().blocking(SOON, move || work(&flash)).await.map_err(Error::Io)?.map_err(Error::from)
    }

    async fn open_staging(&mut self, slot: String, digest: String) -> Result<OpenStaging, Error> {
        let holder = self.holder()?;
        let digest: Digest =
            digest.parse().map_err(|error: DigestError| Error::InvalidDigest(error.to_string()))?;
        self.may_stage().await?;
        let assurance = self.assurance(&slot, &digest).await?;
        let wanted = digest.clone();
        let staging = self.with_flash(move |flash| flash.stage(&slot, &wanted, &holder, assurance)).await?;
        let staging = staging.wearing(self.tenant.quotas().wear());
        let flashed = self.tenant.usage.flashed.clone();
        Ok(OpenStaging { staging: Arc::new(Mutex::new(staging)), digest, flashed, disk: self.disk() })
    }

    async fn receive_image(&mut self, staging: OpenStaging, source: OpenSource) -> Result<u64, ReceiveError> {
        self.holder().map_err(ReceiveError::Flash)?;
        self.may_fetch().await.map_err(ReceiveError::Download)?;
        let image = source.image_for(&staging.digest);
        let other = || ReceiveError::Flash(Error::DigestMismatch(source.digest().to_string()));
        let image = image.ok_or_else(other)?;
        let job = self.job.as_ref().map(|run| run.handle.clone());
        let progress = move |done, total| {
            if let Some(job) = &job {
                job.progress(Progress { phase: RECEIVING.to_owned(), done, total });
            }
        };
        let before = staging.written();
        let hold = self.hold();
        if image.length.is_none_or(|length| before < length)
            && let Some(postponement) = self.tenant.quotas().flashed.reached()
        {
            // Before a byte of it is fetched.
            return Err(ReceiveError::Flash(hold.not_written(Error::Busy(postponement.reason))));
        }
        // Ends with this call, however that ends.
        let cancel = CancellationToken::new();
        let _ending = cancel.clone().drop_guard();
        let slot = Arc::clone(&staging.staging);
        let receiving = async {
            let receiver = &self.services.receiver;
            match receiver.receive(slot, &image, source.places(), &progress, &cancel).await {
                Err(receive::ReceiveError::Fetch(error)) => Err(error),
                received => Ok(received),
            }
        };
        let received = hold.fetching(receiving).await.map_err(ReceiveError::Download);
        staging.flashed.inc_by(staging.written().saturating_sub(before));
        match received? {
            Err(receive::ReceiveError::Flash(error)) => {
                Err(ReceiveError::Flash(hold.not_written(error.into())))
            }
            received => Ok(received?),
        }
    }

    /// Who vouches for an image. The repositories are asked each time: what they have withdrawn is not staged anew.
    async fn assurance(&mut self, slot: &str, digest: &Digest) -> Result<Assurance, Error> {
        let vouched = self.services.repositories.vouch(digest).await;
        match vouched.map_err(|error| Error::Io(error.to_string()))? {
            Some(target) if target.is_firmware() => {
                self.above_floor(&target).await.map_err(Error::Untrusted)?;
                self.fits_slot(slot, target.length).await?;
                Ok(Assurance::Signed(SignedImage {
                    target: target.name,
                    name: target.custom.name,
                    version: target.custom.version,
                    sequence: target.custom.sequence,
                }))
            }
            _ => Ok(Assurance::Policy(self.services.unsigned)),
        }
    }
}

impl From<receive::ReceiveError> for ReceiveError {
    fn from(error: receive::ReceiveError) -> Self {
        match error {
            receive::ReceiveError::Fetch(error) => ReceiveError::Download(error.into()),
            receive::ReceiveError::Flash(error) => ReceiveError::Flash(error.into()),
            receive::ReceiveError::Cancelled => {
                ReceiveError::Download(download::Error::Interrupted(error.to_string()))
            }
        }
    }
}

impl flash::Host for Context {
    async fn slots(&mut self) -> wasmtime::Result<Result<Vec<Slot>, Error>> {
        self.entered("flash.slots");
        let slots = self.with_flash(Flash::slots).await;
        self.answer("flash.slots", slots.map(|slots| slots.into_iter().map(Slot::from).collect()))
    }

    async fn groups(&mut self) -> wasmtime::Result<Result<Vec<Group>, Error>> {
        self.entered("flash.groups");
        let groups = self.with_flash(|flash| Ok(flash.groups())).await;
        let group = |slots::GroupInfo { name, parts }| Group { name, parts };
        self.answer("flash.groups", groups.map(|groups| groups.into_iter().map(group).collect()))
    }

    async fn activate(&mut self, slot: String) -> wasmtime::Result<Result<(), Error>> {
        self.entered("flash.activate");
        let activated = match Context::activate_if_allowed(self, slot).await {
            Ok(Activation::Armed) => Ok(()),
            Ok(Activation::Postponed(postponement)) => Err(Error::Busy(postponement.reason)),
            Err(error) => Err(error),
        };
        self.answer("flash.activate", activated)
    }

    async fn activate_if_allowed(&mut self, slot: String) -> wasmtime::Result<Result<Activation, Error>> {
        self.entered("flash.activate-if-allowed");
        let activated = Context::activate_if_allowed(self, slot).await;
        self.answer("flash.activate-if-allowed", activated)
    }

    async fn confirm(&mut self) -> wasmtime::Result<Result<(), Error>> {
        self.entered("flash.confirm");
        let confirmed = self.confirm_running().await;
        self.answer("flash.confirm", confirmed)
    }

    async fn revert(&mut self) -> wasmtime::Result<Result<(), Error>> {
        self.entered("flash.revert");
        let reverted = self.with_flash(Flash::revert).await;
        self.answer("flash.revert", reverted)
    }
}

impl flash::HostStaging for Context {
    async fn open(
        &mut self,
        slot: String,
        digest: String,
    ) -> wasmtime::Result<Result<Resource<OpenStaging>, Error>> {
        self.entered("flash.staging.open");
        match self.open_staging(slot, digest).await {
            Ok(staging) => Ok(Ok(self.table.push(staging)?)),
            Err(error) => self.answer("flash.staging.open", Err(error)),
        }
    }

    async fn written(&mut self, staging: Resource<OpenStaging>) -> wasmtime::Result<u64> {
        self.entered("flash.staging.written");
        let staging = self.table.get(&staging)?.clone();
        let written = staging.with(|staging| Ok(staging.written())).await;
        written.map_err(|error| wasmtime::format_err!("the staging cannot be asked: {error:?}"))
    }

    async fn append(
        &mut self,
        staging: Resource<OpenStaging>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.entered("flash.staging.append");
        let staging = self.table.get(&staging)?.clone();
        let guard = self.hold();
        let appended = guard.writing(staging.with(move |staging| staging.append(&bytes))).await;
        self.answer("flash.staging.append", appended)
    }

    async fn append_artifact(
        &mut self,
        staging: Resource<OpenStaging>,
        artifact: Resource<Artifact>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.entered("flash.staging.append-artifact");
        let staging = self.table.get(&staging)?.clone();
        let artifact = self.table.get(&artifact)?.clone();
        let job = self.job.as_ref().map(|run| run.handle.clone());
        let progress = move |done, total| {
            if let Some(job) = &job {
                job.progress(Progress { phase: PHASE.to_owned(), done, total });
            }
        };
        let guard = self.hold();
        let appending = staging.with(move |staging| staging.append_artifact(&artifact, &progress));
        let appended = guard.writing(appending).await;
        self.answer("flash.staging.append-artifact", appended)
    }

    async fn receive(
        &mut self,
        staging: Resource<OpenStaging>,
        source: Resource<OpenSource>,
    ) -> wasmtime::Result<Result<u64, ReceiveError>> {
        self.entered("flash.staging.receive");
        let staging = self.table.get(&staging)?.clone();
        let source = self.table.get(&source)?.clone();
        let received = self.receive_image(staging, source).await;
        self.answer("flash.staging.receive", received)
    }

    async fn seal(
        &mut self,
        staging: Resource<OpenStaging>,
        version: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.entered("flash.staging.seal");
        let staging = self.table.get(&staging)?.clone();
        let guard = self.hold();
        let sealed = guard.writing(staging.with(move |staging| staging.seal(&version))).await;
        self.answer("flash.staging.seal", sealed)
    }

    async fn drop(&mut self, staging: Resource<OpenStaging>) -> wasmtime::Result<()> {
        self.entered("flash.staging.drop");
        self.table.delete(staging)?;
        Ok(())
    }
}
