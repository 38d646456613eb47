//! What a running guest stands on: whose it is, what it may do, and the services behind its imports.

use std::sync::Arc;

use hotshoe_core::grants::Grants;
use hotshoe_core::manifest::{Manifest, PluginName};
use hotshoe_core::policy::Unsigned;
use semver::Version;
use serde_json::Value;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use super::allowance::Allowance;
use super::bindings::hotshoe::plugin::types;
use super::device::DeviceFacts;
use super::entry::{Denials, Probe};
use super::limits::{Limits, RESOURCES};
use super::log::LogSink;
use super::usage::Usage;
use crate::fetch::Fetcher;
use crate::flash::Flash;
use crate::gate::{Gate, PluginQuotas};
use crate::hub::{Desired, Outbox, Telemetry};
use crate::job::JobRun;
use crate::receive::{Receiver, Web};
use crate::state::StateDir;
use crate::trust::Repositories;

/// The services of the device, shared by all plugins.
pub struct Services {
    /// Fetches files.
    pub fetcher: Fetcher,
    /// Receives images straight into slots.
    pub receiver: Receiver,
    /// Where images are received from, over the network.
    pub web: Web,
    /// The slots.
    pub flash: Flash,
    /// The reported properties.
    pub outbox: Outbox,
    /// Device-to-cloud messages.
    pub telemetry: Telemetry,
    /// The desired properties.
    pub desired: Desired,
    /// Where plugins' own stores stand, one directory each.
    pub state: StateDir,
    /// The policy before work.
    pub gate: Gate,
    /// What the device says of itself.
    pub facts: DeviceFacts,
    /// The policy for images that no signed target covers.
    pub unsigned: Unsigned,
    /// The signed repositories.
    pub repositories: Repositories,
}

/// A mounted plugin, as its capabilities know it.
pub struct Tenant {
    /// Its name.
    pub name: PluginName,
    /// Its version.
    pub version: Version,
    /// What it may do.
    pub grants: Grants,
    /// The reported paths that it owns.
    pub reported: Vec<String>,
    /// The section of the desired properties that is its own.
    pub desired: Option<String>,
    /// What the operator configured for it, an object.
    pub settings: Value,
    /// Where its log lines go.
    pub log: LogSink,
    /// What it has used of the device.
    pub usage: Usage,
    pub(super) device: OfDevice,
    pub(super) denials: Denials,
}

/// What a plugin has of the device, whatever its version.
pub struct OfDevice {
    pub(crate) allowance: Arc<Allowance>,
    pub(crate) quotas: Arc<PluginQuotas>,
    pub(crate) probe: Option<Probe>,
}

impl Tenant {
    /// What it may write and download in a day.
    pub(crate) fn quotas(&self) -> &Arc<PluginQuotas> {
        &self.device.quotas
    }

    /// A plugin by its manifest and what was granted of it, with the operator's settings, an object, what it has of the
    /// device, and where its lines and figures go.
    pub fn new(
        manifest: &Manifest,
        grants: Grants,
        settings: Value,
        device: OfDevice,
        log: LogSink,
        usage: Usage,
    ) -> Tenant {
        Tenant {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            grants,
            reported: manifest.reported.clone(),
            desired: manifest.desired.clone(),
            settings,
            log,
            usage,
            device,
            denials: Denials::default(),
        }
    }
}

/// What one call has: the data of its store. Thrown away with it.
pub(crate) struct Context {
    pub(super) tenant: Arc<Tenant>,
    pub(super) services: Arc<Services>,
    /// The job that runs, where one does.
    pub(super) job: Option<Arc<JobRun>>,
    pub(super) table: ResourceTable,
    pub(super) limits: Limits,
    /// Made when the guest first asks for it: most calls never do.
    pub(super) wasi: Option<WasiCtx>,
}

impl Context {
    /// The context of a call with at most this much memory, in bytes.
    pub(crate) fn new(
        tenant: Arc<Tenant>,
        services: Arc<Services>,
        job: Option<Arc<JobRun>>,
        memory: u64,
    ) -> Context {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let limits = Limits::new(memory, tenant.usage.memory.clone());
        Context { tenant, services, job, table, limits, wasi: None }
    }

    /// What the store asks before memory or tables grow.
    pub(crate) fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }
}

// Types alone: nothing to call.
impl types::Host for Context {}
