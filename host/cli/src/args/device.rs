//! `hotshoe device …`

use clap::{Args, Subcommand, ValueEnum};

use super::device_id;
use crate::hub;

/// What to do with devices.
#[derive(Subcommand, Debug)]
pub(crate) enum DeviceCommand {
    /// Add a device, or a module of one, to the hub; the hub makes its keys
    #[command(after_help = "Examples:
  hotshoe device create pump-7
  hotshoe device create pump-7 --module filter
  hotshoe device create pump-8 --thumbprint 5F2A…")]
    Create(Create),
    /// List the devices
    #[command(after_help = "Examples:
  hotshoe device list
  hotshoe device list --all --where \"tags.location.plant = 'Redmond43'\"
  hotshoe device list --json | jq -r '.[].deviceId'")]
    List(List),
    /// List the modules of a device
    #[command(after_help = "Example:\n  hotshoe device modules pump-7")]
    Modules {
        /// The device's id
        #[arg(value_parser = device_id)]
        device: String,
    },
    /// Show a device or a module, without its keys
    #[command(
        after_help = "Examples:\n  hotshoe device show pump-7\n  hotshoe device show pump-7 --module filter"
    )]
    Show(Of),
    /// Change how a device or a module proves itself, or why it has its status
    #[command(after_help = "Examples:
  hotshoe device update pump-7 --reason 'sold'
  hotshoe device update pump-7 --thumbprint 5F2A… --secondary-thumbprint 77B0…")]
    Update(Update),
    /// Let a device connect
    #[command(after_help = "Example:\n  hotshoe device enable pump-7")]
    Enable(Status),
    /// Do not let a device connect; a connection that it has is ended
    #[command(after_help = "Example:\n  hotshoe device disable pump-7 --reason stolen")]
    Disable(Status),
    /// Delete a device and its twin, or a module. It cannot be undone
    #[command(after_help = "Example:\n  hotshoe device delete pump-7")]
    Delete(Of),
    /// Print both keys, or make new ones. They are secrets: whoever has one is the device
    #[command(after_help = "Examples:
  hotshoe device keys pump-7
  hotshoe device keys pump-7 --regenerate secondary")]
    Keys {
        #[command(flatten)]
        of: Of,
        /// Make a new one in place of it; the device must be given it
        #[arg(long, value_enum, value_name = "WHICH")]
        regenerate: Option<Regenerate>,
    },
    /// Print a connection string, alone. It is a secret: whoever has it is the device
    #[command(after_help = "Example:\n  hotshoe device connection-string pump-7 > device.connection-string")]
    ConnectionString {
        #[command(flatten)]
        of: Of,
        /// Which of the device's two keys
        #[arg(long, value_enum, default_value_t = KeyChoice::Primary)]
        key: KeyChoice,
    },
    /// Create, change or delete many devices: JSON lines, a hundred in one request
    ///
    /// A line is {"id": "pump-7"}; it may have status, statusReason, authentication, tags and properties.desired, as
    /// `hotshoe device export` writes them. Lines that the hub refuses are named, and the others are done.
    #[command(after_help = "Examples:
  hotshoe device import devices.jsonl
  seq 1 1000 | jq -c '{id: \"pump-\\(.)\", tags: {plant: \"Redmond43\"}}' | hotshoe device import -
  hotshoe device import gone.jsonl --mode delete")]
    Import(Import),
    /// Print all devices as JSON lines that `hotshoe device import` reads
    #[command(after_help = "Examples:
  hotshoe device export > devices.jsonl
  hotshoe device export --keys --where \"tags.plant = 'Redmond43'\" > secret.jsonl")]
    Export(Export),
}

/// A device, or a module of it.
#[derive(Args, Debug)]
pub(crate) struct Of {
    /// The device's id
    #[arg(value_parser = device_id)]
    pub(crate) device: String,
    /// A module of the device
    #[arg(long, value_name = "ID", value_parser = device_id)]
    pub(crate) module: Option<String>,
}

impl Of {
    /// As requests name it.
    pub(crate) fn of(&self) -> hub::Of<'_> {
        hub::Of { device: &self.device, module: self.module.as_deref() }
    }
}

/// Which devices.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// How many at most, 1 to 1000
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) top: u16,
    /// All of them, by a query; Azure's queries see a new device only after a while
    #[arg(long, conflicts_with = "top")]
    pub(crate) all: bool,
    /// Those for which this holds, by a query: what stands after WHERE
    #[arg(long = "where", value_name = "CONDITION", conflicts_with = "top")]
    pub(crate) condition: Option<String>,
}

/// What the new device is like.
#[derive(Args, Debug)]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) of: Of,
    /// It may not connect until it is enabled
    #[arg(long, conflicts_with = "module")]
    pub(crate) disabled: bool,
    #[command(flatten)]
    pub(crate) proof: Proof,
}

/// How a device proves itself; by keys where nothing is said.
#[derive(Args, Debug)]
pub(crate) struct Proof {
    /// With the self-signed certificate of this thumbprint (SHA-1 or SHA-256, hexadecimal)
    #[arg(long, value_name = "HEX", value_parser = thumbprint, conflicts_with = "certificate_authority")]
    pub(crate) thumbprint: Option<String>,
    /// A second certificate, for changing them without an interruption; the first one where nothing is said
    #[arg(long, value_name = "HEX", value_parser = thumbprint, requires = "thumbprint")]
    pub(crate) secondary_thumbprint: Option<String>,
    /// With a certificate signed by an authority that the hub knows
    #[arg(long)]
    pub(crate) certificate_authority: bool,
}

/// What to change.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["reason", "thumbprint", "certificate_authority", "keys"]))]
pub(crate) struct Update {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Why it has the status that it has, at most 128 characters
    #[arg(long, value_name = "TEXT", value_parser = reason, conflicts_with = "module")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) proof: Proof,
    /// With two new keys, also where it has keys already; the device must be given one
    #[arg(long, conflicts_with_all = ["thumbprint", "certificate_authority"])]
    pub(crate) keys: bool,
}

/// Whose status.
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// The device's id
    #[arg(value_parser = device_id)]
    pub(crate) device: String,
    /// Why, at most 128 characters
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<String>,
}

/// What to read.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// A file of JSON lines; - is standard input
    pub(crate) file: String,
    /// What to do with devices whose line does not say it by `importMode`
    #[arg(long, value_enum, default_value_t = ImportMode::Create)]
    pub(crate) mode: ImportMode,
}

/// What to print.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// With their keys: the output is a secret. One more request for each device
    #[arg(long)]
    pub(crate) keys: bool,
    /// Those for which this holds: what stands after WHERE
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) condition: Option<String>,
}

/// What becomes of a line.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ImportMode {
    /// The device must not be there yet.
    Create,
    /// The device must be there.
    Update,
    /// Tags and desired properties alone are changed.
    UpdateTwin,
    /// The device is deleted.
    Delete,
}

/// One of a device's two keys.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyChoice {
    /// The first.
    Primary,
    /// The second, for changing keys without an interruption.
    Secondary,
}

/// What becomes of the keys.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Regenerate {
    /// A new first one.
    Primary,
    /// A new second one.
    Secondary,
    /// Two new ones: the device is out until it has one of them.
    Both,
    /// None is new: they change places.
    Swap,
}

fn thumbprint(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|character| *character != ':').collect();
    if matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digits.to_ascii_uppercase())
    } else {
        Err("a thumbprint has 40 (SHA-1) or 64 (SHA-256) hexadecimal digits".to_owned())
    }
}

fn reason(text: &str) -> Result<String, String> {
    if text.chars().count() <= 128 { Ok(text.to_owned()) } else { Err("at most 128 characters".to_owned()) }
}
