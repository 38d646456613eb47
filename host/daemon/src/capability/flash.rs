//! `flash`: the device's slots.
//!
//! The rules of slots are `flash`'s. What is added here: only a job stages, because the lease on a slot is a job's and
//! ends with it; each call does its disk work on a thread for that; and where the guest is cut in the middle of a
//! write, that write ends by itself and the slot's record stays true.

use std::sync::{Arc, Mutex, PoisonError};

use hotshoe_core::digest::{Digest, DigestError};
use hotshoe_core::job::Progress;
use prometheus_client::metrics::counter::Counter;
use wasmtime::component::Resource;

use super::bindings::hotshoe::plugin::flash::{self, Activation, Content, Error, Slot, Space};
use super::{Context, blocking};
use crate::artifact::Artifact;
use crate::flash::{self as slots, Assurance, Flash, FlashError, SignedImage, Staging};

/// What the progress of writing is called where the plugin has not named a phase.
const PHASE: &str = "writing";

/// What stands behind a guest's handle of an image on its way.
#[derive(Clone)]
pub struct OpenStaging {
    staging: Arc<Mutex<Staging>>,
    /// Counts the bytes that are written.
    flashed: Counter,
}

impl OpenStaging {
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Staging) -> Result<T, FlashError> + Send + 'static,
    ) -> Result<T, Error> {
        let (staging, flashed) = (Arc::clone(&self.staging), self.flashed.clone());
        let done = blocking(move || {
            let mut staging = staging.lock().unwrap_or_else(PoisonError::into_inner);
            let before = staging.written();
            let done = work(&mut staging);
            flashed.inc_by(staging.written().saturating_sub(before));
            done
        })
        .await;
        done.map_err(Error::Io)?.map_err(Error::from)
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
        blocking(move || work(&flash)).await.map_err(Error::Io)?.map_err(Error::from)
    }

    async fn open_staging(&mut self, slot: String, digest: String) -> Result<OpenStaging, Error> {
        let holder = self.holder()?;
        let digest: Digest =
            digest.parse().map_err(|error: DigestError| Error::InvalidDigest(error.to_string()))?;
        self.may_stage()?;
        let assurance = self.assurance(&slot, &digest).await?;
        let staging = self.with_flash(move |flash| flash.stage(&slot, &digest, &holder, assurance)).await?;
        Ok(OpenStaging { staging: Arc::new(Mutex::new(staging)), flashed: self.tenant.usage.flashed.clone() })
    }

    /// Who vouches for an image. The repositories are asked each time: what they have withdrawn is not staged anew.
    async fn assurance(&mut self, slot: &str, digest: &Digest) -> Result<Assurance, Error> {
        match self.services.repositories.vouch(digest).await {
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

impl flash::Host for Context {
    async fn slots(&mut self) -> wasmtime::Result<Result<Vec<Slot>, Error>> {
        let slots = self.with_flash(Flash::slots).await;
        Ok(slots.map(|slots| slots.into_iter().map(Slot::from).collect()))
    }

    async fn activate(&mut self, slot: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(match Context::activate_if_allowed(self, slot).await {
            Ok(Activation::Armed) => Ok(()),
            Ok(Activation::Postponed(postponement)) => Err(Error::Busy(postponement.reason)),
            Err(error) => Err(error),
        })
    }

    async fn activate_if_allowed(&mut self, slot: String) -> wasmtime::Result<Result<Activation, Error>> {
        Ok(Context::activate_if_allowed(self, slot).await)
    }

    async fn confirm(&mut self) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.confirm_running().await)
    }

    async fn revert(&mut self) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.with_flash(Flash::revert).await)
    }
}

impl flash::HostStaging for Context {
    async fn open(
        &mut self,
        slot: String,
        digest: String,
    ) -> wasmtime::Result<Result<Resource<OpenStaging>, Error>> {
        match self.open_staging(slot, digest).await {
            Ok(staging) => Ok(Ok(self.table.push(staging)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn written(&mut self, staging: Resource<OpenStaging>) -> wasmtime::Result<u64> {
        let staging = self.table.get(&staging)?.clone();
        let written = staging.with(|staging| Ok(staging.written())).await;
        written.map_err(|error| wasmtime::format_err!("the staging cannot be asked: {error:?}"))
    }

    async fn append(
        &mut self,
        staging: Resource<OpenStaging>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let staging = self.table.get(&staging)?.clone();
        let guard = self.hold();
        Ok(guard.writing(staging.with(move |staging| staging.append(&bytes))).await)
    }

    async fn append_artifact(
        &mut self,
        staging: Resource<OpenStaging>,
        artifact: Resource<Artifact>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let staging = self.table.get(&staging)?.clone();
        let artifact = self.table.get(&artifact)?.clone();
        let job = self.job.as_ref().map(|run| run.handle.clone());
        let progress = move |done, total| {
            if let Some(job) = &job {
                job.progress(Progress { phase: PHASE.to_owned(), done, total });
            }
        };
        let guard = self.hold();
        Ok(guard.writing(staging.with(move |staging| staging.append_artifact(&artifact, &progress))).await)
    }

    async fn seal(
        &mut self,
        staging: Resource<OpenStaging>,
        version: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let staging = self.table.get(&staging)?.clone();
        let guard = self.hold();
        Ok(guard.writing(staging.with(move |staging| staging.seal(&version))).await)
    }

    async fn drop(&mut self, staging: Resource<OpenStaging>) -> wasmtime::Result<()> {
        self.table.delete(staging)?;
        Ok(())
    }
}
