//! Bodies are read whole before a handler runs: within a size, within a time.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::timeout;

use super::json;
use crate::fault::Fault;

/// More than any request that IoT Hub takes: a twin with full tags and desired properties, a method's payload.
const LARGEST: usize = 512 * 1024;
const WITHIN: Duration = Duration::from_secs(30);

/// The middleware.
pub(super) async fn whole(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match timeout(WITHIN, to_bytes(body, LARGEST)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(error)) => {
            let text = format!("the body could not be read or has more than {LARGEST} bytes: {error}");
            json::fault(&Fault::TooLarge(text))
        }
        Err(_elapsed) => json::fault(&Fault::RequestTimeout(format!(
            "the body did not arrive within {} s",
            WITHIN.as_secs()
        ))),
    }
}
