//! The way of a candidate: from bytes to the version that answers calls.
//!
//! Each step is from cheap to dear, and none but the last changes anything. The last is carried out even where whoever
//! asked goes away: the record is stored and calls go to the new version, or neither.

use std::sync::Arc;

use bytes::Bytes;
use hotshoe_core::manifest::Manifest;
use hotshoe_core::swap::{Admission, Demand, Event, Phase, Release, Standing, admit, trusted};
use tokio::sync::OwnedMutexGuard;

use super::adopt;
use super::error::InstallError;
use super::loaded::Loaded;
use super::plugins::{Candidate, Installed, Plugins, Shared, lock};
use super::seat::{Seat, Unstored};
use super::shelf::digest_of;
use crate::disk::blocking;
use crate::plugin::agree;

/// Who is told how far a candidate has come.
pub(super) type Progress<'a> = &'a (dyn Fn(Phase) + Send + Sync);

/// A candidate that may go live.
pub(super) struct Ready {
    pub(super) release: Release,
    pub(super) loaded: Loaded,
    pub(super) component: Bytes,
    pub(super) demand: Demand,
    pub(super) granted: bool,
}

impl Plugins {
    /// Has a candidate take the place of the live version of its plugin, or holds it until it is granted what it asks
    /// for. `watch` is told each step once it is done.
    ///
    /// One operation of a plugin at a time; others wait. Where the future is dropped before the last step nothing was
    /// done.
    ///
    /// # Errors
    /// See [`InstallError`]; everything is as it was then.
    pub async fn install(
        &self,
        candidate: Candidate,
        watch: &(dyn Fn(Phase) + Send + Sync),
    ) -> Result<Installed, InstallError> {
        let shared = &self.0;
        let Candidate { component, origin, expected, demand } = candidate;
        let manifest = shared.engine.inspect(&component)?;
        if let Some((name, version)) = &expected {
            let other = version.as_ref().is_some_and(|version| *version != manifest.version);
            if other || *name != manifest.name {
                let version = version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
                let found = format!("{} {}", manifest.name, manifest.version);
                return Err(InstallError::NotExpected { wanted: format!("{name}{version}"), found });
            }
        }
        let bytes = component.clone();
        let digest = blocking(move || digest_of(&bytes)).await.map_err(|_| InstallError::Busy)?;
        watch(Phase::Received);
        trusted(&origin, shared.policy.install.unsigned)?;
        watch(Phase::Trusted);

        let seat = shared.seat(&manifest.name)?;
        let operation = Arc::clone(&seat.operation).lock_owned().await;
        let version = &manifest.version;
        let admission = admit(&seat.record(), version, &digest, demand, shared.now(), &shared.machine)?;
        if admission == Admission::Unchanged && seat.live().is_some() {
            return Ok(Installed::Unchanged(shared.summary(&seat)));
        }
        // The live one that did not load any more comes back as it was, with no more rights.
        let live = seat.record().live.filter(|_| admission == Admission::Unchanged);
        let limit = live.as_ref().map(|live| &live.grants);
        let loaded = shared.load(&component, &digest, limit, &|| watch(Phase::Compiled)).await?;
        shared.claims(&manifest)?;
        watch(Phase::Linked);
        let grants = loaded.plugin.grants().clone();
        let release = Release { version: version.clone(), digest, origin, grants, at: shared.now() };
        let ready = Ready { release, loaded, component, demand, granted: false };
        shared.finish(seat, operation, ready, watch).await
    }
}

impl Shared {
    /// Whether a plugin claims nothing that another one has, or may have to have again.
    pub(super) fn claims(&self, manifest: &Manifest) -> Result<(), InstallError> {
        let seats: Vec<Arc<Seat>> = lock(&self.seats).values().cloned().collect();
        for seat in seats {
            let record = seat.record();
            if record.name == manifest.name {
                continue;
            }
            let fresh = matches!(record.standing, Standing::Probation { .. });
            let previous = record.previous.as_ref().filter(|_| fresh);
            let counted: Vec<_> = record.live.iter().chain(previous).map(|release| &release.digest).collect();
            for other in seat.loaded().iter().filter(|loaded| counted.contains(&&loaded.digest)) {
                agree(manifest, other.plugin.manifest())?;
            }
        }
        Ok(())
    }

    /// The last steps: the open jobs are offered, then the candidate goes live, or is held.
    pub(super) async fn finish(
        self: &Arc<Self>,
        seat: Arc<Seat>,
        operation: OwnedMutexGuard<()>,
        ready: Ready,
        watch: Progress<'_>,
    ) -> Result<Installed, InstallError> {
        let live = seat.record().live;
        let wants = live.map(|live| ready.release.grants.beyond(&live.grants)).unwrap_or_default();
        if wants.is_empty() || ready.granted {
            adopt::offer(&self.jobs, &seat.record().name, &ready.loaded.plugin).await?;
            watch(Phase::Adopting);
        }
        let shared = Arc::clone(self);
        let going = self.runtime.spawn(async move {
            let result = shared.go(&seat, ready).await;
            drop(operation);
            result
        });
        let installed = going.await.map_err(|_| InstallError::Busy)??;
        if matches!(installed, Installed::Live(_)) {
            watch(Phase::Live);
        }
        Ok(installed)
    }

    async fn go(self: &Arc<Self>, seat: &Arc<Seat>, ready: Ready) -> Result<Installed, InstallError> {
        let Ready { release, loaded, component, demand, granted } = ready;
        let changing = self.changing.lock().await;
        // What was so before the lock may be so no more.
        self.claims(loaded.plugin.manifest())?;
        let (version, digest) = (release.version.clone(), release.digest.clone());
        let admission = admit(&seat.record(), &version, &digest, demand, self.now(), &self.machine)?;
        let event = if admission == Admission::Unchanged && !granted {
            self.keep(&digest, Some(&component)).await?;
            Event::Booted { chosen: seat.record().live, failures: Vec::new() }
        } else {
            Event::Ready { release, demand, granted }
        };
        let before = seat.take_in(loaded);
        let done = self.transition(&changing, seat, event, Some(&component), Unstored::Refuse).await;
        if let Err(error) = done {
            seat.drop_loaded(&digest);
            before.into_iter().for_each(|before| drop(seat.take_in(before)));
            return Err(error);
        }
        let record = seat.record();
        let held = record.held.filter(|held| held.release.digest == digest);
        match held {
            Some(held) => Ok(Installed::Held(self.summary(seat), held.wants)),
            None => Ok(Installed::Live(self.summary(seat))),
        }
    }
}
