//! `[flash]`: slots and groups, where they stand, and what boots them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::file;

/// The kernel's own words on how it was booted.
const COMMAND_LINE: &str = "/proc/cmdline";

/// The slots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlashConfig {
    /// Where slots that are files stand, and what is known of all of them.
    pub directory: PathBuf,
    /// The groups, in order. A plain slot is a group of itself.
    pub slots: Vec<GroupEntry>,
    /// What boots them.
    pub boot: BootEntry,
    /// The group that the kernel's command line says is running; `None` where it says none.
    pub running: Option<String>,
}

/// Slots that are updated together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupEntry {
    /// Its name.
    pub name: String,
    /// Its slots, in the order in which they are written.
    pub parts: Vec<SlotEntry>,
}

/// One slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotEntry {
    /// Its name: that of the group, or `GROUP/PART`.
    pub name: String,
    /// Where it stands.
    pub place: PlaceEntry,
    /// Its size in bytes.
    pub size: u64,
}

/// Where a slot stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlaceEntry {
    /// A file in the flash directory.
    File(String),
    /// A block device.
    Device(PathBuf),
    /// A directory of files in the flash directory.
    Directory(String),
}

/// What boots the slots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BootEntry {
    /// Whatever reads the boot record in the flash directory.
    File,
    /// U-Boot.
    UBoot {
        /// The size of its environment in bytes.
        size: u64,
        /// Files or block devices, and where in them the copies begin.
        copies: Vec<(PathBuf, u64)>,
    },
    /// GRUB, with this environment block.
    Grub(PathBuf),
    /// systemd-boot, with this directory of entries.
    SystemdBoot(PathBuf),
}

impl FlashConfig {
    /// The files and devices outside of the flash directory that have to be opened.
    pub fn files(&self) -> Vec<&Path> {
        let parts = self.slots.iter().flat_map(|group| &group.parts);
        let devices = parts.filter_map(|part| match &part.place {
            PlaceEntry::Device(path) => Some(path.as_path()),
            PlaceEntry::File(_) | PlaceEntry::Directory(_) => None,
        });
        let of_loader: Vec<&Path> = match &self.boot {
            BootEntry::UBoot { copies, .. } => copies.iter().map(|(path, _)| path.as_path()).collect(),
            BootEntry::Grub(path) => vec![path],
            BootEntry::File | BootEntry::SystemdBoot(_) => Vec::new(),
        };
        devices.chain(of_loader).collect()
    }
}

/// Relative paths are taken from `base`. The error lists all that is wrong.
pub(super) fn flash(flash: &file::Flash, base: &Path) -> Result<FlashConfig, Vec<String>> {
    let mut check = Check { base, problems: Vec::new(), names: HashSet::new(), places: HashSet::new() };
    if flash.slots.len() < 2 {
        check.problem("[flash]: an update needs at least two slots; add [[flash.slots]]");
    }
    let slots: Vec<_> = flash.slots.iter().filter_map(|slot| check.group(slot)).collect();
    let boot = check.boot(flash);
    let running = check.running(flash);
    if let Some(running) = running.as_ref().filter(|name| !flash.slots.iter().any(|slot| slot.name == **name))
    {
        check.problem(&format!(
            "[flash] slot_parameter: the kernel's command line says {}={running}, and there is no such slot",
            flash.slot_parameter
        ));
    }
    match boot {
        Some(boot) if check.problems.is_empty() => {
            Ok(FlashConfig { directory: base.join(&flash.directory), slots, boot, running })
        }
        _ => Err(check.problems),
    }
}

struct Check<'a> {
    base: &'a Path,
    problems: Vec<String>,
    names: HashSet<String>,
    places: HashSet<PathBuf>,
}

impl Check<'_> {
    fn problem(&mut self, problem: &str) {
        self.problems.push(problem.to_owned());
    }

    fn group(&mut self, slot: &file::Slot) -> Option<GroupEntry> {
        let place = format!("[[flash.slots]] {:?}", slot.name);
        if !is_name(&slot.name) {
            self.problem(&format!(
                "{place}: a name takes 1 to 64 letters, digits, dashes, underscores and dots"
            ));
        }
        if !self.names.insert(slot.name.clone()) {
            self.problem(&format!("{place}: another slot has this name"));
        }
        let Some(parts) = &slot.parts else {
            let part = self.slot(slot, slot.name.clone(), &place)?;
            return Some(GroupEntry { name: slot.name.clone(), parts: vec![part] });
        };
        if slot.file.is_some() || slot.device.is_some() || slot.directory.is_some() || slot.size.is_some() {
            self.problem(&format!("{place}: it has parts; its places and sizes are those of the parts"));
        }
        if parts.is_empty() {
            self.problem(&format!("{place}: a group has at least one part"));
        }
        let mut entries = Vec::new();
        for part in parts {
            let place = format!("{place} part {:?}", part.name);
            if !is_name(&part.name) {
                self.problem(&format!(
                    "{place}: a name takes 1 to 64 letters, digits, dashes, underscores and dots"
                ));
            }
            if part.parts.is_some() {
                self.problem(&format!("{place}: a part has no parts"));
            }
            let name = format!("{}/{}", slot.name, part.name);
            if !self.names.insert(name.clone()) {
                self.problem(&format!("{place}: another part has this name"));
            }
            entries.extend(self.slot(part, name, &place));
        }
        Some(GroupEntry { name: slot.name.clone(), parts: entries })
    }

    fn slot(&mut self, slot: &file::Slot, name: String, place: &str) -> Option<SlotEntry> {
        let stands = match (&slot.file, &slot.device, &slot.directory) {
            (Some(file), None, None) => Some(PlaceEntry::File(file.clone())),
            (None, Some(device), None) => Some(PlaceEntry::Device(self.base.join(device))),
            (None, None, Some(directory)) => Some(PlaceEntry::Directory(directory.clone())),
            _ => {
                self.problem(&format!("{place}: it takes one of file, device and directory"));
                None
            }
        };
        let size = slot.size.unwrap_or(0);
        if size == 0 {
            self.problem(&format!("{place}: it takes a size of more than 0"));
        }
        let stands = stands?;
        let taken = match &stands {
            PlaceEntry::Device(path) => path.clone(),
            PlaceEntry::File(name) | PlaceEntry::Directory(name) => {
                if !is_name(name) {
                    self.problem(&format!(
                        "{place}: file and directory take 1 to 64 letters, digits, dashes, underscores and dots"
                    ));
                }
                PathBuf::from(name)
            }
        };
        let tar = matches!(stands, PlaceEntry::Directory(_)).then(|| taken.with_added_extension("tar"));
        for taken in tar.into_iter().chain([taken]) {
            if !self.places.insert(taken.clone()) {
                self.problem(&format!(
                    "{place}: another slot has the file {:?}",
                    taken.display().to_string()
                ));
            }
        }
        Some(SlotEntry { name, place: stands, size })
    }

    fn boot(&mut self, flash: &file::Flash) -> Option<BootEntry> {
        let named = [
            (file::BootControl::UBoot, "u_boot", flash.u_boot.is_some()),
            (file::BootControl::Grub, "grub", flash.grub.is_some()),
            (file::BootControl::SystemdBoot, "systemd_boot", flash.systemd_boot.is_some()),
        ];
        for (control, table, is_set) in named {
            let wanted = flash.boot_control == control;
            if wanted && !is_set {
                self.problem(&format!("[flash] boot_control: it needs a table [flash.{table}]"));
            }
            if is_set && !wanted {
                self.problem(&format!("[flash.{table}]: boot_control names another boot loader"));
            }
        }
        match flash.boot_control {
            file::BootControl::File => Some(BootEntry::File),
            file::BootControl::UBoot => {
                let environment = flash.u_boot.as_ref()?;
                if !(1..=2).contains(&environment.copies.len()) {
                    self.problem("[flash.u_boot] copies: U-Boot's environment has one copy or two");
                }
                if !(64..=1 << 20).contains(&environment.size) {
                    self.problem("[flash.u_boot] size: 64B to 1MiB");
                }
                let copies = environment.copies.iter();
                let copies = copies.map(|copy| (self.base.join(&copy.file), copy.offset)).collect();
                Some(BootEntry::UBoot { size: environment.size, copies })
            }
            file::BootControl::Grub => Some(BootEntry::Grub(self.base.join(&flash.grub.as_ref()?.file))),
            file::BootControl::SystemdBoot => {
                Some(BootEntry::SystemdBoot(self.base.join(&flash.systemd_boot.as_ref()?.entries)))
            }
        }
    }

    /// What the kernel's command line says is running. Real boot loaders are asked to say it there.
    fn running(&mut self, flash: &file::Flash) -> Option<String> {
        let own = flash.boot_control == file::BootControl::File;
        let path = match &flash.command_line_file {
            Some(path) => self.base.join(path),
            None if own => return None,
            None => PathBuf::from(COMMAND_LINE),
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let values = text.split_whitespace().filter_map(|word| word.split_once('='));
                let mut values = values.filter(|(name, _)| *name == flash.slot_parameter);
                // As the kernel does: the last one counts.
                values.next_back().map(|(_, value)| value.to_owned())
            }
            Err(error) => {
                self.problem(&format!(
                    "[flash] command_line_file: {} cannot be read: {error}",
                    path.display()
                ));
                None
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(text: &str) -> Result<FlashConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cmdline"), "quiet hotshoe.slot=a root=/dev/sda2 hotshoe.slot=b\n")
            .unwrap();
        std::fs::write(folder.path().join("silent"), "quiet\n").unwrap();
        let parsed = hotshoe_core::strict::from_toml(text).map_err(|error| error.to_string())?;
        flash(&parsed, folder.path()).map_err(|problems| problems.join("\n"))
    }

    const GROUPS: &str = r#"
directory = "flash"
boot_control = "u-boot"
command_line_file = "cmdline"
[u_boot]
size = "16KiB"
copies = [{ file = "/dev/mmcblk0", offset = "1MiB" }, { file = "/dev/mmcblk0", offset = "2MiB" }]
[[slots]]
name = "a"
parts = [
  { name = "kernel", file = "kernel-a.img", size = "16MiB" },
  { name = "root", device = "/dev/mmcblk0p2", size = "512MiB" },
  { name = "data", directory = "data-a", size = "64MiB" },
]
[[slots]]
name = "b"
parts = [
  { name = "kernel", file = "kernel-b.img", size = "16MiB" },
  { name = "root", device = "/dev/mmcblk0p3", size = "512MiB" },
  { name = "data", directory = "data-b", size = "64MiB" },
]
"#;

    #[test]
    fn groups_devices_and_a_real_boot_loader() {
        let config = configured(GROUPS).unwrap();
        assert_eq!(config.running.as_deref(), Some("b"), "the last one counts");
        let names: Vec<_> = config.slots[1].parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["b/kernel", "b/root", "b/data"]);
        assert_eq!(config.slots[0].parts[1].place, PlaceEntry::Device("/dev/mmcblk0p2".into()));
        assert_eq!(config.slots[0].parts[2].place, PlaceEntry::Directory("data-a".into()));
        let BootEntry::UBoot { size, copies } = &config.boot else { panic!() };
        assert_eq!((*size, copies[1].1), (16 << 10, 2 << 20));
        assert_eq!(config.files().len(), 4);
        let silent = configured(&GROUPS.replace("\"cmdline\"", "\"silent\"")).unwrap();
        assert_eq!(silent.running, None, "said later, where it matters");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let with = |from: &str, to: &str| configured(&GROUPS.replace(from, to)).unwrap_err();
        let cases = [
            (with("cmdline\"", "missing\""), "cannot be read"),
            (with("name = \"b\"", "name = \"c\""), "hotshoe.slot=b"),
            (with("\"u-boot\"", "\"grub\""), "[flash.grub]"),
            (with("\"u-boot\"", "\"file\""), "another boot loader"),
            (with("\"u-boot\"", "\"lilo\""), "lilo"),
            (with(", { file = \"/dev/mmcblk0\", offset = \"2MiB\" }", ", {}"), "file"),
            (with("16KiB", "16MiB"), "64B to 1MiB"),
            (with("p3", "p2"), "another slot has the file"),
            (with("data-b\"", "data-a\""), "another slot has the file"),
            (with("kernel-b.img", "data-b.tar"), "another slot has the file"),
            (with("name = \"root\", device", "name = \"kernel\", device"), "another part"),
            (with("device = \"/dev/mmcblk0p3\", size = \"512MiB\"", "device = \"/dev/mmcblk0p3\""), "a size"),
            (with("file = \"kernel-b.img\", ", ""), "one of file, device and directory"),
            (with("kernel-b.img", "../out"), "letters"),
            (with("name = \"b\"\n", "name = \"b\"\nsize = \"1B\"\n"), "those of the parts"),
        ];
        for (text, word) in cases {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
