//! `cargo xtask hub-bench`: what ten thousand devices cost the local hub, with mosquitto beside it.
//!
//! Builds the hub's release form and the load of `host/localhub/examples/load`, and runs the one against the other.
//! Wants a quiet machine: hub and load share it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::tools::{cargo, run, target};

/// Where Debian puts mosquitto.
const MOSQUITTO: [&str; 2] = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];

/// How much, and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Devices to connect.
    #[arg(long, default_value_t = 10_000)]
    devices: usize,
    /// How long to call direct methods, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Hostile connections, of each kind that stays and of all kinds at once.
    #[arg(long, default_value_t = 10_000)]
    hostile: usize,
    /// Rounds of five seconds beside all hostile connections, in turns with rounds alone; each kind by itself has half as
    /// many.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Also write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fail unless the goals are met: 20 KiB for an idle device, 5,000 methods a second, three times the p99 at most.
    #[arg(long)]
    check: bool,
}

/// Builds and measures.
pub(crate) fn run_hub_bench(arguments: &Arguments) -> Result<()> {
    run(cargo().args(["build", "--release", "-p", "hotshoe-localhub", "--bins", "--example", "load"]))?;
    let release = target().join("release");
    let mut load = Command::new(release.join("examples/load"));
    load.arg("--hub").arg(release.join("hotshoe-localhub"));
    load.args(["--devices", &arguments.devices.to_string(), "--seconds", &arguments.seconds.to_string()]);
    load.args(["--hostile", &arguments.hostile.to_string(), "--rounds", &arguments.rounds.to_string()]);
    match MOSQUITTO.iter().find(|program| std::path::Path::new(program).is_file()) {
        Some(program) => drop(load.args(["--mosquitto", program])),
        None => println!("without mosquitto beside it: apt-get install mosquitto"),
    }
    if let Some(file) = &arguments.json {
        load.arg("--json").arg(file);
    }
    if arguments.check {
        load.arg("--check");
    }
    run(&mut load)
}
