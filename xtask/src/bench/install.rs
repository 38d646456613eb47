//! What an install costs: an image over loopback HTTPS into a file slot, beside `curl`, `sha256sum` and `dd`.
//!
//! Both check a SHA-256, both end with the slot synced. Theirs downloads to a file first; ours writes to the slot, reads it
//! back and compares.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{Row, median, process::pss_mib};
use crate::{
    stand::{DEVICE, Options, Stand, make_image, sha256},
    tools::{require, run, target},
};

pub(super) fn rows() -> Result<Vec<Row>> {
    require("curl", "curl")?;
    let folder = tempfile::tempdir_in(target())?;
    let mut stand =
        Stand::start(folder.path(), &Options { profile: "release", slot_mib: 1024, ..Options::default() })?;
    let mut rows = vec![
        throughput(&stand, "install.64mib_ratio", 64, 5)?,
        throughput(&stand, "install.1gib_ratio", 1024, 3)?,
    ];
    rows.push(peak(&mut stand)?);
    Ok(rows)
}

fn throughput(stand: &Stand, name: &'static str, mib: u64, times: usize) -> Result<Row> {
    let image = stand.folder.join(format!("images/{mib}.img"));
    make_image(&image, mib)?;
    let digest = sha256(&image)?;
    let url = stand.image_url(&format!("{mib}.img"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..times {
        theirs.push(timed(|| pipeline(stand, &url, &digest))?);
        ours.push(timed(|| install(stand, &url, &digest, mib))?);
    }
    let (ours, theirs) = (mib as f64 / median(ours), mib as f64 / median(theirs));
    Ok(Row {
        name,
        value: ours,
        unit: "MiB/s",
        against: format!("curl -o, sha256sum, dd conv=fsync: {theirs:.0} MiB/s"),
        ratio: ours / theirs,
    })
}

/// The host's own download and staging, in a process of its own that starts with nothing.
fn install(stand: &Stand, url: &str, digest: &str, mib: u64) -> Result<()> {
    let work = stand.folder.join("install");
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    run(Command::new(target().join("release/examples/install"))
        .stdout(Stdio::null())
        .arg("--state")
        .arg(work.join("state"))
        .arg("--slot")
        .arg(work.join("slot.img"))
        .arg("--ca")
        .arg(stand.folder.join("hub/ca.pem"))
        .args(["--digest", &format!("sha256:{digest}"), "--size", &(mib << 20).to_string()])
        .arg(url))
}

fn pipeline(stand: &Stand, url: &str, digest: &str) -> Result<()> {
    let (file, slot) = (stand.folder.join("curl.img"), stand.folder.join("curl.slot"));
    for path in [&file, &slot] {
        let _ = std::fs::remove_file(path);
    }
    run(Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--cacert"])
        .arg(stand.folder.join("hub/ca.pem"))
        .arg("--output")
        .arg(&file)
        .arg(url))?;
    ensure!(sha256(&file)? == digest, "curl fetched something else");
    run(Command::new("dd")
        .arg(format!("if={}", file.display()))
        .arg(format!("of={}", slot.display()))
        .args(["bs=1M", "conv=fsync", "status=none"]))
}

/// The most memory that `hotshoed` takes while it installs 1 GiB, against 64 MiB.
fn peak(stand: &mut Stand) -> Result<Row> {
    stand.start_device()?;
    stand.await_device()?;
    let small = peak_of_update(stand, 64)?;
    let large = peak_of_update(stand, 1024)?;
    Ok(Row {
        name: "install.peak_pss_mib",
        value: large,
        unit: "MiB",
        against: format!("the same with 64 MiB, {small:.1} MiB"),
        ratio: large / small,
    })
}

fn peak_of_update(stand: &Stand, mib: u64) -> Result<f64> {
    let digest = sha256(&stand.folder.join(format!("images/{mib}.img")))?;
    let mut update = stand
        .hotshoe()
        .args([
            "firmware",
            "update",
            DEVICE,
            &stand.image_url(&format!("{mib}.img")),
            "--version",
            &mib.to_string(),
        ])
        .arg("--digest")
        .arg(format!("sha256:{digest}"))
        .stdout(Stdio::null())
        .spawn()?;
    let mut peak = 0.0_f64;
    let status = loop {
        // The process is another one after the restart in the middle; the gap between them is not an error.
        if let Ok(pss) = stand.hotshoed_pid().and_then(pss_mib) {
            peak = peak.max(pss);
        }
        if let Some(status) = update.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(status.success(), "the update of {mib} MiB failed; see {}", log(&stand.folder).display());
    Ok(peak)
}

fn log(folder: &Path) -> std::path::PathBuf {
    folder.join("hotshoed.log")
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}
