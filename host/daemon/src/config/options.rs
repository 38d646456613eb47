//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Carries out what the cloud asks of a device, in sandboxed WebAssembly plugins.
#[derive(Clone, Debug, Parser)]
#[command(name = "hotshoed", version, after_help = EXAMPLES)]
pub struct Options {
    /// The device's configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/hotshoe/device.toml")]
    pub config: PathBuf,
    /// Check the configuration, say what is wrong with it, and end.
    #[arg(long)]
    pub check: bool,
    /// How the log is written to stderr: `auto` is `pretty` on a terminal and `json` otherwise.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// `pretty` on a terminal, `json` otherwise.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  hotshoed                                     run with /etc/hotshoe/device.toml
  hotshoed --config device.toml --check        say what is wrong with a configuration
  HOTSHOE_LOG=debug hotshoed --config device.toml --log-format pretty

Environment:
  HOTSHOE_DEVICE_CONNECTION_STRING   the connection string, instead of the file that [hub] names
  HOTSHOE_LOG                        what is logged, such as `info` or `hotshoed::hub=debug`
  NOTIFY_SOCKET, WATCHDOG_USEC       set by systemd (Type=notify, WatchdogSec=)

Exit status:
  0   ended by SIGTERM or SIGINT        70  a defect in the program
  64  the command line is wrong         74  a disk or a directory cannot be used
  69  something needed is not there     75  to be started anew: a fence cannot be taken down
  78  the configuration is wrong";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_helps() {
        Options::command().debug_assert();
        let help = Options::command().render_long_help().to_string();
        for word in ["--config", "--check", "--log-format", "Examples:", "HOTSHOE_DEVICE_CONNECTION_STRING"] {
            assert!(help.contains(word), "{word} is missing in:\n{help}");
        }
    }
}
