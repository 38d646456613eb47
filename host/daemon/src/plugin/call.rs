//! The one door into a guest.
//!
//! Every call goes through [`Call`], so that what holds for all calls stands once: a store of its own that is thrown
//! away afterwards, whatever happened; limits on memory, tables, instances, handles and what may be handed over;
//! the guest watched *before* it is instantiated, since a component's start code may loop too; a deadline around it
//! all; a span; metrics; and a panic of the host's own code stopped here, so that a mistake in a capability costs
//! one call and not the device.
//!
//! An instance that trapped answers nothing any more and its store may not be used again: there is none to reuse.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::Level;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use super::admission::{Place, Purpose, Share};
use super::answer::Verdict;
use super::backtrace;
use super::engine::Engine;
use super::meter::{Exhausted, Meter};
use super::metrics::{Ending, Open};
use super::plugin::Mounted;
use super::ticker::Running;
use crate::capability::Context;
use crate::capability::bindings::Plugin as Instance;
use crate::capability::limits::{HANDED_OVER, HANDLES};
use crate::job::JobRun;

/// The longest text of a failure that is passed on, in bytes.
const TEXT_LIMIT: usize = 1000;

/// Why a call brought no answer. None of these is the guest's own answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// All instances are taken and none came free in time. The guest was not entered.
    #[error("too many calls are running")]
    Busy,
    /// The plugin may not be entered now. The guest was not entered.
    #[error("{0}")]
    Barred(String),
    /// The time was up, on the clock or of the processor.
    #[error("it ran out of time")]
    TimedOut,
    /// The guest trapped, exited, or broke a limit; or the host failed under it.
    #[error("{0}")]
    Trapped(String),
}

/// What kind of call it is, and what it may take.
pub(super) struct Terms {
    /// `method`, `job`, `settings`, `adopt` or `check`: for spans and metrics.
    pub(super) call: &'static str,
    /// The host's name for the call.
    pub(super) id: String,
    /// How long it may take, instance included.
    pub(super) timeout: Duration,
    /// The job that runs.
    pub(super) job: Option<Arc<JobRun>>,
}

/// An open instance, good for one call.
pub(super) struct Call {
    store: Store<Context>,
    instance: Instance,
    meter: Meter,
    engine: Engine,
    share: Arc<Share>,
    _witnessed: Option<Box<dyn Any + Send>>,
    _running: Running,
    _open: Open,
    _place: Place,
}

type Work<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

/// Makes one call: opens an instance and does `work` in it, within the terms.
///
/// # Errors
/// See [`Failure`]. What the guest itself answers is in `T`.
pub(super) async fn call<T: Verdict + Send>(
    mounted: &Mounted,
    terms: Terms,
    work: impl for<'a> FnOnce(&'a Instance, &'a mut Store<Context>) -> Work<'a, T> + Send,
) -> Result<T, Failure> {
    use tracing::Instrument;

    let Terms { call, id, timeout, job } = terms;
    let tenant = &mounted.tenant;
    let health = mounted.health.as_ref().filter(|_| is_watched(call));
    if let Some(why) = health.and_then(|health| health.barred()) {
        return Err(Failure::Barred(why));
    }
    let purpose = match call {
        "job" => Purpose::Job,
        "adopt" | "check" => Purpose::Swap,
        _ => Purpose::Call,
    };
    let span = tracing::info_span!("call", plugin = %tenant.name, version = %tenant.version, call, id);
    let began = Instant::now();
    let entered = AtomicBool::new(false);
    let meter = Meter::new(mounted.engine.0.burst_limit);
    let guarded = async {
        let opened_and_done =
            async { Call::open(mounted, purpose, job, meter.clone(), &entered).await?.make(work).await };
        let caught = AssertUnwindSafe(opened_and_done).catch_unwind();
        match tokio::time::timeout(timeout, caught).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => {
                tracing::error!(
                    panic = panic_text(&*panic),
                    "the host failed under the plugin; the call is over"
                );
                Err(Failure::Trapped("the host failed under the plugin".into()))
            }
            Err(_) if entered.load(Ordering::Relaxed) => Err(Failure::TimedOut),
            Err(_) => Err(Failure::Busy),
        }
    };
    let result = guarded.instrument(span.clone()).await;
    let took = began.elapsed();
    let ending = match &result {
        Ok(answer) if answer.is_error() => Some(Ending::Refused),
        Ok(_) => Some(Ending::Returned),
        // The guest was not entered: nothing of it to count.
        Err(Failure::Busy | Failure::Barred(_)) => None,
        Err(Failure::TimedOut) => Some(Ending::TimedOut),
        Err(Failure::Trapped(_)) => Some(Ending::Trapped),
    };
    if let Some(ending) = ending {
        mounted.figures.ended(call, ending, took, meter.total());
    }
    span.in_scope(|| match &result {
        Ok(_) => tracing::debug!(took_us = took.as_micros() as u64, "returned"),
        Err(failure) => {
            let took_ms = took.as_millis() as u64;
            tracing::warn!(took_ms, %failure, "the call brought no answer");
            tenant.log.host(Level::WARN, &format!("{call} {id}: {failure} (after {took_ms} ms)"));
        }
    });
    if let Some(health) = health {
        match &result {
            Ok(_) => health.returned(),
            Err(Failure::Busy | Failure::Barred(_)) => {}
            Err(failure) => health.struck(&failure.to_string()).await,
        }
    }
    result
}

/// Whether somebody is answered by this kind of call.
fn is_watched(call: &str) -> bool {
    matches!(call, "method" | "job" | "settings")
}

impl Call {
    /// Waits for its turn, then instantiates; `entered` tells that its turn has come.
    async fn open(
        mounted: &Mounted,
        purpose: Purpose,
        job: Option<Arc<JobRun>>,
        meter: Meter,
        entered: &AtomicBool,
    ) -> Result<Call, Failure> {
        let Engine(engine) = &mounted.engine;
        let share = Arc::clone(&mounted.share);
        let place = engine.admission.enter(&share, purpose).await.map_err(|_| Failure::Busy)?;
        entered.store(true, Ordering::Relaxed);
        let witness = engine.witness.clone();
        let witnessed = witness.map(|witness| witness.enter(mounted.tenant.name.as_str()));
        let (open, running) = (engine.metrics.opened(), engine.ticker.running());
        let memory = mounted.manifest.limits.memory.min(engine.memory_limit);
        let context = Context::new(Arc::clone(&mounted.tenant), Arc::clone(&mounted.services), job, memory);
        let mut store = Store::new(&engine.engine, context);
        store.limiter(|context| context.limits());
        store.set_hostcall_fuel(HANDED_OVER);
        store.set_max_component_handles(HANDLES);
        // Before the instance: its start code is the guest's, too.
        let on_tick = meter.clone();
        store.epoch_deadline_callback(move |_| on_tick.on_tick());
        store.set_epoch_deadline(1);
        let turn = || engine.admission.turn(&share);
        let instantiated = meter.watch(mounted.pre.instantiate_async(&mut store), turn).await;
        let instance = instantiated.map_err(|error| failure(&error))?;
        Ok(Call {
            store,
            instance,
            meter,
            engine: mounted.engine.clone(),
            share,
            _witnessed: witnessed,
            _running: running,
            _open: open,
            _place: place,
        })
    }

    async fn make<T>(
        mut self,
        work: impl for<'a> FnOnce(&'a Instance, &'a mut Store<Context>) -> Work<'a, T>,
    ) -> Result<T, Failure> {
        let turn = || self.engine.0.admission.turn(&self.share);
        let result = self.meter.watch(work(&self.instance, &mut self.store), turn).await;
        result.map_err(|error| failure(&error))
    }
}

/// What an error of the engine says to those outside: with the author's functions, where their names are known. The
/// whole backtrace goes to the log.
fn failure(error: &wasmtime::Error) -> Failure {
    if error.downcast_ref::<Exhausted>().is_some() {
        tracing::warn!("{error}");
        return Failure::TimedOut;
    }
    tracing::debug!("{error:?}");
    let mut text = if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        format!("it exited with status {status}")
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        format!("it trapped: {}", trap.to_string().trim_start_matches("wasm trap: "))
    } else {
        error.root_cause().to_string()
    };
    if let Some(place) = backtrace::of(error) {
        text.push_str(", ");
        text.push_str(&place);
    }
    let end = text.floor_char_boundary(TEXT_LIMIT);
    Failure::Trapped(text.get(..end).unwrap_or_default().to_owned())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
}
