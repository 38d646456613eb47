//! What holds for all of the host's functions: the way in, the way to a disk, and the way out.
//!
//! A function of the host is entered once the guest's arguments were copied ([`super::limits`] bounds them). What can
//! take long, takes a place and has an end of its own; whatever happens in a function, a panic too, ends with the call
//! (`plugin::call` stops it there). What the host answers with a no is told in the plugin's log, in the words of the
//! answer: once, and again when it has been quiet for a while, so that a plugin that asks in a loop fills no log.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::Level;

use super::Context;
use super::allowance::Allowance;

/// Told of each function that a guest calls, as `storage.set`.
#[derive(Clone)]
pub struct Probe(Arc<dyn Fn(&'static str) + Send + Sync>);

impl Probe {
    /// Has this called.
    pub fn new(probe: impl Fn(&'static str) + Send + Sync + 'static) -> Probe {
        Probe(Arc::new(probe))
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Probe")
    }
}

/// How long a disk may take for something small.
pub(super) const SOON: Duration = Duration::from_secs(60);
/// How long it may take for an image: at 1 MiB/s, the largest that fits a slot.
pub(super) const IMAGE: Duration = Duration::from_secs(6 * 3600);
/// How long a function must not have been refused for the next no to be told again.
const QUIET: Duration = Duration::from_secs(10);
/// The longest text of a no in the log, in bytes.
const TEXT_LIMIT: usize = 500;

/// When which function was last answered with a no, and how many noes were not told since.
#[derive(Default)]
pub(super) struct Denials(Mutex<BTreeMap<&'static str, (Instant, u64)>>);

impl Denials {
    /// Whether a no is told, and how many before it were not.
    fn tells(&self, function: &'static str, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((last, untold)) = all.get_mut(function) else {
            all.insert(function, (now, 0));
            return Some(0);
        };
        let was_quiet = now.saturating_duration_since(*last) >= QUIET;
        *last = now;
        if was_quiet {
            return Some(std::mem::take(untold));
        }
        *untold = untold.saturating_add(1);
        None
    }
}

impl Context {
    /// A guest has called this function, as `storage.set`.
    pub(super) fn entered(&self, function: &'static str) {
        if let Some(probe) = &self.tenant.device.probe {
            probe.0(function);
        }
    }

    /// The answer to a guest, as it is. A no is told in the log.
    pub(super) fn answer<T, E: Debug>(
        &self,
        function: &'static str,
        answer: Result<T, E>,
    ) -> wasmtime::Result<Result<T, E>> {
        if let Err(error) = &answer
            && let Some(untold) = self.tenant.denials.tells(function, Instant::now())
        {
            let mut text = format!("{function} was refused: {error:?}");
            if text.len() > TEXT_LIMIT {
                text.truncate(text.floor_char_boundary(TEXT_LIMIT));
                text.push('…');
            }
            if untold > 0 {
                text.push_str(&format!(" ({untold} times more since this was last told)"));
            }
            let tenant = &self.tenant;
            tracing::warn!(plugin = %tenant.name, version = %tenant.version, "{}", text.escape_debug());
            tenant.log.host(Level::WARN, &text);
        }
        Ok(answer)
    }

    /// The plugin's way to the disk.
    pub(super) fn disk(&self) -> Disk {
        Disk(Arc::clone(&self.tenant.device.allowance))
    }
}

/// The way to a disk of one plugin. Cheap to clone.
#[derive(Clone)]
pub(super) struct Disk(Arc<Allowance>);

impl Disk {
    /// Runs what blocks on a disk beside the executor, at most so long. The text of an error is for the plugin.
    ///
    /// What takes longer, or whose call is over, goes on to its end and keeps its place among the plugin's until then:
    /// so no plugin takes more of the host's threads than it has places, whatever its disk does.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let place =
            self.0.disk().await.ok_or("too many calls of the plugin wait for the disk; try again later")?;
        let working = crate::disk::blocking(move || {
            let _place = place;
            work()
        });
        match tokio::time::timeout(limit, working).await {
            Ok(done) => done.map_err(|error| format!("the host could not do it: {error}")),
            Err(_) => Err(format!("the disk took longer than {} s; try again later", limit.as_secs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_is_told_once_a_burst_with_how_many_were_not() {
        let denials = Denials::default();
        let now = Instant::now();
        assert_eq!(denials.tells("storage.set", now), Some(0));
        assert_eq!(denials.tells("report.patch", now), Some(0));
        for second in 1..5 {
            assert_eq!(denials.tells("storage.set", now + Duration::from_secs(second * 5)), None);
        }
        assert_eq!(denials.tells("storage.set", now + Duration::from_secs(30)), Some(4));
        assert_eq!(denials.tells("storage.set", now + Duration::from_secs(60)), Some(0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_stuck_on_a_disk_keeps_its_place_and_nobody_elses() {
        let disk = Disk(Arc::default());
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let stuck = Arc::new(Mutex::new(stuck));
        for _ in 0..6 {
            let stuck = Arc::clone(&stuck);
            let work = move || stuck.lock().map(|stuck| stuck.recv().is_ok()).unwrap_or_default();
            let error = disk.blocking(Duration::from_millis(1), work).await.unwrap_err();
            assert!(error.contains("longer than"), "{error}");
        }
        let mut waiting = std::pin::pin!(disk.blocking(SOON, || 7));
        assert!(futures_util::FutureExt::now_or_never(waiting.as_mut()).is_none());
        assert_eq!(Disk(Arc::default()).blocking(SOON, || 8).await, Ok(8), "of another plugin");
        release.send(()).unwrap();
        assert_eq!(waiting.await, Ok(7));
        drop(release);
    }
}
