//! `cargo xtask qemu`: real reboots of a real kernel, with GRUB picking the slot, and the power cut in between.
//!
//! A guest with Debian's kernel boots from one of two partitions by `examples/device/grub/grub.cfg`. In it the example
//! `slotctl` updates the other one through the device's own code. The driver here cuts the power (kills QEMU) at a
//! phase that goes round and again at a random moment, and after each cut looks at the disk from outside: the slot that
//! GRUB would boot holds a whole image that was proven, and one that is armed holds the whole new one. Some images do
//! not boot, by a panic or by hanging: those must fall back by themselves.
//!
//! What it does not show: writes that reached QEMU are not lost, since the host's kernel keeps them; what the guest's
//! kernel had not yet written is. The simulator is for the rest.

mod disk;
mod entries;
mod machine;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};

use crate::tools::{cargo, require, run, target};
use disk::{Disk, Image, Kind};
use machine::Machine;

/// How long a boot and an update may take, on a slow machine without acceleration.
const PATIENCE: Duration = Duration::from_secs(300);

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many updates; every fourth is to an image that does not boot.
    #[arg(long, default_value_t = 12)]
    cycles: u32,
    /// What the random moments come from; printed, to be given again.
    #[arg(long)]
    seed: Option<u64>,
    /// Look at systemd-boot instead: whether it boots, counts and falls back as the host reads its entries.
    #[arg(long)]
    systemd_boot: bool,
    /// The kernel; the newest `/boot/vmlinuz-*-cloud-amd64` where none is named.
    #[arg(long)]
    kernel: Option<PathBuf>,
}

/// What was seen.
#[derive(Default)]
struct Seen {
    boots: u32,
    cuts: u32,
    updates: u32,
    fallbacks: u32,
    lapsed: u32,
    checks: u32,
}

/// Runs all cycles; the first broken promise ends it.
pub(crate) fn run_qemu(arguments: &Arguments) -> Result<()> {
    for (program, package) in [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("grub-mkimage", "grub-common grub-pc-bin"),
        ("grub-editenv", "grub-common"),
        ("mke2fs", "e2fsprogs"),
        ("cpio", "cpio"),
        ("busybox", "busybox-static"),
        ("sha256sum", "coreutils"),
    ] {
        require(program, package)?;
    }
    run(cargo().args(["build", "--quiet", "--workspace", "--example", "slotctl"]))?;
    let seed = arguments.seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let mut random = Random(seed);
    let folder = tempfile::tempdir_in(target())?;
    let mut disk =
        Disk::make(folder.path(), arguments.kernel.as_deref(), &target().join("debug/examples/slotctl"))?;
    let mut seen = Seen::default();
    if arguments.systemd_boot {
        let boots = entries::check(folder.path(), disk.kernel(), &disk.initramfs_file())?;
        println!("systemd-boot preferred, counted and fell back as its entries say, in {boots} boots");
        return Ok(());
    }
    for cycle in 0..arguments.cycles {
        let kind = match cycle % 8 {
            3 => Kind::Panics,
            7 => Kind::Hangs,
            _ => Kind::Good,
        };
        let image = disk.next(&format!("v{}", cycle + 2), kind)?;
        update(&mut disk, &image, cycle, &mut random, &mut seen)
            .with_context(|| format!("cycle {} ({kind:?}), seed {seed}", cycle + 1))?;
    }
    println!(
        "{} updates: {} of them to images that do not boot and fell back by themselves, {} whose only try was cut and \
         lapsed; {} boots, {} power cuts, {} looks at the disk from outside: a proven image was good each time",
        seen.updates, seen.fallbacks, seen.lapsed, seen.boots, seen.cuts, seen.checks
    );
    Ok(())
}

/// At which line of the guest the power is cut first.
const PHASES: [&str; 8] = [
    "slotctl: staging",
    "slotctl: staged 16777216",
    "slotctl: sealed",
    "slotctl: armed",
    "slotctl: restarting",
    "Linux version",
    "slotctl: confirming",
    "slotctl: confirmed",
];

fn update(disk: &mut Disk, image: &Image, cycle: u32, random: &mut Random, seen: &mut Seen) -> Result<()> {
    seen.updates += 1;
    let phase = PHASES.get(cycle as usize % PHASES.len()).copied().unwrap_or("slotctl: armed");
    let bad = image.kind != Kind::Good;
    println!("{} ({:?}), cut at {phase:?}", image.version, image.kind);
    // What a phase is about may never come, where the image does not boot.
    let phase = if bad && phase.contains("confirm") { "slotctl: armed" } else { phase };
    {
        let mut machine = boot(disk, seen)?;
        if phase == "Linux version" {
            machine.until("slotctl: restarting", PATIENCE)?;
        }
        machine.until(phase, PATIENCE)?;
        machine.pass(Duration::from_millis(random.below(600)));
        println!("    cut after {:?}", machine.last());
    }
    cut(disk, image, seen)?;
    // Once more, at any moment of what comes then.
    {
        let mut machine = boot(disk, seen)?;
        machine.pass(Duration::from_millis(random.below(25_000)));
        println!("    cut after {:?}", machine.last());
    }
    cut(disk, image, seen)?;
    // Now it may end. A guest that hangs is switched off by somebody; one that panics restarts itself.
    let mut machine = boot(disk, seen)?;
    let end = match image.kind {
        // A cut may have hit the only try of an image that is well: then it has lapsed.
        Kind::Good => machine.until_one(&["slotctl: idle", "slotctl: fell back"], PATIENCE)?,
        Kind::Panics => machine.until("slotctl: fell back", PATIENCE)?,
        Kind::Hangs => {
            let line = machine.until_one(&["init: this image hangs", "slotctl: fell back"], PATIENCE)?;
            if line.contains("hangs") {
                drop(machine);
                cut(disk, image, seen)?;
                machine = boot(disk, seen)?;
                machine.until("slotctl: fell back", PATIENCE)?
            } else {
                line
            }
        }
    };
    println!("    {end}");
    ensure!(!machine.log().contains("LIE"), "a slot holds another version than its record says");
    drop(machine);
    let fell_back = end.contains("fell back");
    seen.fallbacks += u32::from(bad);
    seen.lapsed += u32::from(fell_back && !bad);
    let good = disk.check(image)?;
    seen.checks += 1;
    ensure!(
        (good == image.version) != fell_back,
        "{good} is good in the end, after an update to {} ({:?})",
        image.version,
        image.kind
    );
    if !fell_back {
        disk.proven(image);
    }
    Ok(())
}

fn boot(disk: &Disk, seen: &mut Seen) -> Result<Machine> {
    seen.boots += 1;
    Machine::start(&[("if=virtio", disk.file()), ("if=virtio,readonly=on", disk.next_file())])
}

/// The power is off: what would boot now?
fn cut(disk: &Disk, image: &Image, seen: &mut Seen) -> Result<()> {
    seen.cuts += 1;
    seen.checks += 1;
    let good = disk.check(image)?;
    println!("      good: {good}");
    Ok(())
}

/// A small generator, so that a run can be made again (Steele and others: SplitMix).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (value ^ (value >> 31)) % limit.max(1)
    }
}

/// The newest kernel for virtual machines.
fn kernel() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/boot")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("vmlinuz-") && name.ends_with("-cloud-amd64")
        })
        .collect();
    found.sort();
    match found.pop() {
        Some(path) => Ok(path),
        None => bail!("there is no /boot/vmlinuz-*-cloud-amd64: apt-get install linux-image-cloud-amd64"),
    }
}
