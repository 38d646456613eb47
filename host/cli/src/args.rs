//! The command line, declared: what can be asked, with an example for each.
//!
//! What the flags mean beyond their syntax (files to read, JSON to parse) is decided where they are used.

mod build;
mod check;
mod configuration;
mod dev;
mod device;
#[cfg(test)]
mod documents;
mod firmware;
mod hub;
mod job;
mod method;
mod plugin;
mod profiles;
mod query;
mod repo;
mod rollout;
mod shell;
mod twin;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use build::Build;
pub(crate) use check::Check;
pub(crate) use configuration::{ConfigurationCommand, CreateConfiguration};
pub(crate) use dev::Dev;
pub(crate) use device::{
    Create, DeviceCommand, Export, Import, ImportMode, KeyChoice, List, Of, Proof, Regenerate, Status,
    Update as DeviceUpdate,
};
pub(crate) use firmware::{FirmwareCommand, Image, Update};
pub(crate) use hub::{HubCommand, HubJobCommand, Monitor};
pub(crate) use job::JobCommand;
pub(crate) use method::{Invoke, MethodCommand, Patience};
pub(crate) use plugin::{Install, Logs, Metrics, PluginCommand};
pub(crate) use profiles::{Login, Logout, ProfilesCommand};
pub(crate) use query::Query;
pub(crate) use repo::{Add, Delegate, Init, Place, Publish, Refresh, RepoCommand, RotateRoot};
pub(crate) use rollout::{FirmwareRollout, Follow, Pace, PluginRollout, RolloutCommand};
pub(crate) use shell::{Completions, Man};
pub(crate) use twin::{Patch, Set, Tags, TwinCommand, Watch};

const AFTER_HELP: &str = "\
Examples:
  hotshoe login --ca hub/ca.pem < hub/owner.connection-string
  hotshoe device create pump-7
  hotshoe method invoke pump-7 ping
  hotshoe twin watch pump-7
  hotshoe firmware update pump-7 https://images.example.com/pump-2.1.img
  hotshoe build && hotshoe check target/plugins/pump.wasm --policy policy.toml
  hotshoe plugin install pump-1.2.0.wasm

Only what asks a hub needs to know which. Who asks it is taken, in this order, from
  1. --connection-string, --connection-string-file or --profile,
  2. the environment: HOTSHOE_CONNECTION_STRING, then HOTSHOE_PROFILE, which names a profile,
  3. the default profile, which `hotshoe login` sets.
--ca comes before HOTSHOE_CA, and that before the authority that a profile has.

Exit codes: 0 done, 64 usage, 65 wrong data, 66 no such file or device, 69 unreachable, 70 failed,
71 rolled back, 73 cannot write a file, 74 cannot print, 75 try again later, 77 not allowed, 78 wrong configuration.";

/// One tool for the operators of Hotshoe devices and the authors of their plugins.
#[derive(Parser, Debug)]
#[command(name = "hotshoe", version, about, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Args)]
#[command(next_help_heading = "Options for every command")]
pub(crate) struct Global {
    /// The operator's connection string. Other users of this machine may see it: prefer a file or the environment
    #[arg(long, global = true, value_name = "TEXT", conflicts_with = "connection_string_file")]
    pub(crate) connection_string: Option<String>,
    /// A file that holds the operator's connection string
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) connection_string_file: Option<PathBuf>,
    /// A hub that `hotshoe login` has stored
    #[arg(long, global = true, value_name = "NAME", conflicts_with_all = ["connection_string", "connection_string_file"],
        value_parser = profiles::profile)]
    pub(crate) profile: Option<String>,
    /// Certificates (PEM) to trust beside those of the system
    #[arg(long, global = true, value_name = "FILE", env = "HOTSHOE_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// Print JSON for programs: one document, or one a line where there are many
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl std::fmt::Debug for Global {
    /// Without the connection string, which is a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Global")
            .field("profile", &self.profile)
            .field("ca", &self.ca)
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Remember a hub, so that commands need no connection string
    Login(Login),
    /// Forget a hub
    Logout(Logout),
    /// The hubs that are remembered: list, default
    #[command(subcommand)]
    Profiles(ProfilesCommand),
    /// The devices that the hub knows: create, list, show, update, delete, keys, import, export
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Direct methods: call one and print the answer
    #[command(subcommand)]
    Method(MethodCommand),
    /// Ask the hub in its query language
    Query(Query),
    /// Device twins: show, watch, set, patch, replace, tags
    #[command(subcommand)]
    Twin(TwinCommand),
    /// The hub itself: show, monitor, jobs
    #[command(subcommand)]
    Hub(HubCommand),
    /// Automatic configurations: list, show, create, delete
    #[command(subcommand)]
    Configuration(ConfigurationCommand),
    /// Firmware: update a device and follow it to the end, or many in waves
    #[command(subcommand)]
    Firmware(FirmwareCommand),
    /// Rollouts to many devices: list, show, pause, resume, abort, delete
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Build a plugin: a crate and its plugin.toml become one .wasm file
    Build(Build),
    /// Look at a plugin: what it is, what it asks for, and what a policy would refuse
    Check(Check),
    /// Work on a plugin: every save is built and swapped in on a device of your own
    Dev(Dev),
    /// Signed repositories: make one, add plugins and images, delegate, publish, rotate keys
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Plugins of this device: install, list, show, grant, roll back, remove, logs
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Jobs of this device: list, cancel
    #[command(subcommand)]
    Job(JobCommand),
    /// Print this device's figures as OpenMetrics text
    Metrics(Metrics),
    /// Print completions for a shell
    Completions(Completions),
    /// Write manual pages
    Man(Man),
}

/// Reads a device's id: what IoT Hub takes, so that a slip is found here and not at the hub.
pub(crate) fn device_id(text: &str) -> Result<String, String> {
    const OTHERS: &str = "-.+%_#*?!(),:=@$';";
    if text.is_empty() || text.len() > 128 {
        return Err("a device id has 1 to 128 characters".to_owned());
    }
    if let Some(wrong) = text.chars().find(|one| !one.is_ascii_alphanumeric() && !OTHERS.contains(*one)) {
        return Err(format!("{wrong:?} cannot stand in a device id: letters, digits and {OTHERS} can"));
    }
    if matches!(text, "." | "..") {
        return Err("a device id is not made of dots alone".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a time to wait, in whole seconds or with a unit: `30`, `30s`, `2m`.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let duration = hotshoe_core::units::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.subsec_millis() != 0 {
        return Err("whole seconds only".to_owned());
    }
    Ok(duration.as_secs())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_sound_and_every_command_has_an_example() {
        fn look(command: &clap::Command) {
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("hotshoe "), "{} has no example", command.get_name());
            }
            command.get_subcommands().filter(|command| command.get_name() != "help").for_each(look);
        }
        let command = Arguments::command();
        command.clone().debug_assert();
        look(&command);
    }

    #[test]
    fn device_ids() {
        for id in ["a", "pump-7", "%#*?", "a.b:c", &"x".repeat(128)] {
            assert_eq!(device_id(id).as_deref(), Ok(id));
        }
        for id in ["", ".", "..", "a/b", "a b", "é", &"x".repeat(129)] {
            assert!(device_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(seconds("30"), Ok(30));
        assert_eq!(seconds("2m"), Ok(120));
        assert!(seconds("500ms").is_err());
        assert!(seconds("soon").is_err());
    }

    #[test]
    fn debug_shows_no_connection_string() {
        let arguments =
            Arguments::parse_from(["hotshoe", "device", "list", "--connection-string", "SharedAccessKey=x"]);
        assert!(!format!("{arguments:?}").contains("SharedAccessKey"));
    }
}
