//! `cargo xtask torture`: power cuts, failing disks and killed processes, until it hurts. Hours where `cargo xtask test`
//! takes minutes.
//!
//! | Level | What is cut | What is real |
//! |---|---|---|
//! | `simulator` | every operation of a life, and those of its recoveries | jobs, outbox, slots, state files |
//! | `planted` | the same, with bugs planted in the code: each must be caught | the simulator's eyes |
//! | `calls` | every system call of an update, by `strace` | the whole process, the kernel |
//! | `ext4` | a live file system | the disk, the file system |
//! | `fuzz` | whatever others write, by fuzzers with coverage | each place that reads it |
//! | `scripts` | nothing: the zoo's attacks as scripts that another agent runs as root | that agent, in a cage |
//! | `zoo` | hostile plugins, 10,000 times, with times | the engine, the compiler, the host's functions |
//!
//! A level that cannot be had here is told as skipped, loudly.

use std::{process::Command, time::Instant};

use anyhow::{Result, bail};

use crate::{
    fuzz, guests, root_scripts,
    tools::{cargo, run, target},
};

/// How much of it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many power cuts to simulate, at least.
    #[arg(long, default_value_t = 1_000_000)]
    cuts: u64,
    /// Which lives are simulated, of all that chance makes different.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many times to cut the power of a real ext4.
    #[arg(long, default_value_t = 200)]
    ext4_cuts: u32,
    #[command(flatten)]
    fuzz: fuzz::Arguments,
    /// Only these levels.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Level>,
}

/// A level of the ladder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Level {
    Simulator,
    Planted,
    Calls,
    Ext4,
    Zoo,
    Fuzz,
    Scripts,
}

/// Runs the levels; tells at the end which went well.
pub(crate) fn run_torture(arguments: &Arguments) -> Result<()> {
    let all = [
        Level::Simulator,
        Level::Planted,
        Level::Ext4,
        Level::Calls,
        Level::Zoo,
        Level::Scripts,
        Level::Fuzz,
    ];
    let wanted = all.into_iter().filter(|level| arguments.only.is_empty() || arguments.only.contains(level));
    let mut told = Vec::new();
    for level in wanted {
        println!("== {level:?}");
        let start = Instant::now();
        let result = match level {
            Level::Simulator => {
                let (cuts, seed) = (arguments.cuts.to_string(), arguments.seed.to_string());
                simulator(&["run", "--cuts", &cuts, "--seed", &seed])
            }
            Level::Planted => planted(),
            Level::Calls => calls(),
            Level::Zoo => zoo(),
            Level::Fuzz => fuzz::run_fuzzers(&arguments.fuzz),
            Level::Scripts => root_scripts::run_scripts(),
            Level::Ext4 => simulator(&["ext4", "--cuts", &arguments.ext4_cuts.to_string()]),
        };
        let time = start.elapsed().as_secs_f64();
        told.push(format!(
            "{time:>8.1} s  {level:?}: {}",
            result.as_ref().map_or_else(|error| format!("{error:#}"), |()| "well".to_owned())
        ));
        if let Err(error) = result {
            println!("{}", told.join("\n"));
            return Err(error);
        }
    }
    println!("{}", told.join("\n"));
    Ok(())
}

/// The simulator as it is built for a release: a million lives are many.
fn simulator(arguments: &[&str]) -> Result<()> {
    run(cargo().args(["run", "--quiet", "--release", "--package", "hotshoe-simulator", "--"]).args(arguments))
}

/// With bugs in it nothing is a release. Built with the workspace, so that nothing but the device's own code is built anew.
fn planted() -> Result<()> {
    let build = ["build", "--quiet", "--workspace", "--bin", "hotshoe-simulator"];
    run(cargo().args(build).args(["--features", "hotshoe-simulator/planted"]))?;
    run(Command::new(target().join("debug/hotshoe-simulator")).arg("planted"))
}

fn calls() -> Result<()> {
    if !Command::new("strace").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: faults at every system call: strace is missing (apt-get install strace)");
        return Ok(());
    }
    guests::build(Some("firmware-update"))?;
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let test = ["test", "--workspace", "--bins", "--test", "faults"];
    run(cargo().env("HOTSHOE_TORTURE", "1").args(test).args(["an_update", "--", "--nocapture"]))
}

/// What a test does not do: judge times, and 10,000 rounds.
fn zoo() -> Result<()> {
    for guest in ["test-guest", "zoo"] {
        guests::build(Some(guest))?;
    }
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let test = ["test", "--workspace", "--bins", "--test", "zoo", "--"];
    run(cargo().args(test).args(["long::", "--ignored", "--nocapture", "--test-threads", "1"]))
}

/// The short run, in the test of everything: enough lives for each operation of each world, and a few real cuts.
pub(crate) fn short() -> Result<()> {
    let program = target().join("debug/hotshoe-simulator");
    if !program.exists() {
        bail!("{} is missing: build the programs first", program.display());
    }
    run(Command::new(&program).args(["run", "--cuts", "50000"]))?;
    run(Command::new(&program).args(["ext4", "--cuts", "10", "--control", "0"]))
}
