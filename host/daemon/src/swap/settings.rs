//! What the swap has to be told.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use cap_std::fs::Dir;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::policy::Policy;
use hotshoe_core::swap::Settings;
use serde_json::Value;

use crate::capability::Services;
use crate::job::{Clock, Jobs};
use crate::plugin::Engine;
use crate::state::StateDir;

/// The most bytes of a plugin's file that are read; more than the engine takes, so that a monster is noticed and not
/// loaded.
const COMPONENT_LIMIT: u64 = 64 * 1024 * 1024;

/// What the swap works with.
pub struct SwapSettings {
    /// Runs plugins.
    pub engine: Engine,
    /// The services that plugins get.
    pub services: Arc<Services>,
    /// The jobs, which learn who runs them.
    pub jobs: Jobs,
    /// What the owner allows.
    pub policy: Policy,
    /// The bounds of the machine; `downgrade` is taken from the policy.
    pub machine: Settings,
    /// The wall clock.
    pub clock: Clock,
    /// For the records: a directory of their own.
    pub state: StateDir,
    /// For the components: a directory of their own.
    pub shelf: Dir,
    /// Which plugins are not mounted although they are there.
    pub left_out: LeftOut,
}

/// Which plugins are not mounted although they are there. Their records stay as they are.
#[derive(Clone, Debug, Default)]
pub enum LeftOut {
    /// None.
    #[default]
    None,
    /// These, by name, for this reason.
    Those(BTreeSet<String>, String),
    /// All, for this reason.
    All(String),
}

impl LeftOut {
    /// Why this one is left out.
    pub(super) fn reason(&self, plugin: &PluginName) -> Option<String> {
        match self {
            LeftOut::Those(names, reason) if names.contains(plugin.as_str()) => Some(reason.clone()),
            LeftOut::All(reason) => Some(reason.clone()),
            LeftOut::None | LeftOut::Those(..) => None,
        }
    }
}

/// A plugin of the device's own image.
#[derive(Clone, Debug)]
pub struct Factory {
    /// The component.
    pub file: PathBuf,
    /// What the operator set for the plugin, whichever version is live: a JSON object or `null`.
    pub settings: Value,
}

impl Factory {
    /// Reads the component.
    pub(super) fn read(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(&self.file)?.take(COMPONENT_LIMIT).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The file's own name.
    pub(super) fn name(&self) -> String {
        self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}
