//! The plugins of the device's own image, as its configuration names them.

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;
use hotshoe_core::grants::grant;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::policy::Policy;
use hotshoe_core::swap::{Origin, Release};

use super::error::InstallError;
use super::patience::{Failed, patiently};
use super::settings::Factory;
use super::shelf::digest_of;
use crate::disk::blocking;
use crate::plugin::Engine;

/// A plugin of the image that is not there, and why.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Its name, where that is known and no other file has it.
    pub name: Option<PluginName>,
    /// Its file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

/// One that can be read.
pub(super) struct Made {
    pub(super) factory: Factory,
    pub(super) release: Release,
    /// Dropped once the device has started.
    pub(super) component: Bytes,
}

/// All that can be read, in the order of the configuration, by name; and what cannot.
pub(super) async fn read(
    engine: &Engine,
    policy: &Policy,
    list: Vec<Factory>,
) -> (Vec<PluginName>, HashMap<PluginName, Made>, Vec<Broken>) {
    let (mut order, mut made, mut broken) = (Vec::new(), HashMap::new(), Vec::new());
    for one in list {
        let file = one.file.clone();
        match patiently(|| read_one(engine, policy, &one)).await {
            Ok((name, _)) if made.contains_key(&name) => {
                broken.push(Broken { name: None, file, reason: format!("{name} is mounted already") });
            }
            Ok((name, plugin)) => {
                order.push(name.clone());
                made.insert(name, plugin);
            }
            Err(failed) => broken.push(Broken { name: None, file, reason: failed.error.to_string() }),
        }
    }
    for one in &broken {
        tracing::error!(file = %one.file.display(), reason = one.reason, "plugin not mounted; the others serve without it");
    }
    (order, made, broken)
}

async fn read_one(engine: &Engine, policy: &Policy, one: &Factory) -> Result<(PluginName, Made), Failed> {
    let reading = one.clone();
    let read = blocking(move || {
        let component = reading.read()?;
        Ok::<_, std::io::Error>((digest_of(&component), component))
    });
    let read = read.await.map_err(|_| InstallError::Busy)?;
    let (digest, component) = read.map_err(InstallError::Unread)?;
    let manifest = engine.inspect(&component)?;
    let release = Release {
        version: manifest.version.clone(),
        digest,
        origin: Origin::Factory { file: one.name() },
        grants: grant(&manifest, policy).0,
        at: 0,
    };
    let made = Made { factory: one.clone(), release, component: component.into() };
    Ok((manifest.name, made))
}
