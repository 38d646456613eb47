//! From the bytes of a file to a plugin that may be called.
//!
//! The order is from cheap to dear and from safe to less so: size, kind of file, manifest and grants are looked at in
//! the bytes; only then is it compiled (by a child, or not at all), linked, and instantiated once in a store that is
//! thrown away, since some mismatches show no earlier. A plugin that comes out of here can be called.

use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::grants::{Grants, grant};
use hotshoe_core::imports;
use hotshoe_core::manifest::Manifest;
use hotshoe_core::package::{self, PackageError};
use hotshoe_core::policy::Policy;
use serde_json::Value;
use wasmtime::component::Component;

use super::call::{self, Failure, Terms};
use super::compile::CompileError;
use super::engine::{Engine, Inner};
use super::health::Health;
use super::link;
use super::plugin::{Mounted, Plugin};
use super::precompiled;
use crate::capability::bindings::PluginPre;
use crate::capability::{LogSink, OfDevice, Services, Tenant};
use crate::state::StateError;

/// How long the start code of a plugin may take when it is checked.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a plugin was not mounted. None of its code has run, but for [`LoadError::Start`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is too large. Nothing else of it was looked at.
    #[error("the plugin has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Native code from outside is never taken: nothing could be said about what it does.
    #[error(
        "this is precompiled code; a plugin is a WebAssembly component, which the device compiles by itself"
    )]
    Precompiled,
    /// It is no component with a manifest, or the manifest is not right.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// It needs what it was not granted, or did not ask for.
    #[error("{}", .0.join("; "))]
    Denied(Vec<String>),
    /// The operator's settings for it.
    #[error("the settings of {0} in device.toml are not a table")]
    Settings(String),
    /// It could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// What the compiler made does not run here.
    #[error(
        "the plugin's code does not load: {0:#}; it needs more than this device gives, or hotshoe-aot and hotshoed are not of one build"
    )]
    Incompatible(wasmtime::Error),
    /// It imports what is neither the contract nor WASI.
    #[error("the plugin imports {0}, which this host does not have")]
    UnknownImport(String),
    /// It was made for another version of the contract.
    #[error("the plugin does not fit the contract {api}: {0:#}", api = hotshoe_core::manifest::API)]
    Contract(wasmtime::Error),
    /// Its start code failed.
    #[error("the plugin does not start: {0}")]
    Start(String),
    /// It could not be looked at: the device has no instance free.
    #[error("the plugin was not looked at: too many calls are running on this device")]
    Busy,
    /// What it has used of its quotas cannot be read.
    #[error("what the plugin may still write and download cannot be told: {0}")]
    Quotas(#[from] StateError),
    /// The host is ending.
    #[error("the plugin was not loaded: {0}")]
    Interrupted(String),
}

impl LoadError {
    /// Whether it was not the plugin but the machine that refused, for want of memory or of a process, so that the same may
    /// go well a moment later.
    pub fn may_pass(&self) -> bool {
        match self {
            LoadError::Compile(error) => error.may_pass(),
            LoadError::Incompatible(_) | LoadError::Busy => true,
            _ => false,
        }
    }

    /// Whether nothing can be compiled any more, whatever it is: nothing is known of this plugin by that.
    pub fn is_of_the_compiler(&self) -> bool {
        matches!(self, LoadError::Compile(CompileError::Unreachable(_)))
    }
}

/// On what terms a plugin is loaded.
pub struct Loading<'a> {
    /// What the device's owner allows.
    pub policy: &'a Policy,
    /// What it may have at most, whatever the policy allows; `None` where that is no less.
    pub limit: Option<&'a Grants>,
    /// The operator's settings for it: an object or `null`.
    pub settings: Value,
    /// The services of the device.
    pub services: Arc<Services>,
    /// Who is told how its calls go.
    pub health: Option<Arc<dyn Health>>,
    /// Called when there is native code of it.
    pub compiled: &'a (dyn Fn() + Send + Sync),
}

impl Engine {
    /// Loads a plugin from its file's bytes, with what `policy` grants it and the operator's settings, an object or
    /// `null`.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load(
        &self,
        component: &[u8],
        policy: &Policy,
        settings: Value,
        services: Arc<Services>,
    ) -> Result<Plugin, LoadError> {
        let terms = Loading { policy, limit: None, settings, services, health: None, compiled: &|| {} };
        self.load_on(component, terms).await
    }

    /// Loads a plugin from its file's bytes.
    ///
    /// Takes milliseconds where the cache has its code, and up to the compiler's time-out where it has not.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load_on(&self, component: &[u8], terms: Loading<'_>) -> Result<Plugin, LoadError> {
        let Loading { policy, limit, settings, services, health, compiled } = terms;
        let manifest = self.inspect(component)?;
        let (grants, mut denials) = grants(&manifest, policy)?;
        let grants = match limit {
            Some(limit) => {
                denials.extend(not_granted(&manifest, &grants, limit));
                grants.within(limit)
            }
            None => grants,
        };
        let settings = match settings {
            Value::Null => Value::Object(serde_json::Map::new()),
            Value::Object(_) => settings,
            _ => return Err(LoadError::Settings(manifest.name.to_string())),
        };
        let digest = blake3::hash(component);
        let code = self.0.code(component, digest).await?;
        compiled();
        // It takes milliseconds of computing, in which this thread would answer nobody.
        let (name, allowed, denied) = (manifest.name.clone(), grants.clone(), denials.clone());
        let linked = blocking(move || {
            let linker = link::link(&code, &name, &allowed, &denied)?;
            linker.instantiate_pre(&code).and_then(PluginPre::new).map_err(LoadError::Contract)
        });
        let pre = linked.await??;
        for denial in denials {
            tracing::warn!("{denial}");
        }
        if manifest.limits.memory > self.0.memory_limit {
            tracing::warn!(plugin = %manifest.name, limit = self.0.memory_limit, "the plugin gets less memory than it asks for");
        }
        let figures = self.0.metrics.of(&manifest);
        let (usage, history) = (figures.usage.clone(), self.0.logs.of(&manifest.name));
        let log = LogSink::new(&manifest, history, services.facts.clock.clone(), usage.dropped.clone());
        let share = self.0.admission.share(&manifest.name);
        let (gate, name) = (services.gate.clone(), manifest.name.clone());
        let allowed = policy.allowed(&name).cloned();
        let quotas = blocking(move || gate.quotas(&name, allowed.as_ref())).await??;
        let device =
            OfDevice { allowance: Arc::clone(&share.allowance), quotas, probe: self.0.probe.clone() };
        let tenant = Arc::new(Tenant::new(&manifest, grants, settings, device, log, usage));
        let engine = self.clone();
        let mounted = Mounted { engine, manifest, digest, tenant, services, share, figures, pre, health };
        check(&mounted).await?;
        Ok(Plugin(Arc::new(mounted)))
    }

    /// What can be told from the bytes alone: the manifest of what is a plugin, and within the size.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn inspect(&self, component: &[u8]) -> Result<Manifest, LoadError> {
        let (size, limit) = (component.len() as u64, self.0.component_limit);
        if size > limit {
            return Err(LoadError::TooLarge { size, limit });
        }
        if wasmtime::Engine::detect_precompiled(component).is_some() || component.starts_with(b"\x7fELF") {
            return Err(LoadError::Precompiled);
        }
        Ok(package::read(component)?.0)
    }
}

/// The grants, and what was asked for and is not among them. Refused where that is everything.
fn grants(manifest: &Manifest, policy: &Policy) -> Result<(Grants, Vec<String>), LoadError> {
    let (grants, denials) = grant(manifest, policy);
    let denials: Vec<String> = denials.iter().map(ToString::to_string).collect();
    if imports::nothing_left(manifest, &grants) {
        return Err(LoadError::Denied(denials));
    }
    Ok((grants, denials))
}

/// What the policy allows and nobody has granted, in the words of a denial.
fn not_granted(manifest: &Manifest, grants: &Grants, limit: &Grants) -> Vec<String> {
    let name = &manifest.name;
    let wider = grants.beyond(limit);
    wider.iter().map(|what| format!("{name} asks for {what}; it was not granted to {name}")).collect()
}

impl Inner {
    /// The compiled code: from the cache, or else made now.
    async fn code(self: &Arc<Self>, component: &[u8], digest: blake3::Hash) -> Result<Component, LoadError> {
        let inner = Arc::clone(self);
        let cached = blocking(move || {
            let sealed = inner.cache.find(&digest)?;
            match precompiled::load(&inner.engine, &sealed) {
                Ok(code) => Some(code),
                Err(error) => {
                    tracing::warn!("compiled code does not load any more; compiling again: {error:#}");
                    inner.cache.forget(&digest);
                    None
                }
            }
        });
        if let Some(code) = cached.await? {
            return Ok(code);
        }
        let began = std::time::Instant::now();
        let compiled = self.compiler.compile(component.to_vec()).await?;
        tracing::info!(
            bytes = compiled.len(),
            took_ms = began.elapsed().as_millis() as u64,
            "plugin compiled"
        );
        let inner = Arc::clone(self);
        let loaded = blocking(move || {
            let sealed = inner.cache.keep(&digest, &compiled);
            precompiled::load(&inner.engine, &sealed).inspect_err(|_| inner.cache.forget(&digest))
        });
        loaded.await?.map_err(LoadError::Incompatible)
    }
}

/// Instantiates once. Nothing of the plugin is called but its own start code.
async fn check(mounted: &Mounted) -> Result<(), LoadError> {
    let terms = Terms { call: "check", id: "load".to_owned(), timeout: CHECK_TIMEOUT, job: None };
    let checked = call::call(mounted, terms, |_, _| Box::pin(async { Ok(()) })).await;
    checked.map_err(|failure| match failure {
        Failure::Busy => LoadError::Busy,
        failure => LoadError::Start(failure.to_string()),
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    crate::disk::blocking(work).await.map_err(|error| LoadError::Interrupted(error.to_string()))
}
