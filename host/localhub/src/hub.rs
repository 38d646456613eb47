//! The hub itself: what both doors, MQTT and REST, do to devices and twins.
//!
//! Order of effects, everywhere: the change is durable first, then connected devices are told, then the caller.
//! A device's notifications leave in the order of the versions they carry, because the change and the telling happen
//! under one lock; devices share some hundred such locks, so that changes of many devices share their flushes.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::clock;
use crate::configurations::{Configurations, Configured};
use crate::dps;
use crate::events::{Events, Section, Text, What};
use crate::fault::Fault;
use crate::faults::Faults;
use crate::identity::Name;
use crate::inbox::feedback::Reading;
use crate::jobs::Jobs;
use crate::limits::{Budget, Limits, Offences};
use crate::links::Links;
use crate::lobby::Lobby;
use crate::policies::Policies;
use crate::presence::Presence;
use crate::settings::Settings;
use crate::store::{Record, Store, StoreError};
use crate::throttle::{Operation, Throttle};
use crate::twin::{Change, Notification};
use crate::wirelog::WireLog;

/// How many device-to-cloud messages are kept for looking at, over all devices.
const TELEMETRY: usize = 1_000;
/// And how many bytes of them.
const TELEMETRY_BYTES: usize = 8 * 1024 * 1024;

/// The shared state of a running hub.
pub struct Hub {
    pub(crate) host: String,
    pub(crate) clock_slack: Duration,
    pub(crate) store: Store,
    pub(crate) links: Links,
    pub(crate) events: Events,
    pub(crate) wire_log: WireLog,
    pub(crate) policies: Policies,
    /// What provisioning clients name this hub by.
    pub(crate) id_scope: String,
    /// Device authorities of the command line.
    pub(crate) fixed_authorities: Vec<CertificateDer<'static>>,
    pub(crate) presence: Presence,
    pub(crate) feedback: Reading,
    pub(crate) jobs: Jobs,
    pub(crate) limits: Arc<Limits>,
    pub(crate) memory: Arc<Budget>,
    pub(crate) faults: Faults,
    pub(crate) throttle: Throttle,
    pub(crate) configurations: Configurations,
    pub(crate) order: Order,
    pub(crate) offences: Offences,
    pub(crate) lobby: Lobby,
    /// The hub's own threads: what serves those who are in, and what blocks.
    pub(crate) threads: Handle,
    refused: Mutex<HashMap<Name, Instant>>,
    telemetry: Mutex<Recent>,
}

/// The recent device-to-cloud messages and the bytes of their bodies.
#[derive(Default)]
struct Recent {
    messages: VecDeque<Telemetry>,
    bytes: usize,
}

/// A twin after a change, and what to tell its device.
pub(crate) type Changed = (Record, Option<Notification>);

/// What changes a stored twin.
pub(crate) type TwinWork<'a> = Box<dyn FnOnce(&mut Option<Record>) -> Result<Changed, Fault> + 'a>;

/// Locks, one of which a name always gets.
pub(crate) struct Order([Mutex<()>; 128]);

impl Default for Order {
    fn default() -> Self {
        Self([const { Mutex::new(()) }; 128])
    }
}

impl Order {
    pub(crate) fn of(&self, name: &Name) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % 128).unwrap_or(0);
        Some(self.0.get(index)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A device-to-cloud message as it came.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Telemetry {
    /// The device, or `device/module`.
    pub from: String,
    /// The property bag of the topic, undecoded.
    pub properties: String,
    /// The body, as text if it is text.
    pub body: String,
    /// When it arrived.
    pub enqueued_time: String,
}

impl Hub {
    /// Its threads are those of the runtime that this is called in.
    pub(crate) fn new(
        settings: &Settings,
        store: Store,
        lobby: Lobby,
        fixed_authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self, StoreError> {
        let policies = Policies::load_or_make(&store)?;
        let id_scope = dps::load_or_make_id_scope(&store)?;
        let events = Events::new();
        let presence = Presence::load(&store)?;
        let limits = settings.limits.clone();
        let memory = Budget::new(limits.memory);
        let configurations = Configurations::load(&store)?;
        Ok(Self {
            host: settings.host.clone(),
            clock_slack: settings.clock_slack,
            store,
            links: Links::new(events.clone(), Arc::clone(&memory), limits.queue_size),
            wire_log: WireLog::new(events.clone()),
            events,
            policies,
            id_scope,
            fixed_authorities,
            presence,
            feedback: Reading::default(),
            jobs: Jobs::default(),
            limits: Arc::new(limits),
            memory,
            faults: Faults::new(&settings.faults),
            throttle: Throttle::new(settings.throttle),
            configurations,
            order: Order::default(),
            offences: Offences::new(settings.limits.offences),
            lobby,
            threads: Handle::current(),
            refused: Mutex::new(HashMap::new()),
            telemetry: Mutex::default(),
        })
    }

    /// Runs something that blocks (the database) on a thread that may.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let hub = Arc::clone(self);
        let work = self.threads.spawn_blocking(move || work(&hub));
        work.await.unwrap_or_else(|error| Err(Fault::Internal(format!("a task of the hub failed: {error}"))))
    }

    /// The identity and twin of that name, or the fault that says there is none.
    pub(crate) async fn record(self: &Arc<Self>, name: &Name) -> Result<Record, Fault> {
        let name = name.clone();
        self.blocking(move |hub| hub.store.record(&name)?.ok_or_else(|| unknown(&name))).await
    }

    /// Merges what a device reports; gives the new version.
    pub(crate) async fn report(
        self: &Arc<Self>,
        name: &Name,
        patch: Value,
        expected: Option<u64>,
    ) -> Result<u64, Fault> {
        let name = name.clone();
        self.blocking(move |hub| {
            let report = |record: &mut Option<Record>| {
                let record = record.as_mut().ok_or_else(|| unknown(&name))?;
                record.twin.report(&patch, expected, &clock::now_text())
            };
            hub.change_record(&name, report, |version| {
                let (section, version) = (Section::Reported, *version);
                let what = What::Twin { section, version, patch: &patch, replaced: false };
                hub.events.tell(&name, &what);
            })
        })
        .await
    }

    /// Keeps the model that a device announced; the empty text is none.
    pub(crate) async fn keep_model(self: &Arc<Self>, name: &Name, model_id: String) -> Result<(), Fault> {
        let name = name.clone();
        self.blocking(move |hub| {
            let keep = |record: &mut Option<Record>| {
                record.as_mut().ok_or_else(|| unknown(&name))?.model_id = model_id;
                Ok(())
            };
            hub.change_record(&name, keep, |()| {})
        })
        .await
    }

    /// Changes tags and desired properties for an operator and tells the device. `if_match` is an entity tag
    /// without quotes; `None` means whatever the state.
    pub async fn change_twin(
        self: &Arc<Self>,
        name: &Name,
        change: Change,
        replace: bool,
        if_match: Option<String>,
    ) -> Result<Record, Fault> {
        self.throttle.pass(Operation::TwinUpdate).await?;
        let name = name.clone();
        self.blocking(move |hub| {
            hub.change_twin_with(&name, &change, replace, if_match.as_deref(), |store, work| {
                store.change(&name, work)
            })
        })
        .await
    }

    /// [`Hub::change_twin`], where `run` puts the work into a transaction of its choice. Blocks.
    pub(crate) fn change_twin_with(
        &self,
        name: &Name,
        change: &Change,
        replace: bool,
        if_match: Option<&str>,
        run: impl for<'a> FnOnce(&Store, TwinWork<'a>) -> Result<Changed, Fault>,
    ) -> Result<Record, Fault> {
        let _order = self.order.of(name);
        let mut before = Configured::default();
        let work: TwinWork<'_> = Box::new(|record| {
            let record = record.as_mut().ok_or_else(|| unknown(name))?;
            check_tag(if_match, &record.twin.etag())?;
            before = record.configured.clone();
            let notification = self.change_configured(record, change, replace)?;
            Ok((record.clone(), notification))
        });
        let (record, notification) = run(&self.store, work)?;
        if let Some(notification) = notification {
            self.tell_desired(name, &notification, replace);
        }
        if let Some(patch) = change.tags.as_ref().or(replace.then_some(&record.twin.tags)) {
            let version = record.twin.version;
            let what = What::Twin { section: Section::Tags, version, patch, replaced: replace };
            self.events.tell(name, &what);
        }
        self.touch(&before, &record.configured);
        Ok(record)
    }

    /// What happens in the hub, to listen to.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Ends the connections of a device now. True if it had one.
    pub fn disconnect(&self, device: &Name) -> bool {
        self.links.close(device, "an operator asked for it")
    }

    /// Ends the connections of a device and answers its attempts with `server unavailable` for a while.
    pub fn refuse(&self, name: &Name, period: Duration) {
        let until = Instant::now() + period;
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), until);
        self.links.close(name, "an operator refuses the device for a while");
    }

    /// True while [`Hub::refuse`] holds.
    pub(crate) fn is_refused(&self, name: &Name) -> bool {
        let now = Instant::now();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, until| *until > now);
        refused.contains_key(name)
    }

    /// Keeps a device-to-cloud message among the recent ones and tells who listens.
    pub(crate) fn keep_telemetry(&self, from: &Name, properties: &str, body: &[u8]) {
        self.events.tell(from, &What::Telemetry { properties, body: Text(body) });
        let message = Telemetry {
            from: from.to_string(),
            properties: properties.to_owned(),
            body: String::from_utf8_lossy(body).into_owned(),
            enqueued_time: clock::now_text(),
        };
        let mut recent = self.telemetry.lock().unwrap_or_else(PoisonError::into_inner);
        recent.bytes += message.body.len();
        recent.messages.push_back(message);
        while recent.messages.len() > TELEMETRY || recent.bytes > TELEMETRY_BYTES {
            let Some(oldest) = recent.messages.pop_front() else { break };
            recent.bytes -= oldest.body.len();
        }
    }

    /// The recent device-to-cloud messages of a device, oldest first. Not kept over a restart.
    #[must_use]
    pub fn telemetry(&self, device: &str) -> Vec<Telemetry> {
        let recent = self.telemetry.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |message: &&Telemetry| message.from.split('/').next() == Some(device);
        recent.messages.iter().filter(of).cloned().collect()
    }
}

/// The fault for a name that is not registered.
pub(crate) fn unknown(name: &Name) -> Fault {
    match name.module_id() {
        None => Fault::DeviceNotFound(name.to_string()),
        Some(_) => Fault::ModuleNotFound(name.to_string()),
    }
}

/// Compares an entity tag asked for with the present one.
pub(crate) fn check_tag(wanted: Option<&str>, present: &str) -> Result<(), Fault> {
    match wanted {
        Some(wanted) if wanted != present => Err(Fault::PreconditionFailed(format!(
            "the entity tag is {present}, not {wanted}; read again and repeat"
        ))),
        _ => Ok(()),
    }
}
