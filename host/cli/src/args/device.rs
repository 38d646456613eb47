//! `hotshoe device …`

use clap::{Args, Subcommand, ValueEnum};

use super::device_id;

/// What to do with devices.
#[derive(Subcommand, Debug)]
pub(crate) enum DeviceCommand {
    /// Add a device to the hub; the hub makes its keys
    #[command(
        after_help = "Examples:\n  hotshoe device create pump-7\n  hotshoe device create pump-8 --thumbprint 5F2A…"
    )]
    Create(Create),
    /// List the devices
    #[command(
        after_help = "Examples:\n  hotshoe device list\n  hotshoe device list --json | jq -r '.[].deviceId'"
    )]
    List {
        /// How many at most, 1 to 1000
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
        top: u16,
    },
    /// Show one device, without its keys
    #[command(after_help = "Example:\n  hotshoe device show pump-7")]
    Show {
        /// The device's id
        #[arg(value_parser = device_id)]
        device: String,
    },
    /// Delete a device and its twin. It cannot be undone
    #[command(after_help = "Example:\n  hotshoe device delete pump-7")]
    Delete {
        /// The device's id
        #[arg(value_parser = device_id)]
        device: String,
    },
    /// Print a device's connection string, alone. It is a secret: whoever has it is the device
    #[command(after_help = "Example:\n  hotshoe device connection-string pump-7 > device.connection-string")]
    ConnectionString {
        /// The device's id
        #[arg(value_parser = device_id)]
        device: String,
        /// Which of the device's two keys
        #[arg(long, value_enum, default_value_t = KeyChoice::Primary)]
        key: KeyChoice,
    },
}

/// What the new device is like.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The device's id
    #[arg(value_parser = device_id)]
    pub(crate) device: String,
    /// It may not connect until it is enabled
    #[arg(long)]
    pub(crate) disabled: bool,
    /// It proves itself with the self-signed certificate of this thumbprint (SHA-1 or SHA-256, hexadecimal)
    #[arg(long, value_name = "HEX", value_parser = thumbprint, conflicts_with = "certificate_authority")]
    pub(crate) thumbprint: Option<String>,
    /// It proves itself with a certificate signed by an authority that the hub knows
    #[arg(long)]
    pub(crate) certificate_authority: bool,
}

/// One of a device's two keys.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyChoice {
    /// The first.
    Primary,
    /// The second, for changing keys without an interruption.
    Secondary,
}

fn thumbprint(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|character| *character != ':').collect();
    if matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digits.to_ascii_uppercase())
    } else {
        Err("a thumbprint has 40 (SHA-1) or 64 (SHA-256) hexadecimal digits".to_owned())
    }
}
