//! `device.toml` as it is written: texts and tables, nothing looked up.
//!
//! Every table denies unknown keys, so that a misspelt one is an error that names it (`hotshoe_core::strict`).

use std::path::PathBuf;
use std::time::Duration;

use hotshoe_core::units;
use serde::Deserialize;
use url::Url;

use super::FenceMode;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) state: PathBuf,
    #[serde(default)]
    pub(super) policy: Option<PathBuf>,
    #[serde(default)]
    pub(super) aot: Option<PathBuf>,
    #[serde(default = "boot_id_file")]
    pub(super) boot_id_file: PathBuf,
    pub(super) hub: Hub,
    #[serde(default)]
    pub(super) download: Download,
    #[serde(default)]
    pub(super) flash: Option<Flash>,
    #[serde(default)]
    pub(super) restart: Restart,
    #[serde(default)]
    pub(super) safe_mode: SafeMode,
    #[serde(default)]
    pub(super) fence: Fence,
    #[serde(default)]
    pub(super) admin: Admin,
    #[serde(default)]
    pub(super) plugins: Vec<Plugin>,
    #[serde(default)]
    pub(super) hardware: Vec<String>,
    #[serde(default)]
    pub(super) repositories: Vec<Repository>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repository {
    pub(super) name: String,
    pub(super) root_file: PathBuf,
    pub(super) metadata: Url,
    pub(super) targets: Url,
    #[serde(default)]
    pub(super) mirrors: Vec<Url>,
    #[serde(default)]
    pub(super) directories: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hub {
    #[serde(default)]
    pub(super) connection_string_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) transport: Transport,
    #[serde(default)]
    pub(super) port: Option<u16>,
    #[serde(default)]
    pub(super) certificate_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) private_key_file: Option<PathBuf>,
    #[serde(default = "keep_alive", with = "units::duration")]
    pub(super) keep_alive: Duration,
    #[serde(default = "token_lifetime", with = "units::duration")]
    pub(super) token_lifetime: Duration,
    #[serde(default)]
    pub(super) provisioning: Option<Provisioning>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provisioning {
    pub(super) id_scope: String,
    pub(super) registration_id: String,
    #[serde(default)]
    pub(super) key_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) group_key_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) host: Option<String>,
    #[serde(default)]
    pub(super) port: Option<u16>,
    #[serde(default)]
    pub(super) ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    #[default]
    Mqtt,
    WebSocket,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Download {
    #[serde(with = "units::size")]
    pub(super) limit: u64,
    pub(super) ca_file: Option<PathBuf>,
    #[serde(with = "units::duration")]
    pub(super) stall_timeout: Duration,
    #[serde(with = "units::duration")]
    pub(super) backoff: Duration,
    pub(super) retries: u32,
    #[serde(with = "units::duration")]
    pub(super) deadline: Duration,
}

impl Default for Download {
    fn default() -> Download {
        Download {
            limit: 1 << 30,
            ca_file: None,
            stall_timeout: Duration::from_secs(30),
            backoff: Duration::from_secs(1),
            retries: 8,
            deadline: Duration::from_secs(24 * 3600),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flash {
    pub(super) directory: PathBuf,
    #[serde(default)]
    pub(super) boot_control: BootControl,
    #[serde(default)]
    pub(super) command_line_file: Option<PathBuf>,
    #[serde(default = "slot_parameter")]
    pub(super) slot_parameter: String,
    #[serde(default)]
    pub(super) u_boot: Option<UBoot>,
    #[serde(default)]
    pub(super) grub: Option<Grub>,
    #[serde(default)]
    pub(super) systemd_boot: Option<SystemdBoot>,
    pub(super) slots: Vec<Slot>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum BootControl {
    #[default]
    File,
    UBoot,
    Grub,
    SystemdBoot,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UBoot {
    #[serde(with = "units::size")]
    pub(super) size: u64,
    pub(super) copies: Vec<Copy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copy {
    pub(super) file: PathBuf,
    #[serde(default, with = "units::size")]
    pub(super) offset: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grub {
    pub(super) file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SystemdBoot {
    pub(super) entries: PathBuf,
}

/// A slot, or a group of them where it has parts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slot {
    pub(super) name: String,
    #[serde(default)]
    pub(super) file: Option<String>,
    #[serde(default)]
    pub(super) device: Option<PathBuf>,
    #[serde(default)]
    pub(super) directory: Option<String>,
    #[serde(default, with = "units::optional_size")]
    pub(super) size: Option<u64>,
    #[serde(default)]
    pub(super) parts: Option<Vec<Slot>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Restart {
    pub(super) command: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SafeMode {
    pub(super) starts: u32,
    #[serde(with = "units::duration")]
    pub(super) stable_after: Duration,
    #[serde(with = "units::duration")]
    pub(super) retry_after: Duration,
}

impl Default for SafeMode {
    fn default() -> SafeMode {
        SafeMode {
            starts: 5,
            stable_after: Duration::from_secs(5 * 60),
            retry_after: Duration::from_secs(60 * 60),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fence {
    pub(super) mode: FenceMode,
    pub(super) read: Vec<PathBuf>,
}

impl Default for Fence {
    fn default() -> Fence {
        // Where what is plugged in appears: the copies of repositories that operators bring along.
        let read = ["/media", "/mnt", "/run/media"].map(PathBuf::from).to_vec();
        Fence { mode: FenceMode::BestEffort, read }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) socket: Option<PathBuf>,
    pub(super) mode: Option<String>,
    pub(super) group: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugin {
    pub(super) file: PathBuf,
    #[serde(default)]
    pub(super) settings: Option<toml::Table>,
}

fn slot_parameter() -> String {
    "hotshoe.slot".to_owned()
}

fn boot_id_file() -> PathBuf {
    PathBuf::from("/proc/sys/kernel/random/boot_id")
}

fn keep_alive() -> Duration {
    Duration::from_secs(60)
}

fn token_lifetime() -> Duration {
    Duration::from_secs(3600)
}
