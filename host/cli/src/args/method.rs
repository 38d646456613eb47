//! `hotshoe method …`

use clap::{Args, Subcommand};

use super::{device::Of, seconds};

/// What to do with direct methods.
#[derive(Subcommand, Debug)]
pub(crate) enum MethodCommand {
    /// Call a direct method and print the device's answer. A device's status of 400 and above is a failure
    #[command(after_help = "Examples:
  hotshoe method invoke pump-7 ping
  hotshoe method invoke pump-7 firmwareUpdate '{\"fwPackageUri\": \"https://images.example.com/pump-2.1.img\"}'
  hotshoe method invoke pump-7 configure @settings.json --timeout 60s --connect-timeout 2m
  hotshoe method invoke pump-7 measure --module filter
  hotshoe method invoke pump-7 ping --repeat 100")]
    Invoke(Invoke),
}

/// What to call.
#[derive(Args, Debug)]
pub(crate) struct Invoke {
    #[command(flatten)]
    pub(crate) of: Of,
    /// The method's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// The payload, JSON; @FILE reads a file, @- standard input. null when left out
    pub(crate) payload: Option<String>,
    /// How long the device may take to answer, 5s to 300s
    #[arg(long, default_value = "30s", value_parser = response_timeout, value_name = "TIME")]
    pub(crate) timeout: u64,
    /// How long to wait for a device that is not connected, 0 to 300s
    #[arg(long, default_value = "0s", value_parser = connect_timeout, value_name = "TIME")]
    pub(crate) connect_timeout: u64,
    /// Call it this often, one after the other, and print how long the answers took instead of the answers
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) repeat: Option<u32>,
}

/// How long the call that begins an update may take.
#[derive(Args, Debug)]
pub(crate) struct Patience {
    /// How long a device may take to answer the call, 5s to 300s
    #[arg(long, default_value = "30s", value_parser = response_timeout, value_name = "TIME")]
    pub(crate) response_timeout: u64,
    /// How long to wait for a device that is not connected, 0 to 300s
    #[arg(long, default_value = "0s", value_parser = connect_timeout, value_name = "TIME")]
    pub(crate) connect_timeout: u64,
}

/// The hub takes 5 to 300 seconds.
fn response_timeout(text: &str) -> Result<u64, String> {
    seconds(text).and_then(|time| {
        if (5..=300).contains(&time) { Ok(time) } else { Err("the hub takes 5s to 300s".to_owned()) }
    })
}

/// The hub takes 0 to 300 seconds.
fn connect_timeout(text: &str) -> Result<u64, String> {
    seconds(text)
        .and_then(|time| if time <= 300 { Ok(time) } else { Err("the hub takes 0 to 300s".to_owned()) })
}
