//! A device around the fuzzers' inputs: all of its services, over a disk in memory and without a network.
//!
//! One for each thread, made once: what one input leaves behind the next one finds, as on a device. What takes a real
//! directory (compiled code, fetched files) has one where temporary files are.

use std::{cell::OnceCell, path::PathBuf, sync::Arc, time::Duration};

use cap_std::{ambient_authority, fs::Dir};
use futures_util::FutureExt as _;
use hotshoe_core::{
    method::MethodResponse,
    policy::{self, Policy, Unsigned},
};
use hotshoed::{
    admin::{Admin, Orders, Told},
    artifact::ArtifactStore,
    capability::{DeviceFacts, Services},
    fetch::{FetchSettings, Fetcher, Scheme},
    flash::{Flash, SlotConfig},
    gate::Gate,
    hub::{Desired, Outbox, Telemetry, TelemetryQueue},
    job::{JobSettings, Jobs, NoSlots, RestartCommand},
    plugin::{Engine, EngineSettings, Plugin},
    receive::{ReceiveSettings, Receiver, Web},
    state::StateDir,
    swap::{LeftOut, Plugins, SwapSettings},
    trust::Repositories,
};
use rustls::RootCertStore;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::{memory::MemoryFolder, pieces::runtime};

/// What the device's owner allows.
const POLICY: &str = r#"
[plugins."*"]
download = ["https://*.example.com/"]
flash = true
restart = true
storage = "64KiB"
telemetry = true
"#;

/// The clock of the device, in seconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000;

thread_local! {
    static CACHE: TempDir = tempfile::tempdir().expect("a temporary directory");
}

/// A device.
pub(crate) struct Device {
    services: Arc<Services>,
    engine: Engine,
    admin: Admin,
    _telemetry: TelemetryQueue,
    _directory: TempDir,
}

/// This thread's device.
pub(crate) fn with<T>(work: impl FnOnce(&Device) -> T) -> T {
    thread_local! {
        static DEVICE: OnceCell<Device> = const { OnceCell::new() };
    }
    DEVICE.with(|device| work(device.get_or_init(|| runtime(Device::new()))))
}

impl Device {
    /// One of its own, for what must not find the rates of plugins used up.
    pub(crate) async fn new() -> Device {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dir = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(&path).expect("a directory");
            Dir::open_ambient_dir(&path, ambient_authority()).expect("a directory")
        };
        let patience = FetchSettings {
            retries: 0,
            lookup: Some(Arc::new(|_| async { Err(std::io::ErrorKind::NotFound.into()) }.boxed())),
            ..FetchSettings::default()
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let roots = Arc::new(RootCertStore::empty());
        let state = StateDir::new(MemoryFolder::default());
        let inner = |name: &str| state.subdirectory(name).expect("a folder in memory");
        let slot = |name: &str| SlotConfig { name: name.into(), file: format!("{name}.img"), size: 4096 };
        let flash =
            Flash::open(Arc::new(MemoryFolder::default()), vec![slot("a"), slot("b")]).expect("slots");
        let (telemetry, queue) = Telemetry::queue("device", None, 4);
        let outbox = Outbox::open(inner("hub")).expect("an outbox");
        let store = ArtifactStore::open(dir("artifacts"), 1 << 20).expect("a store");
        let services = Arc::new(Services {
            web: Web::new(Arc::clone(&roots), &patience, Scheme::Https).expect("a client"),
            receiver: Receiver::new(ReceiveSettings { fetch: patience.clone(), ..Default::default() }),
            fetcher: Fetcher::new(store, roots, patience).expect("a client"),
            gate: Gate::wide_open(&inner("gate"), &flash).expect("a gate"),
            flash,
            outbox: outbox.clone(),
            telemetry,
            desired: Desired::open(inner("hub")).expect("desired properties"),
            state: inner("plugins"),
            facts: DeviceFacts {
                device_id: "device".into(),
                host_version: "0.0.0".into(),
                os: "an operating system".into(),
                kernel: "6.1".into(),
                architecture: "x86_64".into(),
                memory: 1 << 30,
                built: 1,
                clock: Arc::new(|| Duration::from_secs(NOW)),
                uptime: Arc::new(|| Duration::from_secs(60)),
            },
            unsigned: Unsigned::Digest,
            repositories: Repositories::none(),
        });
        // Compiled code outlives the device: it takes a second to make.
        let cache = CACHE.with(|cache| Dir::open_ambient_dir(cache.path(), ambient_authority()));
        let aot = program("HOTSHOE_AOT", "debug/hotshoe-aot");
        let engine = Engine::new(EngineSettings::new(aot, cache.expect("a directory")));
        let engine = engine.expect("an engine");
        let restart = RestartCommand::new(Vec::new(), &[]);
        let jobs = JobSettings::new("boot".into(), restart, Arc::new(|| NOW));
        let jobs = Jobs::new(jobs, inner("jobs"), outbox, Arc::new(NoSlots));
        jobs.resume().await.expect("no jobs");
        let swap = SwapSettings {
            engine: engine.clone(),
            services: Arc::clone(&services),
            jobs: jobs.clone(),
            policy: Policy::default(),
            machine: hotshoe_core::swap::Settings::default(),
            clock: Arc::new(|| NOW),
            state: inner("swap"),
            shelf: dir("shelf"),
            left_out: LeftOut::None,
        };
        let (plugins, _) = Plugins::open(swap, Vec::new()).await.expect("no plugins");
        let admin = Admin {
            told: Arc::new(Quiet),
            logs: engine.logs().clone(),
            orders: Orders { plugins, repositories: Repositories::none() },
            jobs,
            open: Arc::new(|_| Err(std::io::ErrorKind::PermissionDenied.into())),
            taking: Arc::new(Semaphore::new(1)),
            ending: Default::default(),
        };
        Device { services, engine, admin, _telemetry: queue, _directory: directory }
    }

    /// Its admin socket.
    pub(crate) fn admin(&self) -> Admin {
        self.admin.clone()
    }

    /// The hostile guest of the zoo, with everything granted.
    pub(crate) async fn hostile(&self) -> Plugin {
        let file = program("HOTSHOE_GUESTS", "guests").join("zoo.wasm");
        let component = std::fs::read(&file)
            .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests zoo`", file.display()));
        let policy = policy::parse(POLICY).expect("a policy");
        let loaded = self.engine.load(&component, &policy, Value::Null, Arc::clone(&self.services));
        loaded.await.expect("the guest loads; it wants hotshoe-aot of the same build")
    }
}

/// A place of the build: where a variable says, or below the directory of the build that this program is of.
fn program(variable: &str, below: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            let test = std::env::current_exe().expect("this program has a name");
            test.ancestors().nth(3).expect("it is in target/debug/deps").join(below)
        },
        PathBuf::from,
    )
}

/// Nothing to tell.
struct Quiet;

impl Told for Quiet {
    fn status(&self) -> futures_util::future::BoxFuture<'_, Value> {
        async { json!({}) }.boxed()
    }

    fn jobs(&self) -> Value {
        json!([])
    }

    fn method<'a>(
        &'a self,
        name: &'a str,
        payload: &'a Value,
    ) -> futures_util::future::BoxFuture<'a, Option<MethodResponse>> {
        let echoed =
            name.starts_with("hotshoe.").then(|| MethodResponse { status: 200, payload: payload.clone() });
        async { echoed }.boxed()
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }
}
