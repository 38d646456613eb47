//! What the process costs: from its start to the first answer, and at rest.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{Row, median};
use crate::stand::{DEVICE, Options, Stand};

/// What an idle device may take with both first-party plugins.
const IDLE_LIMIT_MIB: f64 = 25.0;

pub(super) fn rows() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let mut stand = Stand::start(folder.path(), &Options { profile: "release", ..Options::default() })?;
    let cold = first_answer(&mut stand)?;
    let idle = {
        // At rest: nothing is called, and allocator and runtime have settled.
        std::thread::sleep(Duration::from_secs(5));
        pss_mib(stand.hotshoed_pid()?)?
    };
    let warm: Result<Vec<f64>> = (0..9)
        .map(|_| {
            stand.stop_device()?;
            first_answer(&mut stand)
        })
        .collect();
    let warm = median(warm?);
    Ok(vec![
        Row {
            name: "start.first_answer_ms",
            value: warm,
            unit: "ms",
            against: format!("the first start, which compiles both plugins, {cold:.0} ms"),
            ratio: warm / cold,
        },
        Row {
            name: "idle.pss_mib",
            value: idle,
            unit: "MiB",
            against: format!("what it may take, {IDLE_LIMIT_MIB} MiB"),
            ratio: idle / IDLE_LIMIT_MIB,
        },
    ])
}

/// From the start of the process to the answer of a plugin's method; the caller waits at the hub already.
fn first_answer(stand: &mut Stand) -> Result<f64> {
    let mut caller = stand
        .hotshoe()
        .args(["method", "invoke", DEVICE, "ping", "--connect-timeout", "60"])
        .stdout(Stdio::null())
        .spawn()?;
    // The caller has to be at the hub before the clock starts.
    std::thread::sleep(Duration::from_millis(700));
    let start = Instant::now();
    stand.start_device()?;
    ensure!(caller.wait()?.success(), "the device did not answer");
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// The proportional set size of a process.
pub(super) fn pss_mib(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss in smaps_rollup")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number after Pss:")?.parse()?;
    Ok(kib / 1024.0)
}
