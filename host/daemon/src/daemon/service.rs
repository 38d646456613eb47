//! The process among others: signals, and what systemd is told.
//!
//! `READY=1` once calls are taken, `STOPPING=1` when it ends, `WATCHDOG=1` at half the interval that systemd asks
//! for. The watchdog is fed by the task that also waits for signals: if the runtime stands still, it starves.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::error::DaemonError;

/// Signals that end the process, waited for from the moment that this exists.
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Signals, DaemonError> {
        let system = |source| DaemonError::System { action: "wait for signals", source };
        Ok(Signals {
            terminate: signal(SignalKind::terminate()).map_err(system)?,
            interrupt: signal(SignalKind::interrupt()).map_err(system)?,
        })
    }

    /// Feeds the watchdog until a signal comes; returns its name.
    pub(super) async fn wait(&mut self) -> &'static str {
        let every = sd_notify::watchdog_enabled().map(|interval| interval / 2);
        let mut watchdog =
            tokio::time::interval(every.unwrap_or(Duration::from_secs(3600)).max(Duration::from_millis(1)));
        watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = watchdog.tick() => if every.is_some() { tell(&[NotifyState::Watchdog]) },
            }
        }
    }
}

/// Tells systemd that calls are taken.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells systemd that the process ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}
