//! `hotshoe-simulator`: lives in simulated worlds, and tells what went wrong in them.

#![allow(clippy::print_stdout, reason = "people read it")]

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use hotshoe_simulator::{
    explore::{Effort, Report, explore},
    fleet,
    life::replay,
    plan::Seed,
    power::{self, Care},
    progress::Progress,
    world::{self, World, watch_for_panics},
};

#[cfg(feature = "planted")]
use hotshoe_simulator::planted;

/// Power cuts, bad disks and bad links under the device's real code.
#[derive(Parser)]
enum Command {
    /// Lives in all worlds; ends with an error if anything went wrong.
    Run {
        /// How many cuts to make in all, at least.
        #[arg(long, default_value_t = 50_000)]
        cuts: u64,
        /// Only this world.
        #[arg(long)]
        world: Option<String>,
        /// How many threads.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// How many violations are enough to leave a world.
        #[arg(long, default_value_t = 20)]
        enough: usize,
        /// Which lives are lived, of all that chance makes different.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Tells one life again, each operation of it.
    Replay {
        /// Its seed, such as `plain/57.torn.3/12.none.0`.
        seed: String,
        /// With this bug planted.
        #[cfg(feature = "planted")]
        #[arg(long)]
        bug: Option<String>,
    },
    /// Lists the worlds.
    Worlds,
    /// Plants bugs in the device's code, one after the other, and tells which are caught.
    #[cfg(feature = "planted")]
    Planted {
        /// Only these.
        bugs: Vec<String>,
        /// How many lives are lived at most until one goes wrong.
        #[arg(long, default_value_t = 150_000)]
        lives: u64,
        /// Look for it around this life first, not around the one that is known.
        #[arg(long)]
        near: Option<String>,
        /// How many threads.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Cuts the power of a real ext4 while it is written to. Needs root.
    Ext4 {
        /// How many cuts.
        #[arg(long, default_value_t = 200)]
        cuts: u32,
        /// How many for the control, which must lose something.
        #[arg(long, default_value_t = 40)]
        control: u32,
    },
    /// Many devices in one process, each a real session, with scripted outcomes; to try rollouts on.
    Fleet(Box<fleet::Options>),
    /// The process that writes while the power goes.
    #[command(hide = true)]
    Write {
        /// How.
        care: String,
        /// Where.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Run { cuts, world, threads, enough, seed } => {
            run(world.as_deref(), Effort { cuts, threads, second: 2, enough, seed })
        }
        #[cfg(not(feature = "planted"))]
        Command::Replay { seed } => tell(&seed),
        #[cfg(feature = "planted")]
        Command::Replay { seed, bug } => {
            bug.map_or(Ok(()), |bug| planted::plant(&bug)).and_then(|()| tell(&seed))
        }
        Command::Worlds => {
            world::all().iter().for_each(|world| println!("{:<14} {}", world.name, world.words));
            Ok(true)
        }
        #[cfg(feature = "planted")]
        Command::Planted { bugs, lives, near, threads } => near
            .map(|seed| seed.parse())
            .transpose()
            .and_then(|near| planted::run(&bugs, near, lives, threads, &mut |line| println!("{line}"))),
        Command::Ext4 { cuts, control } => ext4(cuts, control).map_err(|error| format!("{error:#}")),
        Command::Fleet(options) => fleet::run(*options).map_err(|error| format!("{error:#}")),
        Command::Write { care, folder } => Care::of(&care)
            .ok_or_else(|| format!("there is no care {care:?}"))
            .and_then(|care| power::write(&folder, care).map_err(|error| format!("{error:#}")))
            .map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(64)
        }
    }
}

/// Lives that went wrong once: they are lived first, for ever.
const SEEDS: &str = include_str!("../seeds.txt");

fn known() -> Result<bool, String> {
    watch_for_panics();
    let (mut lived, mut well) = (0, true);
    for line in SEEDS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let seed: Seed = line.parse()?;
        // A life that has become shorter is told as one that went well: there is nothing left to cut.
        let violations = replay(&find(&seed.world)?, &seed, &mut |_| ()).unwrap_or_default();
        lived += 1;
        for violation in violations {
            well = false;
            println!("  VIOLATION, AGAIN {seed}\n    {violation}");
        }
    }
    println!("{lived} lives that went wrong once: {}", if well { "all well" } else { "NOT WELL" });
    Ok(well)
}

fn run(only: Option<&str>, effort: Effort) -> Result<bool, String> {
    let Effort { cuts, seed, .. } = effort;
    let worlds: Vec<Arc<World>> = match only {
        Some(name) => vec![find(name)?],
        None => world::all(),
    };
    let shares: u64 = worlds.iter().map(|world| world.share()).sum();
    let mut well = known()?;
    let progress = Progress::new(cuts);
    for world in &worlds {
        let each = cuts * world.share() / shares.max(1) + 1;
        let effort = Effort { cuts: each, ..effort };
        if world.lying {
            // It must go wrong, and how often is of no interest.
            let report = explore(world, Effort { cuts: 1, enough: 20, ..effort }, &|_| ());
            print(&report);
            let caught = !report.violations.is_empty();
            println!(
                "{:<14} {}",
                "",
                if caught { "as it must: the control goes wrong" } else { "THE CONTROL GOES WELL" }
            );
            well &= caught;
            continue;
        }
        let report = explore(world, effort, &|cuts| progress.made(cuts));
        print(&report);
        well &= report.violations.is_empty();
        for violation in report.violations.iter().take(5) {
            println!("  VIOLATION {}\n    {}", violation.seed, violation.words);
        }
    }
    println!("seed {seed}, {progress}: {}", if well { "all well" } else { "NOT WELL" });
    Ok(well)
}

fn print(report: &Report) {
    println!(
        "{:<14} {:>4} operations {:>8} lives {:>8} cuts ({} in recoveries) {:>6} faults, at most {} boots, {} violations, {:.0} cuts/s",
        report.world,
        report.operations,
        report.lives,
        report.cuts,
        report.second,
        report.faults,
        report.boots,
        report.violations.len(),
        report.cuts as f64 / report.time.as_secs_f64(),
    );
}

fn find(name: &str) -> Result<Arc<World>, String> {
    world::find(name)
        .ok_or_else(|| format!("there is no world {name:?}; `hotshoe-simulator worlds` lists them"))
}

fn tell(seed: &str) -> Result<bool, String> {
    let seed: Seed = seed.parse()?;
    watch_for_panics();
    let violations = replay(&find(&seed.world)?, &seed, &mut |line| println!("{line}"))?;
    for violation in &violations {
        println!("VIOLATION {violation}");
    }
    Ok(violations.is_empty())
}

fn ext4(cuts: u32, control: u32) -> anyhow::Result<bool> {
    if let Some(why) = power::missing() {
        println!("SKIPPED: power cuts of a real ext4: {why}");
        return Ok(true);
    }
    let folder = std::env::temp_dir().join(format!("hotshoe-ext4-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let losses = power::cuts(&folder, cuts, Care::Real, &mut |line| println!("  LOST {line}"))?;
    println!(
        "ext4: {} power cuts, {} acknowledged, {} cuts lost something",
        losses.cuts, losses.acknowledged, losses.lost
    );
    let naive = power::cuts(&folder, control, Care::NoDirectorySync, &mut |_| ())?;
    println!(
        "ext4, the control without a sync of the directory: {} power cuts, {} lost something",
        naive.cuts, naive.lost
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(losses.lost == 0 && (control == 0 || naive.lost > 0))
}
