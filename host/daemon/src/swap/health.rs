//! What follows from how the calls of one release go.
//!
//! A call that comes back costs one atomic decrement; the one that completes a probation has it settled in the
//! background. A call that trapped is answered only after what follows from it is done: the caller that is told of the
//! trap finds, when it calls again, the version before.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hotshoe_core::digest::Digest;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::Event;

use super::plugins::Shared;
use crate::plugin::Health;

/// Watches one loaded release.
pub(super) struct Watch {
    plugins: Weak<Shared>,
    plugin: PluginName,
    digest: Digest,
    /// How many calls are to come back until it has proved itself; 0 where nothing is to be proved.
    left: AtomicU32,
    barred: ArcSwapOption<String>,
}

impl Watch {
    pub(super) fn new(plugins: &Arc<Shared>, plugin: PluginName, digest: Digest) -> Watch {
        let plugins = Arc::downgrade(plugins);
        Watch { plugins, plugin, digest, left: AtomicU32::new(0), barred: ArcSwapOption::empty() }
    }

    /// From here on so many calls are to come back.
    pub(super) fn prove(&self, calls: u32) {
        self.left.store(calls, Ordering::Relaxed);
    }

    /// From here on nothing enters, for this reason; or calls enter again.
    pub(super) fn bar(&self, why: Option<String>) {
        self.barred.store(why.map(Arc::new));
    }

    /// Has something happen to the plugin, whether or not the future is driven to its end.
    fn tell(&self, event: Event) -> BoxFuture<'static, ()> {
        let Some(plugins) = self.plugins.upgrade() else { return std::future::ready(()).boxed() };
        let name = self.plugin.clone();
        let runtime = plugins.runtime.clone();
        let telling = runtime.spawn(async move { plugins.happened(&name, event).await });
        telling.map(|_| ()).boxed()
    }
}

impl Health for Watch {
    fn barred(&self) -> Option<String> {
        self.barred.load().as_ref().map(|why| why.to_string())
    }

    fn returned(&self) {
        let next = |left: u32| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) == Ok(1) {
            drop(self.tell(Event::Proven { digest: self.digest.clone() }));
        }
    }

    fn struck(&self, why: &str) -> BoxFuture<'static, ()> {
        tracing::warn!(plugin = %self.plugin, digest = %self.digest, why, "a strike");
        self.tell(Event::Struck { digest: self.digest.clone(), why: why.to_owned(), back: true })
    }
}
