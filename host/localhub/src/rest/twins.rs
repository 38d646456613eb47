//! Twins over REST (`iothub.md` §6.4). Compact JSON: old service apps search the raw text for `"key":"value"`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::Service;
use super::address::Path;
use super::json::{Json, answer_with_tag, if_match};
use crate::fault::Fault;
use crate::identity::Name;
use crate::policies::Right;
use crate::show;
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
    Ok(answer_with_tag(show::twin(&service.hub, &record).to_string(), &record.twin.etag()))
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
    Ok(answer_with_tag(show::twin(&service.hub, &record).to_string(), &record.twin.etag()))
}
