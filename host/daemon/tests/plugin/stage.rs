//! A device around the plugins of a test: an engine, and all services over a temporary directory.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use hotshoe_core::policy::{self, Policy, Unsigned};
use hotshoed::artifact::ArtifactStore;
use hotshoed::capability::{DeviceFacts, Services};
use hotshoed::fetch::{FetchSettings, Fetcher, Scheme};
use hotshoed::flash::{Flash, SlotConfig};
use hotshoed::gate::Gate;
use hotshoed::hub::{Desired, Outbox, Telemetry, TelemetryQueue};
use hotshoed::plugin::{Engine, EngineSettings, LoadError, Plugin};
use hotshoed::receive::{ReceiveSettings, Receiver, Web};
use hotshoed::state::StateDir;
use hotshoed::trust::Repositories;
use rustls::RootCertStore;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Everything granted that the test guest asks for.
pub(crate) const ALL: &str = r#"
[plugins."*"]
download = ["https://*:*/", "https://localhost:*/", "https://127.0.0.1:*/"]
flash = true
restart = true
storage = "64KiB"
telemetry = true
"#;

pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) services: Arc<Services>,
    pub(crate) directory: TempDir,
    /// While it is set, a service of the host panics.
    pub(crate) broken: Arc<AtomicBool>,
    roots: RootCertStore,
    _telemetry: TelemetryQueue,
}

/// The directory of the build: `target/debug`.
fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_owned()
}

pub(crate) fn aot() -> PathBuf {
    let program = build().join("hotshoe-aot");
    assert!(
        program.is_file(),
        "{} is missing: run `cargo xtask test`, or build hotshoe-aot",
        program.display()
    );
    program
}

/// A guest's component, with its manifest.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let directory = std::env::var_os("HOTSHOE_GUESTS")
        .map_or_else(|| build().parent().unwrap().join("guests"), PathBuf::from);
    let file = directory.join(format!("{name}.wasm"));
    std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests`", file.display()))
}

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage::with(|_| {})
    }

    /// A device that has compiled the test guest before.
    pub(crate) fn with(change: impl FnOnce(&mut EngineSettings)) -> Stage {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("cache")).unwrap();
        for entry in std::fs::read_dir(seeded().path().join("cache")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), directory.path().join("cache").join(entry.file_name())).unwrap();
        }
        Stage::again(directory, RootCertStore::empty(), change)
    }

    /// A device in a directory that is kept elsewhere, with the compiled code of others.
    #[allow(dead_code)] // by the tests of swap
    pub(crate) fn sharing(
        cache: &std::path::Path,
        directory: TempDir,
        change: impl FnOnce(&mut EngineSettings),
    ) -> Stage {
        let link = directory.path().join("cache");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(cache, link).unwrap();
        Stage::again(directory, RootCertStore::empty(), change)
    }

    /// A device that trusts these certificates.
    pub(crate) fn trusting(roots: &RootCertStore) -> Stage {
        Stage::again(tempfile::tempdir().unwrap(), roots.clone(), |_| {})
    }

    /// A device that has compiled nothing yet.
    pub(crate) fn fresh(change: impl FnOnce(&mut EngineSettings)) -> Stage {
        Stage::again(tempfile::tempdir().unwrap(), RootCertStore::empty(), change)
    }

    /// The same device after a restart.
    pub(crate) fn restarted(self, change: impl FnOnce(&mut EngineSettings)) -> Stage {
        let Stage { directory, roots, .. } = self;
        Stage::again(directory, roots, change)
    }

    fn again(directory: TempDir, roots: RootCertStore, change: impl FnOnce(&mut EngineSettings)) -> Stage {
        let dir = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Dir::open_ambient_dir(&path, ambient_authority()).unwrap()
        };
        let mut settings = EngineSettings::new(aot(), dir("cache"));
        change(&mut settings);
        let store = ArtifactStore::open(dir("artifacts"), 1 << 20).unwrap();
        let patience = FetchSettings {
            connect_timeout: Duration::from_millis(600),
            retries: 0,
            ..FetchSettings::default()
        };
        let state = StateDir::new(dir("state"));
        let slot = |name: &str| SlotConfig { name: name.into(), file: format!("{name}.img"), size: 4096 };
        let (telemetry, queue) = Telemetry::queue("device-1", None, 4);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let broken = Arc::new(AtomicBool::new(false));
        let breaks = Arc::clone(&broken);
        let flash = Flash::open(Arc::new(dir("flash")), vec![slot("a"), slot("b")]).unwrap();
        let services = Services {
            web: Web::new(Arc::new(roots.clone()), &patience, Scheme::Https).unwrap(),
            receiver: Receiver::new(ReceiveSettings { fetch: patience.clone(), ..Default::default() }),
            fetcher: Fetcher::new(store, Arc::new(roots.clone()), patience).unwrap(),
            gate: Gate::wide_open(&state.subdirectory("gate").unwrap(), &flash).unwrap(),
            flash,
            outbox: Outbox::open(state.subdirectory("hub").unwrap()).unwrap(),
            telemetry,
            desired: Desired::open(state.subdirectory("hub").unwrap()).unwrap(),
            state: state.subdirectory("plugins").unwrap(),
            facts: DeviceFacts {
                device_id: "device-1".into(),
                host_version: "0.0.0-test".into(),
                os: "Test OS".into(),
                kernel: "6.1".into(),
                architecture: "x86_64".into(),
                memory: 1 << 30,
                built: 1,
                clock: Arc::new(|| Duration::from_secs(1_795_348_800)),
                uptime: Arc::new(move || {
                    assert!(!breaks.load(Ordering::Relaxed), "the host is broken");
                    Duration::from_secs(60)
                }),
            },
            unsigned: Unsigned::Digest,
            repositories: Repositories::none(),
        };
        let engine = Engine::new(settings).unwrap();
        Stage { engine, services: Arc::new(services), directory, broken, roots, _telemetry: queue }
    }

    pub(crate) async fn load(&self, component: &[u8]) -> Result<Plugin, LoadError> {
        self.load_with(component, ALL).await
    }

    pub(crate) async fn load_with(&self, component: &[u8], policy: &str) -> Result<Plugin, LoadError> {
        let policy: Policy = policy::parse(policy).unwrap();
        self.engine.load(component, &policy, Value::Null, Arc::clone(&self.services)).await
    }

    pub(crate) async fn test_guest(&self) -> Plugin {
        self.load(&guest("test-guest")).await.unwrap()
    }
}

/// The cache of a device that has compiled the test guest, made once for all tests: compiling takes its time.
fn seeded() -> &'static TempDir {
    static SEEDED: OnceLock<TempDir> = OnceLock::new();
    SEEDED.get_or_init(|| {
        let stage = Stage::fresh(|_| {});
        let compile = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(stage.test_guest());
        };
        std::thread::scope(|scope| scope.spawn(compile).join()).unwrap();
        stage.directory
    })
}

/// The answer's status and payload, or the refusal's.
pub(crate) async fn call(plugin: &Plugin, method: &str, payload: Value) -> (i32, Value) {
    use hotshoed::plugin::Reply;

    let response = match plugin.call(method, payload, "call-1").await {
        Ok(Reply::Done(response) | Reply::Accepted { response, .. }) => response,
        Err(refusal) => refusal.response(),
    };
    (response.status, response.payload)
}

/// Asserts that the plugin answers as if nothing had been.
pub(crate) async fn assert_well(plugin: &Plugin) {
    assert_eq!(call(plugin, "echo", json!({"still": "there"})).await, (200, json!({"still": "there"})));
}
