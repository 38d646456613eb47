//! The device's policy before work: may this be fetched, staged, armed, and if not, when.
//!
//! Promise: what the owner forbids is refused before a byte is fetched or written, with what was wanted, what there is
//! and what to do; what the owner only puts off comes with the time to ask again. Nothing here counts on a plugin's
//! good will: the capabilities ask at each call.
//!
//! - windows and the check: [`Gate::closed`], [`Gate::ask`] (`[update]`)
//! - the caps of a metered link: [`Gate::put_off_fetch`], and while it runs [`traffic`] (`[download]`)
//! - what a plugin may write and download in a day: [`Gate::quotas`] (`[plugins]`)
//! - minimum versions and who vouches: [`Gate::check_floor`], [`Gate::check_sealed`], [`Gate::confirmed`] (`[firmware]`)
//! - room for what is written down about an update: [`Gate::room`]
//!
//! What the policy means is decided in `hotshoe_core::policy`; here it meets clocks, disks and plugins.

mod check;
mod floors;
mod quota;
mod source;
mod traffic;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::manifest::PluginName;
use hotshoe_core::policy::floor::Rank;
use hotshoe_core::policy::traffic::DownloadPolicy;
use hotshoe_core::policy::update::{DownloadTime, Postponement, UpdatePolicy};
use hotshoe_core::policy::{Allowed, Policy, Unsigned};

use crate::fetch::Clock;
use crate::flash::{Flash, Sealed};
pub use crate::state::STATE_ROOM;
use crate::state::{StateDir, StateError};

use check::Checker;
pub use check::{Ask, Question};
use floors::Floors;
use quota::Quotas;
pub use quota::{Count, PluginQuotas};
pub use source::Metered;
pub use traffic::Traffic;

/// How many bytes are free on the disk of the state directory.
pub type Room = Arc<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// The policy as it meets the device. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    update: UpdatePolicy,
    download: DownloadPolicy,
    clock: Clock,
    /// A moment that the clock must have passed to be believed.
    built: u64,
    room: Room,
    traffic: Traffic,
    floors: Floors,
    quotas: Quotas,
    checker: Checker,
}

impl Gate {
    /// The gate of a device. `state` is a directory of its own. Floors that an image was confirmed over and that a
    /// power cut kept from the disk are made up for.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(
        policy: &Policy,
        clock: Clock,
        built: u64,
        room: Room,
        state: &StateDir,
        flash: &Flash,
    ) -> Result<Gate, StateError> {
        let traffic = Traffic::open(
            policy.download.clone(),
            policy.update.offset,
            Arc::clone(&clock),
            built,
            state.subdirectory("traffic")?,
        )?;
        let largest = flash.slots().ok().and_then(|slots| slots.iter().map(|slot| slot.size).max());
        let quotas = Quotas::open(
            largest.unwrap_or_default(),
            Arc::clone(&clock),
            built,
            &state.subdirectory("quotas")?,
        )?;
        let floors = Floors::open(policy.firmware.downgrade, state.subdirectory("floors")?, flash.clone())?;
        Ok(Gate(Arc::new(Inner {
            update: policy.update.clone(),
            download: policy.download.clone(),
            clock,
            built,
            room,
            traffic,
            floors,
            quotas,
            checker: Checker::new(policy.update.check.clone()),
        })))
    }

    /// A gate that lets everything through, for tools and tests.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn wide_open(state: &StateDir, flash: &Flash) -> Result<Gate, StateError> {
        Gate::open(&Policy::default(), Arc::new(|| 0), 0, Arc::new(|| Ok(u64::MAX)), state, flash)
    }

    /// Says who asks the plugins. Until then a check waits.
    pub fn asks_by(&self, ask: Arc<dyn Ask>) {
        self.0.checker.asks_by(ask);
    }

    /// Whether no maintenance window is open, and when one will be.
    pub fn closed(&self) -> Option<Postponement> {
        let (now, is_set) = self.now();
        self.0.update.closed(now, is_set)
    }

    /// Asks the policy's check about an image that is to be armed; the text says why not.
    ///
    /// # Errors
    /// The check says no, or could not be asked.
    pub async fn ask(&self, question: Question, call_id: &str) -> Result<(), String> {
        self.0.checker.ask(question, call_id).await
    }

    /// When to ask the check again that has said no so many times in a row.
    pub fn check_pause(&self, times: u32) -> Duration {
        self.0.update.check.as_ref().map_or(Duration::ZERO, |check| check.pause(times))
    }

    /// Whether a fetch may not begin now, and when it may.
    pub fn put_off_fetch(&self) -> Option<Postponement> {
        let window = (self.0.update.download == DownloadTime::Window).then(|| self.closed()).flatten();
        window.or_else(|| self.capped())
    }

    /// Whether a cap of the link is reached, and when there is room again.
    pub fn capped(&self) -> Option<Postponement> {
        let (now, is_set) = self.now();
        let ledger = self.0.traffic.ledger();
        self.0.download.reached(&ledger, now, is_set, self.0.update.offset).map(|postponement| Postponement {
            // So that the next try finds the new day even where the clock runs a little behind.
            retry_after: postponement.retry_after.saturating_add(Duration::from_secs(1)),
            ..postponement
        })
    }

    /// What counts the bytes of a fetch.
    pub fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    /// What a plugin has used of what it may use in a day, by what the policy allows it. Blocks on the disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn quotas(
        &self,
        plugin: &PluginName,
        allowed: Option<&Allowed>,
    ) -> Result<Arc<PluginQuotas>, StateError> {
        self.0.quotas.of(plugin, allowed)
    }

    /// Checks a signed image against the floor of its name. Blocks on the disk.
    ///
    /// # Errors
    /// It is below; the text names both and says what to do.
    pub fn check_floor(&self, name: &str, image: &Rank) -> Result<(), String> {
        self.0.floors.check(name, image)
    }

    /// Checks images that stand in slots against the floors of their names, and against the policy for those that nobody
    /// signed: as of now, whoever staged them and when.
    ///
    /// # Errors
    /// They may not be armed; the text says why and what to do.
    pub fn check_sealed(&self, sealed: &[Sealed], unsigned: Unsigned) -> Result<(), String> {
        self.0.floors.check_sealed(sealed, unsigned)
    }

    /// Raises the floors to what runs and is confirmed. Blocks on the disk.
    pub fn confirmed(&self) {
        self.0.floors.confirmed();
    }

    /// Whether there is room to write down what becomes of an update.
    ///
    /// # Errors
    /// Fewer than [`STATE_ROOM`] bytes are free, or nobody can tell; the text says which.
    pub fn room(&self) -> Result<(), String> {
        match (self.0.room)() {
            Ok(free) if free >= STATE_ROOM => Ok(()),
            Ok(free) => Err(format!(
                "the disk of the state directory has {free} bytes free, and the records of an update take \
                 {STATE_ROOM}; free some"
            )),
            Err(error) => Err(format!(
                "the room on the disk of the state directory cannot be told: {error}; check the disk"
            )),
        }
    }

    fn now(&self) -> (u64, bool) {
        let now = (self.0.clock)();
        (now, now >= self.0.built)
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;

    use super::*;

    fn gate(policy: &str, now: u64, free: u64) -> Gate {
        gate_with(policy, now, Arc::new(move || Ok(free)))
    }

    fn gate_with(policy: &str, now: u64, room: Room) -> Gate {
        let place = tempfile::tempdir().unwrap();
        let dir = || Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        let flash = Flash::open(Arc::new(dir()), Vec::new()).unwrap();
        let policy = hotshoe_core::policy::parse(policy).unwrap();
        Gate::open(&policy, Arc::new(move || now), 1000, room, &StateDir::new(dir()), &flash).unwrap()
    }

    #[test]
    fn a_state_directory_without_room_is_told_with_what_is_free() {
        assert_eq!(gate("", 5000, STATE_ROOM).room(), Ok(()));
        let full = gate("", 5000, STATE_ROOM - 1).room().unwrap_err();
        assert!(full.contains("has 524287 bytes free") && full.contains("524288"), "{full}");
    }

    #[test]
    fn a_disk_that_cannot_be_asked_is_not_told_as_full() {
        let failing: Room = Arc::new(|| Err(io::Error::from_raw_os_error(5)));
        let why = gate_with("", 5000, failing).room().unwrap_err();
        assert!(why.contains("cannot be told") && why.contains("(os error 5)"), "{why}");
    }

    #[test]
    fn a_download_waits_for_its_window_only_where_it_is_told_to() {
        // The first of January 1970, 01:23.
        let window = "[update]\nwindows = [\"daily 02:00-03:00\"]\n";
        assert_eq!(gate(window, 5000, 0).put_off_fetch(), None);
        assert!(gate(window, 5000, 0).closed().unwrap().reason.contains("opens in 36 min"));
        let waits = gate(&format!("{window}download = \"window\"\n"), 5000, 0).put_off_fetch().unwrap();
        assert_eq!(waits.retry_after, Duration::from_secs(7200 - 5000));
        let unset = gate(&format!("{window}clock = \"any\"\n"), 999, 0);
        assert_eq!(unset.closed(), None, "a clock before the host was made is none");
    }
}
