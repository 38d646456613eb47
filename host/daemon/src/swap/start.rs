//! The start: from the records, the shelf and the image to one live version of each plugin.
//!
//! The recorded version is live again, unless the image brings a newer one. One that does not load any more (a damaged
//! file, another policy, another engine) gives way to the one before it, then to the image's, and the reason is kept where
//! people see it; where it was the machine that refused, it is tried again first. Nothing here makes a start fail but a disk that cannot be listed: the other plugins serve.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::{Event, Origin, Record, Release, Settings, Standing};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::error::SwapError;
use super::factory::{self, Broken, Made};
use super::loaded::Loaded;
use super::patience::{Failed, patiently};
use super::plugins::{Plugins, Shared, lock};
use super::seat::{Seat, Unstored, file_name};
use super::settings::{Factory, SwapSettings};
use super::shelf::Shelf;
use crate::disk::blocking;
use crate::plugin::Routes;
use crate::state::{StateDir, StateError};

impl Plugins {
    /// Opens the plugins: those of the image in the order given (who comes first keeps what two claim), then what was
    /// installed. Afterwards the live version of each is called, and the jobs know who runs them.
    ///
    /// The jobs must have been resumed: what none of them needs is thrown away here. Gives back what could not be
    /// mounted. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// See [`SwapError`]; never what a plugin does.
    pub async fn open(
        settings: SwapSettings,
        factory: Vec<Factory>,
    ) -> Result<(Plugins, Vec<Broken>), SwapError> {
        let SwapSettings { engine, services, jobs, policy, machine, clock, state, shelf, left_out } =
            settings;
        // Also of those that are left out: what is installed in place of one has its settings, and goes back to it.
        let (order, mut made, mut broken) = factory::read(&engine, &policy, factory).await;
        let image_is_whole = broken.is_empty();
        let records = read(state.clone()).await?;
        let of_image =
            |(name, made): (&PluginName, &Made)| (name.clone(), (made.release.clone(), made.factory.clone()));
        let mut names: Vec<PluginName> = order;
        let known: HashSet<PluginName> = names.iter().cloned().collect();
        names.extend(records.keys().filter(|name| !known.contains(*name)).cloned());
        let mut seats: BTreeMap<PluginName, Arc<Seat>> =
            records.into_iter().map(|(name, record)| (name, Arc::new(Seat::new(record)))).collect();
        for name in &names {
            seats.entry(name.clone()).or_insert_with(|| Arc::new(Seat::new(Record::new(name.clone()))));
        }
        let shared = Arc::new(Shared {
            machine: Settings { downgrade: policy.install.downgrade, ..machine },
            factory: made.iter().map(of_image).collect(),
            settings: made.iter().map(|(name, made)| (name.clone(), made.factory.settings.clone())).collect(),
            engine,
            services,
            jobs,
            policy,
            clock,
            state,
            shelf: Shelf::new(shelf),
            routes: Routes::default(),
            runtime: Handle::current(),
            seats: Mutex::new(seats),
            changing: tokio::sync::Mutex::default(),
            changed: watch::Sender::new(0),
        });
        for name in names {
            let Some(seat) = lock(&shared.seats).get(&name).cloned() else { continue };
            let made = made.remove(&name);
            if let Some(reason) = left_out.reason(&name) {
                let file = made.map_or_else(|| PathBuf::from(name.as_str()), |made| made.factory.file);
                broken.push(Broken { name: Some(name), file, reason });
                continue;
            }
            if let Err(reason) = shared.begin(&seat, made.as_ref(), image_is_whole).await {
                let file = made.map_or_else(|| PathBuf::from(name.as_str()), |made| made.factory.file);
                tracing::error!(plugin = %name, reason, "plugin not mounted; the others serve without it");
                broken.push(Broken { name: Some(name), file, reason });
            }
        }
        shared.mount();
        tokio::spawn(follow_jobs(Arc::downgrade(&shared), shared.jobs.moves()));
        Ok((Plugins(shared), broken))
    }
}

/// Gives back versions when the last job that needed them has ended, for as long as there are plugins and jobs.
async fn follow_jobs(plugins: Weak<Shared>, mut moves: watch::Receiver<u64>) {
    while moves.changed().await.is_ok() {
        let Some(plugins) = plugins.upgrade() else { return };
        plugins.jobs_moved().await;
    }
}

/// All records. What is none is left alone, with an error in the log.
async fn read(state: StateDir) -> Result<BTreeMap<PluginName, Record>, SwapError> {
    let read = blocking(move || {
        let mut records = BTreeMap::new();
        for name in state.names()? {
            match state.read::<Record>(&name)? {
                Some(record) if file_name(&record) == name => {
                    drop(records.insert(record.name.clone(), record))
                }
                Some(record) => {
                    tracing::error!(file = name, plugin = %record.name, "file holds the record of another plugin; ignored");
                }
                None => {}
            }
        }
        Ok::<_, StateError>(records)
    });
    match read.await {
        Ok(records) => Ok(records?),
        // The runtime ends.
        Err(_) => Ok(BTreeMap::new()),
    }
}

impl Shared {
    /// Takes one plugin up. The error says why none of its versions is live.
    async fn begin(
        self: &Arc<Self>,
        seat: &Arc<Seat>,
        made: Option<&Made>,
        image_is_whole: bool,
    ) -> Result<(), String> {
        let changing = self.changing.lock().await;
        let record = seat.record();
        let of_image = record.live.as_ref().is_some_and(|live| matches!(live.origin, Origin::Factory { .. }));
        if of_image && made.is_none() && image_is_whole {
            tracing::info!(plugin = %record.name, "the device's image holds the plugin no more; it is removed");
            let event = Event::Remove { factory: None };
            let removed = self.transition(&changing, seat, event, None, Unstored::GoOn).await;
            return removed.map_err(|error| error.to_string());
        }
        let (mut chosen, mut kept, mut failures) = (None, None, Vec::new());
        for release in record.candidates(made.map(|made| &made.release)) {
            match patiently(|| self.try_out(&release, made)).await {
                Ok((loaded, component)) => {
                    seat.take_in(loaded);
                    (chosen, kept) = (Some(release), component);
                    break;
                }
                Err(Failed { error, is_of_the_compiler, .. }) => {
                    let text = format!("version {} does not load: {error}", release.version);
                    tracing::error!(plugin = %record.name, why = text, "a version of a plugin is passed over");
                    failures.push(text);
                    // What would be live in its place would be so for good, and nothing speaks against this one.
                    if is_of_the_compiler {
                        break;
                    }
                }
            }
        }
        let none = chosen.is_none();
        let reason = failures.join("; ");
        let event = Event::Booted { chosen, failures };
        let begun = self.transition(&changing, seat, event, kept.as_ref(), Unstored::GoOn).await;
        begun.map_err(|error| error.to_string())?;
        if none && (record.live.is_some() || made.is_some()) {
            return Err(reason);
        }
        if matches!(seat.record().standing, Standing::Probation { .. }) {
            let previous = self.load_previous(seat).await;
            // Why not has been logged, and it is tried again when it is needed.
            let _ = self.take_previous(&changing, seat, previous);
        }
        self.fetch_older(seat).await;
        if let Some(live) = seat.live() {
            let manifest = live.plugin.manifest();
            tracing::info!(plugin = %manifest.name, version = %manifest.version, "plugin mounted");
        }
        Ok(())
    }

    /// Loads a release, with its component where that is the image's.
    async fn try_out(
        self: &Arc<Self>,
        release: &Release,
        made: Option<&Made>,
    ) -> Result<(Loaded, Option<Bytes>), Failed> {
        let made = made.filter(|made| made.release.digest == release.digest);
        let component = match made {
            Some(made) => made.component.clone(),
            None => self.read(&release.digest).await?,
        };
        let limit = match release.origin {
            Origin::Factory { .. } if made.is_some() => None,
            _ => Some(&release.grants),
        };
        let loaded = self.load(&component, &release.digest, limit, &|| {}).await?;
        self.claims(loaded.plugin.manifest())?;
        Ok((loaded, made.map(|_| component)))
    }

    /// Loads a release from the shelf.
    pub(super) async fn again(self: &Arc<Self>, release: &Release) -> Result<Loaded, Failed> {
        let component = self.read(&release.digest).await?;
        Ok(self.load(&component, &release.digest, Some(&release.grants), &|| {}).await?)
    }

    /// Has those versions ready that open jobs still run on.
    async fn fetch_older(self: &Arc<Self>, seat: &Seat) {
        let record = seat.record();
        let pinned = self.pinned(&record);
        let needed = record.older.iter().chain(&record.previous);
        for release in needed.filter(|release| pinned.contains(&release.version)) {
            match patiently(|| self.again(release)).await {
                Ok(loaded) => drop(seat.take_in(loaded)),
                Err(Failed { error, .. }) => {
                    tracing::error!(plugin = %record.name, version = %release.version, %error, "a version that jobs need does not load");
                }
            }
        }
    }
}
