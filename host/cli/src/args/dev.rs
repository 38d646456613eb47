//! `hotshoe dev`

use std::path::PathBuf;

use clap::Args;

/// Which crate to watch, and on what device.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hotshoe dev
  hotshoe dev plugins/pump --policy policy.toml

Starts a hub and a device of its own on this machine, builds the plugin and installs it. Every save builds it anew and
swaps it in while the device runs; what does not compile, or is refused, leaves the version before serving. The lines that
the plugin logs are shown, and after calls what they used. Call it from another terminal with the line that is printed.

The device grants what plugin.toml asks for, unless a policy is given. The programs hotshoe-localhub, hotshoed,
hotshoe-bootsim and hotshoe-aot lie beside hotshoe or in PATH. Ctrl-C ends everything and takes it away.

Exit codes: 0 ended by Ctrl-C, 65 plugin.toml is wrong at the start, 66 no such crate, 69 a program is missing or ended.")]
pub(crate) struct Dev {
    /// The directory of the crate
    #[arg(default_value = ".")]
    pub(crate) directory: PathBuf,
    /// The policy.toml of the device
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}
