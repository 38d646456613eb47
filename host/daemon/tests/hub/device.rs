//! A device under test: settings with short waits, a state directory that outlives a kill, a session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use hotshoe_core::method::MethodResponse;
use hotshoed::hub::{self, Backoff, Hub, HubSettings, MethodCall, Pace};
use hotshoed::state::StateDir;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, PATIENCE};

pub(crate) const NAME: &str = "dev-1";
pub(crate) const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// The device's wall clock when a test begins.
pub(crate) const NOW: u64 = 1_893_456_000;

/// Where the device's state lives from one run to the next.
pub(crate) struct Disk(pub(crate) TempDir);

impl Disk {
    pub(crate) fn new() -> Disk {
        Disk(TempDir::new().unwrap())
    }

    pub(crate) fn state(&self) -> StateDir {
        StateDir::new(Dir::open_ambient_dir(self.0.path(), ambient_authority()).unwrap())
    }
}

/// One run of the device, in a runtime of its own so that it can die as a whole.
pub(crate) struct Device {
    pub(crate) hub: Hub,
    task: JoinHandle<()>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) clock: Arc<AtomicU64>,
    /// What it logged.
    log: Arc<Mutex<Vec<u8>>>,
    runtime: Option<Runtime>,
}

/// Where one device logs to, and no other.
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) fn settings(broker: &Broker) -> (HubSettings, Arc<AtomicU64>) {
    let connection = format!("HostName=localhost;DeviceId={NAME};SharedAccessKey={KEY}").parse().unwrap();
    let clock = Arc::new(AtomicU64::new(NOW));
    let ticking = Arc::clone(&clock);
    let mut settings = HubSettings::new(
        connection,
        Arc::clone(&broker.roots),
        Arc::new(move || ticking.load(Ordering::SeqCst)),
    );
    settings.port = Some(broker.port);
    settings.pace = pace();
    (settings, clock)
}

/// Waits short enough for a test.
pub(crate) fn pace() -> Pace {
    let milliseconds = Duration::from_millis;
    let quick = Backoff { floor: milliseconds(1), base: milliseconds(2), cap: milliseconds(20) };
    Pace { reconnect: quick, refused: quick, throttled: quick, progress: milliseconds(20), ..Pace::default() }
}

impl Device {
    pub(crate) fn start(broker: &Broker, disk: &Disk) -> Device {
        Device::start_with(broker, disk, |_| {})
    }

    pub(crate) fn start_with(broker: &Broker, disk: &Disk, change: impl FnOnce(&mut HubSettings)) -> Device {
        let (mut settings, clock) = settings(broker);
        change(&mut settings);
        let mut device = Device::from_settings(settings, disk);
        device.clock = clock;
        device
    }

    pub(crate) fn from_settings(settings: HubSettings, disk: &Disk) -> Device {
        let clock = Arc::default();
        let shutdown = CancellationToken::new();
        let log = Arc::<Mutex<Vec<u8>>>::default();
        let told = Arc::clone(&log);
        let logging = move || {
            let told = Arc::clone(&told);
            let writer = move || Log(Arc::clone(&told));
            let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
            // As long as the thread lives.
            std::mem::forget(tracing::subscriber::set_default(subscriber));
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(logging)
            .build()
            .unwrap();
        let (hub, task) = {
            let _entered = runtime.enter();
            hub::start(settings, disk.state(), shutdown.clone()).unwrap()
        };
        Device { hub, task, shutdown, clock, log, runtime: Some(runtime) }
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// The process dies where it stands: no farewell, no flush.
    pub(crate) async fn kill(mut self) {
        self.end().await;
    }

    /// The process ends as it should.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("the session ends").unwrap();
        self.end().await;
    }

    /// Drops every task where it stands; a write that has begun comes to its end, as in the kernel.
    async fn end(&mut self) {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }

    /// The next call that was handed on.
    pub(crate) async fn call(&mut self) -> MethodCall {
        tokio::time::timeout(PATIENCE, self.hub.calls.recv()).await.expect("a call in time").expect("a call")
    }

    /// Waits until the outbox is empty.
    pub(crate) async fn flushed(&self) {
        assert!(self.hub.outbox.flush(PATIENCE).await, "the outbox did not become empty");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn reply(call: MethodCall, status: i32) {
    let payload = json!({"method": call.name});
    call.reply.send(MethodResponse { status, payload }).unwrap();
}
