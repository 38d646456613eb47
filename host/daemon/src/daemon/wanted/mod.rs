//! The desired property `hotshoe.plugins`: which version of which plugin is to be live, and what became of it.
//!
//! `{"acme/pump": {"version": "1.2.0", "repository"?: "main", "digest"?: "sha256:…"}}`, or `{"remove": true}`; an
//! entry that is not there leaves the plugin as it is. Each is acknowledged in the plugin's entry of the reported
//! `hotshoe.plugins` as Plug and Play has it: `value`, `ac` (200 live, 202 under way or held, otherwise why not), `av`, `ad`.
//!
//! Promise: an entry is carried out once for each desired version, over restarts too: that it was begun is on the disk
//! before anything is done, that it ended before it is told. Where a repository cannot be reached, or the disk does not
//! keep that, it is tried again, ever more seldom, until the entry changes. What was told stays true: a version that is
//! rolled back later, or granted and live at last, changes its acknowledgement. What was carried out once is left alone
//! while its entry is the same. What the twin shows is what was told: where it does not (it was full, the disk was, it is
//! another twin by now), it is told again.
//!
//! How the plugin stands apart from that (`version`, `state`, …) is told by `identity`.

mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hotshoe_core::swap::Demand;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use self::entry::{DONE, Step, Told, UNDER_WAY, Wish};
use super::settings::{acknowledgement, plain};
use crate::admin::{OrderError, Orders};
use crate::disk::blocking;
use crate::hub::{Backoff, Desired, Outbox};
use crate::state::StateDir;
use crate::swap::{InstallError, Installed};

/// The file of what was told.
const TOLD: &str = "wanted";
/// The most entries that are looked at: as many as a device has plugins.
const ENTRIES: usize = 64;
/// The longest text of an acknowledgement, in characters: a twin holds 32 KiB.
const TEXT: usize = 256;
/// How long to wait before a repository is asked again.
const PAUSE: Backoff = Backoff {
    floor: Duration::from_secs(1),
    base: Duration::from_secs(5),
    cap: Duration::from_secs(15 * 60),
};

/// Carries the desired plugins out.
pub(super) struct Wanted {
    pub(super) orders: Orders,
    pub(super) desired: Desired,
    pub(super) outbox: Outbox,
    pub(super) state: StateDir,
}

/// What was told of each entry, by its key.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
struct Record(BTreeMap<String, Told>);

/// Entries to try again.
type Again = BTreeMap<String, Later>;

/// An entry to try again, and when.
#[derive(Clone)]
struct Later {
    value: Value,
    version: u64,
    tries: u32,
    due: Instant,
}

impl Wanted {
    /// Follows the desired properties for as long as the process lives.
    pub(super) async fn follow(self) {
        let (mut desired, mut changed) = (self.desired.subscribe(), self.orders.plugins.changed());
        let mut refreshed = self.outbox.refreshed();
        let state = self.state.clone();
        let mut record = match blocking(move || state.read::<Record>(TOLD)).await {
            Ok(Ok(record)) => record.unwrap_or_default(),
            _ => Record::default(),
        };
        let mut again = Again::new();
        let (mut looked, mut untold) = (None, None);
        loop {
            // The whole document and not its version alone: what a service has replaced is known only later.
            let document = desired.borrow_and_update().clone();
            if document != looked
                && let Some((version, properties)) = &document
            {
                again.clear();
                self.look(*version, properties, &mut record, &mut again).await;
                looked = document;
            }
            changed.borrow_and_update();
            self.correct(&mut record).await;
            // Before the twin was read nobody knows what it shows.
            let known = *refreshed.borrow_and_update() > 0;
            untold = match known && !self.put_right(&record).await {
                true => {
                    let tries = untold.map_or(0, |(tries, _): (u32, Instant)| tries.saturating_add(1));
                    Some((tries, Instant::now() + PAUSE.delay(tries, rand::random())))
                }
                false => None,
            };
            let next = again.values().map(|later| later.due).chain(untold.map(|(_, due)| due)).min();
            let due = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                desired = desired.changed() => if desired.is_err() { return },
                changed = changed.changed() => if changed.is_err() { return },
                refreshed = refreshed.changed() => if refreshed.is_err() { return },
                () = due => self.retry(&mut record, &mut again).await,
            }
        }
    }

    /// Carries out what is new in a document.
    async fn look(&self, version: u64, properties: &Value, record: &mut Record, again: &mut Again) {
        let none = Map::new();
        let wanted = properties.pointer("/hotshoe/plugins").and_then(Value::as_object).unwrap_or(&none);
        let entries = wanted.iter().filter(|(key, value)| !key.starts_with('$') && !value.is_null());
        let entries: BTreeMap<&String, Value> =
            entries.take(ENTRIES).map(|(key, value)| (key, plain(value))).collect();
        let gone: BTreeSet<String> =
            record.0.keys().filter(|key| !entries.contains_key(key)).cloned().collect();
        for key in gone {
            record.0.remove(&key);
            self.store(record).await;
            self.patch(&key, nothing()).await;
        }
        for (key, value) in entries {
            match entry::step(record.0.get(key), &value, version) {
                Step::Nothing => {}
                Step::Repeat => {
                    if let Some(told) = record.0.get(key).cloned() {
                        self.tell(key, Told { version, ..told }, record).await;
                    }
                }
                Step::GiveUp => {
                    let text = Some("the device restarted each time this was begun".to_owned());
                    self.tell(key, Told { value, code: 500, version, text, beginnings: 0 }, record).await;
                }
                Step::Begin => self.begin(key, value, version, record, again).await,
            }
        }
    }

    /// Carries one entry out, and tells what became of it.
    async fn begin(&self, key: &str, value: Value, version: u64, record: &mut Record, again: &mut Again) {
        let wish = match entry::read(key, &value) {
            Ok(wish) => wish,
            Err(text) => {
                let told = Told { value, code: 400, version, text: Some(text), beginnings: 0 };
                self.tell(key, told, record).await;
                return;
            }
        };
        let before = record.0.get(key).filter(|told| told.value == value && told.version == version);
        let beginnings = before.map_or(0, |told| told.beginnings).saturating_add(1);
        let text = Some("under way".to_owned());
        let begun = Told { value: value.clone(), code: UNDER_WAY, version, text, beginnings };
        let settled = self.tell(key, begun, record).await && {
            let ended = self.carry_out(&wish).await;
            let transient = ended.as_ref().is_err_and(OrderError::is_transient);
            let (code, text) = match ended {
                Ok(done) => done,
                Err(error) if transient => (UNDER_WAY, Some(format!("{error}; it is tried again"))),
                Err(error) => (error.status(), Some(error.to_string())),
            };
            tracing::info!(entry = key, version, code, reason = text, "desired plugin acknowledged");
            let told = Told { value: value.clone(), code, version, text, beginnings: 0 };
            self.tell(key, told, record).await && !transient
        };
        if settled {
            again.remove(key);
        } else {
            let tries = again.get(key).map_or(0, |later| later.tries.saturating_add(1));
            let due = Instant::now() + PAUSE.delay(tries, rand::random());
            again.insert(key.to_owned(), Later { value, version, tries, due });
        }
    }

    async fn carry_out(&self, wish: &Wish) -> Result<(i32, Option<String>), OrderError> {
        match wish {
            Wish::Install(order) => {
                let installed = self.orders.named(order, None, Demand::Desired, &|_| {}).await?;
                Ok(match installed {
                    Installed::Live(_) | Installed::Unchanged(_) => (DONE, None),
                    Installed::Held(_, wants) => {
                        let wants = wants.join(", ");
                        (UNDER_WAY, Some(format!("held until somebody grants at the device: {wants}")))
                    }
                })
            }
            Wish::Remove(name) => match self.orders.plugins.remove(name).await {
                // What is not there, or of the device's own image, is as it is to be.
                Ok(()) | Err(InstallError::Unknown(_) | InstallError::Factory(_)) => Ok((DONE, None)),
                Err(error) => Err(error.into()),
            },
        }
    }

    async fn retry(&self, record: &mut Record, again: &mut Again) {
        let now = Instant::now();
        let due: Vec<String> =
            again.iter().filter(|(_, later)| later.due <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            if let Some(Later { value, version, .. }) = again.get(&key).cloned() {
                self.begin(&key, value, version, record, again).await;
            }
        }
    }

    /// What was told and is not so any more is told anew.
    async fn correct(&self, record: &mut Record) {
        let plugins = self.orders.plugins.list();
        for (key, told) in record.0.clone() {
            let Ok(wish) = entry::read(&key, &told.value) else { continue };
            if let Some((code, text)) = entry::correction(&told, &wish, &plugins) {
                self.tell(&key, Told { code, text, ..told }, record).await;
            }
        }
    }

    /// Disk, then memory, then twin. False when the disk did not keep it; nothing was told then.
    async fn tell(&self, key: &str, mut told: Told, record: &mut Record) -> bool {
        told.text = told.text.map(|text| text.chars().take(TEXT).collect());
        let mut after = record.clone();
        after.0.insert(key.to_owned(), told.clone());
        if !self.store(&after).await {
            return false;
        }
        *record = after;
        self.show(key, &told).await;
        true
    }

    /// What the twin shows otherwise than it was told is told again. False where that cannot be stored now.
    async fn put_right(&self, record: &Record) -> bool {
        let (reported, none) = (self.outbox.reported(), Map::new());
        let shown = reported.pointer("/hotshoe/plugins").and_then(Value::as_object).unwrap_or(&none);
        let mut is_right = true;
        for (key, told) in &record.0 {
            let is = |member: &str| shown.get(key).and_then(|entry| entry.get(member));
            if is("ac") != Some(&json!(told.code)) || is("av") != Some(&json!(told.version)) {
                is_right &= self.show(key, told).await;
            }
        }
        for (key, _) in
            shown.iter().filter(|(key, entry)| entry.get("ac").is_some() && !record.0.contains_key(*key))
        {
            is_right &= self.patch(key, nothing()).await;
        }
        is_right
    }

    /// True once it is sure to come into the twin.
    async fn show(&self, key: &str, told: &Told) -> bool {
        let reported = self.outbox.reported();
        let shown = reported.pointer("/hotshoe/plugins").and_then(|plugins| plugins.get(key));
        let patch = acknowledgement(shown, key, told.version, &told.value, told.code, told.text.as_deref());
        match patch.get(key) {
            Some(entry) => self.patch(key, entry.clone()).await,
            None => {
                tracing::error!(entry = key, "an acknowledgement has no entry; this is a defect");
                true
            }
        }
    }

    async fn store(&self, record: &Record) -> bool {
        let (state, record) = (self.state.clone(), record.clone());
        match blocking(move || state.write(TOLD, &record)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "what becomes of desired plugins was not stored");
                false
            }
            // The runtime ends.
            Err(_) => false,
        }
    }

    async fn patch(&self, key: &str, entry: Value) -> bool {
        let mut plugins = Map::new();
        plugins.insert(key.to_owned(), entry);
        let patched = self.outbox.patch(json!({ "hotshoe": { "plugins": plugins } })).await;
        if let Err(error) = &patched {
            tracing::warn!(%error, entry = key, "an acknowledgement was not reported");
        }
        patched.is_ok()
    }
}

/// The members of an acknowledgement taken out of its entry.
fn nothing() -> Value {
    json!({ "value": null, "ac": null, "av": null, "ad": null })
}
