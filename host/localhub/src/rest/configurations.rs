//! Automatic configurations over REST (`iothub.md` §6.9). Making one is PUT without `If-Match`, changing one PUT with it.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::response::Response;
use serde_json::Value;

use super::Service;
use super::address::{Listing, Path, Query};
use super::json::{Json, answer, answer_with_tag, if_match, nothing};
use crate::configurations::{Applied, Configuration, Queries, Wanted, shown};
use crate::fault::Fault;
use crate::identity::Name;
use crate::policies::Right;

const PATH: &str = "/configurations";

pub(super) async fn list(
    State(service): State<Service>,
    Query(list): Query<Listing>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryRead, PATH)?;
    let all = service
        .hub
        .blocking(move |hub| {
            let (all, figures) = (hub.store.configurations()?, hub.figures()?);
            let listed = all.iter().take(list.top.0);
            Ok(listed.map(|one| shown(one, figures.get(&one.id))).collect::<Vec<Value>>())
        })
        .await?;
    Ok(answer(Value::Array(all).to_string()))
}

pub(super) async fn show(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryRead, PATH)?;
    let gone = Fault::ConfigurationNotFound(id.clone());
    let one = service.hub.blocking(move |hub| hub.store.configuration(&id)?.ok_or(gone)).await?;
    answer_one(&service, one).await
}

pub(super) async fn put(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryReadWrite, PATH)?;
    let update = headers.contains_key(IF_MATCH);
    let one = service.hub.put_configuration(id, wanted, update, if_match(&headers)).await?;
    answer_one(&service, one).await
}

async fn answer_one(service: &Service, one: Configuration) -> Result<Response, Fault> {
    let figures = service.hub.blocking(|hub| hub.figures()).await?;
    Ok(answer_with_tag(shown(&one, figures.get(&one.id)).to_string(), &one.etag))
}

pub(super) async fn delete(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryReadWrite, PATH)?;
    service.hub.delete_configuration(id, if_match(&headers)).await?;
    Ok(nothing())
}

pub(super) async fn test(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(queries): Json<Queries>,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryRead, PATH)?;
    Ok(answer(queries.tested().to_string()))
}

pub(super) async fn apply(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(applied): Json<Applied>,
) -> Result<Response, Fault> {
    let device = Name::device(&id)?;
    service.authorize(&headers, Right::RegistryReadWrite, &device.resource())?;
    service.hub.apply_content(device, applied).await?;
    Ok(nothing())
}
