//! `hotshoe hub …`

use clap::{Args, Subcommand};

use super::device_id;

/// What to do with the hub itself.
#[derive(Subcommand, Debug)]
pub(crate) enum HubCommand {
    /// Show the hub: how many devices it knows, and how many are connected
    #[command(after_help = "Examples:\n  hotshoe hub show\n  hotshoe hub show --json --profile lab")]
    Show,
    /// Print what happens at the hub as it happens, until interrupted: messages, twins, connections
    ///
    /// The local hub tells this over HTTPS. Azure has it over AMQP, which this tool does not speak; it says what does.
    #[command(after_help = "Examples:
  hotshoe hub monitor
  hotshoe hub monitor --device pump-7 --kinds telemetry
  hotshoe hub monitor --json | jq -r 'select(.kind == \"twin\") | .patch'")]
    Monitor(Monitor),
    /// Jobs of the hub: one call or one twin's change for many devices
    #[command(subcommand)]
    Job(HubJobCommand),
}

/// What to be told.
#[derive(Args, Debug)]
pub(crate) struct Monitor {
    /// Of this device and its modules alone
    #[arg(long, value_name = "ID", value_parser = device_id)]
    pub(crate) device: Option<String>,
    /// Of these kinds: telemetry, twin, connected, disconnected, method, created, updated, deleted, job, configuration, packet
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind,
        default_value = "telemetry,twin,connected,disconnected")]
    pub(crate) kinds: Vec<String>,
    /// End after so many
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

/// What to do with jobs of the hub.
#[derive(Subcommand, Debug)]
pub(crate) enum HubJobCommand {
    /// List the jobs that the hub remembers
    #[command(after_help = "Examples:\n  hotshoe hub job list\n  hotshoe hub job list --status running")]
    List {
        /// Of this type: scheduleDeviceMethod or scheduleUpdateTwin
        #[arg(long = "type", value_name = "TYPE", value_parser = ["scheduleDeviceMethod", "scheduleUpdateTwin"])]
        kind: Option<String>,
        /// With this status
        #[arg(long, value_parser = ["queued", "scheduled", "running", "completed", "failed", "cancelled"])]
        status: Option<String>,
    },
    /// Show a job, and with --devices what it has come to for each of them
    #[command(
        after_help = "Examples:\n  hotshoe hub job show reboot-1\n  hotshoe hub job show reboot-1 --devices"
    )]
    Show {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: String,
        /// Device by device
        #[arg(long)]
        devices: bool,
    },
    /// Cancel a job: devices that were not asked yet are not asked any more
    #[command(after_help = "Example:\n  hotshoe hub job cancel reboot-1")]
    Cancel {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: String,
    },
}

fn kind(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase()) {
        Ok(text.to_owned())
    } else {
        Err("a kind is a word such as telemetry".to_owned())
    }
}

/// Reads a job's id; it also stands in queries, so there is no quote in it.
fn job_id(text: &str) -> Result<String, String> {
    let fits = |one: char| one.is_ascii_alphanumeric() || "-:._".contains(one);
    if (1..=64).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a job's id has 1 to 64 letters, digits and `-`, `:`, `.`, `_`".to_owned())
    }
}
