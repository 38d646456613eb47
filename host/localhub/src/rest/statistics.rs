//! How many devices there are, and how many are connected.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::Service;
use super::json::answer;
use crate::fault::Fault;
use crate::policies::Right;

pub(super) async fn devices(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryRead, "/statistics/devices")?;
    let (total, enabled) = service.hub.blocking(|hub| hub.store.count()).await?;
    let text = json!({
        "totalDeviceCount": total,
        "enabledDeviceCount": enabled,
        "disabledDeviceCount": total - enabled,
    });
    Ok(answer(text.to_string()))
}

pub(super) async fn service(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, "/statistics/service")?;
    Ok(answer(json!({"connectedDeviceCount": service.hub.links.count()}).to_string()))
}
