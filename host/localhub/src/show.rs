//! How an identity and its twin look to operators, in REST answers and in queries (`iothub.md` §6.4, §6.5).
//!
//! A twin is shown member by member, so that a query which asks for one does not pay for all.

use serde_json::{Map, Value, json};

use crate::clock;
use crate::hub::Hub;
use crate::presence::Seen;
use crate::store::Record;

/// The time that stands for "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// The members of a twin; not every twin has all of them.
pub(crate) const TWIN: [&str; 18] = [
    "deviceId",
    "moduleId",
    "etag",
    "deviceEtag",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "modelId",
    "version",
    "tags",
    "properties",
    "capabilities",
    "configurations",
];

/// The twin, metadata included.
pub(crate) fn twin(hub: &Hub, record: &Record) -> Value {
    let member = |name: &&str| Some(((*name).to_owned(), twin_member(hub, record, name)?));
    Value::Object(TWIN.iter().filter_map(member).collect::<Map<_, _>>())
}

/// One member of the twin, if it has it.
pub(crate) fn twin_member(hub: &Hub, record: &Record, name: &str) -> Option<Value> {
    let (identity, twin) = (&record.identity, &record.twin);
    Some(match name {
        "deviceId" => identity.device_id.as_str().into(),
        "moduleId" => identity.module_id.as_deref()?.into(),
        "etag" => twin.etag().into(),
        "deviceEtag" => identity.etag.as_str().into(),
        "status" => json!(identity.status),
        "statusReason" => identity.status_reason.as_deref()?.into(),
        "statusUpdateTime" => identity.status_updated_time.as_deref().unwrap_or(NEVER).into(),
        "connectionState" => connection_state(hub, record).into(),
        "lastActivityTime" => time_of(seen(hub, record).last_activity).into(),
        "cloudToDeviceMessageCount" => waiting_messages(hub, record).into(),
        "authenticationType" => json!(identity.authentication.kind),
        "x509Thumbprint" => json!(identity.authentication.x509_thumbprint),
        "modelId" => record.model_id.as_str().into(),
        "version" => twin.version.into(),
        "tags" => {
            Some(&twin.tags).filter(|tags| tags.as_object().is_some_and(|tags| !tags.is_empty()))?.clone()
        }
        "properties" => json!({"desired": twin.desired.shown(true), "reported": twin.reported.shown(true)}),
        "capabilities" => capabilities(record)?,
        "configurations" => configurations(record)?,
        _ => return None,
    })
}

/// The identity, keys included.
pub(crate) fn identity(hub: &Hub, record: &Record) -> Value {
    let identity = &record.identity;
    let seen = seen(hub, record);
    let mut shown = json!({
        "deviceId": identity.device_id,
        "generationId": identity.generation_id,
        "etag": identity.etag,
        "connectionState": connection_state(hub, record),
        "status": identity.status,
        "statusReason": identity.status_reason,
        "connectionStateUpdatedTime": time_of(seen.state_changed),
        "statusUpdatedTime": identity.status_updated_time.as_deref().unwrap_or(NEVER),
        "lastActivityTime": time_of(seen.last_activity),
        "cloudToDeviceMessageCount": waiting_messages(hub, record),
        "authentication": identity.authentication,
    });
    if let Value::Object(members) = &mut shown {
        if let Some(module) = &identity.module_id {
            members.insert("moduleId".into(), module.as_str().into());
            members.insert("managedBy".into(), identity.managed_by.as_deref().into());
        }
        if let Some(capabilities) = capabilities(record) {
            members.insert("capabilities".into(), capabilities);
        }
    }
    shown
}

/// `{"id": {"status": "Applied"}, …}`, if there are any.
fn configurations(record: &Record) -> Option<Value> {
    let statuses = &record.configured.statuses;
    let shown = statuses.iter().map(|(id, status)| (id.clone(), json!({"status": status})));
    (!statuses.is_empty()).then(|| Value::Object(shown.collect()))
}

/// Modules have none.
fn capabilities(record: &Record) -> Option<Value> {
    record.identity.module_id.is_none().then(|| json!({"iotEdge": record.identity.is_edge}))
}

/// `Connected` or `Disconnected`.
fn connection_state(hub: &Hub, record: &Record) -> &'static str {
    let connected = record.identity.name().is_ok_and(|name| hub.links.is_connected(&name));
    if connected { "Connected" } else { "Disconnected" }
}

fn seen(hub: &Hub, record: &Record) -> Seen {
    record.identity.name().map(|name| hub.presence.seen(&name)).unwrap_or_default()
}

fn time_of(time: Option<jiff::Timestamp>) -> String {
    time.map_or_else(|| NEVER.to_owned(), clock::text)
}

/// How many messages from the cloud wait for it. Asks the database.
fn waiting_messages(hub: &Hub, record: &Record) -> usize {
    record.identity.name().and_then(|name| hub.waiting_messages(&name)).unwrap_or(0)
}
