//! All that the device holds, and the door through which the plugin's calls come.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::panic;
use std::rc::Rc;

use serde_json::{Value, json};

use super::jobs::Jobs;
use super::manifest::Manifest;
use super::slots::Slots;
use crate::bindings::hotshoe::plugin::types;
use crate::log::Level;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The message.
    pub message: String,
    /// The fields, in order.
    pub fields: Vec<(String, String)>,
}

/// What a cancelled job is refused with.
pub(super) const CANCELLED: &str = "the job was cancelled by the operator; report and return";

/// What a killed plugin unwinds with.
pub(super) struct Killed;

/// A file in the artifact store.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) bytes: Rc<[u8]>,
    pub(super) origin: String,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) manifest: Option<Manifest>,
    /// What the network answers, by URL: bytes or a status.
    pub(super) files: BTreeMap<String, Result<Rc<[u8]>, u16>>,
    pub(super) interrupted_fetches: u32,
    pub(super) digests_wanted: bool,
    /// The URLs that are signed targets, with the version that is signed.
    pub(super) signed: BTreeMap<String, Option<String>>,
    pub(super) fetched: BTreeMap<String, u64>,
    pub(super) artifacts: BTreeMap<String, Stored>,
    pub(super) slots: Slots,
    pub(super) jobs: Jobs,
    pub(super) reported: Value,
    pub(super) patches: Vec<Value>,
    pub(super) desired: Option<types::Document>,
    pub(super) settings: Value,
    pub(super) storage: BTreeMap<String, Vec<u8>>,
    pub(super) messages: Vec<(Value, Vec<(String, String)>)>,
    pub(super) log: Vec<LogLine>,
    pub(super) calls: Vec<&'static str>,
    pub(super) failures: BTreeMap<&'static str, u32>,
    pub(super) kill_at: Option<usize>,
    pub(super) suspend: bool,
    /// What the policy answers to the next wishes to arm a slot: reason and nanoseconds.
    pub(super) postponements: VecDeque<(String, u64)>,
    /// Seconds since the device's midnight; a second passes whenever the plugin asks.
    pub(super) seconds: u32,
}

impl Default for State {
    fn default() -> State {
        State {
            manifest: None,
            files: BTreeMap::new(),
            interrupted_fetches: 0,
            digests_wanted: false,
            signed: BTreeMap::new(),
            fetched: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            slots: Slots::default(),
            jobs: Jobs::default(),
            reported: json!({}),
            patches: Vec::new(),
            desired: None,
            settings: json!({}),
            storage: BTreeMap::new(),
            messages: Vec::new(),
            log: Vec::new(),
            calls: Vec::new(),
            failures: BTreeMap::new(),
            kill_at: None,
            suspend: false,
            postponements: VecDeque::new(),
            seconds: 0,
        }
    }
}

impl State {
    /// Whether the call is to fail with `io`.
    pub(super) fn fails(&mut self, name: &str) -> bool {
        match self.failures.get_mut(name) {
            Some(times) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

/// Makes a device the one that calls of this thread reach; returns the one before.
pub(super) fn enter(device: Option<Rc<RefCell<State>>>) -> Option<Rc<RefCell<State>>> {
    CURRENT.with(|current| current.replace(device))
}

/// A call into the host that happens whole or not at all.
pub(super) fn call<T>(name: &'static str, code: impl FnOnce(&mut State) -> T) -> T {
    call_or_die(name, |_| {}, code)
}

/// A call into the host that may be cut short half-way: then `half` happens, and the plugin dies.
pub(super) fn call_or_die<T>(
    name: &'static str,
    half: impl FnOnce(&mut State),
    code: impl FnOnce(&mut State) -> T,
) -> T {
    let Some(device) = CURRENT.with(|current| current.borrow().clone()) else {
        panic!("{name} was called outside of a device: use Device::call, Device::run_job or Device::within")
    };
    let mut state = device.borrow_mut();
    let index = state.calls.len();
    state.calls.push(name);
    if state.kill_at == Some(index) {
        state.kill_at = None;
        half(&mut state);
        drop(state);
        // No message: the panic hook is not asked.
        panic::resume_unwind(Box::new(Killed));
    }
    code(&mut state)
}
