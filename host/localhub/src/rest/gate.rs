//! Between a request and its handler: faults and throttles that were asked for, and the endpoints that set faults.
//!
//! Direct methods and twin changes are throttled where the hub does them ([`crate::hub::Hub`]), whoever asks for them,
//! and what jobs do where their devices take turns; everything else here, by its path. A request counts before its
//! token is checked.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::Service;
use super::address::Path;
use super::json::{self, Json, answer};
use crate::fault::Fault;
use crate::faults::{Rule, Trouble};
use crate::policies::Right;
use crate::throttle::Operation;

const FAULTS: &str = "/localhub/faults";

/// The middleware.
pub(super) async fn pass(State(service): State<Service>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    match service.hub.faults.request(path) {
        None => {}
        Some(Trouble::Failed(fault)) => return json::fault(&fault),
        Some(Trouble::Slow(by)) => tokio::time::sleep(by).await,
    }
    if let Some(operation) = operation(request.method(), path)
        && let Err(fault) = service.hub.throttle.pass(operation).await
    {
        return json::fault(&fault);
    }
    next.run(request).await
}

fn operation(verb: &Method, path: &str) -> Option<Operation> {
    let mut segments = path.split('/').skip(1);
    let (first, rest) = (segments.next()?, segments.collect::<Vec<_>>());
    match (first, rest.as_slice()) {
        ("devices", ["query"]) => Some(Operation::Query),
        ("devices" | "statistics", _) => Some(Operation::Registry),
        ("twins", _) if verb == Method::GET => Some(Operation::TwinRead),
        ("jobs", _) => Some(Operation::Job),
        ("configurations", _) => Some(Operation::Configuration),
        ("localhub", ["devices", _, "messages"]) if verb == Method::POST => Some(Operation::Message),
        _ => None,
    }
}

/// `GET /localhub/faults`: what is set, and how often it struck.
pub(super) async fn list(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, FAULTS)?;
    Ok(answer(json!(service.hub.faults.list()).to_string()))
}

/// What is posted: one fault in words, as for `--fault`.
#[derive(Deserialize)]
pub(super) struct Wanted {
    fault: String,
}

/// `POST /localhub/faults` with `{"fault": "drop:what=methods"}`: sets one more; answers with its id.
pub(super) async fn add(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, FAULTS)?;
    let rule: Rule = wanted.fault.parse().map_err(Fault::ArgumentInvalid)?;
    let text = rule.to_string();
    let id = service.hub.faults.add(rule)?;
    Ok(answer(json!({"id": id, "fault": text}).to_string()))
}

/// `DELETE /localhub/faults`: takes all away.
pub(super) async fn remove_all(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, FAULTS)?;
    Ok(answer(json!({"removed": service.hub.faults.remove(None)}).to_string()))
}

/// `DELETE /localhub/faults/{id}`: takes one away.
pub(super) async fn remove(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, FAULTS)?;
    let id =
        id.parse().map_err(|_| Fault::ArgumentInvalid(format!("{id:?} is not the number of a fault")))?;
    match service.hub.faults.remove(Some(id)) {
        0 => Err(Fault::NotFound(format!("there is no fault {id}"))),
        removed => Ok(answer(json!({"removed": removed}).to_string())),
    }
}
