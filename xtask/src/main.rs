//! The single door for a developer: `cargo xtask <task>`. A list of tasks, each in a file of its own.

#![allow(clippy::print_stdout)] // a developer reads it

mod azure;
mod azure_samples;
mod bench;
mod browser;
mod demo;
mod dist;
mod fuzz;
mod guests;
mod hub_bench;
mod layers;
mod qemu;
mod root_scripts;
mod soak;
mod stand;
mod test;
mod tools;
mod torture;
mod tuf_conformance;
mod wit;

use std::process::ExitCode;

use clap::Parser;

/// The single door for a developer.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    /// Shows the main job: a hub, a device, an update with a restart in the middle.
    Demo(demo::Arguments),
    /// Runs everything that must hold before a change lands.
    Test(test::Arguments),
    /// Measures what the main job costs, beside a neighbour measured in the same run.
    Bench(bench::Arguments),
    /// Measures what ten thousand devices cost the local hub, beside mosquitto.
    HubBench(hub_bench::Arguments),
    /// Builds the plugins and the test guests into target/guests, each with its manifest embedded.
    Guests(guests::Arguments),
    /// Reboots a real kernel under QEMU with GRUB picking the slot, and cuts the power in between.
    Qemu(qemu::Arguments),
    /// Checks who imports what, and that no file is too long.
    Layers,
    /// Cuts the power at every operation, fails every system call: hours of it.
    Torture(torture::Arguments),
    /// Runs the official Azure libraries' own sample programs against the local hub.
    AzureSamples(azure_samples::Arguments),
    /// Lets all official Azure libraries loose on the local hub at once, for as long as wanted.
    Soak(soak::Arguments),
    /// Runs the public conformance suite for TUF clients against the device's verifier.
    TufConformance(tuf_conformance::Arguments),
    /// Builds what is shipped: an archive of the programs, with lists of what is linked into each.
    Dist(dist::Arguments),
    /// Checks the contract in wit/: that it parses, and that every item has words and a version.
    Wit,
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Demo(arguments) => demo::run_demo(&arguments),
        Task::Test(arguments) => test::run_tests(&arguments),
        Task::Bench(arguments) => bench::run_bench(&arguments),
        Task::HubBench(arguments) => hub_bench::run_hub_bench(&arguments),
        Task::Guests(arguments) => guests::run(&arguments),
        Task::Qemu(arguments) => qemu::run_qemu(&arguments),
        Task::Layers => layers::check(),
        Task::AzureSamples(arguments) => azure_samples::run_samples(&arguments),
        Task::Soak(arguments) => soak::run_soak(&arguments),
        Task::Torture(arguments) => torture::run_torture(&arguments),
        Task::TufConformance(arguments) => tuf_conformance::check(&arguments),
        Task::Dist(arguments) => dist::run_dist(&arguments),
        Task::Wit => wit::run(),
    };
    if let Err(error) = result {
        // Without a backtrace: what went wrong is in the words.
        eprintln!(
            "error: {}",
            error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\ncaused by: ")
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_tasks_can_be_asked_for() {
        super::Task::command().debug_assert();
    }
}
