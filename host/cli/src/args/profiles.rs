//! `hotshoe login`, `hotshoe logout` and `hotshoe profiles …`

use clap::{Args, Subcommand};

/// Remember a hub, so that commands need no connection string. It becomes the default
///
/// The connection string is taken from --connection-string, --connection-string-file or standard input; a terminal
/// does not show it. The hub is asked once with it. It is stored in $XDG_CONFIG_HOME/hotshoe/profiles.toml (or below
/// ~/.config), readable by you alone, with the certificates of --ca.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hotshoe login
  hotshoe login --name lab --ca hub/ca.pem < hub/owner.connection-string
  az iot hub connection-string show -n acme -o tsv | hotshoe login --name acme")]
pub(crate) struct Login {
    /// What to call it; the first part of the host name where nothing is said
    #[arg(long, value_parser = profile)]
    pub(crate) name: Option<String>,
    /// Store it without asking the hub
    #[arg(long)]
    pub(crate) no_check: bool,
}

/// Forget a hub
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hotshoe logout\n  hotshoe logout lab\n  hotshoe logout --all")]
pub(crate) struct Logout {
    /// Which; the default one where nothing is said
    #[arg(value_parser = profile, conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
}

/// What to do with profiles.
#[derive(Subcommand, Debug)]
pub(crate) enum ProfilesCommand {
    /// List the hubs that are remembered, without their keys
    #[command(after_help = "Example:\n  hotshoe profiles list")]
    List,
    /// Choose which hub is asked where nothing is said
    #[command(after_help = "Example:\n  hotshoe profiles default lab")]
    Default {
        /// The profile's name
        #[arg(value_parser = profile)]
        name: String,
    },
}

/// Reads a profile's name.
pub(super) fn profile(text: &str) -> Result<String, String> {
    let fits = |one: char| one.is_ascii_alphanumeric() || "-_.".contains(one);
    if (1..=64).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a profile's name has 1 to 64 letters, digits, `-`, `_` and `.`".to_owned())
    }
}
