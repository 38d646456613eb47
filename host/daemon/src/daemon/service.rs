//! The process among others: signals, and what systemd is told.
//!
//! `READY=1` once calls are taken, `STOPPING=1` when it ends, `WATCHDOG=1` at half the interval that systemd asks
//! for; before it is ready also that it needs more time, since plugins that are compiled first take minutes. All of that is
//! said by the task that waits for signals: if the runtime stands still, the watchdog starves. So whatever may take long
//! is waited for together with [`Signals::wait`]. The socket to systemd is opened before the fence is raised, which gives
//! the host no socket to any service of the device.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::error::DaemonError;

/// How long systemd is to wait for the start, counted anew each time that it is told.
const START: Duration = Duration::from_secs(60);

/// Where systemd hears of this process.
#[derive(Debug, Default)]
pub struct Notify(Option<UnixDatagram>);

impl Notify {
    /// Connects to the socket that the environment names; to none where it names none. What is wrong with it is logged.
    pub fn of_process() -> Notify {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Notify(None) };
        let connected = UnixDatagram::unbound().and_then(|socket| {
            let address = address(path.as_encoded_bytes())?;
            socket.connect_addr(&address).map(|()| socket)
        });
        match connected {
            Ok(socket) => Notify(Some(socket)),
            Err(error) => {
                tracing::warn!(%error, "systemd cannot be told anything");
                Notify(None)
            }
        }
    }

    fn tell(&self, state: &NotifyState<'_>) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(state.to_string().as_bytes())
        {
            tracing::debug!(%error, "systemd was not told");
        }
    }

    /// Tells systemd that the process ends.
    pub(super) fn stopping(&self) {
        self.tell(&NotifyState::Stopping);
    }
}

/// A path, or after an `@` a name that stands in no file system (sd_notify(3)).
fn address(path: &[u8]) -> io::Result<SocketAddr> {
    match path.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(OsStr::from_bytes(path)),
    }
}

/// Signals that end the process, waited for from the moment that this exists.
pub(super) struct Signals {
    notify: Notify,
    is_ready: bool,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn new(notify: Notify) -> Result<Signals, DaemonError> {
        let system = |source| DaemonError::System { action: "wait for signals", source };
        Ok(Signals {
            notify,
            is_ready: false,
            terminate: signal(SignalKind::terminate()).map_err(system)?,
            interrupt: signal(SignalKind::interrupt()).map_err(system)?,
        })
    }

    /// Whom the process tells how it is.
    pub(super) fn notify(&self) -> &Notify {
        &self.notify
    }

    /// Tells systemd that calls are taken.
    pub(super) fn ready(&mut self) {
        self.is_ready = true;
        self.notify.tell(&NotifyState::Ready);
    }

    /// Tells systemd that the process is well, and feeds the watchdog, until a signal comes; returns its name.
    pub(super) async fn wait(&mut self) -> &'static str {
        let watchdog = sd_notify::watchdog_enabled();
        let every = watchdog.map_or(START, |interval| interval.min(START)) / 2;
        let mut tick = tokio::time::interval(every.max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = tick.tick() => {
                    if !self.is_ready {
                        let microseconds = u32::try_from(START.as_micros()).unwrap_or(u32::MAX);
                        self.notify.tell(&NotifyState::ExtendTimeoutUsec(microseconds));
                    }
                    if watchdog.is_some() {
                        self.notify.tell(&NotifyState::Watchdog);
                    }
                }
            }
        }
    }
}
