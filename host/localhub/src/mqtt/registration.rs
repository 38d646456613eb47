//! A provisioning client's connection (`iothub.md` §7): it registers, asks how it went, and leaves.
//!
//! Everything that bounds a device's session bounds this one. More than [`MOST_REQUESTS`] requests in
//! [`REQUESTS_WITHIN`] get 429 and the seconds to wait, which is the service's own limit for polling.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::entrance::Peer;
use super::login::{Refusal, unauthorized, unavailable};
use super::protocol::{Connect, Packet, Protocol, Step};
use super::session::{End, NO_MEMORY, at, ends_at, patience, send_all};
use super::wire::Wire;
use crate::clock;
use crate::dps::{Claim, Proven, RESPONSES, Request, UserName, response};
use crate::fault::Fault;
use crate::hub::Hub;

/// A device asks at most so often …
const MOST_REQUESTS: usize = 5;
/// … in this time.
const REQUESTS_WITHIN: Duration = Duration::from_secs(10);
/// What a client is asked to wait before it asks how its registration went, in seconds.
const RETRY_AFTER: u64 = 1;
/// The largest body of a request.
const LARGEST: usize = 64 * 1024;

/// The body of a request to be registered.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    registration_id: Option<String>,
    payload: Option<Value>,
}

/// Serves a provisioning client from its CONNECT to its end.
pub(super) async fn serve(
    wire: &mut impl Wire,
    mut protocol: Protocol,
    hub: Arc<Hub>,
    peer: &Peer,
    stop: CancellationToken,
    (user, connect): (UserName, Connect),
    rest: Vec<Step>,
) -> End {
    let proven = match prove(&hub, peer, user, &connect).await {
        Ok(proven) => proven,
        Err(Refusal { code, reason }) => {
            tracing::warn!(peer = %peer.address(), ?code, reason, "provisioning was refused");
            peer.visit.fail_slowly().await;
            return send_all(wire, &hub, protocol.refuse(code)).await.err().unwrap_or(reason);
        }
    };
    peer.visit.prove();
    tracing::info!(registration = proven.registration_id, peer = %peer.address(), "a provisioning client connected");
    if let Err(end) = send_all(wire, &hub, protocol.accept(false)).await {
        return end;
    }
    let mut session = Session { protocol, hub, proven, is_listening: false, asked: VecDeque::new() };
    match session.run(wire, &stop, connect.keep_alive, rest).await {
        Ok(()) => "the provisioning client disconnected".into(),
        Err(end) => end,
    }
}

async fn prove(hub: &Arc<Hub>, peer: &Peer, user: UserName, connect: &Connect) -> Result<Proven, Refusal> {
    if connect.client_id != user.registration_id {
        let reason = format!(
            "the client id {:?} is not the registration id {:?}",
            connect.client_id, user.registration_id
        );
        return Err(unauthorized(reason));
    }
    let claim = Claim {
        user,
        password: connect.password.clone(),
        certificate: peer.certificate.clone(),
        now: clock::now_seconds(),
        slack: hub.clock_slack.as_secs(),
    };
    let proven = hub.blocking(move |hub| Ok(claim.prove(&hub.id_scope, &hub.store)));
    proven.await.map_err(|fault| unavailable(fault.to_string()))?.map_err(unauthorized)
}

struct Session {
    protocol: Protocol,
    hub: Arc<Hub>,
    proven: Proven,
    is_listening: bool,
    asked: VecDeque<Instant>,
}

impl Session {
    /// `Ok` after a DISCONNECT, `Err` after any other end.
    async fn run(
        &mut self,
        wire: &mut impl Wire,
        stop: &CancellationToken,
        keep_alive: u16,
        rest: Vec<Step>,
    ) -> Result<(), End> {
        if self.handle(wire, rest).await?.is_break() {
            return Ok(());
        }
        let patience = patience(keep_alive);
        let token_ends = self.proven.expires.map(ends_at);
        let mut silent_until = Instant::now() + patience;
        let mut unfinished = self.hub.memory.take(0).ok_or(NO_MEMORY)?;
        loop {
            tokio::select! {
                read = wire.read() => {
                    let bytes = read.map_err(|error| error.to_string())?;
                    let Some(bytes) = bytes else { return Err("the client closed the connection".into()) };
                    let steps = self.protocol.feed(&bytes);
                    if steps.is_empty() {
                        if !unfinished.grow(bytes.len()) {
                            return Err(NO_MEMORY.into());
                        }
                        continue;
                    }
                    silent_until = Instant::now() + patience;
                    unfinished.clear();
                    if self.handle(wire, steps).await?.is_break() {
                        return Ok(());
                    }
                }
                () = sleep_until(silent_until) => return Err("silent for longer than its keep-alive".into()),
                () = at(token_ends) => return Err("its token expired".into()),
                () = stop.cancelled() => return Err("the hub stops".into()),
            }
        }
    }

    async fn handle(&mut self, wire: &mut impl Wire, steps: Vec<Step>) -> Result<ControlFlow<()>, End> {
        for step in steps {
            match step {
                Step::Close(reason) => return Err(reason),
                Step::Packet(Packet::Disconnect) => return Ok(ControlFlow::Break(())),
                Step::Packet(Packet::Connect(_)) => return Err("a second CONNECT".into()),
                Step::Packet(Packet::Subscribe { id, filters }) => {
                    if let Some((other, _)) = filters.iter().find(|(filter, _)| filter != RESPONSES) {
                        return Err(format!("a subscription to {other:?}, which is not offered here"));
                    }
                    self.is_listening = true;
                    let granted: Vec<u8> = filters.iter().map(|(_, qos)| (*qos).min(1)).collect();
                    send_all(wire, &self.hub, self.protocol.subscribed(id, &granted)).await?;
                }
                Step::Packet(Packet::Unsubscribe { id, .. }) => {
                    self.is_listening = false;
                    send_all(wire, &self.hub, self.protocol.unsubscribed(id)).await?;
                }
                Step::Packet(Packet::Publish { id, qos, topic, payload, .. }) => {
                    if qos > 1 {
                        return Err("a publish at quality of service 2".into());
                    }
                    let request = Request::parse(&topic);
                    let request =
                        request.ok_or_else(|| format!("a publish to {topic:?}, where nothing listens"))?;
                    let (topic, body) = self.answer(&request, &payload).await;
                    if let Some(id) = id {
                        send_all(wire, &self.hub, self.protocol.acknowledge(id)).await?;
                    }
                    if self.is_listening {
                        send_all(
                            wire,
                            &self.hub,
                            self.protocol.publish(&topic, &Bytes::from(body.to_string())),
                        )
                        .await?;
                    }
                }
                other @ Step::Send(_) => send_all(wire, &self.hub, vec![other]).await?,
                Step::Packet(Packet::Acknowledged { .. } | Packet::Other) => {}
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The topic and the body of the answer.
    async fn answer(&mut self, request: &Request<'_>, payload: &Bytes) -> (String, Value) {
        let (Request::Register { request_id } | Request::Status { request_id, .. }) = request;
        if let Some(wait) = self.too_often() {
            let fault =
                Fault::Throttled { text: format!("at most {MOST_REQUESTS} requests in 10 s"), method: false };
            return (response(429, request_id, Some(wait)), fault.twin_body());
        }
        let answered = match request {
            Request::Register { .. } => {
                self.register(payload).await.map(|body| (202, Some(RETRY_AFTER), body))
            }
            Request::Status { operation_id, .. } => {
                self.status(operation_id).await.map(|body| (200, None, body))
            }
        };
        match answered {
            Ok((status, retry_after, body)) => (response(status, request_id, retry_after), body),
            Err(fault) => {
                tracing::debug!(registration = self.proven.registration_id, %fault, "provisioning");
                (response(fault.status(), request_id, None), fault.twin_body())
            }
        }
    }

    async fn register(&self, payload: &Bytes) -> Result<Value, Fault> {
        if payload.len() > LARGEST {
            return Err(Fault::TooLarge(format!(
                "the body has {} bytes; at most {LARGEST} fit",
                payload.len()
            )));
        }
        let body: Body = if payload.trim_ascii().is_empty() {
            Body::default()
        } else {
            serde_json::from_slice(payload)
                .map_err(|error| Fault::ArgumentInvalid(format!("the body is not a registration: {error}")))?
        };
        if body.registration_id.is_some_and(|id| id != self.proven.registration_id) {
            let text = format!("the body's registrationId is not {:?}", self.proven.registration_id);
            return Err(Fault::ArgumentInvalid(text));
        }
        let registration = self.hub.register(self.proven.clone(), body.payload).await?;
        Ok(json!({"operationId": registration.operation_id, "status": "assigning"}))
    }

    async fn status(&self, operation_id: &str) -> Result<Value, Fault> {
        let id = self.proven.registration_id.clone();
        let registration = self.hub.blocking(move |hub| Ok(hub.store.registration(&id)?)).await?;
        registration
            .filter(|registration| registration.operation_id == operation_id)
            .map(|registration| registration.told())
            .ok_or_else(|| Fault::NotFound(format!("there is no operation {operation_id:?}; register anew")))
    }

    /// How many seconds to wait, if this request is one too many; otherwise it is counted.
    fn too_often(&mut self) -> Option<u64> {
        let now = Instant::now();
        self.asked.retain(|asked| now.duration_since(*asked) < REQUESTS_WITHIN);
        if self.asked.len() < MOST_REQUESTS {
            self.asked.push_back(now);
            return None;
        }
        let oldest = self.asked.front()?;
        Some(REQUESTS_WITHIN.saturating_sub(now.duration_since(*oldest)).as_secs() + 1)
    }
}
