//! The guest's disk, made and looked at from outside without mounting anything.
//!
//! Sector 0 and the gap behind it hold GRUB; then a partition with GRUB's configuration and environment block, one for
//! each slot, and one for the device's state.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::kernel;
use crate::tools::{capture, root, run};

const MIB: u64 = 1024 * 1024;
/// Where each partition begins, and its size, in MiB: GRUB's own, slot a, slot b, state.
const PARTITIONS: [(u64, u64); 4] = [(1, 8), (9, 48), (57, 48), (105, 32)];
/// Features that GRUB's reader knows.
const FEATURES: &str = "^metadata_csum,^64bit,^orphan_file";
/// Bytes of the second disk before the image.
const HEAD: u64 = 512;
const MODULES: [&str; 6] = [
    "virtio/virtio",
    "virtio/virtio_ring",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci",
    "block/virtio_blk",
];

/// What an image does when it is booted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Good,
    Panics,
    Hangs,
}

/// An image of a slot.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) version: String,
    pub(super) kind: Kind,
    file: PathBuf,
}

pub(super) struct Disk {
    folder: PathBuf,
    kernel: PathBuf,
    disk: PathBuf,
    next: PathBuf,
    /// What has been confirmed at least once, oldest first.
    proven: Vec<Image>,
}

impl Disk {
    /// A disk with the first version in slot a.
    pub(super) fn make(folder: &Path, named: Option<&Path>, slotctl: &Path) -> Result<Self> {
        let mut disk = Self {
            folder: folder.to_owned(),
            kernel: named.map_or_else(kernel, |path| Ok(path.to_owned()))?,
            disk: folder.join("disk.img"),
            next: folder.join("next.img"),
            proven: Vec::new(),
        };
        disk.initramfs(slotctl)?;
        let file = File::create(&disk.disk)?;
        file.set_len((PARTITIONS.iter().map(|(at, size)| at + size).max().unwrap_or(0) + 1) * MIB)?;
        disk.loader(&file)?;
        let boot = folder.join("boot");
        let grub = boot.join("boot/grub");
        fs::create_dir_all(&grub)?;
        fs::copy(root().join("examples/device/grub/grub.cfg"), grub.join("main.cfg"))?;
        let start = "serial --unit=0 --speed=115200\nterminal_output serial\n\
                     set kernel_options=\"console=ttyS0 loglevel=6\"\nsource ${prefix}/main.cfg\n";
        fs::write(grub.join("grub.cfg"), start)?;
        run(Command::new("grub-editenv").arg(grub.join("grubenv")).arg("create"))?;
        run(Command::new("grub-editenv").arg(grub.join("grubenv")).args(["set", "hotshoe_good=a"]))?;
        disk.file_system(0, Some(&boot))?;
        disk.file_system(3, None)?;
        let first = disk.image("v1", Kind::Good)?;
        file.write_all_at(&fs::read(&first.file)?, partition(1).0)?;
        disk.proven.push(first);
        Ok(disk)
    }

    pub(super) fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// What all initial file systems have in common.
    pub(super) fn initramfs_file(&self) -> PathBuf {
        self.folder.join("common.cpio")
    }

    pub(super) fn file(&self) -> &Path {
        &self.disk
    }

    pub(super) fn next_file(&self) -> &Path {
        &self.next
    }

    /// Puts an image of this version on the second disk.
    pub(super) fn next(&self, version: &str, kind: Kind) -> Result<Image> {
        let image = self.image(version, kind)?;
        let bytes = fs::read(&image.file)?;
        let sum = capture(Command::new("sha256sum").arg(&image.file))?;
        let sum = sum.split_whitespace().next().context("sha256sum printed nothing")?;
        let mut head = format!("{version} sha256:{sum} {}\n", bytes.len()).into_bytes();
        head.resize(HEAD as usize, 0);
        head.extend_from_slice(&bytes);
        fs::write(&self.next, head)?;
        Ok(image)
    }

    pub(super) fn proven(&mut self, image: &Image) {
        if image.kind == Kind::Good {
            self.proven.push(image.clone());
        }
    }

    /// What GRUB would boot now without a trial: its version. An error where that is not a whole image that was proven
    /// (or is the new one, confirmed a moment ago), or where one is armed that is not the whole new one.
    pub(super) fn check(&self, next: &Image) -> Result<String> {
        let block = self.folder.join("grubenv");
        let device = format!("{}?offset={}", self.disk.display(), partition(0).0);
        let dump = format!("dump /boot/grub/grubenv {}", block.display());
        let dumped = Command::new("debugfs").args(["-R", &dump, &device]).stderr(Stdio::null()).status();
        ensure!(
            dumped.context("could not start debugfs: apt-get install e2fsprogs")?.success(),
            "no environment block"
        );
        let list = capture(Command::new("grub-editenv").arg(&block).arg("list"))?;
        let value = |name: &str| list.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let good = value("hotshoe_good").context("nothing is good")?;
        if value("hotshoe_tries") == Some("1") {
            let trial = value("hotshoe_trial").context("a try without a slot")?;
            ensure!(trial != good, "the good slot is on trial");
            ensure!(self.holds(trial, next)?, "slot {trial} is armed and does not hold {}", next.version);
        }
        let mut known =
            self.proven.iter().rev().chain(std::iter::once(next).filter(|next| next.kind == Kind::Good));
        for image in &mut known {
            if self.holds(good, image)? {
                return Ok(image.version.clone());
            }
        }
        anyhow::bail!("slot {good} is good and holds no image that was proven")
    }

    /// Whether a slot begins with this image, byte for byte.
    fn holds(&self, slot: &str, image: &Image) -> Result<bool> {
        let at = partition(if slot == "a" { 1 } else { 2 }).0;
        let wanted = fs::read(&image.file)?;
        let mut there = vec![0; wanted.len()];
        File::open(&self.disk)?.read_exact_at(&mut there, at)?;
        Ok(there == wanted)
    }

    /// GRUB's first sector as the master boot record, with the partitions, and the rest of it behind.
    fn loader(&self, disk: &File) -> Result<()> {
        let core = self.folder.join("core.img");
        run(Command::new("grub-mkimage")
            .args(["-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o"])
            .arg(&core)
            .args([
                "biosdisk",
                "part_msdos",
                "ext2",
                "normal",
                "linux",
                "loadenv",
                "test",
                "serial",
                "terminal",
            ])
            .args(["echo", "reboot", "configfile"]))?;
        let boot = fs::read("/usr/lib/grub/i386-pc/boot.img").context("apt-get install grub-pc-bin")?;
        let core = fs::read(core)?;
        ensure!((core.len() as u64) < partition(0).0 - 512, "GRUB does not fit before the first partition");
        disk.write_all_at(boot.get(..440).context("boot.img is too short")?, 0)?;
        for (number, (at, size)) in PARTITIONS.iter().enumerate() {
            let mut entry =
                vec![if number == 0 { 0x80 } else { 0 }, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff];
            for sectors in [at * MIB / 512, size * MIB / 512] {
                entry.extend_from_slice(&u32::try_from(sectors)?.to_le_bytes());
            }
            disk.write_all_at(&entry, 446 + 16 * number as u64)?;
        }
        disk.write_all_at(&[0x55, 0xaa], 510)?;
        // boot.img looks for the rest in the next sector, and that for its own in the ones after.
        Ok(disk.write_all_at(&core, 512)?)
    }

    fn file_system(&self, number: usize, content: Option<&Path>) -> Result<()> {
        let (at, size) = partition(number);
        let mut command = Command::new("mke2fs");
        command.args(["-q", "-F", "-t", "ext4", "-O", FEATURES, "-E", &format!("offset={at}")]);
        if let Some(content) = content {
            command.arg("-d").arg(content);
        }
        run(command.arg(&self.disk).arg(format!("{}k", size / 1024)).stderr(Stdio::null()))
    }

    /// What all images have in common: the tools, the kernel's modules, the program with its libraries.
    fn initramfs(&self, slotctl: &Path) -> Result<()> {
        let tree = self.folder.join("initramfs");
        for directory in ["bin", "modules", "proc", "sys", "dev", "boot", "data"] {
            fs::create_dir_all(tree.join(directory))?;
        }
        fs::copy("/bin/busybox", tree.join("bin/busybox"))?;
        let version =
            self.kernel.file_name().unwrap_or_default().to_string_lossy().replacen("vmlinuz-", "", 1);
        let drivers = Path::new("/lib/modules").join(version).join("kernel/drivers");
        let mut load = String::new();
        for module in MODULES {
            let (_, name) = module.split_once('/').unwrap_or(("", module));
            fs::copy(drivers.join(format!("{module}.ko")), tree.join("modules").join(name))
                .with_context(|| format!("the kernel has no module {module}"))?;
            load.push_str(&format!("insmod /modules/{name}\n"));
        }
        run(Command::new("strip").arg("-o").arg(tree.join("bin/slotctl")).arg(slotctl))?;
        for library in
            capture(Command::new("ldd").arg(slotctl))?.split_whitespace().filter(|word| word.starts_with('/'))
        {
            let place = tree.join(library.trim_start_matches('/'));
            fs::create_dir_all(place.parent().context("a library has no directory")?)?;
            fs::copy(library, place)?;
        }
        let init = format!(
            "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\n\
             mount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\n{load}\
             echo \"init: up, image $(cat /version)\"\n\
             if [ -e /hangs ]; then echo 'init: this image hangs'; while :; do sleep 1000; done; fi\n\
             if [ -e /panics ]; then echo 'init: this image panics'; exit 1; fi\n\
             mount -t ext4 /dev/vda1 /boot\nmount -t ext4 /dev/vda4 /data\n\
             /bin/slotctl \"$(cat /version)\"\necho \"init: slotctl ended with $?\"\n\
             while :; do sleep 1000; done\n"
        );
        let file = tree.join("init");
        fs::write(&file, init)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        archive(&tree, &self.folder.join("common.cpio"))
    }

    /// A file system with a kernel, and an initial file system that says which version it is.
    fn image(&self, version: &str, kind: Kind) -> Result<Image> {
        let own = self.folder.join(format!("own-{version}"));
        fs::create_dir_all(&own)?;
        fs::write(own.join("version"), version)?;
        match kind {
            Kind::Good => {}
            Kind::Panics => fs::write(own.join("panics"), "")?,
            Kind::Hangs => fs::write(own.join("hangs"), "")?,
        }
        let added = self.folder.join("own.cpio");
        archive(&own, &added)?;
        let tree = self.folder.join(format!("tree-{version}"));
        fs::create_dir_all(&tree)?;
        fs::copy(&self.kernel, tree.join("vmlinuz"))?;
        let mut initrd = fs::read(self.folder.join("common.cpio"))?;
        // The kernel unpacks one archive after the other, each from a multiple of four.
        initrd.resize(initrd.len().next_multiple_of(512), 0);
        initrd.extend_from_slice(&fs::read(added)?);
        fs::write(tree.join("initrd.img"), initrd)?;
        let file = self.folder.join(format!("{version}.img"));
        let size = format!("{}k", partition(1).1 / 1024);
        let mut command = Command::new("mke2fs");
        command.args(["-q", "-F", "-t", "ext4", "-O", &format!("{FEATURES},^has_journal"), "-d"]);
        run(command.arg(&tree).arg(&file).arg(size).stdout(Stdio::null()).stderr(Stdio::null()))?;
        fs::remove_dir_all(tree)?;
        Ok(Image { version: version.to_owned(), kind, file })
    }
}

/// Where a partition begins, and its size, in bytes.
fn partition(number: usize) -> (u64, u64) {
    PARTITIONS.get(number).map_or((0, 0), |(at, size)| (at * MIB, size * MIB))
}

/// All of a directory, in the format that the kernel unpacks.
fn archive(tree: &Path, file: &Path) -> Result<()> {
    let names = capture(Command::new("find").arg(".").current_dir(tree))?;
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "-o", "-H", "newc"])
        .current_dir(tree)
        .stdin(Stdio::piped())
        .stdout(File::create(file)?)
        .spawn()
        .context("could not start cpio")?;
    cpio.stdin.take().context("cpio takes no names")?.write_all(names.as_bytes())?;
    ensure!(cpio.wait()?.success(), "cpio failed");
    Ok(())
}
