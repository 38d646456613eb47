//! The engine: the one place that decides how guests run on this device.
//!
//! How they are *compiled* is shared with the compiler (`hotshoe-engine-config`), what one call may take stands in
//! `capability::limits`, and who comes in at all in [`super::admission`]; here stand the bounds for all guests together. The pool is set aside once, as address space and not as memory, so that a call neither maps
//! nor unmaps, and no number of plugins takes more than it holds: a call that finds it empty waits its turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::Dir;
use wasmtime::{InstanceAllocationStrategy, PoolingAllocationConfig};

use super::admission::{Admission, INSTANCES};
use super::cache::Cache;
use super::compile::{Compile, Compiler};
use super::metrics::Metrics;
use super::ticker::Ticker;
use super::witness::Witness;
use crate::capability::limits::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use crate::capability::{Logs, Probe};

/// What the device's configuration says of plugins.
#[derive(Debug)]
pub struct EngineSettings {
    /// The program `hotshoe-aot`.
    pub aot: PathBuf,
    /// Who compiles; where there is nobody, `aot` as a child of this process.
    pub compiler: Option<Arc<dyn Compile>>,
    /// Where compiled code is kept: a directory of the host's own.
    pub cache: Dir,
    /// The largest plugin file, in bytes. Checked before anything else looks at it.
    pub component_limit: u64,
    /// The memory the compiler may take, in bytes.
    pub compile_memory: u64,
    /// The time the compiler may take.
    pub compile_timeout: Duration,
    /// The most memory of an instance, in bytes, whatever its manifest says.
    pub memory_limit: u64,
    /// How long a guest may compute without waiting for the host, in processor time.
    pub burst_limit: Duration,
    /// How long a change of the desired properties may take to be decided.
    pub settings_timeout: Duration,
    /// Who is told which plugin is entered.
    pub witness: Option<Arc<dyn Witness>>,
    /// How many threads guests run on.
    pub threads: usize,
    /// Told which of the host's functions a guest has called, before anything else is done. For tests, which let a
    /// function fail there; nobody on a device.
    pub probe: Option<Probe>,
}

impl EngineSettings {
    /// The defaults, for this compiler and this cache.
    pub fn new(aot: PathBuf, cache: Dir) -> EngineSettings {
        let Compiler { program: aot, memory, timeout, .. } = Compiler::new(aot);
        EngineSettings {
            aot,
            compiler: None,
            cache,
            component_limit: 24 * 1024 * 1024,
            compile_memory: memory,
            compile_timeout: timeout,
            memory_limit: 256 * 1024 * 1024,
            burst_limit: Duration::from_secs(2),
            settings_timeout: Duration::from_secs(10),
            witness: None,
            threads: 2,
            probe: None,
        }
    }
}

/// Why no plugin can run at all.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine refused its settings, or the machine has no room for the pool.
    #[error("the WebAssembly engine cannot be set up: {0:#}")]
    Engine(wasmtime::Error),
    /// The cache directory is of no use.
    #[error("the cache of compiled code cannot be opened: {0}; check its directory")]
    Cache(std::io::Error),
    /// No thread.
    #[error("the thread that keeps guests in time cannot be started: {0}")]
    Thread(std::io::Error),
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) engine: wasmtime::Engine,
    pub(super) ticker: Ticker,
    pub(super) cache: Cache,
    pub(super) compiler: Arc<dyn Compile>,
    pub(super) metrics: Metrics,
    pub(super) logs: Logs,
    pub(super) admission: Admission,
    pub(super) component_limit: u64,
    pub(super) memory_limit: u64,
    pub(super) burst_limit: Duration,
    pub(super) settings_timeout: Duration,
    pub(super) witness: Option<Arc<dyn Witness>>,
    pub(super) probe: Option<Probe>,
}

impl Engine {
    /// Sets the engine up.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn new(settings: EngineSettings) -> Result<Engine, EngineError> {
        let engine = configure(settings.memory_limit).map_err(EngineError::Engine)?;
        Ok(Engine(Arc::new(Inner {
            ticker: Ticker::start(&engine).map_err(EngineError::Thread)?,
            engine,
            cache: Cache::open(settings.cache).map_err(EngineError::Cache)?,
            compiler: settings.compiler.unwrap_or_else(|| {
                Arc::new(Compiler {
                    program: settings.aot,
                    memory: settings.compile_memory,
                    timeout: settings.compile_timeout,
                    alone: Arc::default(),
                })
            }),
            metrics: Metrics::default(),
            logs: Logs::default(),
            admission: Admission::new(settings.threads),
            component_limit: settings.component_limit,
            memory_limit: settings.memory_limit,
            burst_limit: settings.burst_limit,
            settings_timeout: settings.settings_timeout,
            witness: settings.witness,
            probe: settings.probe,
        })))
    }

    /// What is counted of calls into guests, for the device's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The last log lines of the plugins.
    pub fn logs(&self) -> &Logs {
        &self.0.logs
    }
}

fn configure(memory_limit: u64) -> wasmtime::Result<wasmtime::Engine> {
    let mut config = hotshoe_engine_config::config()?;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * CORE_INSTANCES)
        .total_memories(INSTANCES * MEMORIES)
        .total_tables(INSTANCES * TABLES)
        .total_stacks(INSTANCES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(4)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(usize::try_from(memory_limit)?)
        // What a plugin used last is handed back to the system, but for the few that are called all the time.
        .max_unused_warm_slots(8);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    wasmtime::Engine::new(&config)
}
