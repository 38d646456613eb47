//! Twins over REST (`iothub.md` §6.4). Compact JSON: old service apps search the raw text for `"key":"value"`.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::Service;
use super::devices::{NEVER, connection_state};
use super::json::{Json, answer_with_tag, if_match};
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Name;
use crate::policies::Right;
use crate::store::Record;
use crate::twin::Change;

pub(super) async fn show(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    show_named(&service, &Name::device(&id)?, &headers).await
}

pub(super) async fn show_module(
    State(service): State<Service>,
    Path((id, module)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    show_named(&service, &Name::module(&id, &module)?, &headers).await
}

async fn show_named(service: &Service, name: &Name, headers: &HeaderMap) -> Result<Response, Fault> {
    service.authorize(headers, Right::ServiceConnect, &name.resource())?;
    let record = service.hub.record(name).await?;
    Ok(answer_with_tag(shown(&service.hub, &record).to_string(), &record.twin.etag()))
}

pub(super) async fn patch(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(change): Json<Change>,
) -> Result<Response, Fault> {
    change_named(&service, &Name::device(&id)?, &headers, change, false).await
}

pub(super) async fn patch_module(
    State(service): State<Service>,
    Path((id, module)): Path<(String, String)>,
    headers: HeaderMap,
    Json(change): Json<Change>,
) -> Result<Response, Fault> {
    change_named(&service, &Name::module(&id, &module)?, &headers, change, false).await
}

pub(super) async fn put(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(change): Json<Change>,
) -> Result<Response, Fault> {
    change_named(&service, &Name::device(&id)?, &headers, change, true).await
}

pub(super) async fn put_module(
    State(service): State<Service>,
    Path((id, module)): Path<(String, String)>,
    headers: HeaderMap,
    Json(change): Json<Change>,
) -> Result<Response, Fault> {
    change_named(&service, &Name::module(&id, &module)?, &headers, change, true).await
}

async fn change_named(
    service: &Service,
    name: &Name,
    headers: &HeaderMap,
    change: Change,
    replace: bool,
) -> Result<Response, Fault> {
    service.authorize(headers, Right::ServiceConnect, &name.resource())?;
    let record = service.hub.change_twin(name, change, replace, if_match(headers)).await?;
    Ok(answer_with_tag(shown(&service.hub, &record).to_string(), &record.twin.etag()))
}

/// The twin as REST shows it, metadata included.
pub(super) fn shown(hub: &Hub, record: &Record) -> Value {
    let (identity, twin) = (&record.identity, &record.twin);
    let mut shown = json!({
        "deviceId": identity.device_id,
        "etag": twin.etag(),
        "deviceEtag": identity.etag,
        "status": identity.status,
        "statusUpdateTime": identity.status_updated_time.as_deref().unwrap_or(NEVER),
        "connectionState": connection_state(hub, record),
        "lastActivityTime": NEVER,
        "cloudToDeviceMessageCount": 0,
        "authenticationType": identity.authentication.kind,
        "x509Thumbprint": identity.authentication.x509_thumbprint,
        "modelId": "",
        "version": twin.version,
        "properties": {"desired": twin.desired.shown(true), "reported": twin.reported.shown(true)},
    });
    if let Value::Object(members) = &mut shown {
        match &identity.module_id {
            Some(module) => drop(members.insert("moduleId".into(), module.as_str().into())),
            None => drop(members.insert("capabilities".into(), json!({"iotEdge": false}))),
        }
        if twin.tags.as_object().is_some_and(|tags| !tags.is_empty()) {
            members.insert("tags".into(), twin.tags.clone());
        }
    }
    shown
}
