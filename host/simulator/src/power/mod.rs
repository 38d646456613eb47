//! Real power cuts: a live ext4 is shut down under a process that writes, and what it was told to have done must be
//! there afterwards.
//!
//! Each cut: a small ext4 on a loop device, a process that writes through the device's own code and tells of each thing
//! that was acknowledged, `EXT4_IOC_SHUTDOWN` without a flush of the journal at some moment, another mount with the
//! journal played back, and a look. The same without a sync of the directory is the control: it must lose something,
//! or the cuts are no cuts.
//!
//! It needs root, loop devices and `mkfs.ext4`. The call itself is made by a line of Python, since it takes `unsafe`
//! here.

mod writer;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

pub use writer::{Care, check, write};

use crate::random::Random;

/// Shuts the file system down, at once and without its journal.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))
";

/// What came of the cuts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    /// How many cuts there were.
    pub cuts: u32,
    /// How many things were acknowledged before them.
    pub acknowledged: u64,
    /// In how many cuts something of it was gone.
    pub lost: u32,
}

/// Why there cannot be such cuts here; `None` where there can.
pub fn missing() -> Option<String> {
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root {
        return Some("it takes root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("it takes loop devices".to_owned());
    }
    for tool in ["mkfs.ext4", "mount", "umount", "python3"] {
        let found =
            Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
        if !found.is_ok_and(|found| found.success()) {
            return Some(format!("it takes {tool}"));
        }
    }
    None
}

/// A small file system of its own, unmounted and gone when this is dropped.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
}

impl Disk {
    fn make(folder: &Path) -> Result<Disk> {
        let disk = Disk { image: folder.join("disk.img"), mounted: folder.join("mounted") };
        std::fs::create_dir_all(&disk.mounted)?;
        std::fs::File::create(&disk.image)?.set_len(16 << 20)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(&disk.image))?;
        Ok(disk)
    }

    fn mount(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.mounted]))
    }

    fn umount(&self) -> Result<()> {
        run(Command::new("umount").arg(&self.mounted))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mounted).stderr(Stdio::null()).status();
    }
}

/// Makes so many cuts, each on a file system of its own in `folder`. The same program is the process that writes.
pub fn cuts(folder: &Path, count: u32, care: Care, tell: &mut dyn FnMut(&str)) -> Result<Losses> {
    let mut losses = Losses::default();
    let mut random = Random::of(care.word());
    for number in 0..count {
        let disk = Disk::make(folder)?;
        disk.mount()?;
        let (told, lost) = cut(&disk, care, Duration::from_micros(random.below(40_000)), random.below(60))?;
        losses.cuts += 1;
        losses.acknowledged += told;
        if let Some(lost) = lost {
            losses.lost += 1;
            tell(&format!("cut {number} after {told} acknowledgements: {lost}"));
        }
    }
    Ok(losses)
}

/// One cut: how much was acknowledged, and what of it was lost.
fn cut(disk: &Disk, care: Care, after: Duration, lines: u64) -> Result<(u64, Option<String>)> {
    let program = std::env::current_exe()?;
    let mut writer = Command::new(program)
        .args(["write", care.word()])
        .arg(&disk.mounted)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut told = BufReader::new(writer.stdout.take().context("a pipe was asked for")?).lines();
    let mut acknowledged = Vec::new();
    for line in told.by_ref().take(lines as usize + 1) {
        acknowledged.push(line?);
    }
    std::thread::sleep(after);
    run(Command::new("python3").args(["-c", SHUTDOWN]).arg(&disk.mounted))?;
    // Nothing is written any more; what it tells now was done before.
    writer.kill()?;
    for line in told {
        acknowledged.push(line?);
    }
    writer.wait()?;
    disk.umount()?;
    disk.mount().context("the file system cannot be mounted after the cut")?;
    ensure!(!acknowledged.is_empty(), "the process that writes told nothing");
    let lost = check(&disk.mounted, &acknowledged).err().map(|error| format!("{error:#}"));
    disk.umount()?;
    Ok((acknowledged.len() as u64, lost))
}

fn run(command: &mut Command) -> Result<()> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} could not be run"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
