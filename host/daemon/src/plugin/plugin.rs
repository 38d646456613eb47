//! A mounted plugin: what the rest of the device calls.

use std::fmt;
use std::sync::Arc;

use hotshoe_core::grants::Grants;
use hotshoe_core::job::RunEnd;
use hotshoe_core::manifest::Manifest;
use hotshoe_core::method::Refusal;
use semver::Version;
use serde_json::Value;

use super::admission::Share;
use super::answer::{self, Decision, Reply};
use super::call::{self, Failure, Terms};
use super::engine::Engine;
use super::health::Health;
use super::metrics::Figures;
use crate::capability::bindings::PluginPre;
use crate::capability::bindings::exports::hotshoe::plugin::methods::Request;
use crate::capability::bindings::hotshoe::plugin::types::Document;
use crate::capability::{Context, Services, Tenant};
use crate::gate::PluginQuotas;
use crate::job::{Adoption, Checkpoint, Doing, Guest, JobRun};

/// A plugin that was loaded and may be called, from any task, any number of times at once. Cheap to clone.
///
/// Each call runs in an instance of its own: nothing that one does to its memory reaches another, and a plugin that
/// traps, loops or eats memory answers the next call as if nothing had been.
#[derive(Clone)]
pub struct Plugin(pub(super) Arc<Mounted>);

pub(super) struct Mounted {
    pub(super) engine: Engine,
    pub(super) manifest: Manifest,
    pub(super) digest: blake3::Hash,
    pub(super) tenant: Arc<Tenant>,
    pub(super) services: Arc<Services>,
    /// What it shares with its other versions.
    pub(super) share: Arc<Share>,
    pub(super) figures: Arc<Figures>,
    pub(super) pre: PluginPre<Context>,
    /// Who is told how its calls go.
    pub(super) health: Option<Arc<dyn Health>>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Plugin({} {})", self.manifest().name, self.manifest().version)
    }
}

impl Plugin {
    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// What it may do.
    pub fn grants(&self) -> &Grants {
        &self.0.tenant.grants
    }

    /// What it has used of what it may use in a day.
    pub fn quotas(&self) -> &PluginQuotas {
        self.0.tenant.quotas()
    }

    /// The BLAKE3 of the component it was loaded from.
    pub fn digest(&self) -> blake3::Hash {
        self.0.digest
    }

    /// Answers a direct method, within the time that the manifest gives it.
    ///
    /// # Errors
    /// The refusal that the caller gets instead: the plugin's own, or that it failed or took too long.
    pub async fn call(&self, name: &str, payload: Value, call_id: &str) -> Result<Reply, Refusal> {
        let method = self.manifest().methods.iter().find(|method| method.name == name);
        let timeout = method.ok_or_else(|| Refusal::UnknownMethod(name.to_owned()))?.timeout;
        let terms = Terms { call: "method", id: call_id.to_owned(), timeout, job: None };
        let request =
            Request { name: name.to_owned(), payload: payload.to_string(), call_id: call_id.to_owned() };
        let answer = call::call(&self.0, terms, |instance, store| {
            Box::pin(async move { instance.hotshoe_plugin_methods().call_handle(store, &request).await })
        });
        answer::reply(name, answer.await.map_err(refusal)?)
    }

    /// Hands over the plugin's section of the desired properties.
    ///
    /// # Errors
    /// That the plugin failed or took too long.
    pub async fn apply(&self, version: u64, properties: Value) -> Result<Decision, Refusal> {
        let timeout = self.0.engine.0.settings_timeout;
        let terms = Terms { call: "settings", id: format!("desired-{version}"), timeout, job: None };
        let document = Document { version, properties: properties.to_string() };
        let answer = call::call(&self.0, terms, |instance, store| {
            Box::pin(async move { instance.hotshoe_plugin_settings().call_apply(store, &document).await })
        });
        answer::decision(answer.await.map_err(refusal)?)
    }

    /// Asks whether this version goes on with a job that another one began, from this checkpoint.
    pub async fn adopt(&self, from: &Version, checkpoint: Option<Checkpoint>) -> Adoption {
        let timeout = self.0.engine.0.settings_timeout;
        let terms = Terms { call: "adopt", id: format!("from-{from}"), timeout, job: None };
        let (from, checkpoint) = (from.to_string(), checkpoint.map(answer::lowered));
        let answer = call::call(&self.0, terms, |instance, store| {
            Box::pin(async move {
                instance.hotshoe_plugin_jobs().call_adopt(store, &from, checkpoint.as_ref()).await
            })
        });
        match answer.await {
            Ok(answer) => answer::adoption(answer),
            Err(failure) => Adoption::Failed(failure.to_string()),
        }
    }

    /// Runs a job, within the time that the manifest gives a run. Dropping the future ends the run.
    pub async fn run_job(&self, run: JobRun) -> RunEnd {
        let run = Arc::new(run);
        let timeout = self.manifest().limits.run;
        let terms = Terms { call: "job", id: run.id.to_string(), timeout, job: Some(run) };
        let answer = call::call(&self.0, terms, |instance, store| {
            Box::pin(async move {
                let job = store.data_mut().lend_job()?;
                let job = job.ok_or_else(|| wasmtime::format_err!("there is no job to run"))?;
                let lent = wasmtime::component::Resource::new_borrow(job.rep());
                instance.hotshoe_plugin_jobs().call_run(store, lent).await
            })
        });
        match answer.await {
            Ok(answer) => answer::end(answer, self.grants().restart),
            Err(Failure::TimedOut) => RunEnd::TimedOut,
            Err(Failure::Busy) => RunEnd::Transient("too many calls are running".into()),
            Err(Failure::Barred(text)) => RunEnd::Transient(format!("the plugin is quarantined: {text}")),
            Err(Failure::Trapped(text)) => RunEnd::Trapped(text),
        }
    }
}

impl Guest for Plugin {
    fn run(&self, run: JobRun) -> Doing<RunEnd> {
        let plugin = self.clone();
        Box::pin(async move { plugin.run_job(run).await })
    }

    fn adopt(&self, from: Version, checkpoint: Option<Checkpoint>) -> Doing<Adoption> {
        let plugin = self.clone();
        Box::pin(async move { plugin.adopt(&from, checkpoint).await })
    }
}

fn refusal(failure: Failure) -> Refusal {
    match failure {
        Failure::Busy => Refusal::Busy,
        Failure::Barred(text) => Refusal::Quarantined(text),
        Failure::TimedOut => Refusal::TimedOut,
        Failure::Trapped(text) => Refusal::PluginFailed { text },
    }
}
