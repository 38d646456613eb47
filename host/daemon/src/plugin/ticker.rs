//! The heartbeat that lets the host look at a running guest.
//!
//! Compiled code compares the engine's epoch with its own deadline at loop heads and function entries. A thread
//! moves the epoch on while any guest may run, and sleeps without waking while none does: an idle device stays
//! idle. What a guest may use is not decided here ([`super::meter`] measures it); the tick only bounds how long
//! a guest runs unseen.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a running guest is looked at.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Keeps the thread; the thread ends with the last of its clones.
#[derive(Clone)]
pub(super) struct Ticker(Arc<Owner>);

struct Owner(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    closed: bool,
}

/// As long as one exists, the epoch moves on.
pub(super) struct Running(Arc<Shared>);

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn start(engine: &wasmtime::Engine) -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let (engine, inner) = (engine.clone(), Arc::clone(&shared));
        thread::Builder::new().name("guest-ticker".into()).spawn(move || {
            while inner.wait_for_work() {
                thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Ticker(Arc::new(Owner(shared))))
    }

    /// Says that a guest runs, until the value is dropped.
    pub(super) fn running(&self) -> Running {
        let shared = &self.0.0;
        let mut state = shared.lock();
        state.running = state.running.saturating_add(1);
        if state.running == 1 {
            shared.changed.notify_all();
        }
        Running(Arc::clone(shared))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks while no guest runs. False when the engine is gone.
    fn wait_for_work(&self) -> bool {
        let idle = |state: &mut State| state.running == 0 && !state.closed;
        let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running = state.running.saturating_sub(1);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}
