//! Queries over REST, a page an answer (`iothub.md` §6.6).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;

use super::Service;
use super::json::{Json, answer};
use crate::fault::Fault;
use crate::policies::Right;
use crate::query::{Found, Page, parse};

const ITEM_TYPE: HeaderName = HeaderName::from_static("x-ms-item-type");
const CONTINUATION: HeaderName = HeaderName::from_static("x-ms-continuation");
const SIZE: HeaderName = HeaderName::from_static("x-ms-max-item-count");

#[derive(Deserialize)]
pub(super) struct Asked {
    query: String,
}

pub(super) async fn query(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(asked): Json<Asked>,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, "/devices/query")?;
    let page = page(&headers)?;
    let query = parse(&asked.query)?;
    Ok(paged(service.hub.blocking(move |hub| query.run(hub, &page)).await?))
}

/// The page that a request's headers ask for.
pub(super) fn page(headers: &HeaderMap) -> Result<Page, Fault> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    Page::read(text(&SIZE), text(&CONTINUATION))
}

/// The answer that holds a page. On the last one there is no `x-ms-continuation`: the Node SDK tests for its absence.
pub(super) fn paged(found: Found) -> Response {
    let mut response = answer(found.body);
    let headers = response.headers_mut();
    headers.insert(ITEM_TYPE, HeaderValue::from_static(found.item_type));
    if let Some(continuation) = found.continuation.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(CONTINUATION, continuation);
    }
    response
}
