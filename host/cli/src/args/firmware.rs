//! `hotshoe firmware …`

use clap::{Args, Subcommand};
use hotshoe_core::digest::Digest;

use super::{FirmwareRollout, Patience, device_id, seconds};

/// What to do with firmware.
#[derive(Subcommand, Debug)]
pub(crate) enum FirmwareCommand {
    /// Update a device's firmware and follow it to the end
    ///
    /// Calls the direct method firmwareUpdate and watches the twin's reported property firmwareStatus. Interrupting
    /// the watching does not interrupt the update.
    #[command(after_help = "Examples:
  hotshoe firmware update pump-7 https://images.example.com/pump-2.1.img
  hotshoe firmware update pump-7 https://images.example.com/pump-2.1.img \\
      --digest sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --version 2.1.0

Exit codes: 0 completed, 70 failed or cancelled, 71 rolled back, 75 not ended in time or busy; else as `hotshoe --help` says.")]
    Update(Update),
    /// Update the firmware of many devices, in waves, and stop when too many fail
    ///
    /// Each wave is one job of the hub, which calls firmwareUpdate. The next wave begins when all devices of the one
    /// before have come to their end and it has soaked. Plan and progress stand at the hub: closed or killed, here or on
    /// another machine, the same command goes on where it was, and no device is called twice.
    #[command(after_help = "Examples:
  hotshoe firmware rollout --query \"tags.location.plant = 'Redmond43'\" --uri https://images.example.com/pump-2.1.img \\
      --waves 1%,10%,100% --abort-over 5% --soak 10m
  hotshoe firmware rollout --query '*' --uri https://images.example.com/pump-2.1.img --name spring --dry-run

Exit codes: 0 all waves have ended within the limit, 69 and no device completed, 70 aborted, 75 paused or not watched to the
end (run the same command again, or `hotshoe rollout resume`); else as `hotshoe --help` says.")]
    Rollout(Box<FirmwareRollout>),
}

/// What is known of an image beside where it is.
#[derive(Args, Debug)]
pub(crate) struct Image {
    /// What the image must hash to: sha256:<64 hex> or blake3:<64 hex>
    #[arg(long)]
    pub(crate) digest: Option<Digest>,
    /// How many bytes the image must have
    #[arg(long, value_name = "BYTES")]
    pub(crate) size: Option<u64>,
    /// The version of the image
    #[arg(long)]
    pub(crate) version: Option<String>,
}

/// What to update, and with what.
#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The device's id
    #[arg(value_parser = device_id)]
    pub(crate) device: String,
    /// Where the device fetches the image: an https URL
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) uri: String,
    #[command(flatten)]
    pub(crate) image: Image,
    /// How long to follow the update
    #[arg(long, default_value = "60m", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) patience: Patience,
}
