//! A device in memory, on which a plugin is tested natively in milliseconds.
//!
//! ```
//! # use hotshoe_guest::{Failure, Job, JobSpec, Outcome, Plugin, Rejection, Reply, Request, download};
//! # use serde_json::json;
//! # struct Mirror;
//! # impl Plugin for Mirror {
//! #     fn handle(request: Request) -> Result<Reply, Rejection> {
//! #         let url: String = request.parse()?;
//! #         Ok(Reply::ok("started").with_job(JobSpec::new("mirror").input(url)))
//! #     }
//! #     fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
//! #         let file = download::file(&job.input::<String>()?).fetch()?;
//! #         Ok(Outcome::Done(json!(file.size())))
//! #     }
//! # }
//! use hotshoe_guest::testing::{Device, End};
//!
//! let device = Device::new().with_file("https://example.com/a", b"bytes");
//! device.interrupt_fetches(1);
//!
//! let answer = device.call::<Mirror>("mirror", json!("https://example.com/a"));
//! let job = answer.job.expect("a job");
//! assert!(matches!(device.run_job::<Mirror>(&job), End::Transient(_)));
//! assert_eq!(device.run_job::<Mirror>(&job), End::Done(json!(5)));
//! ```
//!
//! It keeps the rules that a plugin can break: with a manifest it knows the plugin's methods, grants and
//! reported paths; lanes and the lease on a slot are held; a slot is sealed by comparing what is in it; there
//! is one trial boot, and it lapses when nobody confirms; checkpoints, keys and payloads have their limits.
//!
//! It kills the plugin at any call into the host ([`Device::kill_at_call`]), which stands for a power cut, a
//! crash, or a swap: tests that loop over the index see every interruption there is. What it does not do: it
//! has no network, no clock that moves by itself, and no time-outs; the component runs under the real host for
//! those. What a *test* gets wrong, like a job that is not there, is a panic.

// Asserting is what a test's helper is for.
#![allow(clippy::panic)]

pub(crate) mod host;
mod jobs;
mod manifest;
mod slots;
mod state;
mod twin;

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use self::manifest::Manifest;
use self::state::{Killed, State};
use crate::bindings::hotshoe::plugin::types;
use crate::{Decision, JobSpec, Plugin, RawCheckpoint, Rejection, Reply, Request, Response};

pub use self::jobs::End;
pub use self::slots::Image;
pub use self::state::LogLine;

/// The largest payload of a call or an answer, in bytes of JSON text.
const PAYLOAD_LIMIT: usize = 128 * 1024;

/// What a caller of a direct method gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: i32,
    /// The payload; `{"error": {"code", "message"}}` where the plugin or the host refused.
    pub payload: Value,
    /// The job that was announced.
    pub job: Option<String>,
}

/// How a change of the desired properties was acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub struct Acknowledgement {
    /// `ac`: 200 applied, 202 a job was announced, 400 refused, 409 the lane is taken.
    pub status: i32,
    /// `ad`: the text of a refusal.
    pub description: Option<String>,
    /// The job that was announced.
    pub job: Option<String>,
}

/// A device in memory.
#[derive(Clone, Debug, Default)]
pub struct Device {
    state: Rc<RefCell<State>>,
}

impl Device {
    /// A device without slots or files, on which everything is granted.
    pub fn new() -> Device {
        Device::default()
    }

    /// Takes a `plugin.toml`: from now on the plugin has the methods, reported paths and grants that it names
    /// and no others. One that does not read is a panic.
    #[must_use]
    pub fn with_manifest(self, toml: &str) -> Device {
        let manifest =
            Manifest::parse(toml).unwrap_or_else(|error| panic!("the manifest does not read: {error}"));
        self.with(|state| state.manifest = Some(manifest))
    }

    /// Serves a file at a URL.
    #[must_use]
    pub fn with_file(self, url: &str, bytes: &[u8]) -> Device {
        self.with(|state| {
            state.files.insert(url.to_owned(), Ok(Rc::from(bytes)));
        })
    }

    /// Serves a firmware image that a repository has signed, with this version.
    #[must_use]
    pub fn with_signed_file(self, url: &str, bytes: &[u8], version: Option<&str>) -> Device {
        self.with_file(url, bytes).with(|state| {
            state.signed.insert(url.to_owned(), version.map(str::to_owned));
        })
    }

    /// Answers a URL with a status. A URL that nobody names is answered with 404.
    #[must_use]
    pub fn with_status(self, url: &str, status: u16) -> Device {
        self.with(|state| {
            state.files.insert(url.to_owned(), Err(status));
        })
    }

    /// Gives the device groups of slots: of each the name, and its parts by name and size in bytes. It runs from the
    /// first. Parts are told as `group/part`.
    #[must_use]
    pub fn with_groups(self, groups: &[(&str, &[(&str, u64)])]) -> Device {
        self.with(|state| state.slots = slots::Slots::grouped(groups))
    }

    /// Gives the device slots, by name and size in bytes. It runs from the first.
    #[must_use]
    pub fn with_slots(self, slots: &[(&str, u64)]) -> Device {
        self.with(|state| state.slots = slots::Slots::new(slots))
    }

    /// Sets what the operator set for the plugin.
    #[must_use]
    pub fn with_settings(self, settings: Value) -> Device {
        self.with(|state| state.settings = settings)
    }

    /// Refuses firmware images that come without a digest, as the policy `firmware.unsigned = "digest"` does.
    #[must_use]
    pub fn with_digests_wanted(self) -> Device {
        self.with(|state| state.digests_wanted = true)
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Device {
        change(&mut self.state.borrow_mut());
        self
    }

    /// Lets the next fetches break off.
    pub fn interrupt_fetches(&self, times: u32) {
        self.state.borrow_mut().interrupted_fetches = times;
    }

    /// Lets the next calls of this name fail with `io`, where the interface has that error. The names are
    /// those of the contract: `flash.confirm`, `report.patch`, `job.save`, `staging.seal`.
    pub fn fail(&self, call: &'static str, times: u32) {
        self.state.borrow_mut().failures.insert(call, times);
    }

    /// Flips a bit of what is in a slot, as a trial that was cut off or a medium that rots does. A slot that holds nothing is
    /// a panic.
    pub fn damage(&self, slot: &str) {
        assert!(self.state.borrow_mut().slots.damage(slot), "there is nothing in slot {slot}");
    }

    /// Kills the plugin when it makes its n-th call into the host, counted from 0 and from now. The call does
    /// not happen, or only by half where it writes much. Happens once.
    pub fn kill_at_call(&self, index: usize) {
        let mut state = self.state.borrow_mut();
        state.kill_at = Some(state.calls.len() + index);
    }

    /// Whether the host would like running jobs to suspend.
    pub fn ask_to_suspend(&self, suspend: bool) {
        self.state.borrow_mut().suspend = suspend;
    }

    /// Cancels a job between two runs, as an operator does: what it had armed is given up, and the device restarted
    /// where it runs on trial. The next run is its last. A job that has ended is a panic.
    pub fn cancel_job(&self, id: &str) {
        self.state.borrow_mut().jobs.cancel(id);
        let on_trial = self.state.borrow_mut().slots.give_up();
        if on_trial {
            self.restart();
        }
    }

    /// Lets the device's policy put off the next wish to arm a slot, for this reason and so long. Each call of this is
    /// one refusal.
    pub fn postpone(&self, reason: &str, retry_after: Duration) {
        let nanoseconds = u64::try_from(retry_after.as_nanos()).unwrap_or(u64::MAX);
        self.state.borrow_mut().postponements.push_back((reason.to_owned(), nanoseconds));
    }

    /// Calls a direct method.
    pub fn call<P: Plugin>(&self, method: &str, payload: Value) -> Answer {
        let payload = payload.to_string();
        if payload.len() > PAYLOAD_LIMIT {
            return refused(400, "payloadTooLarge", "the payload is over 128 KiB");
        }
        if !self.state.borrow().manifest.as_ref().is_none_or(|manifest| manifest.has_method(method)) {
            return refused(404, "unknownMethod", "the manifest does not name the method");
        }
        let request = Request { name: method.to_owned(), payload, call_id: "call1".to_owned() };
        let (response, job) = match self.enter(|| P::handle(request)) {
            Some(Ok(Reply::Done(response))) => (response, None),
            Some(Ok(Reply::Accepted { response, job })) => match self.announce(job) {
                Ok(id) => (response, Some(id)),
                Err(refusal) => return refusal,
            },
            Some(Err(rejection)) => return reject(&rejection),
            None => return refused(500, "pluginFailed", "the call was cut short"),
        };
        let Response { status, payload } = response;
        if payload.to_string().len() > PAYLOAD_LIMIT {
            return refused(500, "pluginFailed", "the answer is over 128 KiB");
        }
        Answer { status, payload, job }
    }

    /// Changes the plugin's section of the desired properties, hands it over, and writes the acknowledgement
    /// into the reported properties under the section's key.
    pub fn apply<P: Plugin>(&self, properties: Value) -> Acknowledgement {
        let document = {
            let mut state = self.state.borrow_mut();
            let version = state.desired.as_ref().map_or(1, |document| document.version + 1);
            let document = types::Document { version, properties: properties.to_string() };
            state.desired = Some(document.clone());
            document
        };
        let version = document.version;
        let (status, description, job) = match self.enter(|| P::apply(document.into())) {
            Some(Decision::Applied) => (200, None, None),
            Some(Decision::Refused(text)) => (400, Some(text), None),
            Some(Decision::Started(job)) => match self.announce(job) {
                Ok(id) => (202, None, Some(id)),
                Err(refusal) => (refusal.status, Some(refusal.payload.to_string()), None),
            },
            None => (500, Some("the call was cut short".to_owned()), None),
        };
        let mut state = self.state.borrow_mut();
        if let Some(section) = state.manifest.as_ref().and_then(|manifest| manifest.desired.clone()) {
            let words = json!({ "value": properties, "ac": status, "av": version, "ad": description });
            let patch = Value::Object(Map::from_iter([(section, words)]));
            twin::merge(&mut state.reported, &patch);
        }
        Acknowledgement { status, description, job }
    }

    /// Runs a job once, from its last checkpoint. A job that has ended, or that waits for a restart, is a
    /// panic.
    pub fn run_job<P: Plugin>(&self, id: &str) -> End {
        self.state.borrow_mut().jobs.begin(id);
        let job = host::job::Job::new(id);
        let result = self.enter(|| P::run(&crate::Job::new(&job)));
        let mut state = self.state.borrow_mut();
        let restart_granted = state.manifest.as_ref().is_none_or(|manifest| manifest.grants.restart);
        let wanted = state.slots.armed();
        let end = state.jobs.end(id, result, restart_granted, wanted);
        if end.is_final() {
            state.slots.release(id);
        }
        end
    }

    /// Gives a job the checkpoint of another version, as the host does once the plugin has adopted it.
    pub fn adopt<P: Plugin>(&self, id: &str, from: &str, checkpoint: RawCheckpoint) -> Result<(), String> {
        let taken = self.enter(|| P::adopt(from, Some(checkpoint)));
        let taken = taken.unwrap_or_else(|| Err("the call was cut short".to_owned()))?;
        self.state.borrow_mut().jobs.record(id).checkpoint = taken;
        Ok(())
    }

    /// Runs a job until it has ended, restarting the device when it asks for that.
    pub fn finish<P: Plugin>(&self, id: &str) -> End {
        for _ in 0..1000 {
            match self.run_job::<P>(id) {
                End::Restart => self.restart(),
                end if end.is_final() => return end,
                _ => {}
            }
        }
        panic!("the job {id} does not end within 1000 runs")
    }

    /// Restarts the device: it boots the armed trial, or else the good slot; a trial that nobody confirmed
    /// lapses.
    pub fn restart(&self) {
        self.boot(true);
    }

    /// Restarts the device into a trial that does not stay up: the good slot runs again.
    pub fn restart_falling_back(&self) {
        self.boot(false);
    }

    fn boot(&self, stays_up: bool) {
        let mut state = self.state.borrow_mut();
        state.slots.boot(stays_up);
        let running = state.slots.running();
        state.jobs.booted(running.as_deref());
    }

    /// Runs code that calls the host outside of a method or a job.
    pub fn within<T>(&self, code: impl FnOnce() -> T) -> T {
        self.enter(code).unwrap_or_else(|| panic!("the code was cut short by kill_at_call"))
    }

    /// The reported properties.
    pub fn reported(&self) -> Value {
        self.state.borrow().reported.clone()
    }

    /// Every patch of the reported properties, in order.
    pub fn patches(&self) -> Vec<Value> {
        self.state.borrow().patches.clone()
    }

    /// What stands in a slot. One that is not there is a panic.
    pub fn slot(&self, name: &str) -> Image {
        self.state.borrow().slots.image(name).unwrap_or_else(|| panic!("there is no slot {name}"))
    }

    /// The lines of the log.
    pub fn log(&self) -> Vec<LogLine> {
        self.state.borrow().log.clone()
    }

    /// A value of the plugin's store.
    pub fn stored(&self, key: &str) -> Option<Vec<u8>> {
        self.state.borrow().storage.get(key).cloned()
    }

    /// The messages that were sent, body and properties.
    pub fn messages(&self) -> Vec<(Value, Vec<(String, String)>)> {
        self.state.borrow().messages.clone()
    }

    /// The calls into the host so far, by the names of the contract.
    pub fn calls(&self) -> Vec<&'static str> {
        self.state.borrow().calls.clone()
    }

    /// How many bytes were fetched from a URL, over all fetches.
    pub fn fetched(&self, url: &str) -> u64 {
        self.state.borrow().fetched.get(url).copied().unwrap_or_default()
    }

    fn announce(&self, job: JobSpec) -> Result<String, Answer> {
        let mut state = self.state.borrow_mut();
        state.jobs.announce(job).map_err(|(status, code, text)| refused(status, code, &text))
    }

    /// Runs code of the plugin on this device. None where it was killed; other panics go on.
    fn enter<T>(&self, code: impl FnOnce() -> T) -> Option<T> {
        let before = state::enter(Some(self.state.clone()));
        let result = panic::catch_unwind(AssertUnwindSafe(code));
        state::enter(before);
        match result {
            Ok(value) => Some(value),
            Err(cause) if cause.is::<Killed>() => None,
            Err(cause) => panic::resume_unwind(cause),
        }
    }
}

fn refused(status: i32, code: &str, message: &str) -> Answer {
    Answer { status, payload: json!({ "error": { "code": code, "message": message } }), job: None }
}

fn reject(rejection: &Rejection) -> Answer {
    let (status, code) = match rejection {
        Rejection::UnknownMethod => (404, "unknownMethod"),
        Rejection::InvalidPayload(_) => (400, "invalidPayload"),
        Rejection::Conflict(_) => (409, "conflict"),
        Rejection::Other(_) => (500, "pluginFailed"),
    };
    refused(status, code, &rejection.to_string())
}
