//! The device's configuration: parsed at the door, typed inside.
//!
//! Promise: [`Config::load`] reads and checks everything that can be checked before anything is opened (no
//! directory is made, no connection begun), and lists all that it found wrong at once. Unknown keys are refused by
//! name. The connection string is never part of a message.
//!
//! Files that the configuration names are read here, relative to the configuration's own directory. Directories
//! are opened in `main`, plugin files with the daemon, since a broken plugin must not keep the device down.

mod admin;
mod check;
mod error;
mod file;
mod flash;
mod hub;
mod options;
mod pem;
mod repositories;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::connection_string::ConnectionString;
use hotshoe_core::policy::Policy;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde_json::Value;

use crate::hub::ProvisioningKey;
use crate::trust::RepositorySettings;

pub use admin::AdminConfig;
pub use error::ConfigError;
pub use flash::{BootEntry, FlashConfig, GroupEntry, PlaceEntry, SlotEntry};
pub use options::{LogFormat, Options};

/// The environment variable that holds the connection string, instead of a file.
pub const CONNECTION_STRING_VARIABLE: &str = "HOTSHOE_DEVICE_CONNECTION_STRING";

/// All that the device was told.
#[derive(Debug)]
pub struct Config {
    /// Where durable state stands.
    pub state: PathBuf,
    /// What the owner allows.
    pub policy: Policy,
    /// The compiler, `hotshoe-aot`.
    pub aot: PathBuf,
    /// Names this boot of the device.
    pub boot_id: String,
    /// How to reach the hub.
    pub hub: HubConfig,
    /// How to fetch files.
    pub download: DownloadConfig,
    /// The slots; `None` on a device without.
    pub flash: Option<FlashConfig>,
    /// The command that restarts the device; empty where there is none.
    pub restart: Vec<String>,
    /// When a host that dies again and again gives up.
    pub safe_mode: SafeModeSettings,
    /// What the process gives up of its own rights.
    pub fence: FenceConfig,
    /// The admin socket.
    pub admin: AdminConfig,
    /// The plugins to mount.
    pub plugins: Vec<PluginConfig>,
    /// The ids of this device's hardware, which signed targets name.
    pub hardware: Vec<String>,
    /// The signed repositories, the most trusted one first.
    pub repositories: Vec<RepositorySettings>,
}

/// When a host that dies again and again gives up: see `daemon::safe_mode`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SafeModeSettings {
    /// How many starts in a row it may take without staying up.
    pub starts: u32,
    /// How long it has to stay up for the count to begin anew.
    pub stable_after: Duration,
    /// When safe mode is left by itself.
    pub retry_after: Duration,
}

/// What the process gives up of its own rights: see `fence`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FenceConfig {
    /// Whether it must.
    pub mode: FenceMode,
    /// Directories that may be read beside those that the configuration needs: where operators' orders find copies of
    /// repositories.
    pub read: Vec<PathBuf>,
}

/// Whether the process gives up rights that it does not need.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceMode {
    /// It must, or it does not start.
    Enforced,
    /// As far as the kernel can hold it to that; what is missing is logged.
    BestEffort,
    /// It does not.
    Off,
}

/// How to reach the hub.
#[derive(Debug)]
pub struct HubConfig {
    /// Who the device is, or who tells it. Its `Debug` does not show keys.
    pub source: HubSource,
    /// Who may vouch for the hub.
    pub roots: Arc<RootCertStore>,
    /// MQTT inside a WebSocket.
    pub web_socket: bool,
    /// The port, where it is not the transport's own.
    pub port: Option<u16>,
    /// Chain and key of the device, for X.509.
    pub certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// Silence after which the link is probed.
    pub keep_alive: Duration,
    /// How long a token is valid.
    pub token_lifetime: Duration,
}

/// How the device knows its hub.
#[derive(Debug)]
pub enum HubSource {
    /// It was told.
    Connection(ConnectionString),
    /// It asks the provisioning service.
    Provisioning(ProvisioningConfig),
}

/// Which provisioning service to ask, and as whom.
#[derive(Debug)]
pub struct ProvisioningConfig {
    /// The service's host name; the public cloud's where none is named.
    pub host: Option<String>,
    /// Its port, where it is not the transport's own.
    pub port: Option<u16>,
    /// Which service of the host.
    pub id_scope: String,
    /// Who the device is there.
    pub registration_id: String,
    /// How it proves that: a group's key is no part of it.
    pub key: ProvisioningKey,
    /// Who may vouch for the service.
    pub roots: Arc<RootCertStore>,
}

/// How to fetch files.
#[derive(Debug)]
pub struct DownloadConfig {
    /// The most bytes that fetched files may take.
    pub limit: u64,
    /// Who may vouch for file servers.
    pub roots: Arc<RootCertStore>,
    /// Silence after which a server is hung up on.
    pub stall_timeout: Duration,
    /// The first pause before a retry.
    pub backoff: Duration,
    /// Retries that may bring next to nothing.
    pub retries: u32,
    /// The longest time for one file.
    pub deadline: Duration,
}

/// One plugin to mount.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// The component.
    pub file: PathBuf,
    /// What the operator set for it: a JSON object.
    pub settings: Value,
}

impl Config {
    /// Reads and checks a configuration. Looks at no environment: what matters of it comes in as `surroundings`.
    pub fn load(path: &Path, surroundings: &Surroundings) -> Result<Config, ConfigError> {
        check::load(path, surroundings)
    }

    /// Whether the text of a `device.toml` reads, by itself: nothing that it names is looked at.
    ///
    /// # Errors
    /// What does not read, with its place.
    pub fn check_text(text: &str) -> Result<(), hotshoe_core::strict::StrictError> {
        check::read(text).map(drop)
    }
}

/// What of the process's environment the configuration depends on.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The value of [`CONNECTION_STRING_VARIABLE`].
    pub connection_string: Option<String>,
    /// The directory of this program, beside which `hotshoe-aot` is looked for.
    pub program_directory: Option<PathBuf>,
}

impl Surroundings {
    /// Looks at the environment of this process.
    pub fn of_process() -> Surroundings {
        let program = std::env::current_exe().ok();
        Surroundings {
            connection_string: std::env::var(CONNECTION_STRING_VARIABLE).ok().filter(|text| !text.is_empty()),
            program_directory: program.and_then(|program| program.parent().map(Path::to_owned)),
        }
    }
}

#[cfg(test)]
mod tests;
