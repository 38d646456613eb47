//! Messages from the cloud over REST: sending (this hub's own endpoint), purging, and what became of them
//! (`iothub.md` §4.2, §6.2).

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use axum::response::Response;
use serde_json::json;

use super::Service;
use super::address::{Path, Query};
use super::json::{answer, nothing};
use crate::clock;
use crate::fault::Fault;
use crate::identity::Name;
use crate::inbox::feedback::BATCH;
use crate::inbox::{Ack, Outgoing};
use crate::policies::Right;

const FEEDBACK: &str = "/messages/serviceBound/feedback";

/// `POST /localhub/devices/{id}/messages`: the body is the message. In the query `messageId`, `correlationId`,
/// `userId`, `contentType`, `contentEncoding`, `ack` (`none`, `positive`, `negative`, `full`) and `ttlSeconds` are
/// the hub's; everything else there is an application property. Answers `{"messageId", "sequenceNumber"}`.
pub(super) async fn send(
    State(service): State<Service>,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Fault> {
    let name = Name::device(&id)?;
    service.authorize(&headers, Right::Owner, &name.resource())?;
    let posted = service.hub.send_message(&name, outgoing(pairs, body)?).await?;
    let text = serde_json::to_string(&posted).map_err(|error| Fault::Internal(error.to_string()))?;
    Ok(answer(text))
}

fn outgoing(pairs: Vec<(String, String)>, body: Bytes) -> Result<Outgoing, Fault> {
    let mut message = Outgoing { body, ..Outgoing::default() };
    for (name, value) in pairs {
        match name.as_str() {
            "api-version" => {}
            "messageId" => message.message_id = Some(value),
            "correlationId" => message.correlation_id = Some(value),
            "userId" => message.user_id = Some(value),
            "contentType" => message.content_type = Some(value),
            "contentEncoding" => message.content_encoding = Some(value),
            "ack" => {
                message.ack = Ack::parse(&value).ok_or_else(|| {
                    let text = format!("ack is none, positive, negative or full, not {value:?}");
                    Fault::ArgumentInvalid(text)
                })?;
            }
            "ttlSeconds" => {
                let seconds = value.parse().map_err(|_| {
                    Fault::ArgumentInvalid(format!("ttlSeconds is a number of seconds, not {value:?}"))
                })?;
                message.time_to_live = Some(Duration::from_secs(seconds));
            }
            _ => message.properties.push((name, value)),
        }
    }
    Ok(message)
}

/// `DELETE /devices/{id}/commands`: what waits for the device is gone.
pub(super) async fn purge(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let name = Name::device(&id)?;
    service.authorize(&headers, Right::ServiceConnect, &name.resource())?;
    let purged = service.hub.purge_messages(&name).await?;
    Ok(answer(json!({"totalMessagesPurged": purged, "deviceId": id, "moduleId": null}).to_string()))
}

/// `GET /messages/serviceBound/feedback`: the oldest records as a batch under a lock of a minute, whose token is
/// the entity tag; 204 when there is nothing, or when somebody else reads.
pub(super) async fn feedback(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, FEEDBACK)?;
    if service.hub.feedback.is_locked() {
        return Ok(nothing());
    }
    let records = service.hub.blocking(|hub| hub.store.feedback(BATCH, clock::now_seconds())).await?;
    let Some(last) = records.last().map(|(number, _)| *number) else { return Ok(nothing()) };
    let records: Vec<_> = records.into_iter().map(|(_, record)| record).collect();
    let text = serde_json::to_string(&records).map_err(|error| Fault::Internal(error.to_string()))?;
    let mut response = answer(text);
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.microsoft.iothub.feedback.json"));
    if let Ok(token) = HeaderValue::from_str(&format!("\"{}\"", service.hub.feedback.lock(last))) {
        head.insert(ETAG, token);
    }
    Ok(response)
}

/// `DELETE /messages/serviceBound/feedback/{lock}`: the batch was read and is gone.
pub(super) async fn complete(
    State(service): State<Service>,
    Path(lock): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, FEEDBACK)?;
    let last = service.hub.feedback.unlock(&lock).ok_or_else(lost)?;
    service.hub.blocking(move |hub| hub.store.heard(last)).await?;
    Ok(nothing())
}

/// `POST /messages/serviceBound/feedback/{lock}/abandon`: the batch is there for the next reader.
pub(super) async fn abandon(
    State(service): State<Service>,
    Path(lock): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, FEEDBACK)?;
    service.hub.feedback.unlock(&lock).ok_or_else(lost)?;
    Ok(nothing())
}

fn lost() -> Fault {
    Fault::LockLost("the batch's lock has run out or is not its own; read again".into())
}
