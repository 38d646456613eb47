//! A device whose plugins can be swapped, and the many versions of one plugin.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use hotshoe_core::package;
use hotshoe_core::policy;
use hotshoe_core::swap::{Origin, Settings};
use hotshoed::job::{JobSettings, Jobs, NoSlots, RestartCommand};
use hotshoed::plugin::Compile;
use hotshoed::state::StateDir;
use hotshoed::swap::{Broken, Candidate, Factory, InstallError, Installed, LeftOut, Plugins, SwapSettings};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::stage::{Stage, call, guest};

/// Everything granted, anything taken.
pub(crate) const OPEN: &str = r#"
[plugins]
unsigned = "allow"
[plugins."*"]
download = ["https://*:*/", "https://localhost:*/", "https://127.0.0.1:*/"]
flash = true
restart = true
storage = "64KiB"
telemetry = true
"#;

/// A version of the test guest.
#[derive(Clone)]
pub(crate) struct Made {
    /// Its version, in the manifest and in what `version` answers.
    pub(crate) version: &'static str,
    /// Its call of `version` that traps.
    pub(crate) trap_at: u32,
    /// What it says to jobs of other versions.
    pub(crate) adopt: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// What of the manifest is replaced by what.
    pub(crate) manifest: Vec<(&'static str, &'static str)>,
}

impl Default for Made {
    fn default() -> Made {
        Made { version: "1.0.0", trap_at: 0, adopt: "ok", name: "test.swapped", manifest: Vec::new() }
    }
}

/// A good version.
pub(crate) fn version(version: &'static str) -> Made {
    Made { version, ..Made::default() }
}

impl Made {
    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let built = guest("test-guest");
        let (_, manifest) = package::read(&built).unwrap();
        let mut manifest = manifest
            .replace("name = \"test.misbehaving\"", &format!("name = \"{}\"", self.name))
            .replace("version = \"0.1.0\"", &format!("version = \"{}\"", self.version));
        for (from, to) in &self.manifest {
            assert!(manifest.contains(from), "{from} is not in {manifest}");
            manifest = manifest.replace(from, to);
        }
        let mut component = package::embed(&built, &manifest);
        let begin = b"hotshoe-test-marker ";
        let places: Vec<usize> = component
            .windows(begin.len())
            .enumerate()
            .filter_map(|(at, bytes)| (bytes == begin).then_some(at))
            .collect();
        assert_eq!(places.len(), 1, "the marker stands there once: run `cargo xtask guests`");
        let Made { version, trap_at, adopt, .. } = self;
        let text = format!("hotshoe-test-marker version={version} trap-at={trap_at} adopt={adopt}");
        let marker = format!("{text:80}");
        component[places[0]..places[0] + 80].copy_from_slice(marker.as_bytes());
        component
    }

    pub(crate) fn candidate(&self) -> Candidate {
        Candidate::new(self.component().into(), Origin::Unsigned)
    }
}

/// A device. Its directory outlives it, as the disk does a power cut.
pub(crate) struct Rig {
    pub(crate) stage: Stage,
    pub(crate) plugins: Plugins,
    pub(crate) jobs: Jobs,
    pub(crate) broken: Vec<Broken>,
    setting: Setting,
}

/// What a device is made with.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) policy: String,
    pub(crate) machine: Settings,
    pub(crate) factory: Vec<PathBuf>,
    pub(crate) cache: PathBuf,
    /// Who compiles; the real compiler as it comes where there is nobody.
    pub(crate) compiler: Option<Arc<dyn Compile>>,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            policy: OPEN.to_owned(),
            machine: Settings::default(),
            factory: Vec::new(),
            cache: shared_cache().to_owned(),
            compiler: None,
        }
    }
}

impl Rig {
    pub(crate) async fn new() -> Rig {
        Rig::with(Setting::default()).await
    }

    pub(crate) async fn with(setting: Setting) -> Rig {
        Rig::on(tempfile::tempdir().unwrap(), setting).await
    }

    /// The device whose records and components stand in this folder, which outlives it.
    pub(crate) async fn over(folder: &Path, setting: Setting) -> Rig {
        let directory = tempfile::tempdir().unwrap();
        for name in ["swap", "shelf"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
            std::os::unix::fs::symlink(folder.join(name), directory.path().join(name)).unwrap();
        }
        Rig::on(directory, setting).await
    }

    /// The device with this disk.
    pub(crate) async fn on(directory: TempDir, setting: Setting) -> Rig {
        let stage =
            Stage::sharing(&setting.cache, directory, |engine| engine.compiler = setting.compiler.clone());
        let clock: hotshoed::job::Clock = Arc::new(|| 1_800_000_000_000);
        let dir = |name: &str| {
            let path = stage.directory.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Dir::open_ambient_dir(&path, ambient_authority()).unwrap()
        };
        let settings =
            JobSettings::new("boot-1".into(), RestartCommand::new(Vec::new(), &[]), Arc::clone(&clock));
        let jobs =
            Jobs::new(settings, StateDir::new(dir("jobs")), stage.services.outbox.clone(), Arc::new(NoSlots));
        jobs.resume().await.unwrap();
        let settings = SwapSettings {
            left_out: LeftOut::default(),
            engine: stage.engine.clone(),
            services: Arc::clone(&stage.services),
            jobs: jobs.clone(),
            policy: policy::parse(&setting.policy).unwrap(),
            machine: setting.machine.clone(),
            clock,
            state: StateDir::new(dir("swap")),
            shelf: dir("shelf"),
        };
        let factory = setting.factory.iter();
        let factory = factory.map(|file| Factory { file: file.clone(), settings: Value::Null }).collect();
        let (plugins, broken) = Plugins::open(settings, factory).await.unwrap();
        Rig { stage, plugins, jobs, broken, setting }
    }

    /// The same device after a power cut.
    pub(crate) async fn restarted(self) -> Rig {
        let setting = self.setting.clone();
        self.restarted_with(setting).await
    }

    /// The same device after a power cut, with another configuration.
    pub(crate) async fn restarted_with(self, setting: Setting) -> Rig {
        let Rig { stage, plugins, jobs, .. } = self;
        jobs.drain(std::time::Duration::ZERO).await;
        drop((plugins, jobs));
        let Stage { directory, .. } = stage;
        Rig::on(directory, setting).await
    }

    pub(crate) fn setting(&self) -> Setting {
        self.setting.clone()
    }

    pub(crate) async fn install(&self, made: &Made) -> Result<Installed, InstallError> {
        self.plugins.install(made.candidate(), &|_| {}).await
    }

    /// The plugin as an operator sees it.
    pub(crate) fn summary(&self) -> hotshoe_core::swap::PluginSummary {
        self.plugins.list().into_iter().next().expect("there is a plugin")
    }

    pub(crate) fn state(&self) -> String {
        self.summary().state
    }

    /// What `version` answers: status and payload.
    pub(crate) async fn ask(&self) -> (i32, Value) {
        match self.plugins.routes().lookup("version") {
            Some(plugin) => call(&plugin, "version", Value::Null).await,
            None => (404, Value::Null),
        }
    }

    /// Asserts that this version answers, and that it is the one that is told to be live.
    pub(crate) async fn assert_live(&self, version: &str) {
        let (status, payload) = self.ask().await;
        assert_eq!((status, &payload["version"]), (200, &json!(version)));
        assert_eq!(self.summary().version.map(|version| version.to_string()).as_deref(), Some(version));
    }

    /// Waits until the plugin stands so.
    pub(crate) async fn until_state(&self, state: &str) {
        let mut changed = self.plugins.changed();
        let waiting = async {
            while self.state() != state {
                changed.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await;
        assert!(waited.is_ok(), "waited in vain for {state}: {:?}", self.summary());
    }
}

/// A component as a file of the device's image.
pub(crate) fn image_file(folder: &Path, made: &Made) -> PathBuf {
    let file = folder.join(format!("{}.wasm", made.name));
    std::fs::write(&file, made.component()).unwrap();
    file
}

/// Compiled code, shared by all devices of a test program: compiling takes its time.
fn shared_cache() -> &'static Path {
    static CACHE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    CACHE.get_or_init(|| {
        // Beside the program, so that the next run has it too. Its files are sealed, so what is stale is compiled again.
        let program = std::env::current_exe().unwrap();
        let directory = program.with_extension("cache");
        std::fs::create_dir_all(&directory).unwrap();
        // Who opens it first makes its key, which no two may do at once.
        drop(Stage::sharing(&directory, tempfile::tempdir().unwrap(), |_| {}));
        directory
    })
}
