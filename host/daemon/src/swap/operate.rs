//! What an operator does with a plugin that is there: grant, roll back, remove.

use std::sync::Arc;

use bytes::Bytes;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::{Demand, Event, Origin, PluginSummary, Release};

use super::error::InstallError;
use super::install::Ready;
use super::plugins::{Installed, Plugins, Shared};
use super::seat::{Seat, Unstored};
use super::settings::Factory;
use super::shelf::digest_of;
use crate::disk::blocking;

impl Plugins {
    /// Takes the held version live with all that it asks for and the policy allows; where none is held, gives the live
    /// version what it asks for and the policy allows by now.
    ///
    /// # Errors
    /// See [`InstallError`]; everything is as it was then, and what was held is held.
    pub async fn grant(&self, name: &PluginName) -> Result<Installed, InstallError> {
        let shared = &self.0;
        let seat = shared.known(name)?;
        let operation = Arc::clone(&seat.operation).lock_owned().await;
        let record = seat.record();
        let nothing = || InstallError::NothingHeld(name.clone());
        let release = record.held.map(|held| held.release).or(record.live.clone()).ok_or_else(nothing)?;
        let component = shared.read(&release.digest).await?;
        let loaded = shared.load(&component, &release.digest, None, &|| {}).await?;
        shared.claims(loaded.plugin.manifest())?;
        let grants = loaded.plugin.grants().clone();
        let same = record.live.is_some_and(|live| live.digest == release.digest && live.grants == grants);
        if same {
            return Err(nothing());
        }
        let release = Release { grants, ..release };
        let ready = Ready { release, loaded, component, demand: Demand::Explicit, granted: true };
        shared.finish(seat, operation, ready, &|_| {}).await
    }

    /// Takes the version before live again. The one that was live is not brought back by the desired properties for a
    /// while.
    ///
    /// # Errors
    /// See [`InstallError`]; everything is as it was then.
    pub async fn rollback(&self, name: &PluginName) -> Result<PluginSummary, InstallError> {
        let seat = self.0.known(name)?;
        let operation = Arc::clone(&seat.operation).lock_owned().await;
        let shared = Arc::clone(&self.0);
        let nothing = InstallError::NothingToRollBackTo(name.clone());
        let going = self.0.runtime.spawn(async move {
            let _operation = operation;
            let previous = shared.load_previous(&seat).await;
            let changing = shared.changing.lock().await;
            shared.take_previous(&changing, &seat, previous)?;
            let Some(previous) = seat.record().previous else { return Err(nothing) };
            let loaded = seat.loaded().into_iter().find(|loaded| loaded.digest == previous.digest);
            let loaded = loaded.ok_or(InstallError::Missing(previous.digest))?;
            shared.claims(loaded.plugin.manifest())?;
            shared.transition(&changing, &seat, Event::RollBack, None, Unstored::Refuse).await?;
            Ok(shared.summary(&seat))
        });
        going.await.map_err(|_| InstallError::Busy)?
    }

    /// Takes out what was installed. The version of the device's own image comes back where there is one.
    ///
    /// # Errors
    /// See [`InstallError`]; everything is as it was then.
    pub async fn remove(&self, name: &PluginName) -> Result<(), InstallError> {
        let seat = self.0.known(name)?;
        let operation = Arc::clone(&seat.operation).lock_owned().await;
        let live = seat.record().live.ok_or_else(|| InstallError::Unknown(name.clone()))?;
        if matches!(live.origin, Origin::Factory { .. }) {
            return Err(InstallError::Factory(name.clone()));
        }
        let shared = Arc::clone(&self.0);
        let factory = self.0.factory.get(name).cloned();
        let going = self.0.runtime.spawn(async move {
            let _operation = operation;
            shared.take_out(&seat, factory).await
        });
        going.await.map_err(|_| InstallError::Busy)?
    }
}

impl Shared {
    async fn take_out(
        self: &Arc<Self>,
        seat: &Arc<Seat>,
        factory: Option<(Release, Factory)>,
    ) -> Result<(), InstallError> {
        let (release, component) = match factory {
            Some((release, file)) => {
                let component = read_factory(&release, file).await?;
                (Some(release), Some(component))
            }
            None => (None, None),
        };
        let loaded = match (&release, &component) {
            (Some(release), Some(component)) => {
                Some(self.load(component, &release.digest, None, &|| {}).await?)
            }
            _ => None,
        };
        let changing = self.changing.lock().await;
        if let Some(loaded) = loaded {
            self.claims(loaded.plugin.manifest())?;
            seat.take_in(loaded);
        }
        let event = Event::Remove { factory: release };
        self.transition(&changing, seat, event, component.as_ref(), Unstored::Refuse).await
    }
}

/// The component of a factory plugin, as it was at the start.
async fn read_factory(release: &Release, file: Factory) -> Result<Bytes, InstallError> {
    let read = blocking(move || file.read().map(|bytes| (digest_of(&bytes), bytes))).await;
    let read = read.map_err(|_| InstallError::Busy)?;
    let (digest, bytes) = read.map_err(InstallError::Unread)?;
    if digest == release.digest {
        Ok(bytes.into())
    } else {
        Err(InstallError::Missing(release.digest.clone()))
    }
}
