//! What each plugin has used of what it may use in a day, whatever its version and however often the host begins anew.
//!
//! Order: the count is on the disk before the bytes are, a step at a time. Bytes that cannot be counted are not written.
//! What comes back while the host is off counts where the clock was set before and is set after; nothing else is known
//! of that time. Where nothing is used any more nothing is kept.
//!
//! The arithmetic is `hotshoe_core::policy::quota`'s. A file that is unreadable is set aside as all state is, and the count
//! begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::BoxFuture;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::policy::Allowed;
use hotshoe_core::policy::quota::{Kept, Quota, Take, Used};
use hotshoe_core::policy::update::Postponement;
use hotshoe_core::swap::QuotaSummary;

use super::Traffic;
use crate::disk::blocking;
use crate::fetch::{Clock, Meter};
use crate::flash::{FlashError, Wear};
use crate::state::{StateDir, StateError};

/// The quotas of all plugins.
pub(super) struct Quotas {
    /// What holds where the policy says nothing.
    default: Quota,
    now: Now,
    flashed: StateDir,
    fetched: StateDir,
    plugins: Mutex<HashMap<PluginName, Arc<PluginQuotas>>>,
}

/// The quotas of a plugin, over all of its versions.
#[derive(Debug)]
pub struct PluginQuotas {
    /// Of bytes written into slots.
    pub flashed: Arc<Count>,
    /// Of bytes that came over the network.
    pub fetched: Arc<Count>,
}

/// Counts the bytes of one plugin and one kind.
pub struct Count {
    what: &'static str,
    name: String,
    state: StateDir,
    now: Now,
    level: Mutex<Level>,
    /// Held by whoever writes to the disk.
    writing: Mutex<()>,
}

struct Level {
    used: Used,
    seen: Instant,
    opened: Instant,
    /// When it was kept last before this host began, as long as nobody knows how long ago that is.
    before: Option<u64>,
}

/// Tells the time, in seconds since the Unix epoch, where it is known.
#[derive(Clone)]
struct Now {
    clock: Clock,
    built: u64,
}

impl Now {
    fn get(&self) -> Option<u64> {
        Some((self.clock)()).filter(|now| *now >= self.built)
    }
}

impl Quotas {
    /// `largest` is the size of the largest slot, in bytes.
    pub(super) fn open(
        largest: u64,
        clock: Clock,
        built: u64,
        state: &StateDir,
    ) -> Result<Quotas, StateError> {
        let quotas = Quotas {
            default: Quota::of_slot(largest),
            now: Now { clock, built },
            flashed: state.subdirectory("flashed")?,
            fetched: state.subdirectory("fetched")?,
            plugins: Mutex::default(),
        };
        quotas.sweep(&quotas.flashed)?;
        quotas.sweep(&quotas.fetched)?;
        Ok(quotas)
    }

    /// Takes out what is older than a day, after which nothing is left of it.
    fn sweep(&self, state: &StateDir) -> Result<(), StateError> {
        let Some(now) = self.now.get() else { return Ok(()) };
        // More than a quota is never kept but for a piece, which two days forgive.
        let is_over = |kept: Kept| kept.at.is_some_and(|at| now.saturating_sub(at) > 2 * 24 * 3600);
        for name in state.names()? {
            let swept = state.read::<Kept>(&name).and_then(|kept| match kept.is_some_and(is_over) {
                true => state.remove(&name),
                false => Ok(()),
            });
            // It takes little room, and whose it is may be gone for long.
            if let Err(error) = swept {
                tracing::error!(%error, file = name, "what a plugin has used before is not known; it stays");
            }
        }
        Ok(())
    }

    /// The quotas of a plugin, by what the policy allows it. Blocks on the disk where they were not asked for before.
    pub(super) fn of(
        &self,
        plugin: &PluginName,
        allowed: Option<&Allowed>,
    ) -> Result<Arc<PluginQuotas>, StateError> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of plugins that are gone and have used nothing.
        plugins.retain(|_, quotas| {
            Arc::strong_count(quotas) > 1 || quotas.flashed.used() > 0 || quotas.fetched.used() > 0
        });
        if let Some(quotas) = plugins.get(plugin) {
            return Ok(Arc::clone(quotas));
        }
        let open = |what, quota: Option<Quota>, state: &StateDir| {
            Count::open(what, plugin, quota.unwrap_or(self.default), state.clone(), self.now.clone())
                .map(Arc::new)
        };
        let (flash, download) =
            allowed.map_or((None, None), |allowed| (allowed.flash_per_day, allowed.download_per_day));
        let quotas = Arc::new(PluginQuotas {
            flashed: open("written into slots", flash, &self.flashed)?,
            fetched: open("downloaded", download, &self.fetched)?,
        });
        plugins.insert(plugin.clone(), Arc::clone(&quotas));
        Ok(quotas)
    }
}

impl PluginQuotas {
    /// What is used of them.
    pub fn summary(&self) -> Vec<QuotaSummary> {
        [&self.flashed, &self.fetched].into_iter().map(|count| count.summary()).collect()
    }

    /// Counts what comes over the network for the plugin: against its quota, and against the caps of the link.
    pub fn meter(&self, traffic: &Traffic) -> Arc<dyn Meter> {
        Arc::new(Both { fetched: Arc::clone(&self.fetched), traffic: traffic.clone() })
    }

    /// Counts what is written into slots for it.
    pub fn wear(&self) -> Arc<dyn Wear> {
        Arc::clone(&self.flashed) as Arc<dyn Wear>
    }
}

impl Count {
    fn open(
        what: &'static str,
        plugin: &PluginName,
        quota: Quota,
        state: StateDir,
        now: Now,
    ) -> Result<Count, StateError> {
        // Some names with dots in them, `acme.new` for one, are no state file's. No plugin's has an underscore.
        let name = plugin.as_str().replace('.', "_");
        let kept = state.read::<Kept>(&name)?.unwrap_or_default();
        let opened = Instant::now();
        let level = Level { used: Used::of(quota, kept), seen: opened, opened, before: kept.at };
        Ok(Count { what, name, state, now, level: Mutex::new(level), writing: Mutex::default() })
    }

    /// Whether nothing is left of the quota, and when some will be.
    pub fn reached(&self) -> Option<Postponement> {
        self.with(|level| level.used.reached(self.what))
    }

    /// Counts bytes that are to be used. Blocks on the disk once in a while.
    ///
    /// # Errors
    /// Nothing is left of the quota, with when some will be; or the disk refuses, and nothing is counted.
    pub fn take(&self, bytes: u64) -> Result<(), FlashError> {
        loop {
            if let Some(taken) = self.take_at_once(bytes) {
                return taken;
            }
            let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            // Perhaps another has kept enough meanwhile.
            let Take::Keep(used) = self.with(|level| level.used.clone().take(bytes, self.what)) else {
                continue;
            };
            let kept = Kept { used, at: self.now.get() };
            self.state.write(&self.name, &kept)?;
            self.with(|level| level.used.kept(used));
        }
    }

    /// The same, as long as it needs no disk.
    fn take_at_once(&self, bytes: u64) -> Option<Result<(), FlashError>> {
        match self.with(|level| level.used.take(bytes, self.what)) {
            Take::Taken => Some(Ok(())),
            Take::Keep(_) => None,
            Take::Reached(postponement) => Some(Err(FlashError::Busy(postponement.reason))),
        }
    }

    fn used(&self) -> u64 {
        self.with(|level| level.used.used())
    }

    fn summary(&self) -> QuotaSummary {
        self.with(|level| QuotaSummary {
            what: self.what.to_owned(),
            used: level.used.used(),
            quota: level.used.quota().bytes(),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Level) -> T) -> T {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let passed = now.saturating_duration_since(level.seen);
        level.seen = now;
        level.used.passed(passed);
        if let Some(before) = level.before
            && let Some(time) = self.now.get()
        {
            // Of the time since, what this host has seen is given back already.
            let since = std::time::Duration::from_secs(time.saturating_sub(before));
            let seen = now.saturating_duration_since(level.opened);
            level.used.passed(since.saturating_sub(seen));
            level.before = None;
        }
        work(&mut level)
    }
}

impl std::fmt::Debug for Count {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Count({} {})", self.name, self.what)
    }
}

impl Wear for Count {
    fn writes(&self, bytes: u64) -> Result<(), FlashError> {
        self.take(bytes)
    }
}

/// What comes for a plugin over a metered link.
struct Both {
    fetched: Arc<Count>,
    traffic: Traffic,
}

impl Meter for Both {
    fn count(&self, bytes: u64) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let taken = match self.fetched.take_at_once(bytes) {
                Some(taken) => taken,
                None => {
                    let fetched = Arc::clone(&self.fetched);
                    blocking(move || fetched.take(bytes)).await.map_err(|error| error.to_string())?
                }
            };
            // These bytes came, whoever says so first.
            let counted = self.traffic.count(bytes).await;
            taken.map_err(|error| error.to_string())?;
            counted
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use cap_std::ambient_authority;
    use cap_std::fs::Dir;
    use hotshoe_core::policy;

    use super::*;
    use crate::disk::refusing::{Refusals, Refusing};

    const NOW: u64 = 1_795_392_000;
    const DAY: u64 = 24 * 3600;
    const KIB: u64 = 1 << 10;

    fn quotas(place: &tempfile::TempDir, now: u64) -> Quotas {
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        Quotas::open(4096, Arc::new(move || now), 1000, &StateDir::new(dir)).unwrap()
    }

    fn of(quotas: &Quotas) -> Arc<PluginQuotas> {
        let policy = "[plugins.\"acme.pump\"]\nflash_per_day = \"1MiB\"\ndownload_per_day = \"2MiB\"\n";
        let policy = policy::parse(policy).unwrap();
        let name = "acme.pump".parse().unwrap();
        quotas.of(&name, policy.allowed(&name)).unwrap()
    }

    /// Uses all there is, in pieces; how much that was.
    fn use_up(count: &Count) -> u64 {
        (0..).take_while(|_| count.take(4 * KIB).is_ok()).count() as u64 * 4 * KIB
    }

    #[test]
    fn a_restart_of_the_host_gives_nothing_back_and_a_day_does() {
        let place = tempfile::tempdir().unwrap();
        let first = of(&quotas(&place, NOW));
        assert!((1024 * KIB..1032 * KIB).contains(&use_up(&first.flashed)));
        let told = first.flashed.take(1).unwrap_err().to_string();
        assert!(told.contains("quota of 1MiB a day; it may again in "), "{told}");
        assert!(first.fetched.reached().is_none(), "the other one is another");
        let again = of(&quotas(&place, NOW));
        assert!(again.flashed.reached().is_some());
        assert!(use_up(&of(&quotas(&place, NOW + DAY / 2)).flashed) <= 520 * KIB);
        assert!(use_up(&of(&quotas(&place, NOW + 2 * DAY)).flashed) >= 900 * KIB);
    }

    #[test]
    fn whatever_a_plugin_is_called_its_bytes_are_counted() {
        let place = tempfile::tempdir().unwrap();
        for name in ["acme.new", "a.corrupt-1", "a-b", "a.b"] {
            let count = quotas(&place, NOW).of(&name.parse().unwrap(), None).unwrap();
            assert_eq!(count.flashed.used(), 0, "{name}");
            count.flashed.take(KIB).unwrap();
        }
    }

    #[test]
    fn a_clock_that_is_not_set_gives_nothing_back_until_it_is() {
        let place = tempfile::tempdir().unwrap();
        use_up(&of(&quotas(&place, NOW)).flashed);
        let clock = Arc::new(AtomicU64::new(7));
        let told = Arc::clone(&clock);
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        let clock_of = Arc::new(move || told.load(Ordering::Relaxed));
        let quotas = Quotas::open(4096, clock_of, 1000, &StateDir::new(dir)).unwrap();
        let count = of(&quotas);
        assert!(count.flashed.reached().is_some());
        clock.store(NOW + DAY / 2, Ordering::Relaxed);
        assert!(count.flashed.reached().is_none());
        assert!((500 * KIB..=600 * KIB).contains(&count.flashed.used()), "{}", count.flashed.used());
    }

    #[test]
    fn what_is_older_than_two_days_leaves_the_disk() {
        let place = tempfile::tempdir().unwrap();
        use_up(&of(&quotas(&place, NOW)).flashed);
        let files = || std::fs::read_dir(place.path().join("flashed")).unwrap().count();
        quotas(&place, NOW + DAY);
        assert_eq!(files(), 1);
        quotas(&place, NOW + 3 * DAY);
        assert_eq!(files(), 0);
    }

    #[test]
    fn a_count_that_cannot_be_read_does_not_keep_the_host_down() {
        let place = tempfile::tempdir().unwrap();
        use_up(&of(&quotas(&place, NOW)).flashed);
        let refusals = Arc::<Refusals>::default();
        refusals.make_unreadable("acme_pump");
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        let state = StateDir::new(Refusing::new(dir, Arc::clone(&refusals)));
        Quotas::open(4096, Arc::new(|| NOW + 3 * DAY), 1000, &state).unwrap();
        assert!(place.path().join("flashed/acme_pump").exists());
    }

    #[test]
    fn bytes_that_cannot_be_counted_are_not_used() {
        let place = tempfile::tempdir().unwrap();
        let count = of(&quotas(&place, NOW));
        std::fs::remove_dir(place.path().join("flashed")).unwrap();
        assert!(matches!(count.flashed.take(1), Err(FlashError::Io { .. })));
        assert_eq!(count.flashed.used(), 0);
    }

    #[tokio::test]
    async fn a_download_is_counted_against_the_plugins_quota() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        let traffic = Traffic::open(
            policy::traffic::DownloadPolicy::default(),
            Default::default(),
            Arc::new(|| NOW),
            0,
            StateDir::new(dir),
        );
        let quotas = of(&quotas(&place, NOW));
        let meter = quotas.meter(&traffic.unwrap());
        let mut came = 0;
        let told = loop {
            match meter.count(KIB).await {
                Ok(()) => came += 1,
                Err(told) => break told,
            }
        };
        assert!((2048..2060).contains(&came), "{came} KiB");
        assert!(told.contains("downloaded as much as its quota of 2MiB a day"), "{told}");
        assert_eq!(quotas.summary()[0].used, 0);
        assert!(quotas.summary()[1].used > 2047 * KIB);
    }
}
