//! The world around the device: its images, its server, its hub and its operator, as values.
//!
//! A [`World`] says what is there and what is ordered; a [`State`] is how it stands at one moment, disk included, and is
//! copied at each operation. Nothing here has a clock or chance of its own.

mod before;
mod crash;
mod device;
mod fill;
mod guest;
mod hub;
mod image;
mod judge;
mod server;
mod word;
mod worlds;

use std::sync::Arc;

use hotshoe_core::slot::{BootRecord, newest};
use hotshoed::{
    disk::Folder,
    flash::{Flash, FlashError, FlashSettings, GroupConfig, PartConfig, Place, control::File},
};

pub use self::{
    device::{End, live},
    hub::{Answer, Cancelled, Hub, Order},
    image::{Character, Image, Piece},
    judge::{at_the_end, panics, watch_for_panics},
    word::Word,
    worlds::{all, find},
};
use crate::{
    disk::{Content, Tree},
    random::Random,
};

/// The names of the slots.
pub const SLOTS: [&str; 2] = ["a", "b"];

/// Which byte an image writes to that writes to its own slot.
const SOIL: usize = 1000;

/// What there is and what is to happen, but for what goes wrong.
#[derive(Debug, Default)]
pub struct World {
    /// Its name, in seeds.
    pub name: &'static str,
    /// What it is for, in a line.
    pub words: &'static str,
    /// The images; the first one is on the device from the beginning.
    pub images: Vec<Image>,
    /// Which images are ordered, one after the other.
    pub orders: Vec<usize>,
    /// The parts of a group, in the order in which they are written; none where a slot is one file.
    pub parts: &'static [&'static str],
    /// The second image stands in the other slot from the beginning: its trial was booted, and nobody confirmed it.
    pub lapsed: bool,
    /// Acknowledgements get lost, and the link with them.
    pub lossy: bool,
    /// The hub cannot be reached before all else has come to rest.
    pub late: bool,
    /// The server breaks off.
    pub flaky: bool,
    /// Nobody signed the hashes of its chunks: it is verified as a whole.
    pub unrooted: bool,
    /// The image comes in chunks, each verified, from servers to the slot, by the host's own receiver.
    pub streamed: bool,
    /// There are two servers, and the first one has a wrong byte.
    pub mirrored: bool,
    /// The first one's hashes fit its wrong byte.
    pub forged: bool,
    /// The image is there as zstd frames, too.
    pub compressed: bool,
    /// Once there is a second order, this byte of the running slot is another one. It runs all the same.
    pub rots: Option<usize>,
    /// An image that runs on trial writes to its own slot: it is another one from then on, and runs all the same.
    pub soils: bool,
    /// The kernel does not drop what it has cached of slots: reading back may not ask the medium.
    pub cached: bool,
    /// Other plugins ask for slots that nobody may have now.
    pub meddled: bool,
    /// The plugin arms its slot before it has sealed it, and takes no as an answer.
    pub hasty: bool,
    /// What writes to the slot goes on when its job is over, until the host stops it.
    pub lingering: bool,
    /// A restart is as a power cut: nobody syncs, nobody is asked to stop.
    pub abrupt: bool,
    /// The operator cancels the job once so many patches have arrived.
    pub cancel: Option<u32>,
    /// How often the host dies when the plugin runs.
    pub deaths: u32,
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
    /// What the device has said, and was told that it can rely on.
    pub word: Word,
    /// The slot that was booted last.
    pub running: String,
    /// How often the device was booted.
    pub boots: u32,
    /// Whether a restart was asked for.
    pub restart: bool,
    /// How often the host has died of the plugin.
    pub died: u32,
    /// Whether it just does.
    pub dead: bool,
    /// Whether the boot loader is at it, and no process yet.
    pub booting: bool,
    /// Whether the byte that is to rot has.
    pub rotten: bool,
    /// Whether an image has written to its own slot.
    pub soiled: bool,
}

impl World {
    /// How it stands before anything happens: the first image runs, as it came from the factory.
    pub fn begin(self: &Arc<World>) -> State {
        let mut disk = Tree::default();
        for (number, slot) in SLOTS.iter().enumerate() {
            for (part, file) in self.files(slot).iter().enumerate() {
                let mut bytes = vec![0xff; self.size(part) as usize];
                if let (0, Some(piece)) =
                    (number, self.images.first().and_then(|image| image.pieces.get(part)))
                {
                    bytes
                        .get_mut(..piece.bytes.len())
                        .expect("slots are larger")
                        .copy_from_slice(&piece.bytes);
                }
                disk.place(&["flash", file], bytes);
            }
        }
        let state = State {
            disk,
            random: Random::of(self.name),
            clock: 1_800_000_000_000,
            hub: Hub::new(&self.orders),
            word: Word::default(),
            running: SLOTS[0].to_owned(),
            boots: 0,
            restart: false,
            died: 0,
            dead: false,
            booting: true,
            rotten: false,
            soiled: false,
            world: Arc::clone(self),
        };
        if self.lapsed { before::lapsed(state) } else { state }
    }

    /// How many of all cuts are made here: the larger the images the fewer.
    pub fn share(&self) -> u64 {
        match (self.lying, self.compressed, self.streamed) {
            (true, _, _) => 0,
            (_, true, _) => 1,
            (_, _, true) => 6,
            _ => 12,
        }
    }

    /// How large the slot of a part is: larger than all that comes into it, by an odd piece.
    pub fn size(&self, part: usize) -> u64 {
        let pieces = self.images.iter().filter_map(|image| image.pieces.get(part));
        pieces.map(|piece| piece.bytes.len() as u64).max().unwrap_or_default() + 700
    }

    /// The files of a slot, part by part.
    pub fn files(&self, slot: &str) -> Vec<String> {
        match self.parts {
            [] => vec![format!("{slot}.img")],
            parts => parts.iter().map(|part| format!("{slot}.{part}.img")).collect(),
        }
    }

    /// The slots as the host calls them, part by part.
    pub fn names(&self, slot: &str) -> Vec<String> {
        match self.parts {
            [] => vec![slot.to_owned()],
            parts => parts.iter().map(|part| format!("{slot}/{part}")).collect(),
        }
    }

    /// The device's slots, as they are configured.
    pub fn flash(&self, folder: Arc<dyn Folder>) -> Result<Flash, FlashError> {
        let group = |slot: &&str| {
            let names = self.names(slot).into_iter().zip(self.files(slot)).enumerate();
            let part = |(number, (name, file)): (usize, (String, String))| PartConfig {
                name,
                size: self.size(number),
                place: Place::File { folder: Arc::clone(&folder), name: file },
            };
            GroupConfig { name: (*slot).to_owned(), parts: names.map(part).collect() }
        };
        let groups = SLOTS.iter().map(group).collect();
        let boot = Box::new(File::new(Arc::clone(&folder)));
        Flash::with(folder, FlashSettings { groups, boot, running: None })
    }
}

impl State {
    /// The image in a slot, as it is seen: whole, or as it became while it ran.
    pub fn image_in(&self, slot: &str) -> Option<&Image> {
        self.image(slot, |path| self.disk.find(path).map(Content::shown))
    }

    /// The image that is whole in a slot, as it is seen.
    pub fn whole_in(&self, slot: &str) -> Option<&Image> {
        let files = self.world.files(slot);
        let contents: Vec<_> =
            files.iter().map(|file| self.disk.find(&["flash", file]).map(Content::shown)).collect();
        self.world.images.iter().find(|image| image.is_in(contents.iter().copied()))
    }

    /// The image that will be in a slot after a power cut in any case.
    pub fn image_kept_in(&self, slot: &str) -> Option<&Image> {
        self.image(slot, |path| self.disk.find_kept(path).map(Content::kept))
    }

    fn image<'a>(&'a self, slot: &str, find: impl Fn(&[&str]) -> Option<&'a [u8]>) -> Option<&'a Image> {
        let files = self.world.files(slot);
        let contents: Vec<_> = files.iter().map(|file| find(&["flash", file])).collect();
        let found = |contents: &[Option<&[u8]>]| {
            self.world.images.iter().find(|image| image.is_in(contents.iter().copied()))
        };
        let at = self.world.rots.filter(|_| self.rotten).or(self.soiled.then_some(SOIL));
        let Some(at) = at else { return found(&contents) };
        // What it had before that byte was another one, if it is that.
        found(&contents).or_else(|| {
            let mut before = contents.first().copied().flatten()?.to_vec();
            *before.get_mut(at)? ^= 1;
            found(&[Some(&before)])
        })
    }

    /// What runs on trial writes to its own slot.
    pub fn soil(&mut self) {
        if self.world.soils
            && let Some(name) = self.world.files(&self.running).first()
        {
            self.soiled |= self.disk.flip(&["flash", name], SOIL, 0);
        }
    }

    /// A bit of the running slot is another one from now on.
    pub fn rot(&mut self) {
        if let Some(at) = self.world.rots.filter(|_| !self.rotten)
            && let Some(name) = self.world.files(&self.running).first()
        {
            self.rotten = self.disk.flip(&["flash", name], at, 0);
        }
    }

    /// The boot record, as it will be after a power cut in any case.
    pub fn record_kept(&self) -> BootRecord {
        let copies =
            ["boot.0", "boot.1"].map(|name| self.disk.find_kept(&["flash", name]).map(|file| file.kept()));
        newest(copies.into_iter().flatten()).unwrap_or_else(|| BootRecord::fresh(SLOTS[0]))
    }

    /// Why a file must not be written now.
    pub fn forbidden(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix("/flash/")?.strip_suffix(".img")?;
        let slot = name.split('.').next()?;
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
