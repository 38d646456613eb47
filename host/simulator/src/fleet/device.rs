//! One simulated device: a real session, and behind it a machine that follows its script.
//!
//! Everything a device does stands in one loop that waits for what comes first: a call, a change of the desired
//! properties, the end of a phase. What it has told outlives its restarts, in its outbox and in this struct.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use firmware_update::{dialect::Dialect, payload};
use hotshoe_core::method::{self, MethodResponse, Refusal, Rejection};
use hotshoed::{
    disk::Folder,
    hub::{self, Document, Hub, MethodCall},
    state::StateDir,
};
use serde_json::{Map, Value, json};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Fleet,
    board::{less, more},
    firmware::{Next, Update, merge},
    memory::Memory,
    plugins::{Plugins, Turn},
    script::Outcome,
};
use crate::random::Random;

/// The version that devices say they are: that of the code which they run.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A device and all that it remembers.
pub(super) struct Device {
    fleet: Arc<Fleet>,
    name: String,
    key: String,
    state: StateDir,
    random: Random,
    fate: Outcome,
    /// The version of the firmware that runs.
    running: String,
    /// The one in the other slot.
    spare: String,
    update: Option<(Update, Instant)>,
    plugins: Plugins,
    /// The desired version that was looked at.
    seen: Option<u64>,
    /// The desired section `firmware` that has failed.
    failed: Option<Value>,
    started: Instant,
}

/// Why a session ends.
enum Then {
    Stop,
    Restart,
    Vanish,
}

impl Device {
    pub(super) fn new(fleet: Arc<Fleet>, name: String, key: &str) -> Result<Device> {
        // What can be wrong with the settings is found before the first device is up.
        fleet.settings(&name, key)?;
        let options = &fleet.options;
        let random = Random::of(&format!("{}/course/{name}", options.seed));
        let fate = options.outcomes.outcome(options.seed, &name);
        let folder: Arc<dyn Folder> = Arc::new(Memory::default());
        let (running, plugins) = (options.firmware.clone(), Plugins::new(&options.plugins.0));
        Ok(Device {
            key: key.to_owned(),
            state: StateDir::of(folder),
            random,
            fate,
            running,
            spare: String::new(),
            update: None,
            plugins,
            seen: None,
            failed: None,
            started: Instant::now(),
            name,
            fleet,
        })
    }

    /// Lives until `stop`, from `after` on.
    pub(super) async fn live(mut self, after: Duration, stop: CancellationToken) {
        if self.fate == Outcome::Offline {
            more(&self.fleet.board.offline);
            return;
        }
        let mut pause = after;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match self.session(&stop).await {
                Ok(Then::Stop) => return,
                Ok(Then::Restart) => pause = self.phase(),
                Ok(Then::Vanish) => {
                    if self.update.take().is_some() {
                        self.fleet.board.ended(Outcome::Silent);
                    } else {
                        more(&self.fleet.board.vanished);
                    }
                    return;
                }
                Err(error) => {
                    eprintln!("{}: {error:#}", self.name);
                    return;
                }
            }
        }
    }

    async fn session(&mut self, stop: &CancellationToken) -> Result<Then> {
        let end = CancellationToken::new();
        let settings = self.fleet.settings(&self.name, &self.key)?;
        let (mut hub, task) = hub::start(settings, self.state.clone(), end.clone())?;
        self.started = Instant::now();
        let board = Arc::clone(&self.fleet);
        let mut connected = hub.connected.clone();
        let watching = async {
            let mut up = false;
            loop {
                if *connected.borrow_and_update() != up {
                    up = !up;
                    if up { more(&board.board.connected) } else { less(&board.board.connected) }
                }
                if connected.changed().await.is_err() {
                    if up {
                        less(&board.board.connected);
                    }
                    return;
                }
            }
        };
        let living = async {
            let then = self.run(&mut hub, stop).await;
            self.fleet.board.add(&hub.metrics);
            match then {
                // Nobody says goodbye.
                Then::Vanish => task.abort(),
                Then::Stop | Then::Restart => end.cancel(),
            }
            drop(hub);
            let _ = task.await;
            then
        };
        // The watcher ends with the session, and counts its end.
        let ((), then) = tokio::join!(watching, living);
        Ok(then)
    }

    async fn run(&mut self, hub: &mut Hub, stop: &CancellationToken) -> Then {
        let (mut desired, mut refreshed) = (hub.desired.subscribe(), hub.outbox.refreshed());
        desired.mark_changed();
        let every = self.fleet.options.telemetry;
        let mut telemetry =
            every.map(|every| Instant::now() + every.mul_f64(self.random.below(1000) as f64 / 1e3));
        loop {
            let due = self.update.as_ref().map(|(_, due)| *due).into_iter().chain(self.plugins.next()).min();
            tokio::select! {
                () = stop.cancelled() => return Then::Stop,
                call = hub.calls.recv() => match call {
                    Some(call) => self.answer(call),
                    None => return Then::Stop,
                },
                Ok(()) = refreshed.changed() => self.put_right(hub).await,
                Ok(()) = desired.changed() => self.look(hub, &mut desired).await,
                () = at(due) => if let Some(then) = self.advance(hub).await {
                    return then;
                },
                () = at(telemetry) => {
                    let degrees = 18.0 + self.random.below(80) as f64 / 10.0;
                    // A full queue means that the link is down: the reading is of no use later.
                    let _ = hub.telemetry.send(json!({ "temperature": degrees }), Vec::new());
                    telemetry = every.map(|every| Instant::now() + every);
                }
            }
        }
    }

    fn phase(&mut self) -> Duration {
        self.fleet.options.phase_time.draw(&mut self.random)
    }

    fn answer(&mut self, call: MethodCall) {
        let decided =
            method::parse_payload(&call.payload).and_then(|payload| self.decide(&call.name, &payload));
        more(&self.fleet.board.calls);
        let response = decided.unwrap_or_else(|refusal| {
            more(&self.fleet.board.refused);
            refusal.response()
        });
        // Nobody may wait any more; that is for the caller to find out.
        let _ = call.reply.send(response);
    }

    fn decide(&mut self, name: &str, payload: &Value) -> Result<MethodResponse, Refusal> {
        let payload = match name {
            "hotshoe.ping" => json!({ "echo": payload }),
            "hotshoe.status" => json!({
                "version": VERSION, "uptimeSeconds": self.started.elapsed().as_secs(), "connected": true,
                "simulated": true, "slots": self.slots(), "plugins": self.plugins.shown(),
            }),
            "firmwareUpdate" => {
                let invalid = |text| Refusal::Rejected(Rejection::InvalidPayload(text));
                let order = payload::parse(payload).map_err(invalid)?;
                self.begin(order)?;
                json!({ "Response": "Firmware update started" })
            }
            _ => return Err(Refusal::UnknownMethod(name.to_owned())),
        };
        Ok(MethodResponse { status: 200, payload })
    }

    fn begin(&mut self, order: payload::Order) -> Result<(), Refusal> {
        if let Some((update, _)) = &self.update {
            return Err(Refusal::LaneTaken { lane: "firmware".to_owned(), holder: update.job.clone() });
        }
        if self.fate == Outcome::Refused {
            let words = "the device is in use and takes no update now".to_owned();
            return Err(Refusal::Rejected(Rejection::Conflict(words)));
        }
        let update = Update::new(order, self.fate, &mut self.random);
        self.update = Some((update, Instant::now()));
        more(&self.fleet.board.updating);
        Ok(())
    }

    /// Does what is due: of the update first, else of the plugins.
    async fn advance(&mut self, hub: &Hub) -> Option<Then> {
        let (now, phase) = (Instant::now(), self.phase());
        let dialects = &self.fleet.options.dialects.0;
        if let Some((update, due)) = self.update.as_mut().filter(|(_, due)| *due <= now) {
            *due = now + phase;
            match update.advance(dialects, &self.running) {
                Next::Tell(patch) => {
                    let progress = update.progress();
                    self.tell(hub, patch).await;
                    hub.outbox.progress(progress);
                }
                Next::Restart(patch) => {
                    self.tell(hub, patch).await;
                    return Some(Then::Restart);
                }
                Next::Vanish => return Some(Then::Vanish),
                Next::Over(mut patch, outcome) => {
                    if outcome == Outcome::Completed {
                        self.spare = std::mem::replace(&mut self.running, update.version.clone());
                        merge(&mut patch, json!({ "hotshoe": { "slots": self.slots() } }));
                    } else {
                        let desired = hub.desired.current();
                        self.failed = desired.and_then(|(_, desired)| desired.get("firmware").cloned());
                    }
                    self.update = None;
                    self.tell(hub, patch).await;
                    self.fleet.board.ended(outcome);
                }
            }
            return None;
        }
        match self.plugins.advance(now, phase, self.fate)? {
            Turn::Tell(patch) => {
                self.tell(hub, patch).await;
                None
            }
            Turn::Vanish => Some(Then::Vanish),
        }
    }

    /// Takes in the desired properties.
    async fn look(&mut self, hub: &Hub, desired: &mut watch::Receiver<Document>) {
        let Some((version, document)) = desired.borrow_and_update().clone() else { return };
        if self.seen.replace(version) == Some(version) {
            return;
        }
        more(&self.fleet.board.desired);
        let due = Instant::now() + self.phase();
        if let Some(patch) = self.plugins.look(version, &document, self.fate, due) {
            self.tell(hub, patch).await;
        }
        if let Some(section) = document.get("firmware") {
            let (code, text) = self.section(section);
            let mut value = hub.outbox.reported().pointer("/firmware/value").cloned().unwrap_or(json!({}));
            if let Some(members) = value.as_object_mut() {
                members.values_mut().for_each(|member| *member = Value::Null);
            }
            merge(&mut value, section.clone());
            let entry = json!({ "value": value, "ac": code, "av": version, "ad": text });
            self.tell(hub, json!({ "firmware": entry })).await;
        }
    }

    /// What becomes of the desired section `firmware`.
    fn section(&mut self, section: &Value) -> (i32, Option<String>) {
        if !self.fleet.options.dialects.0.contains(&Dialect::Firmware) {
            return (400, Some("the desired section firmware is not served: no dialect names it".to_owned()));
        }
        let order = match section.as_object() {
            Some(members) if members.is_empty() => return (200, None),
            Some(members) => payload::from_members(members),
            None => Err("the section firmware is not a JSON object".to_owned()),
        };
        match order {
            Err(text) => (400, Some(text)),
            Ok(order) if order.version.is_none() => {
                (400, Some("fwVersion is missing: it decides whether there is anything to do".to_owned()))
            }
            Ok(order) if order.version.as_ref() == Some(&self.running) => (200, None),
            Ok(_) if self.failed.as_ref() == Some(section) => {
                (400, Some("this update has failed already".to_owned()))
            }
            Ok(order) => match self.begin(order) {
                Ok(()) => (202, None),
                Err(refusal) => (refusal.status(), Some(refusal.to_string())),
            },
        }
    }

    /// Makes the twin say what is true of the device, where it does not.
    async fn put_right(&self, hub: &Hub) {
        let reported = hub.outbox.reported();
        let shown = |path: &str| reported.pointer(path).cloned().unwrap_or_default();
        let mut host = Map::new();
        for (key, value) in [("version", json!(VERSION)), ("slots", self.slots())] {
            if shown(&format!("/hotshoe/{key}")) != value {
                host.insert(key.to_owned(), value);
            }
        }
        let mut plugins = Map::new();
        for (key, entry) in self.plugins.shown() {
            let mut after = shown("/hotshoe/plugins").get(&key).cloned().unwrap_or(json!({}));
            let before = after.clone();
            hotshoe_core::twin::merge(&mut after, &entry);
            if after != before {
                plugins.insert(key, entry);
            }
        }
        if !plugins.is_empty() {
            host.insert("plugins".to_owned(), Value::Object(plugins));
        }
        if !host.is_empty() {
            self.tell(hub, json!({ "hotshoe": host })).await;
        }
    }

    fn slots(&self) -> Value {
        json!([
            { "name": "a", "running": true, "version": self.running },
            { "name": "b", "running": false, "version": self.spare },
        ])
    }

    async fn tell(&self, hub: &Hub, patch: Value) {
        if let Err(error) = hub.outbox.patch(patch).await {
            eprintln!("{}: {error}", self.name);
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
