//! The world around the device: its images, its server, its hub and its operator, as values.
//!
//! A [`World`] says what is there and what is ordered; a [`State`] is how it stands at one moment, disk included, and is
//! copied at each operation. Nothing here has a clock or chance of its own.

mod device;
mod guest;
mod hub;
mod image;
mod judge;
mod server;
mod worlds;

use std::sync::Arc;

use hotshoe_core::slot::{BootRecord, newest};
use hotshoed::flash::SlotConfig;

pub use self::{
    device::{End, live},
    hub::{Answer, Hub, Order},
    image::{Character, Image},
    judge::{at_the_end, panics, watch_for_panics},
    worlds::{all, find},
};
use crate::{disk::Tree, random::Random};

/// The names of the slots.
pub const SLOTS: [&str; 2] = ["a", "b"];

/// What there is and what is to happen, but for what goes wrong.
#[derive(Debug)]
pub struct World {
    /// Its name, in seeds.
    pub name: &'static str,
    /// What it is for, in a line.
    pub words: &'static str,
    /// The images; the first one is on the device from the beginning.
    pub images: Vec<Image>,
    /// Which images are ordered, one after the other.
    pub orders: Vec<usize>,
    /// Acknowledgements get lost, and the link with them.
    pub lossy: bool,
    /// The hub cannot be reached before all else has come to rest.
    pub late: bool,
    /// The server breaks off.
    pub flaky: bool,
    /// The image comes in chunks, each verified, from servers to the slot, by the host's own receiver.
    pub streamed: bool,
    /// There are two servers, and the first one has a wrong byte.
    pub mirrored: bool,
    /// A restart is as a power cut: nobody syncs, nobody is asked to stop.
    pub abrupt: bool,
    /// The operator cancels the job once so many patches have arrived.
    pub cancel: Option<u32>,
    /// Every sync lies: the control, in which things must go wrong.
    pub lying: bool,
}

/// How the world stands.
#[derive(Clone, Debug)]
pub struct State {
    /// What it is a state of.
    pub world: Arc<World>,
    /// The device's disk.
    pub disk: Tree,
    /// Where chance comes from.
    pub random: Random,
    /// The wall clock, in milliseconds.
    pub clock: u64,
    /// The hub, and its operator.
    pub hub: Hub,
    /// The slot that was booted last.
    pub running: String,
    /// How often the device was booted.
    pub boots: u32,
    /// Whether a restart was asked for.
    pub restart: bool,
    /// Whether the boot loader is at it, and no process yet.
    pub booting: bool,
    /// How many bytes of images the server has given out.
    pub served: u64,
}

impl World {
    /// How it stands before anything happens: the first image runs, as it came from the factory.
    pub fn begin(self: &Arc<World>) -> State {
        let mut disk = Tree::default();
        for (number, slot) in SLOTS.iter().enumerate() {
            let mut bytes = vec![0xff; self.slot_size() as usize];
            if let (0, Some(first)) = (number, self.images.first()) {
                bytes.get_mut(..first.bytes.len()).expect("slots are larger").copy_from_slice(&first.bytes);
            }
            disk.place(&["flash", &file(slot)], bytes);
        }
        State {
            disk,
            random: Random::of(self.name),
            clock: 1_800_000_000_000,
            hub: Hub::new(&self.orders),
            running: SLOTS[0].to_owned(),
            boots: 0,
            restart: false,
            booting: true,
            served: 0,
            world: Arc::clone(self),
        }
    }

    /// How large a slot is: larger than every image, by an odd piece.
    pub fn slot_size(&self) -> u64 {
        self.images.iter().map(|image| image.bytes.len() as u64).max().unwrap_or_default() + 700
    }

    /// The slots, as they are configured.
    pub fn slots(&self) -> Vec<SlotConfig> {
        let slot =
            |name: &&str| SlotConfig { name: (*name).to_owned(), file: file(name), size: self.slot_size() };
        SLOTS.iter().map(slot).collect()
    }
}

/// The file that a slot is.
pub fn file(slot: &str) -> String {
    format!("{slot}.img")
}

impl State {
    /// The image that is whole in a slot, as it is seen.
    pub fn image_in(&self, slot: &str) -> Option<&Image> {
        let content = self.disk.find(&["flash", &file(slot)])?.shown();
        self.world.images.iter().find(|image| content.starts_with(&image.bytes))
    }

    /// The image that will be in a slot after a power cut in any case.
    pub fn image_kept_in(&self, slot: &str) -> Option<&Image> {
        let content = self.disk.find_kept(&["flash", &file(slot)])?.kept();
        self.world.images.iter().find(|image| content.starts_with(&image.bytes))
    }

    /// The boot record, as it will be after a power cut in any case.
    pub fn record_kept(&self) -> BootRecord {
        let copies =
            ["boot.0", "boot.1"].map(|name| self.disk.find_kept(&["flash", name]).map(|file| file.kept()));
        newest(copies.into_iter().flatten()).unwrap_or_else(|| BootRecord::fresh(SLOTS[0]))
    }

    /// Why a file must not be written now.
    pub fn forbidden(&self, path: &str) -> Option<String> {
        let slot = path.strip_prefix("/flash/")?.strip_suffix(".img")?;
        if slot == self.running {
            return Some(format!("slot {slot} is written while the device runs from it"));
        }
        let record = self.record_kept();
        if slot == record.good {
            return Some(format!(
                "slot {slot} is written and is what the boot loader falls back to: {record:?}"
            ));
        }
        match record.trial {
            Some(trial) if trial.slot == slot && trial.tries > 0 => {
                Some(format!("slot {slot} is written while its trial boot is armed"))
            }
            _ => None,
        }
    }

    /// The time, a moment later than it was.
    pub fn now(&mut self) -> u64 {
        self.clock += 7;
        self.clock
    }
}
