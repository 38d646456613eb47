//! `GET /localhub/wire/{device}`: the last packets of a device and its modules, oldest first (see [`crate::wirelog`]).
//!
//! From then on they are also kept when many devices talk. Live, they come as events of the kind `packet`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use tokio::time::Instant;

use super::Service;
use super::address::Path;
use super::json::answer;
use crate::fault::Fault;
use crate::identity::Name;
use crate::policies::Right;

pub(super) async fn packets(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let name = Name::device(&id)?;
    service.authorize(&headers, Right::Owner, &name.resource())?;
    service.hub.record(&name).await?;
    let packets = service.hub.wire_log.watch(name.device_id(), Instant::now());
    Ok(answer(json!({"deviceId": id, "packets": packets}).to_string()))
}
