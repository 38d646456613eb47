//! `cargo xtask demo`: the main job, watched by a person.
//!
//! Builds what it needs, starts a local hub and a device that takes signed images only, signs and publishes an image, runs
//! the operator's command and ends with the twin. Every program is the real one; only boot loader and init are simulated.
//! With `--swap` the logic of the update is swapped while it runs, and a bad version undoes itself.

mod swap;

use std::{
    fs,
    io::{IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    guests,
    stand::{DEVICE, Options, Stand, make_image},
    tools::{cargo, run},
};

/// What the demo installs, and what becomes of the stand.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The image to install; 64 MiB of random bytes otherwise.
    #[arg(long)]
    image: Option<PathBuf>,
    /// Swap the update logic in the middle of the update, then install a version with a bug.
    #[arg(long)]
    swap: bool,
    /// Leave hub and device running at the end, and print how to talk to them.
    #[arg(long)]
    keep: bool,
}

/// Runs the demo; success means that the image is in the slot and the twin says `completed`.
pub(crate) fn run_demo(arguments: &Arguments) -> Result<()> {
    step("building (the first time takes some minutes)");
    guests::build(None)?;
    run(cargo().args(["build", "--quiet", "--workspace", "--bins"]))?;

    let folder = tempfile::Builder::new().prefix("hotshoe-demo-").tempdir()?;
    step(&format!("starting a local hub and a device in {}", folder.path().display()));
    let image = prepare_image(folder.path(), arguments.image.as_deref())?;
    let size = fs::metadata(&image)?.len();
    let options = Options {
        slot_mib: size.div_ceil(1 << 20).max(1),
        image_rate: Some("20MiB"),
        unsigned: "deny",
        ..Options::default()
    };
    let mut stand = Stand::start(folder.path(), &options)?;
    stand.start_device()?;
    stand.await_device()?;

    let name = image.file_name().context("the image has no file name")?.to_string_lossy().into_owned();
    step(&format!(
        "signing {name}, {size} bytes, into a repository of its own, its hash tree beside it (hotshoe repo add, publish)"
    ));
    let url = stand.publish(&image, "2.0.0")?;
    if arguments.swap {
        swap::during_update(&stand, &url)?;
    } else {
        step(&format!("updating {DEVICE} from {url}; the device takes signed images only"));
        run(stand.hotshoe().args(["firmware", "update", DEVICE, &url, "--version", "2.0.0"]))
            .with_context(|| stand.device_log())?;
    }

    if !same_start(&image, &stand.slot("b"))? {
        bail!("slot b does not hold the image; {}", stand.device_log());
    }
    let stored = bytes_below(&folder.path().join("device/state/artifacts"))?;
    ensure!(stored == 0, "{stored} bytes of the image were stored on the way; {}", stand.device_log());
    step("the slot holds the image byte for byte; it came straight from the network, checked chunk by chunk");
    step("the twin's reported properties:");
    let mut reported = stand.reported()?;
    if let Some(reported) = reported.as_object_mut() {
        reported.remove("$metadata");
    }
    println!("{}", serde_json::to_string_pretty(&reported)?);
    if arguments.swap {
        swap::bad_version(&stand)?;
    }
    if arguments.keep {
        keep(&mut stand, &folder.keep())?;
    }
    println!("demo: completed");
    Ok(())
}

fn prepare_image(folder: &Path, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let image = folder.join("firmware-2.0.0.img");
    make_image(&image, 64)?;
    Ok(image)
}

/// The size of all files below a directory.
fn bytes_below(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Whether the slot begins with the image.
fn same_start(image: &Path, slot: &Path) -> Result<bool> {
    let mut left = std::io::BufReader::with_capacity(1 << 20, fs::File::open(image)?);
    let mut right = std::io::BufReader::with_capacity(1 << 20, fs::File::open(slot)?);
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = left.read(&mut one)?;
        if read == 0 {
            return Ok(true);
        }
        let (Some(wanted), Some(found)) = (one.get(..read), other.get_mut(..read)) else { return Ok(false) };
        if right.read_exact(found).is_err() || wanted != found {
            return Ok(false);
        }
    }
}

fn keep(stand: &mut Stand, folder: &Path) -> Result<()> {
    let command = stand.hotshoe();
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = words.join(" ");
    println!("\nhub and device keep running in {}; try:", folder.display());
    println!("  {line} method invoke {DEVICE} ping '{{\"hello\":\"world\"}}'");
    println!("  {line} method invoke {DEVICE} hotshoe.status");
    println!("  {line} twin watch {DEVICE}");
    println!("  {line} method invoke {DEVICE} reboot");
    println!("  tail -f {}/hotshoed.log", folder.display());
    println!("Press Enter to stop.");
    if std::io::stdin().read_line(&mut String::new())? == 0 {
        // No terminal to press Enter on: run until somebody ends it.
        stand.wait()?;
    }
    Ok(())
}

fn step(text: &str) {
    let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    println!("{bold}demo: {text}{plain}");
}
