//! When a crate was saved.
//!
//! An editor writes a file in several steps and several files at once, so a change is told after a moment of rest. Only
//! what an author writes counts: the sources and the two manifests, not what cargo writes beside them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{Event, RecursiveMode, Watcher};
use tokio::{sync::mpsc, time::timeout};

use crate::failure::{Exit, Failure};

/// How long nothing must happen.
const REST: Duration = Duration::from_millis(150);

/// A crate under watch.
pub(super) struct Watch {
    events: mpsc::UnboundedReceiver<notify::Result<Event>>,
    directory: PathBuf,
    /// Something was saved that was not told yet.
    saved: bool,
    // Watching ends with it.
    _watcher: notify::RecommendedWatcher,
}

impl Watch {
    /// Begins to watch: changes from now on are not missed.
    pub(super) fn start(directory: &Path) -> Result<Self, Failure> {
        let shown = directory.display();
        let directory = std::fs::canonicalize(directory)
            .map_err(|error| Failure::new(Exit::NoInput, format!("could not read {shown}: {error}")))?;
        let failed = |error: notify::Error| {
            Failure::new(Exit::OsError, format!("could not watch {}: {error}", directory.display()))
        };
        let (sender, events) = mpsc::unbounded_channel();
        let mut watcher =
            notify::recommended_watcher(move |event| drop(sender.send(event))).map_err(failed)?;
        watcher.watch(&directory, RecursiveMode::NonRecursive).map_err(failed)?;
        for below in ["src", "wit"] {
            let below = directory.join(below);
            if below.is_dir() {
                watcher.watch(&below, RecursiveMode::Recursive).map_err(failed)?;
            }
        }
        Ok(Watch { events, directory, saved: false, _watcher: watcher })
    }

    /// Waits for a save. May be dropped at any moment: a save that it has seen is told the next time.
    pub(super) async fn changed(&mut self) -> Result<(), Failure> {
        while !self.saved {
            let event = self.events.recv().await;
            self.saved = self.matters(event)?;
        }
        while let Ok(event) = timeout(REST, self.events.recv()).await {
            self.matters(event)?;
        }
        self.saved = false;
        Ok(())
    }

    fn matters(&self, event: Option<notify::Result<Event>>) -> Result<bool, Failure> {
        let gone = || Failure::new(Exit::OsError, "the system stopped telling of changes");
        let event = event.ok_or_else(gone)?.map_err(|error| {
            Failure::new(Exit::OsError, format!("could not watch {}: {error}", self.directory.display()))
        })?;
        if event.kind.is_access() {
            return Ok(false);
        }
        Ok(event.need_rescan() || event.paths.iter().any(|path| self.is_source(path)))
    }

    fn is_source(&self, path: &Path) -> bool {
        let Ok(path) = path.strip_prefix(&self.directory) else { return false };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match path.components().count() {
            1 => ["Cargo.toml", "plugin.toml"].contains(&name),
            // What editors write beside: `.x.swp`, `x~`, `4913`.
            _ => !name.starts_with('.') && !name.ends_with('~') && name.contains('.'),
        }
    }
}
