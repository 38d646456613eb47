//! The hub's own endpoints under `/localhub/`, for tests and for looking: the owner's alone.

use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::Service;
use super::address::{Path, Query};
use super::json::answer;
use crate::fault::Fault;
use crate::identity::Name;
use crate::policies::Right;

/// `POST /localhub/devices/{id}/disconnect`: the device's connection ends now, without a packet.
pub(super) async fn disconnect(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let name = Name::device(&id)?;
    service.authorize(&headers, Right::Owner, &name.resource())?;
    let was_connected = service.hub.disconnect(&name);
    Ok(answer(json!({"wasConnected": was_connected}).to_string()))
}

#[derive(Deserialize)]
pub(super) struct Refuse {
    seconds: u32,
}

/// `POST /localhub/devices/{id}/refuse?seconds=N`: the connection ends, and CONNECT gets code 3 for N seconds.
/// `seconds=0` lets the device in again.
pub(super) async fn refuse(
    State(service): State<Service>,
    Path(id): Path<String>,
    Query(refuse): Query<Refuse>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let name = Name::device(&id)?;
    service.authorize(&headers, Right::Owner, &name.resource())?;
    service.hub.refuse(&name, Duration::from_secs(refuse.seconds.into()));
    Ok(answer(json!({"refusedForSeconds": refuse.seconds}).to_string()))
}

/// `GET /localhub/devices/{id}/telemetry`: the device's recent messages, oldest first.
pub(super) async fn telemetry(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let name = Name::device(&id)?;
    service.authorize(&headers, Right::Owner, &name.resource())?;
    let messages = service.hub.telemetry(name.device_id());
    let text = serde_json::to_string(&messages).map_err(|error| Fault::Internal(error.to_string()))?;
    Ok(answer(text))
}
