//! What is counted, and how it is shown: a line of progress for people, lines of JSON for programs.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use hotshoed::hub::HubMetrics;
use serde_json::{Value, json};

use super::script::Outcome;

/// How often it is looked at, and shown on a terminal.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is shown where nobody sits at a terminal.
const SELDOM: Duration = Duration::from_secs(10);

/// The counts of a fleet.
#[derive(Debug)]
pub(super) struct Board {
    began: Instant,
    json: bool,
    devices: u64,
    pub(super) registered: AtomicU64,
    pub(super) connected: AtomicU64,
    pub(super) offline: AtomicU64,
    pub(super) updating: AtomicU64,
    pub(super) completed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) rolled_back: AtomicU64,
    pub(super) vanished: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) desired: AtomicU64,
    pub(super) patches: AtomicU64,
    pub(super) telemetry: AtomicU64,
    pub(super) losses: AtomicU64,
    up: AtomicBool,
}

/// One more.
pub(super) fn more(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
}

/// One less.
pub(super) fn less(count: &AtomicU64) {
    count.fetch_sub(1, Relaxed);
}

impl Board {
    pub(super) fn new(devices: u64, json: bool) -> Board {
        let [registered, connected, offline, updating, completed, failed, rolled_back] = Default::default();
        let [vanished, calls, refused, desired, patches, telemetry, losses] = Default::default();
        let (began, up) = (Instant::now(), AtomicBool::new(false));
        Board {
            began,
            json,
            devices,
            registered,
            connected,
            offline,
            updating,
            completed,
            failed,
            rolled_back,
            vanished,
            calls,
            refused,
            desired,
            patches,
            telemetry,
            losses,
            up,
        }
    }

    /// Takes over what a session has counted.
    pub(super) fn add(&self, session: &HubMetrics) {
        self.patches.fetch_add(session.patches.get(), Relaxed);
        self.telemetry.fetch_add(session.telemetry.get(), Relaxed);
        self.losses.fetch_add(session.losses.get(), Relaxed);
    }

    /// An update has ended.
    pub(super) fn ended(&self, outcome: Outcome) {
        less(&self.updating);
        more(match outcome {
            Outcome::Completed => &self.completed,
            Outcome::RolledBack => &self.rolled_back,
            Outcome::Silent => &self.vanished,
            _ => &self.failed,
        });
    }

    /// All devices are in the registry.
    pub(super) fn registered(&self) {
        self.tell("registered", &format!("{} devices are registered", self.devices));
    }

    /// Shows progress for as long as it is awaited, and once that all devices are up.
    pub(super) async fn show(&self) {
        let terminal = std::io::stderr().is_terminal();
        let mut ticks = tokio::time::interval(EVERY);
        let (mut last, mut shown) = (String::new(), Instant::now());
        loop {
            ticks.tick().await;
            let up = self.connected.load(Relaxed) + self.offline.load(Relaxed) + self.vanished.load(Relaxed);
            if up >= self.devices && !self.up.swap(true, Relaxed) {
                let seconds = self.began.elapsed().as_secs_f64();
                self.tell(
                    "connected",
                    &format!("all are connected after {seconds:.1} s, {}", memory_words(self.devices)),
                );
            }
            let line = self.line();
            if line != last && (terminal || shown.elapsed() >= SELDOM) {
                if terminal && !self.json {
                    let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
                } else {
                    self.tell("progress", &line);
                }
                (last, shown) = (line, Instant::now());
            }
        }
    }

    /// Says what it came to. False where not all devices were up at any moment.
    pub(super) fn summary(&self) -> bool {
        if std::io::stderr().is_terminal() && !self.json {
            let _ = writeln!(std::io::stderr());
        }
        let (seconds, get) = (self.began.elapsed().as_secs_f64(), |count: &AtomicU64| count.load(Relaxed));
        let words = format!(
            "{} devices for {seconds:.0} s: {} calls answered ({} refused), {} desired changes, {} reported patches, {} messages, \
             {} connections lost; updates: {} completed, {} failed, {} rolled back, {} gone silent, {} under way",
            self.devices,
            get(&self.calls),
            get(&self.refused),
            get(&self.desired),
            get(&self.patches),
            get(&self.telemetry),
            get(&self.losses),
            get(&self.completed),
            get(&self.failed),
            get(&self.rolled_back),
            get(&self.vanished),
            get(&self.updating),
        );
        self.tell("summary", &words);
        self.up.load(Relaxed)
    }

    fn line(&self) -> String {
        let get = |count: &AtomicU64| count.load(Relaxed);
        format!(
            "{}/{} connected, {} calls, updates: {} under way, {} completed, {} failed, {} rolled back, {} gone silent",
            get(&self.connected),
            self.devices,
            get(&self.calls),
            get(&self.updating),
            get(&self.completed),
            get(&self.failed),
            get(&self.rolled_back),
            get(&self.vanished),
        )
    }

    fn tell(&self, event: &str, words: &str) {
        let line = if self.json { self.document(event).to_string() } else { words.to_owned() };
        // Whoever reads it may have gone; the fleet lives on.
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    fn document(&self, event: &str) -> Value {
        let get = |count: &AtomicU64| count.load(Relaxed);
        json!({
            "event": event, "seconds": self.began.elapsed().as_secs_f64(), "devices": self.devices,
            "registered": get(&self.registered), "connected": get(&self.connected), "offline": get(&self.offline),
            "calls": get(&self.calls), "refused": get(&self.refused), "desired": get(&self.desired),
            "patches": get(&self.patches), "telemetry": get(&self.telemetry), "losses": get(&self.losses),
            "updates": {
                "underWay": get(&self.updating), "completed": get(&self.completed), "failed": get(&self.failed),
                "rolledBack": get(&self.rolled_back), "silent": get(&self.vanished),
            },
            "residentBytes": resident(),
        })
    }
}

fn memory_words(devices: u64) -> String {
    match resident() {
        Some(bytes) => {
            format!("{} KiB resident, {} KiB a device", bytes >> 10, (bytes >> 10) / devices.max(1))
        }
        None => "memory unknown".to_owned(),
    }
}

/// The memory of this process.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}
