//! `cargo xtask demo --swap`: new update logic while an update runs, and a version with a bug that undoes itself.
//!
//! Both versions are signed and published like any vendor's, and installed by name over the device's admin socket. What is
//! shown is also checked: the demo fails where the job did not go over, or the bad version stayed.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use hotshoe_core::package;
use serde_json::Value;

use super::step;
use crate::{
    stand::{DEVICE, Stand},
    tools::{capture, run, target},
};

const UPDATER: &str = "hotshoe.firmware-update";
const DIAGNOSTICS: &str = "hotshoe.diagnostics";

/// Swaps the logic of an update while it runs; returns when the device runs the image at `url`.
pub(super) fn during_update(stand: &Stand, url: &str) -> Result<()> {
    step("a vendor signs version 0.2.0 of the update logic and publishes it");
    sign(stand, "firmware-update", "0.2.0")?;
    step(&format!("updating {DEVICE} from {url}; in the middle of it the logic is swapped"));
    let mut update = stand.hotshoe();
    let mut update = update.args(["firmware", "update", DEVICE, url, "--version", "2.0.0"]).spawn()?;
    until("the download is under way", || {
        let reported = stand.reported()?;
        let jobs = reported.pointer("/hotshoe/jobs").and_then(Value::as_object);
        Ok(jobs
            .is_some_and(|jobs| jobs.values().any(|job| job.get("done").and_then(Value::as_u64) > Some(0))))
    })?;
    println!();
    run(&mut plugin(stand, &["install", &format!("{UPDATER}@0.2.0")])).with_context(|| stand.device_log())?;
    ensure!(update.wait()?.success(), "the update failed; {}", stand.device_log());

    let status = capture(stand.hotshoe().args(["--json", "method", "invoke", DEVICE, "hotshoe.status"]))?;
    let status: Value = serde_json::from_str(&status)?;
    let ran = status.pointer("/payload/jobs/0/version").and_then(Value::as_str).unwrap_or_default();
    ensure!(ran == "0.2.0", "version {ran} ended the update and not 0.2.0: {status:#}");
    step("version 0.2.0 took the running update over and ended it:");
    run(&mut plugin(stand, &["list"]))
}

/// Installs a version with a bug and meets it.
pub(super) fn bad_version(stand: &Stand) -> Result<()> {
    step(
        "a version of the diagnostics with a bug: it passes every check, and traps when it is called with 3",
    );
    sign(stand, "diagnostics-bug", "0.2.0")?;
    run(&mut plugin(stand, &["install", &format!("{DIAGNOSTICS}@0.2.0")]))?;
    for number in ["1", "2"] {
        run(stand.hotshoe().args(["method", "invoke", DEVICE, "ping", number]))?;
    }
    let trap = stand.hotshoe().args(["method", "invoke", DEVICE, "ping", "3"]).status()?;
    ensure!(!trap.success(), "the bug did not show");
    step("the same call again, answered by the version before:");
    run(stand.hotshoe().args(["method", "invoke", DEVICE, "ping", "3"]))?;
    run(&mut plugin(stand, &["list"]))?;
    step("what the device has to say about it, with the functions of the author's source:");
    run(&mut plugin(stand, &["logs", DIAGNOSTICS]))?;
    let listed: Value = serde_json::from_str(&capture(&mut plugin(stand, &["list", "--json"]))?)?;
    let listed = listed.as_array().map(Vec::as_slice).unwrap_or_default();
    let live = listed.iter().find(|plugin| plugin.get("name").and_then(Value::as_str) == Some(DIAGNOSTICS));
    let version = live.and_then(|plugin| plugin.get("version")).and_then(Value::as_str);
    ensure!(version == Some("0.1.0"), "the bad version was not rolled back: {listed:?}");
    Ok(())
}

/// Signs a guest as another version of itself, and publishes it.
fn sign(stand: &Stand, guest: &str, version: &str) -> Result<()> {
    let component = fs::read(target().join("guests").join(format!("{guest}.wasm")))?;
    let (manifest, text) = package::read(&component)?;
    let own = format!("version = \"{}\"", manifest.version);
    let text = text.replacen(&own, &format!("version = \"{version}\""), 1);
    let file = stand.folder.join(format!("{guest}-{version}.wasm"));
    fs::write(&file, package::embed(&component, &text))?;
    run(stand.repo("add").arg(&file))?;
    run(&mut stand.repo("publish"))
}

/// `hotshoe plugin …` over the device's admin socket.
fn plugin(stand: &Stand, words: &[&str]) -> Command {
    let mut command = stand.hotshoe();
    command.arg("plugin").args(words);
    command.env("HOTSHOE_ADMIN_SOCKET", stand.folder.join("device/state/admin.sock"));
    command
}

fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..600 {
        if is_so()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("waited in vain until {what}");
}
