//! Plugins from the configuration into the routes. A broken one is told and left out; the others serve.

use std::path::PathBuf;
use std::sync::Arc;

use hotshoe_core::policy::Policy;
use tokio::task::spawn_blocking;

use crate::capability::Services;
use crate::config::PluginConfig;
use crate::job::{Guest, Guests};
use crate::plugin::{Engine, Plugin, Routes};

/// A plugin that is not there, and why.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    /// Its file.
    pub(super) file: PathBuf,
    /// Why.
    pub(super) reason: String,
}

/// Mounts what can be mounted, in the order of the configuration: who comes first keeps a method that two claim.
pub(super) async fn all(
    engine: &Engine,
    policy: &Policy,
    plugins: Vec<PluginConfig>,
    services: &Arc<Services>,
    routes: &Routes,
) -> Vec<Broken> {
    let mut broken = Vec::new();
    for plugin in plugins {
        let file = plugin.file.clone();
        match one(engine, policy, plugin, services, routes).await {
            Ok(plugin) => {
                let manifest = plugin.manifest();
                tracing::info!(plugin = %manifest.name, version = %manifest.version, "plugin mounted");
            }
            Err(reason) => {
                tracing::error!(file = %file.display(), reason, "plugin not mounted; the others serve without it");
                broken.push(Broken { file, reason });
            }
        }
    }
    broken
}

async fn one(
    engine: &Engine,
    policy: &Policy,
    plugin: PluginConfig,
    services: &Arc<Services>,
    routes: &Routes,
) -> Result<Plugin, String> {
    let settings = plugin.settings.clone();
    let read = spawn_blocking(move || plugin.read()).await.map_err(|error| error.to_string())?;
    let component = read.map_err(|error| format!("the file cannot be read: {error}"))?;
    let loaded = engine.load(&component, policy, settings, Arc::clone(services)).await;
    let plugin = loaded.map_err(|error| error.to_string())?;
    routes.add(plugin.clone()).map_err(|error| error.to_string())?;
    Ok(plugin)
}

/// Who runs the jobs of the mounted plugins.
pub(super) fn guests(routes: &Routes) -> Guests {
    let mut guests = Guests::new();
    for plugin in routes.plugins() {
        let name = plugin.manifest().name.clone();
        let guest: Arc<dyn Guest> = Arc::new(Plugin::clone(&plugin));
        guests.insert(name, guest);
    }
    guests
}
