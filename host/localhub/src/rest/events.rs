//! What happens, as server-sent events: `GET /localhub/events?device=&kinds=` and `GET /localhub/telemetry?device=`.
//!
//! One event is `event: KIND` and `data: {"kind", "time", "device"?, "module"?, …}` (see [`crate::events`]); without
//! `kinds`, every kind but `packet`. A client that does not keep up gets `event: lagged` with `{"missed": n}` and goes
//! on from there. The stream listens from the moment its headers are sent, so a client that reads the state after
//! them misses nothing. A comment every 15 s keeps the connection alive; the stream ends with the token that opened it.
//! Nothing is sent again after a reconnection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::Service;
use super::address::Query;
use crate::clock;
use crate::events::{Heard, Kind, Kinds};
use crate::fault::Fault;
use crate::identity::Name;
use crate::policies::Right;

/// How many streams may be open.
pub(crate) const MOST: usize = 64;
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Seconds after which a stream ends whatever its token says: a year.
const LONGEST: u64 = 365 * 24 * 3600;

#[derive(Deserialize)]
pub(super) struct Wanted {
    device: Option<String>,
    kinds: Option<String>,
}

/// `GET /localhub/events`: see the module. Needs the owner's or the service's right.
pub(super) async fn events(
    State(service): State<Service>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let kinds = match wanted.kinds.as_deref().filter(|kinds| !kinds.is_empty()) {
        None => Kinds::USUAL,
        Some(text) => Kinds::parse(text).map_err(Fault::ArgumentInvalid)?,
    };
    open(&service, &headers, wanted.device, kinds)
}

/// `GET /localhub/telemetry`: device-to-cloud messages as they come. Needs the owner's or the service's right.
pub(super) async fn telemetry(
    State(service): State<Service>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    open(&service, &headers, wanted.device, Kinds::only(Kind::Telemetry))
}

fn open(
    service: &Service,
    headers: &HeaderMap,
    device: Option<String>,
    kinds: Kinds,
) -> Result<Response, Fault> {
    let ends = service.authorize(headers, Right::ServiceConnect, "/localhub/events")?;
    let device = device.filter(|device| !device.is_empty());
    if let Some(device) = &device {
        Name::device(device)?;
    }
    let room = Arc::clone(&service.streams).try_acquire_owned();
    let room = room.map_err(|_| Fault::Unavailable(format!("{MOST} streams of events are open already")))?;
    let listener = service.hub.events.listen(kinds, device);
    let heard = stream::unfold((listener, room), |(mut listener, room)| async move {
        let heard = listener.next().await?;
        Some((Ok::<_, Infallible>(shown(&heard)), (listener, room)))
    });
    let left = Duration::from_secs(ends.saturating_sub(clock::now_seconds()).min(LONGEST));
    let stop = service.stop.clone();
    let until_stop = heard.take_until(async move { drop(timeout(left, stop.cancelled_owned()).await) });
    let mut response =
        Sse::new(until_stop).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn shown(heard: &Heard) -> Event {
    match heard {
        Heard::Event(event) => Event::default().event(event.kind.name()).data(&event.json),
        Heard::Missed(missed) => Event::default().event("lagged").data(json!({"missed": missed}).to_string()),
    }
}
