//! `hotshoe plugin …` and `hotshoe metrics`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hotshoe_core::digest::Digest;
use hotshoe_core::manifest::PluginName;

use super::PluginRollout;
use crate::admin;

/// The device's admin socket.
#[derive(Args, Debug)]
pub(crate) struct Socket {
    /// The device's admin socket
    #[arg(long, value_name = "PATH", env = admin::VARIABLE, default_value = admin::DEFAULT)]
    pub(crate) socket: PathBuf,
}

/// What to do with the plugins of this device.
#[derive(Subcommand, Debug)]
pub(crate) enum PluginCommand {
    /// Install a plugin: a file, or a name out of a signed repository. It is live when this returns, or held
    #[command(after_help = "Examples:
  hotshoe plugin install pump-1.2.0.wasm
  hotshoe plugin install acme.pump@1.2.0 --repository main
  hotshoe plugin install acme.pump --from /media/stick
  hotshoe plugin install pump-1.2.0.wasm --digest sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    Install(Install),
    /// List the plugins: version, how they stand, what went wrong
    #[command(after_help = "Examples:
  hotshoe plugin list
  hotshoe plugin list --json --socket /run/hotshoe/admin.sock")]
    List(Socket),
    /// Show a plugin: its methods, what it was granted and denied, what was rolled back
    #[command(after_help = "Examples:\n  hotshoe plugin show acme.pump")]
    Show(One),
    /// Grant a held version what it asks for, as far as the device's policy allows, and take it live
    #[command(after_help = "Examples:\n  hotshoe plugin grant acme.pump")]
    Grant(One),
    /// Take the version before live again
    #[command(after_help = "Examples:\n  hotshoe plugin rollback acme.pump")]
    Rollback(One),
    /// Take out what was installed; the version of the device's own image comes back where there is one
    #[command(after_help = "Examples:\n  hotshoe plugin remove acme.pump")]
    Remove(One),
    /// Print the last log lines of a plugin, and what the host says about it
    #[command(after_help = "Examples:
  hotshoe plugin logs acme.pump
  hotshoe plugin logs acme.pump --follow --json")]
    Logs(Logs),
    /// Put a plugin's version in on many devices, in waves, and stop when too many fail
    ///
    /// Other than the commands beside it this asks the hub: each wave is one job that sets the desired property
    /// hotshoe.plugins. A device has come to its end when the plugin has proved itself, after 20 answered calls or ten
    /// minutes. One that is not connected puts the plugin in when it comes back, also after the end.
    #[command(after_help = "Examples:
  hotshoe plugin rollout acme.pump@1.2.0 --repository main --query \"tags.ring = 'early'\" \\
      --waves 1%,10%,100% --abort-over 5% --soak 10m
  hotshoe plugin rollout acme.pump@1.2.0 --query '*' --dry-run

Exit codes: 0 all waves have ended within the limit, 69 and no device completed, 70 aborted, 75 paused or not watched to the
end (run the same command again, or `hotshoe rollout resume`); else as `hotshoe --help` says.")]
    Rollout(Box<PluginRollout>),
}

/// What to install.
#[derive(Args, Debug)]
pub(crate) struct Install {
    /// A component's file, or the name of a plugin, with @VERSION or without
    #[arg(value_name = "FILE|NAME[@VERSION]", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) what: String,
    /// The repository to take it from, as device.toml names it
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// A copy of the repository on this device, such as a USB stick: a directory with metadata/ and targets/
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) from: Option<PathBuf>,
    /// What the file must hash to
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<Digest>,
    #[command(flatten)]
    pub(crate) socket: Socket,
}

/// One plugin.
#[derive(Args, Debug)]
pub(crate) struct One {
    /// The plugin's name
    pub(crate) name: PluginName,
    #[command(flatten)]
    pub(crate) socket: Socket,
}

/// Whose lines.
#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// The plugin's name
    pub(crate) name: PluginName,
    /// Stay, and print lines as they are written
    #[arg(long, short)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) socket: Socket,
}

/// Print the device's figures as OpenMetrics text
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hotshoe metrics
  hotshoe metrics | grep hotshoe_plugin_traps")]
pub(crate) struct Metrics {
    #[command(flatten)]
    pub(crate) socket: Socket,
}
