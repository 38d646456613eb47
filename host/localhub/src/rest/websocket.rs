//! MQTT in a WebSocket at `/$iothub/websocket`, beside REST on the same port (`iothub.md` §1.1).

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::response::Response;

use super::Service;
use crate::fault::Fault;
use crate::limits::Visit;
use crate::mqtt::{Peer, WebSocketWire, serve};

/// The largest WebSocket message: an MQTT packet and some room.
const LARGEST: usize = 512 * 1024;
/// Each way, for as long as the connection is open: small, because most of them idle.
const BUFFER: usize = 4 * 1024;

/// Upgrades a request that offers the subprotocol `mqtt`, in any case; the answer repeats it as it was offered.
pub(super) async fn upgrade(
    State(service): State<Service>,
    Extension(visit): Extension<Arc<Visit>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Fault> {
    let upgrade = upgrade.map_err(|error| Fault::Format(format!("not a WebSocket upgrade: {error}")))?;
    let offered = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .find(|protocol| protocol.eq_ignore_ascii_case("mqtt"))
        .map(str::to_owned)
        .ok_or_else(|| Fault::Format("the WebSocket does not offer the subprotocol mqtt".into()))?;
    let peer = Peer::new(visit, service.hub.limits.connect_within);
    let upgrade = upgrade
        .protocols([offered])
        .max_message_size(LARGEST)
        .max_frame_size(LARGEST)
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let lobby = service.hub.lobby.handle().clone();
        let wire = WebSocketWire(Box::new(socket));
        let entrance = serve(wire, service.hub, peer, service.stop, service.tasks.clone());
        drop(service.tasks.spawn_on(entrance, &lobby));
    }))
}
