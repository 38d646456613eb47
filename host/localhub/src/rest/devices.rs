//! Identities over REST: create, show, list, update, delete (`iothub.md` §6.5).
//!
//! Creating is PUT without `If-Match`; updating is PUT with it. Keys that are absent, `null` or empty are made.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::Service;
use super::address::{Listing, Path, Query};
use super::json::{Json, answer, answer_with_tag, if_match, nothing};
use super::wanted::Wanted;
use crate::clock;
use crate::configurations::Configured;
use crate::events::What;
use crate::fault::Fault;
use crate::hub::{Hub, check_tag, unknown};
use crate::identity::{Identity, Name, Status, generate_etag, generate_generation};
use crate::policies::Right;
use crate::show::identity;
use crate::store::Record;
use crate::twin::{Change, Twin};

/// How many modules a device may have.
const MOST_MODULES: usize = 50;

pub(super) async fn list(
    State(service): State<Service>,
    Query(list): Query<Listing>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryRead, "/devices")?;
    let records = service.hub.blocking(move |hub| hub.store.devices(list.top.0)).await?;
    let shown: Vec<Value> = records.iter().map(|record| identity(&service.hub, record)).collect();
    Ok(answer(Value::Array(shown).to_string()))
}

pub(super) async fn list_modules(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let name = Name::device(&id)?;
    service.authorize(&headers, Right::RegistryRead, &name.resource())?;
    service.hub.record(&name).await?;
    let records = service.hub.blocking(move |hub| Ok(hub.store.modules(&id)?)).await?;
    let shown: Vec<Value> = records.iter().map(|record| identity(&service.hub, record)).collect();
    Ok(answer(Value::Array(shown).to_string()))
}

pub(super) async fn show(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    show_named(&service, Name::device(&id)?, &headers).await
}

pub(super) async fn show_module(
    State(service): State<Service>,
    Path((id, module)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    show_named(&service, Name::module(&id, &module)?, &headers).await
}

async fn show_named(service: &Service, name: Name, headers: &HeaderMap) -> Result<Response, Fault> {
    service.authorize(headers, Right::RegistryRead, &name.resource())?;
    let record = service.hub.record(&name).await?;
    Ok(answer_with_tag(identity(&service.hub, &record).to_string(), &record.identity.etag))
}

pub(super) async fn put(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Fault> {
    put_named(&service, Name::device(&id)?, &headers, wanted).await
}

pub(super) async fn put_module(
    State(service): State<Service>,
    Path((id, module)): Path<(String, String)>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Fault> {
    put_named(&service, Name::module(&id, &module)?, &headers, wanted).await
}

/// A module has a device, and that device room for it. Blocks.
pub(crate) fn check_module_room(hub: &Hub, name: &Name) -> Result<(), Fault> {
    let device = Name::device(name.device_id())?;
    hub.store.record(&device)?.ok_or_else(|| unknown(&device))?;
    let modules = hub.store.modules(name.device_id())?;
    let is_there = |record: &Record| record.identity.module_id.as_deref() == name.module_id();
    if modules.len() >= MOST_MODULES && !modules.iter().any(is_there) {
        let text =
            format!("{} has {MOST_MODULES} modules, and more than that it cannot have", name.device_id());
        return Err(Fault::TooManyModules(text));
    }
    Ok(())
}

async fn put_named(
    service: &Service,
    name: Name,
    headers: &HeaderMap,
    wanted: Wanted,
) -> Result<Response, Fault> {
    service.authorize(headers, Right::RegistryReadWrite, &name.resource())?;
    let update = headers.contains_key(axum::http::header::IF_MATCH);
    let tag = if_match(headers);
    let record = service
        .hub
        .blocking(move |hub| {
            if name.module_id().is_some() {
                check_module_room(hub, &name)?;
            }
            if update {
                update_identity(hub, &name, &wanted, tag.as_deref())
            } else {
                create(hub, &name, &wanted)
            }
        })
        .await?;
    Ok(answer_with_tag(identity(&service.hub, &record).to_string(), &record.identity.etag))
}

pub(super) async fn delete(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    delete_named(&service, Name::device(&id)?, &headers).await
}

pub(super) async fn delete_module(
    State(service): State<Service>,
    Path((id, module)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    delete_named(&service, Name::module(&id, &module)?, &headers).await
}

async fn delete_named(service: &Service, name: Name, headers: &HeaderMap) -> Result<Response, Fault> {
    service.authorize(headers, Right::RegistryReadWrite, &name.resource())?;
    let tag = if_match(headers);
    service.hub.blocking(move |hub| delete_identity(hub, &name, tag.as_deref())).await?;
    Ok(nothing())
}

/// Deletes an identity and what belongs to it. Blocks.
pub(super) fn delete_identity(hub: &Hub, name: &Name, tag: Option<&str>) -> Result<(), Fault> {
    let delete = |record: &mut Option<Record>| {
        let present = record.as_ref().ok_or_else(|| unknown(name))?;
        check_tag(tag, &present.identity.etag)?;
        *record = None;
        Ok(())
    };
    hub.change_record(name, delete, |()| {
        hub.links.close(name, "its identity was deleted");
        hub.events.tell(name, &What::Deleted);
        hub.presence.forget(name);
    })
}

/// Makes an identity and its twin. Blocks.
pub(crate) fn create(hub: &Hub, name: &Name, wanted: &Wanted) -> Result<Record, Fault> {
    create_with(hub, name, wanted, &Change::default())
}

/// The same with what its twin begins with. Blocks.
pub(super) fn create_with(
    hub: &Hub,
    name: &Name,
    wanted: &Wanted,
    initial: &Change,
) -> Result<Record, Fault> {
    wanted.check_names(name)?;
    let create = |record: &mut Option<Record>| {
        if record.is_some() {
            return Err(Fault::DeviceAlreadyExists(name.to_string()));
        }
        let identity = Identity {
            device_id: name.device_id().to_owned(),
            module_id: name.module_id().map(str::to_owned),
            managed_by: wanted.managed_by.clone(),
            is_edge: wanted.is_edge().unwrap_or_default(),
            generation_id: generate_generation(),
            etag: generate_etag(),
            status: wanted.status()?.unwrap_or(Status::Enabled),
            status_reason: wanted.status_reason.clone(),
            status_updated_time: None,
            authentication: wanted.authentication(None)?,
        };
        let now = clock::now_text();
        let mut twin = Twin::new(&now);
        if initial.tags.is_some() || initial.properties.is_some() {
            twin.change(initial, false, &now)?;
        }
        let configured = Configured::default();
        let made = Record { identity, twin, model_id: String::new(), configured };
        Ok(record.insert(made).clone())
    };
    hub.change_record(name, create, |_| hub.events.tell(name, &What::Created))
}

/// Changes an identity. Blocks.
pub(super) fn update_identity(
    hub: &Hub,
    name: &Name,
    wanted: &Wanted,
    tag: Option<&str>,
) -> Result<Record, Fault> {
    wanted.check_names(name)?;
    let update = |record: &mut Option<Record>| {
        let record = record.as_mut().ok_or_else(|| unknown(name))?;
        check_tag(tag, &record.identity.etag)?;
        let status = wanted.status()?.unwrap_or(record.identity.status);
        let identity = &mut record.identity;
        identity.managed_by.clone_from(&wanted.managed_by);
        identity.is_edge = wanted.is_edge().unwrap_or(identity.is_edge);
        identity.authentication = wanted.authentication(Some(&identity.authentication))?;
        if status != identity.status {
            identity.status_updated_time = Some(clock::now_text());
        }
        identity.status = status;
        identity.status_reason.clone_from(&wanted.status_reason);
        identity.etag = generate_etag();
        Ok(record.clone())
    };
    hub.change_record(name, update, |record| {
        if !record.is_enabled() {
            hub.links.close(name, "its identity was disabled");
        }
        hub.events.tell(name, &What::Updated { status: record.identity.status });
    })
}
