//! Where members are tried: a device with a well-behaved neighbour that is called all the time, and what must hold after
//! each member and in the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hotshoe_core::method::Refusal;
use hotshoed::plugin::{Plugin, Reply};
use serde_json::json;
use tokio::task::JoinHandle;

use super::abuses::{JOB, wearer};
use super::members::{End, Member, Trial};
use super::runs::run;
use super::served::{self, addressed};
use super::server::Server;
use super::stage::{Stage, call, guest};

/// How long a plugin may compute in the zoo.
pub(crate) const BUDGET: Duration = Duration::from_millis(100);
/// What a plugin is granted there.
pub(crate) const POLICY: &str = r#"
[plugins."*"]
download = ["https://images.example.com/"]
flash = true
restart = true
storage = "64KiB"
telemetry = true

[plugins."zoo.wearer"]
download = ["https://localhost:*/images/"]
flash = true
restart = true
storage = "64KiB"
telemetry = true
flash_per_day = "256KiB"
download_per_day = "256KiB"
"#;
/// The longest line of a log, with some room for what is escaped at its end.
const LINE: usize = 4096 + 64;
/// How many call the neighbour at a time.
const CALLERS: usize = 2;

pub(crate) struct Cage {
    pub(crate) stage: Stage,
    neighbour: Arc<Neighbour>,
    callers: Vec<JoinHandle<()>>,
    before: Outside,
    server: Server,
}

struct Neighbour {
    plugin: Plugin,
    answered: AtomicU64,
    /// How long calls took since the last look.
    times: Mutex<Vec<Duration>>,
    stop: AtomicBool,
}

/// What no plugin changes.
#[derive(PartialEq, Eq, Debug)]
struct Outside {
    process: u32,
    files: BTreeMap<String, blake3::Hash>,
}

/// How a trial went.
pub(crate) struct Went {
    /// From when it was called, or loaded where it was not let in.
    pub(crate) took: Duration,
    /// The neighbour's longest call meanwhile.
    pub(crate) neighbour: Duration,
    /// In the words of the host.
    pub(crate) text: String,
    /// Why it went wrong.
    pub(crate) fault: Option<String>,
}

impl Cage {
    pub(crate) async fn new() -> Cage {
        // Compiled where there is time for it.
        let server = served::start().await;
        let stage = Stage::trusting(&server.roots);
        stage.test_guest().await;
        stage.load(&guest("zoo")).await.unwrap();
        stage.load(&wearer()).await.unwrap();
        let stage = stage.restarted(|settings| {
            settings.burst_limit = BUDGET;
            settings.compile_timeout = Duration::from_secs(3);
            settings.compile_memory = 256 << 20;
        });
        Cage::between(stage, server).await
    }

    pub(crate) async fn around(stage: Stage) -> Cage {
        Cage::between(stage, served::start().await).await
    }

    pub(crate) async fn between(stage: Stage, server: Server) -> Cage {
        let plugin = stage.test_guest().await;
        let (answered, times, stop) = Default::default();
        let neighbour = Arc::new(Neighbour { plugin, answered, times, stop });
        let callers =
            (0..CALLERS).map(|caller| tokio::spawn(Arc::clone(&neighbour).be_called(caller))).collect();
        let before = Outside::of(stage.directory.path());
        let cage = Cage { stage, neighbour, callers, before, server };
        cage.neighbour_answers().await;
        cage
    }

    /// Tries a member: loads it, calls it, and compares with what must come of it.
    pub(crate) async fn try_out(&self, member: Member) -> Went {
        self.judge(&format!("{member:?} ({}: {})", member.attack(), member.words()), member.trial()).await
    }

    pub(crate) async fn judge(&self, what: &str, trial: Trial) -> Went {
        self.forget_times();
        let Trial { plugin, method, payload, end, log } = trial;
        let payload = addressed(&payload, self.server.port);
        let mut began = Instant::now();
        let (text, as_it_must) = match self.stage.load_with(&plugin, POLICY).await {
            Err(error) => {
                let text = error.to_string();
                let as_it_must = match end {
                    End::Refused(words) => text.contains(words),
                    End::Whatever => true,
                    _ => false,
                };
                (text, as_it_must)
            }
            Ok(plugin) => {
                began = Instant::now();
                let answer = match method {
                    JOB => run(&self.stage, &plugin, payload).await,
                    _ => plugin.call(method, payload, "call-1").await,
                };
                let history = self.log_of(&plugin);
                let untold: Vec<_> = log.iter().filter(|words| !history.contains(**words)).collect();
                let as_it_must = end.is(&answer) && untold.is_empty();
                (
                    format!(
                        "{answer:?}{}",
                        if as_it_must {
                            String::new()
                        } else {
                            format!(" the log, without {untold:?}: {history}")
                        }
                    ),
                    as_it_must,
                )
            }
        };
        let took = began.elapsed();
        self.neighbour_answers().await;
        let neighbour = self.forget_times().into_iter().max().unwrap_or_default();
        let fault = (!as_it_must).then(|| format!("{what} did not end with {end:?}: {text:.2000}"));
        Went { took, neighbour, text, fault }
    }

    /// How long the neighbour's calls took since the last look.
    pub(crate) fn forget_times(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.neighbour.times.lock().unwrap())
    }

    /// How long the neighbour's calls take for so long.
    pub(crate) async fn times_of_neighbour(&self, time: Duration) -> Vec<Duration> {
        self.forget_times();
        tokio::time::sleep(time).await;
        self.forget_times()
    }

    /// Loads a plugin that is let in.
    pub(crate) async fn load_patiently(&self, plugin: &[u8]) -> Plugin {
        self.stage.load_with(plugin, POLICY).await.unwrap()
    }

    /// All that the log has of a plugin.
    pub(crate) fn log_of(&self, plugin: &Plugin) -> String {
        let history = self.stage.engine.logs().of(&plugin.manifest().name);
        let lines = history.after(0).0.into_iter().map(|line| {
            let size = line.message.len() + line.fields.as_ref().map_or(0, String::len);
            assert!(size <= LINE, "a line of {size} bytes: {:.200}", line.message);
            line.message
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Waits until each caller has been answered once more.
    pub(crate) async fn neighbour_answers(&self) {
        let before = self.neighbour.answered.load(Ordering::Relaxed);
        let answering = async {
            while self.neighbour.answered.load(Ordering::Relaxed) < before + 2 * CALLERS as u64 {
                assert!(
                    self.callers.iter().all(|caller| !caller.is_finished()),
                    "the neighbour was not answered"
                );
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), answering)
            .await
            .expect("the neighbour is not answered any more");
    }

    /// Ends the neighbour, and looks whether anything outside of the plugins' own areas is another. Gives back how often
    /// the neighbour was answered.
    pub(crate) async fn end(self) -> u64 {
        self.neighbour.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
        let after = Outside::of(self.stage.directory.path());
        assert_eq!(self.before, after, "something outside of the plugins' areas has changed");
        self.neighbour.answered.load(Ordering::Relaxed)
    }
}

impl End {
    /// Whether a call has ended so.
    fn is(self, answer: &Result<Reply, Refusal>) -> bool {
        match (self, answer) {
            (End::Whatever, _) | (End::TimedOut, Err(Refusal::TimedOut)) => true,
            (End::Trapped(words), Err(Refusal::PluginFailed { text })) => text.contains(words),
            (End::Answers(is_right), Ok(Reply::Done(response))) => is_right(&response.payload),
            _ => false,
        }
    }
}

impl Neighbour {
    async fn be_called(self: Arc<Neighbour>, caller: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.answered.load(Ordering::Relaxed);
            let payload = json!({ "caller": caller, "call": number });
            let began = Instant::now();
            let answer = call(&self.plugin, "echo", payload.clone()).await;
            assert_eq!(answer, (200, payload));
            self.times.lock().unwrap().push(began.elapsed());
            self.answered.fetch_add(1, Ordering::Relaxed);
            // Somebody who calls often, and does not compute all the time.
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }
}

impl Outside {
    fn of(directory: &Path) -> Outside {
        let mut files = BTreeMap::new();
        collect(directory, "", &mut files);
        // Plugins' own: what they store, report and fetch, their jobs, the spare slot; what the compiler made of them, and
        // what is counted of them.
        let own = [
            "cache/",
            "state/plugins/",
            "state/hub/",
            "state/gate/quotas/",
            "artifacts/",
            "jobs/",
            "flash/b.img",
            "flash/slots/b",
        ];
        files.retain(|name, _| !own.iter().any(|own| name.starts_with(own)));
        Outside { process: std::process::id(), files }
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, blake3::Hash>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, blake3::hash(&std::fs::read(entry.path()).unwrap()));
        }
    }
}
