//! The single door for a developer: `cargo xtask <task>`. A list of tasks, each in a file of its own.

mod guests;
mod wit;

use clap::Parser;

/// The single door for a developer.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    /// Builds the plugins and the test guests into target/guests, each with its manifest embedded.
    Guests(guests::Arguments),
    /// Checks the contract in wit/: that it parses, and that every item has words and a version.
    Wit,
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Guests(arguments) => guests::run(&arguments),
        Task::Wit => wit::run(),
    }
}
