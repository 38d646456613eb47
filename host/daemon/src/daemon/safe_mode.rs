//! What happens to a host that dies again and again.
//!
//! Promise: a host that was started [`SafeModeSettings::starts`] times without staying up comes up in *safe mode*: it
//! speaks to the hub and answers its own methods, and does nothing else; no plugin is mounted, jobs wait. So a device
//! that its plugins or an image keep killing can still be asked and helped. Before that a plugin that was being called
//! at each of the last deaths is left out alone, and the others serve.
//!
//! Starts are counted within one boot of the device: a power cut is not the host's fault, and a restart of the device
//! begins anew. An orderly end does, too. An image on trial whose host keeps dying is given up instead: the boot loader
//! falls back, which is what a trial is for. Safe mode ends by the method `hotshoe.safeMode.leave`, by an orderly restart
//! of the host or the device, or by itself after a while, for one start on probation.
//!
//! The count is durable. Which plugin is being called is only a file without a flush, and only once the host has died:
//! the process dies, not the kernel that holds the file.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::start::Then;
use crate::config::SafeModeSettings;
use crate::disk::{Folder, Open, blocking};
use crate::flash::Flash;
use crate::job::Restart;
use crate::plugin::Witness;
use crate::state::StateDir;

/// The file of the count.
const FILE: &str = "starts";
/// At how many deaths in a row a plugin must have been called to be left out.
const BLAMED: u32 = 2;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    boot_id: String,
    /// Starts since the host last stayed up, this one included.
    starts: u32,
    /// Plugins that were being called when it died, and at how many deaths in a row.
    suspects: BTreeMap<String, u32>,
    /// Plugins that are left out.
    without: BTreeSet<String>,
}

/// This start of the host among others.
#[derive(Debug)]
pub struct SafeMode {
    settings: SafeModeSettings,
    state: StateDir,
    record: Mutex<Record>,
    witness: Arc<Inside>,
    reason: Option<String>,
}

impl SafeMode {
    /// Counts this start, durably, and decides what it may do. `inside` is a directory of its own.
    ///
    /// A disk that refuses (a full one above all) ends nothing: a start that is not counted is less harm than none, since
    /// the hub is how somebody learns of that disk.
    pub fn begin(
        settings: SafeModeSettings,
        state: StateDir,
        inside: Arc<dyn Folder>,
        boot_id: &str,
    ) -> SafeMode {
        let known = state.read::<Record>(FILE).unwrap_or_else(|error| {
            tracing::error!(%error, "how often the host was started is not known");
            None
        });
        let known = known.filter(|record| record.boot_id == boot_id);
        let mut record = known.unwrap_or_else(|| Record { boot_id: boot_id.to_owned(), ..Record::default() });
        let called = Inside::clear(inside.as_ref());
        record.starts = record.starts.saturating_add(1);
        record.suspects.retain(|plugin, _| called.contains(plugin));
        // What the first death was about nobody has watched.
        for plugin in called.into_iter().filter(|_| record.starts > 2) {
            let deaths = record.suspects.entry(plugin).or_default();
            *deaths = deaths.saturating_add(1);
        }
        let blamed = record.suspects.iter().filter(|(_, deaths)| **deaths >= BLAMED);
        let blamed: Vec<String> = blamed.map(|(plugin, _)| plugin.clone()).collect();
        for plugin in blamed {
            tracing::error!(plugin, "the host died each time this plugin was called; it is left out");
            record.suspects.remove(&plugin);
            record.without.insert(plugin);
        }
        if let Err(error) = state.write(FILE, &record) {
            tracing::error!(%error, "this start of the host is not counted");
        }
        let reason = (record.starts > settings.starts).then(|| {
            format!("the host was started {} times without staying up", record.starts.saturating_sub(1))
        });
        if let Some(reason) = &reason {
            tracing::error!(reason, "safe mode: no plugin is mounted and jobs wait");
        }
        let witness = Arc::new(Inside { folder: inside, calls: Mutex::default() });
        SafeMode { settings, state, record: Mutex::new(record), witness, reason }
    }

    /// Why the host is in safe mode; `None` where it is not.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Plugins that are left out alone.
    pub fn without(&self) -> BTreeSet<String> {
        self.record().without.clone()
    }

    /// Whom to tell about calls: nobody, as long as nothing has died.
    pub fn witness(&self) -> Option<Arc<dyn Witness>> {
        (self.record().starts > 1).then(|| Arc::clone(&self.witness) as Arc<dyn Witness>)
    }

    /// Waits until the host has stayed up, and says so; in safe mode until it is time to try again, which is told by
    /// returning.
    pub async fn watch(&self) {
        if self.reason.is_some() {
            tokio::time::sleep(self.settings.retry_after).await;
            tracing::warn!("safe mode has lasted its time; trying again");
            // One start: if it dies it is safe mode again.
            let starts = self.settings.starts.saturating_sub(1);
            self.change(|record| record.starts = starts);
            return;
        }
        tokio::time::sleep(self.settings.stable_after).await;
        self.change(|record| {
            record.starts = 0;
            record.suspects.clear();
        });
        std::future::pending().await
    }

    /// The host has ended in order. Whoever ended it begins anew; where it ends to be started anew this start was no death,
    /// and the deaths before it count on.
    pub fn ended(&self, then: Then) {
        match then {
            Then::End => self.leave(),
            // Out of safe mode it is said there how the next start counts.
            Then::Again if self.reason.is_some() => {}
            Then::Again => self.change(|record| record.starts = record.starts.saturating_sub(1)),
        }
    }

    /// Begins anew: the next start is the first.
    pub fn leave(&self) {
        let boot_id = self.record().boot_id.clone();
        self.change(|record| *record = Record { boot_id, ..Record::default() });
    }

    fn change(&self, change: impl FnOnce(&mut Record)) {
        let mut record = self.record();
        change(&mut record);
        if let Err(error) = self.state.write(FILE, &*record) {
            tracing::warn!(%error, "how often the host was started is not kept");
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The image that runs keeps killing the host and was never confirmed: the boot loader is to fall back, now and not when
/// somebody comes by. A trial that was given up already and is still running counts, too.
pub async fn give_up_trial(flash: &Flash, restart: &dyn Restart) {
    tracing::error!(
        "the host keeps dying under an image on trial; the trial is given up and the device restarted"
    );
    let flash = flash.clone();
    match blocking(move || flash.revert()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the trial cannot be given up; it lapses at the next boot"),
        Err(error) => tracing::error!(%error, "the trial cannot be given up; it lapses at the next boot"),
    }
    if let Err(error) = restart.ask().await {
        tracing::error!(error, "the device is not restarted; it falls back when somebody does");
    }
}

/// A file for each plugin that is being called.
#[derive(Debug)]
struct Inside {
    folder: Arc<dyn Folder>,
    calls: Mutex<HashMap<String, usize>>,
}

impl Inside {
    /// Which plugins were being called when the host died.
    fn clear(folder: &dyn Folder) -> BTreeSet<String> {
        let names: BTreeSet<String> = folder.names().unwrap_or_default().into_iter().collect();
        for name in &names {
            let _ = folder.remove(name);
        }
        names
    }

    fn count(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Called {
    inside: Arc<Inside>,
    plugin: String,
}

impl Witness for Inside {
    fn enter(self: Arc<Self>, plugin: &str) -> Box<dyn Any + Send> {
        let mut calls = self.count();
        let open = calls.entry(plugin.to_owned()).or_default();
        *open = open.saturating_add(1);
        if *open == 1
            && let Err(error) = self.folder.open(plugin, Open::Create)
        {
            tracing::debug!(%error, plugin, "the call is not written down");
        }
        drop(calls);
        Box::new(Called { inside: self, plugin: plugin.to_owned() })
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        let mut calls = self.inside.count();
        let left = calls.get(&self.plugin).map_or(0, |open| open.saturating_sub(1));
        if left > 0 {
            calls.insert(self.plugin.clone(), left);
        } else {
            calls.remove(&self.plugin);
            let _ = self.inside.folder.remove(&self.plugin);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cap_std::fs::Dir;

    use super::*;

    struct Device(tempfile::TempDir);

    impl Device {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn start(&self, boot_id: &str) -> SafeMode {
            let open = |name: &str| {
                let path = self.0.path().join(name);
                std::fs::create_dir_all(&path).unwrap();
                Dir::open_ambient_dir(path, cap_std::ambient_authority()).unwrap()
            };
            let settings =
                SafeModeSettings { starts: 5, stable_after: Duration::ZERO, retry_after: Duration::ZERO };
            SafeMode::begin(settings, StateDir::new(open("state")), Arc::new(open("inside")), boot_id)
        }
    }

    #[test]
    fn too_many_starts_within_one_boot_are_safe_mode() {
        let device = Device::new();
        for start in 1..=5 {
            assert_eq!(device.start("one").reason(), None, "{start}");
        }
        let safe = device.start("one");
        assert!(safe.reason().unwrap().contains("5 times"), "{safe:?}");
        assert!(device.start("one").reason().is_some(), "and again");
        assert_eq!(device.start("two").reason(), None, "another boot begins anew");
        for _ in 0..5 {
            device.start("two");
        }
        device.start("two").leave();
        assert_eq!(device.start("two").reason(), None, "left by order");
    }

    #[test]
    fn a_start_that_ends_to_be_started_anew_is_no_death() {
        let device = Device::new();
        for _ in 0..20 {
            device.start("one").ended(Then::Again);
        }
        for start in 1..=5 {
            assert_eq!(device.start("one").reason(), None, "{start}");
            if start < 5 {
                device.start("one").ended(Then::Again);
            }
        }
        let safe = device.start("one");
        assert!(safe.reason().is_some(), "the deaths in between count");
        safe.ended(Then::Again);
        assert!(device.start("one").reason().is_some(), "and safe mode goes on");
        device.start("one").ended(Then::End);
        assert_eq!(device.start("one").reason(), None, "whoever ends it begins anew");
    }

    #[tokio::test]
    async fn staying_up_begins_anew_and_safe_mode_tries_again() {
        let device = Device::new();
        for _ in 0..4 {
            device.start("one");
        }
        let stable = device.start("one");
        let noted = async {
            while stable.record().starts > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = stable.watch() => panic!("there is nothing to do but to go on"),
            () = noted => {}
        }
        for start in 1..=5 {
            assert_eq!(device.start("one").reason(), None, "{start}");
        }
        let safe = device.start("one");
        safe.watch().await;
        assert_eq!(device.start("one").reason(), None, "on probation");
        assert!(device.start("one").reason().is_some(), "it died");
    }

    #[test]
    fn a_disk_that_refuses_keeps_no_host_from_starting() {
        let device = Device::new();
        // A folder in place of the file can be neither read nor written.
        std::fs::create_dir_all(device.0.path().join("state").join(FILE)).unwrap();
        for _ in 1..=9 {
            assert_eq!(device.start("one").reason(), None, "what is not counted is not held against it");
        }
    }

    #[test]
    fn the_plugin_that_was_called_at_each_death_is_left_out() {
        let device = Device::new();
        assert!(device.start("one").witness().is_none(), "nothing has died yet");
        for start in 2..=3 {
            let life = device.start("one");
            assert!(life.without().is_empty(), "{start}");
            let witness = life.witness().unwrap();
            let enter = |name| Arc::clone(&witness).enter(name);
            let good = enter("good");
            let bad = [enter("bad"), enter("bad")];
            drop(good);
            // Once called at the same time, once not.
            if start == 2 {
                std::mem::forget(enter("unlucky"));
            }
            // It dies: nothing is dropped.
            std::mem::forget(bad);
        }
        let life = device.start("one");
        assert_eq!(life.without(), BTreeSet::from(["bad".to_owned()]));
        assert_eq!(life.reason(), None, "the others serve");
        drop(life.witness().unwrap().enter("good"));
        assert_eq!(device.start("one").without().len(), 1, "it stays out");
        assert!(device.start("two").without().is_empty(), "until the device is restarted");
    }
}
