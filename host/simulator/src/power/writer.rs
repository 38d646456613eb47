//! The process that writes while the power goes, and the look at what is left.
//!
//! It keeps records in a `StateDir` and, every few of them, takes an image through a slot to a confirmed boot, and tells
//! each on a line of its own once the device's code said that it is durable.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use anyhow::{Result, bail, ensure};
use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{
    digest::{Algorithm, Digest},
    policy::Unsigned,
};
use hotshoed::{
    artifact::hash::Hasher,
    flash::{Content, Flash, SlotConfig, boot::boot},
    state::StateDir,
};

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// By the device's own code.
    Real,
    /// The control: written, flushed and renamed, and the directory is not synced.
    NoDirectorySync,
}

impl Care {
    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Care::Real => "real",
            Care::NoDirectorySync => "no-directory-sync",
        }
    }

    /// The one of this name.
    pub fn of(word: &str) -> Option<Care> {
        [Care::Real, Care::NoDirectorySync].into_iter().find(|care| care.word() == word)
    }
}

/// How many records there are, written in turn.
const RECORDS: u64 = 8;
/// After how many records an image is taken through a slot.
const ROUND: u64 = 5;

fn dir(folder: &Path, name: &str) -> Result<Dir> {
    let path = folder.join(name);
    fs::create_dir_all(&path)?;
    // As the device's packaging makes them: before it runs, and for good.
    fs::File::open(folder)?.sync_all()?;
    Ok(Dir::open_ambient_dir(path, ambient_authority())?)
}

fn flash(folder: &Path) -> Result<Flash> {
    let slot = |name: &str| SlotConfig { name: name.to_owned(), file: format!("{name}.img"), size: 100_000 };
    Ok(Flash::open(Arc::new(dir(folder, "flash")?), vec![slot("a"), slot("b")])?)
}

fn image(version: u64) -> (Vec<u8>, Digest) {
    let bytes: Vec<u8> = version.to_le_bytes().iter().copied().cycle().take(60_000).collect();
    let mut hasher = Hasher::new(Algorithm::Blake3);
    hasher.update(&bytes);
    (bytes, hasher.finish())
}

fn told(words: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{words}")?;
    Ok(out.flush()?)
}

/// Writes until it is stopped.
pub fn write(folder: &Path, care: Care) -> Result<()> {
    let state = StateDir::new(dir(folder, "state")?);
    let flash = flash(folder)?;
    for number in 1_u64.. {
        let name = format!("record-{}", number % RECORDS);
        match care {
            Care::Real => state.write(&name, &number)?,
            Care::NoDirectorySync => {
                let bytes = format!(
                    "hotshoe-state 1 {}\n{number}",
                    blake3::hash(number.to_string().as_bytes()).to_hex()
                );
                let (path, new) = (folder.join("state").join(&name), folder.join("state").join("temporary"));
                let mut file = fs::File::create(&new)?;
                file.write_all(bytes.as_bytes())?;
                file.sync_data()?;
                fs::rename(new, path)?;
            }
        }
        told(&format!("record {name} {number}"))?;
        if care == Care::Real && number % ROUND == 0 {
            update(&flash, folder, number / ROUND)?;
        }
    }
    Ok(())
}

fn update(flash: &Flash, folder: &Path, version: u64) -> Result<()> {
    let (bytes, digest) = image(version);
    let slot = if version % 2 == 1 { "b" } else { "a" };
    let mut staging = flash.stage(slot, &digest, "job", Unsigned::Digest)?;
    for piece in bytes.chunks(16 * 1024) {
        staging.append(piece)?;
    }
    staging.seal(&version.to_string())?;
    told(&format!("sealed {slot} {version}"))?;
    flash.activate(slot, "job")?;
    boot(Arc::new(dir(folder, "flash")?))?;
    flash.confirm()?;
    told(&format!("confirmed {slot} {version}"))
}

/// Looks for all that was told to be done, after the cut. An error says what is gone.
pub fn check(folder: &Path, lines: &[String]) -> Result<()> {
    let state = StateDir::new(dir(folder, "state")?);
    let (mut sealed, mut confirmed) = (0, 0);
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, name, number] = words[..] else { bail!("the process told {line:?}") };
        let number: u64 = number.parse()?;
        match what {
            "record" => {
                let found = state.read::<u64>(name)?;
                ensure!(found.is_some_and(|found| found >= number), "{name} is {found:?} and was {number}");
            }
            "sealed" => sealed = number,
            _ => confirmed = number,
        }
    }
    let aside =
        fs::read_dir(folder.join("state"))?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let aside: Vec<String> = aside.filter(|name| name.contains(".corrupt-")).collect();
    ensure!(aside.is_empty(), "torn records: {aside:?}");
    slots(folder, sealed, confirmed)
}

fn slots(folder: &Path, sealed: u64, confirmed: u64) -> Result<()> {
    let flash = flash(folder)?;
    boot(Arc::new(dir(folder, "flash")?))?;
    let version = |slot: &hotshoed::flash::SlotInfo| {
        slot.version.as_ref().and_then(|version| version.parse::<u64>().ok()).unwrap_or_default()
    };
    let slots = flash.slots()?;
    let running = slots.iter().find(|slot| slot.running);
    let Some(running) = running else { bail!("no slot runs: {slots:?}") };
    ensure!(version(running) >= confirmed, "version {} runs, {confirmed} was confirmed", version(running));
    for slot in &slots {
        let is_whole = fs::read(folder.join("flash").join(format!("{}.img", slot.name)))?
            .starts_with(&image(version(slot)).0);
        ensure!(slot.content != Content::Sealed || is_whole, "slot {} is sealed and not whole", slot.name);
    }
    let newest = slots.iter().map(version).max().unwrap_or_default();
    // Sealing the next one empties the slot of the one before last.
    ensure!(newest >= sealed, "version {newest} is the newest sealed one, {sealed} was sealed");
    Ok(())
}
