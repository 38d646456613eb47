//! `hotshoe build`

use std::path::PathBuf;

use clap::Args;

/// What to build, and where to.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hotshoe build
  hotshoe build plugins/pump --output pump-1.2.0.wasm
  hotshoe build --json

Cargo builds the crate for wasm32-wasip2, with the profile `guest` where the workspace has one, else as a release made
small. plugin.toml beside Cargo.toml is embedded, so that the one file is the whole plugin. The names of functions stay in
it: a trap is told with them.

Exit codes: 0 built, 65 plugin.toml or Cargo.toml is wrong, 66 no such crate, 69 no Rust toolchain, 70 the crate does not
compile, 73 the file cannot be written.")]
pub(crate) struct Build {
    /// The directory of the crate
    #[arg(default_value = ".")]
    pub(crate) directory: PathBuf,
    /// The file to write; target/plugins/PACKAGE.wasm otherwise
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Features of the crate to build with; may be given more than once
    #[arg(long, short = 'F', value_name = "FEATURES")]
    pub(crate) features: Vec<String>,
}
