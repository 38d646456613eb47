//! Bodies are read whole before a handler runs: within a size, within a time, within the hub's memory.
//!
//! A body counts against [`crate::limits::Limits::memory`] from its first byte until its answer is made, because a
//! direct method may keep it waiting for minutes.

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::timeout;

use super::{Service, json};
use crate::fault::Fault;

/// More than any request that IoT Hub takes: a twin with full tags and desired properties, a method's payload.
const LARGEST: usize = 512 * 1024;
/// What a request costs beside its body.
const HEAD: usize = 2 * 1024;

/// The middleware.
pub(super) async fn whole(State(service): State<Service>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let size = body.size_hint().exact().map_or(LARGEST, |size| usize::try_from(size).unwrap_or(usize::MAX));
    if size > LARGEST {
        return json::fault(&Fault::TooLarge(format!("the body has {size} bytes, more than {LARGEST}")));
    }
    let Some(_held) = service.hub.memory.take(HEAD + size) else {
        let text = "the hub's memory for requests is used up; repeat later";
        return json::fault(&Fault::Unavailable(text.into()));
    };
    let within = service.hub.limits.body_within;
    match timeout(within, to_bytes(body, LARGEST)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(error)) => {
            let text = format!("the body could not be read or has more than {LARGEST} bytes: {error}");
            json::fault(&Fault::TooLarge(text))
        }
        Err(_elapsed) => {
            let text = format!("the body did not arrive within {} s", within.as_secs_f32());
            json::fault(&Fault::RequestTimeout(text))
        }
    }
}
