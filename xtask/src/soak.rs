//! `cargo xtask soak`: all official libraries at once against the local hub, with short tokens, cut connections and
//! takeovers.
//!
//! What is done and what must hold at the end stands in `host/localhub/tests/sdk/soak/soak.py`; here are its surroundings.
//! A few minutes show that it works; the hub's memory is judged from ten minutes on.

use std::process::Command;

use anyhow::Result;

use crate::{
    azure,
    tools::{root, run, target},
};

/// How long, and with what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long it lasts.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// The programs of a release build; they must have been built.
    #[arg(long)]
    release: bool,
    /// The address that the hub listens on: most libraries know no other ports than 8883 and 443.
    #[arg(long, default_value = "127.0.0.3")]
    address: String,
}

/// Runs it; an error names what did not hold.
pub(crate) fn run_soak(arguments: &Arguments) -> Result<()> {
    let scripts = root().join("host/localhub/tests/sdk");
    let python = azure::environment(&scripts.join("requirements.txt"))?;
    let modules = azure::node_modules(&scripts)?;
    let programs = target().join(if arguments.release { "release" } else { "debug" });
    run(Command::new(python)
        .arg(scripts.join("soak/soak.py"))
        .arg(programs.join("hotshoe-localhub"))
        .arg(programs.join("hotshoe-simulator"))
        .arg(modules)
        .arg(arguments.minutes.to_string())
        .arg(&arguments.address))
}
