//! Which plugin answers a method, and who owns what.
//!
//! A lookup takes a snapshot: whoever has one keeps its plugin, whatever is mounted or removed meanwhile. Changes make
//! a new snapshot and put it in place of the old one at once; no call ever sees half of one.
//!
//! A method, a reported path and a section of the desired properties belong to one plugin. Who came first keeps
//! them: a plugin that claims what another has is not mounted at all, rather than in part.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hotshoe_core::manifest::{Manifest, PluginName};

use super::Plugin;
use crate::capability::overlap;

/// The mounted plugins. Cheap to clone; clones are the same routes.
#[derive(Clone, Default)]
pub struct Routes(Arc<Shared>);

#[derive(Default)]
struct Shared {
    snapshot: ArcSwap<Table>,
    /// Held while a new snapshot is made of the old one.
    changing: Mutex<()>,
}

#[derive(Clone, Default)]
struct Table {
    methods: HashMap<String, Arc<Plugin>>,
    /// In the order in which they were mounted.
    plugins: Vec<Arc<Plugin>>,
}

/// Why a plugin was not mounted. The others stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// There is one of that name.
    #[error("{0} is mounted already")]
    Mounted(PluginName),
    /// Another plugin owns something that it claims.
    #[error("{plugin} claims {what}, which is {owner}'s")]
    Claimed {
        /// The plugin that was not mounted.
        plugin: PluginName,
        /// What it claims.
        what: String,
        /// The plugin that has it.
        owner: PluginName,
    },
}

impl Routes {
    /// Mounts a plugin.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub fn add(&self, plugin: Plugin) -> Result<(), RouteError> {
        self.change(|table| {
            let manifest = plugin.manifest();
            for other in &table.plugins {
                agree(manifest, other.manifest())?;
            }
            let plugin = Arc::new(plugin.clone());
            for method in &plugin.manifest().methods {
                table.methods.insert(method.name.clone(), Arc::clone(&plugin));
            }
            table.plugins.push(plugin);
            Ok(())
        })
    }

    /// Puts a plugin in the place of the one of its name, or mounts it where there is none: no call ever finds neither.
    /// Calls that have the one before go on with it; it is returned.
    ///
    /// # Errors
    /// [`RouteError::Claimed`]; all stays as it was.
    pub fn replace(&self, plugin: &Plugin) -> Result<Option<Arc<Plugin>>, RouteError> {
        self.change(|table| {
            let manifest = plugin.manifest();
            for other in table.plugins.iter().filter(|other| other.manifest().name != manifest.name) {
                agree(manifest, other.manifest())?;
            }
            let plugin = Arc::new(plugin.clone());
            table.methods.retain(|_, other| other.manifest().name != manifest.name);
            for method in &manifest.methods {
                table.methods.insert(method.name.clone(), Arc::clone(&plugin));
            }
            match table.plugins.iter_mut().find(|other| other.manifest().name == manifest.name) {
                Some(place) => Ok(Some(std::mem::replace(place, plugin))),
                None => {
                    table.plugins.push(plugin);
                    Ok(None)
                }
            }
        })
    }

    /// Takes a plugin out. Calls that have it go on. False where there is none of that name.
    pub fn remove(&self, name: &PluginName) -> bool {
        let removed: Result<bool, RouteError> = self.change(|table| {
            let before = table.plugins.len();
            table.plugins.retain(|plugin| plugin.manifest().name != *name);
            table.methods.retain(|_, plugin| plugin.manifest().name != *name);
            Ok(table.plugins.len() < before)
        });
        removed.unwrap_or(false)
    }

    /// The plugin that answers a method.
    pub fn lookup(&self, method: &str) -> Option<Arc<Plugin>> {
        self.0.snapshot.load().methods.get(method).cloned()
    }

    /// The plugin of this name.
    pub fn plugin(&self, name: &PluginName) -> Option<Arc<Plugin>> {
        self.0.snapshot.load().plugins.iter().find(|plugin| plugin.manifest().name == *name).cloned()
    }

    /// All plugins, in the order in which they were mounted.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.0.snapshot.load().plugins.clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table) -> Result<T, RouteError>) -> Result<T, RouteError> {
        let _alone = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.0.snapshot.load());
        let result = change(&mut table)?;
        self.0.snapshot.store(Arc::new(table));
        Ok(result)
    }
}

/// Whether a plugin may stand beside another.
pub(crate) fn agree(plugin: &Manifest, other: &Manifest) -> Result<(), RouteError> {
    if plugin.name == other.name {
        return Err(RouteError::Mounted(plugin.name.clone()));
    }
    let method =
        plugin.methods.iter().find(|method| other.methods.iter().any(|taken| taken.name == method.name));
    let claimed = method.map(|method| format!("the method {}", method.name)).or_else(|| {
        // The host acknowledges a section under its own key in the reported properties.
        let taken: Vec<&String> = other.reported.iter().chain(&other.desired).collect();
        let path = plugin
            .reported
            .iter()
            .chain(&plugin.desired)
            .find(|own| taken.iter().any(|taken| overlap(own, taken)));
        path.map(|path| format!("the property {path}"))
    });
    match claimed {
        Some(what) => {
            Err(RouteError::Claimed { plugin: plugin.name.clone(), what, owner: other.name.clone() })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use hotshoe_core::manifest::{API, parse};

    use super::*;

    fn manifest(name: &str, rest: &str) -> Manifest {
        parse(&format!("name = \"{name}\"\nversion = \"1.0.0\"\napi = \"{API}\"\n{rest}")).unwrap()
    }

    #[test]
    fn what_one_has_no_other_gets() {
        let first =
            manifest("acme.one", "reported = [\"pump\"]\ndesired = \"pump\"\n[[methods]]\nname = \"ping\"\n");
        for (rest, what) in [
            ("[[methods]]\nname = \"ping\"\n", "the method ping"),
            ("reported = [\"pump\"]\n", "the property pump"),
            ("desired = \"pump\"\n", "the property pump"),
        ] {
            let error = agree(&manifest("acme.two", rest), &first).unwrap_err();
            assert_eq!(error.to_string(), format!("acme.two claims {what}, which is acme.one's"));
        }
        agree(&manifest("acme.two", "reported = [\"pumps\"]\n[[methods]]\nname = \"pong\"\n"), &first)
            .unwrap();
        assert_eq!(agree(&first, &first), Err(RouteError::Mounted(first.name.clone())));
    }
}
