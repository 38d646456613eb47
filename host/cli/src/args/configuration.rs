//! `hotshoe configuration …`

use clap::{Args, Subcommand};

/// What to do with automatic configurations.
#[derive(Subcommand, Debug)]
pub(crate) enum ConfigurationCommand {
    /// List the configurations: for whom they are, and how many have them
    #[command(after_help = "Example:\n  hotshoe configuration list")]
    List,
    /// Show a configuration and its metrics
    #[command(after_help = "Examples:
  hotshoe configuration show chillers
  hotshoe configuration show chillers --json | jq .content")]
    Show {
        /// The configuration's id
        #[arg(value_parser = configuration_id)]
        id: String,
    },
    /// Have the hub keep desired properties set on all devices for which a condition holds
    #[command(after_help = "Examples:
  hotshoe configuration create chillers --target \"tags.devicetype = 'chiller'\" --priority 20 \\
      --content '{\"deviceContent\": {\"properties.desired.interval\": 30}}'
  hotshoe configuration create chillers --target '*' --content @content.json \\
      --metric slow=\"SELECT deviceId FROM devices WHERE properties.reported.interval > 60\"")]
    Create(CreateConfiguration),
    /// Delete a configuration; what it has set is taken back
    #[command(after_help = "Example:\n  hotshoe configuration delete chillers")]
    Delete {
        /// The configuration's id
        #[arg(value_parser = configuration_id)]
        id: String,
    },
}

/// What the new configuration is like.
#[derive(Args, Debug)]
pub(crate) struct CreateConfiguration {
    /// Its id: lower-case letters, digits and `-`, 128 at most
    #[arg(value_parser = configuration_id)]
    pub(crate) id: String,
    /// Its content, JSON with deviceContent or moduleContent; @FILE reads a file, @- standard input
    #[arg(long, value_name = "JSON")]
    pub(crate) content: String,
    /// For whom: what stands after WHERE in a query, or * for all
    #[arg(long, value_name = "CONDITION")]
    pub(crate) target: String,
    /// Which wins where two set the same: the one with the higher number
    #[arg(long, default_value_t = 0)]
    pub(crate) priority: u32,
    /// A label
    #[arg(long = "label", value_name = "NAME=TEXT", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// A query whose rows are counted, 5 at most
    #[arg(long = "metric", value_name = "NAME=QUERY", value_parser = pair)]
    pub(crate) metrics: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is NAME=TEXT".to_owned()),
    }
}

fn configuration_id(text: &str) -> Result<String, String> {
    let fits = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || "-+%_*!'".contains(one);
    if (1..=128).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a configuration's id has 1 to 128 lower-case letters, digits and -+%_*!'".to_owned())
    }
}
