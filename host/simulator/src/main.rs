//! `hotshoe-simulator`: lives in simulated worlds, and tells what went wrong in them.

#![allow(clippy::print_stdout, reason = "people read it")]

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use hotshoe_simulator::{
    explore::{Effort, Report, explore},
    life::replay,
    plan::Seed,
    world::{self, World, watch_for_panics},
};

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
    },
    /// Tells one life again, each operation of it.
    Replay {
        /// Its seed, such as `plain/57.torn.3/12.none.0`.
        seed: String,
    },
    /// Lists the worlds.
    Worlds,
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Run { cuts, world, threads, enough } => run(cuts, world.as_deref(), threads, enough),
        Command::Replay { seed } => tell(&seed),
        Command::Worlds => {
            world::all().iter().for_each(|world| println!("{:<14} {}", world.name, world.words));
            Ok(true)
        }
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

fn run(cuts: u64, only: Option<&str>, threads: usize, enough: usize) -> Result<bool, String> {
    let worlds: Vec<Arc<World>> = match only {
        Some(name) => vec![find(name)?],
        None => world::all(),
    };
    let each = cuts / worlds.iter().filter(|world| !world.lying).count().max(1) as u64 + 1;
    let mut well = true;
    let (mut made, mut time) = (0, 0.0);
    for world in &worlds {
        let effort = Effort { cuts: each, threads, second: 2, enough };
        let report = explore(world, effort);
        print(&report);
        if world.lying {
            let caught = !report.violations.is_empty();
            println!(
                "{:<14} {}",
                "",
                if caught { "as it must: the control goes wrong" } else { "THE CONTROL GOES WELL" }
            );
            well &= caught;
            continue;
        }
        made += report.cuts;
        time += report.time.as_secs_f64();
        well &= report.violations.is_empty();
        for violation in report.violations.iter().take(5) {
            println!("  VIOLATION {}\n    {}", violation.seed, violation.words);
        }
    }
    println!(
        "{made} cuts in {time:.1} s, {:.0} a second: {}",
        made as f64 / time,
        if well { "all well" } else { "NOT WELL" }
    );
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
