//! `hotshoe check`

use std::path::PathBuf;

use clap::Args;

/// What to look at, and under which policy.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hotshoe check target/plugins/pump.wasm
  hotshoe check pump-1.2.0.wasm --policy policy.toml
  hotshoe check pump-1.2.0.wasm --policy policy.toml --json

Nothing of the plugin is run. A policy that grants less than is asked is no failure as long as a device would mount the
plugin; what it would refuse is told.

Exit codes: 0 a device would mount it, 65 this is not a plugin, 66 no such file, 77 the policy refuses it, 78 the policy
does not read.")]
pub(crate) struct Check {
    /// The plugin: a .wasm file
    pub(crate) file: PathBuf,
    /// The policy.toml of a device
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}
