//! One client's connection, from its first byte to its last; between the two stands its [`Session`].
//!
//! What lets a client in (its CONNECT, its proof, what the hub kept of it) runs in the [`crate::lobby`], apart from what
//! then serves it on the hub's own threads. Nothing waits
//! for ever (see [`crate::limits`]): the CONNECT must arrive within a time of the TCP connection. What a client sent
//! of a packet that is not yet whole counts against the hub's memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::filters::Subscriptions;
use super::login::{Refusal, log_in};
use super::protocol::{Connect, Packet, Protocol, ReturnCode, Step};
use super::registration;
use super::session::{End, Kept, NO_MEMORY, Session, send_all, write};
use super::troubles;
use super::wire::Wire;
use crate::dps::UserName;
use crate::hub::Hub;
use crate::identity::Name;
use crate::limits::Visit;
use crate::store;
use crate::tls::ClientCertificate;
use crate::wirelog::Tap;

/// The largest CONNECT: a will may be telemetry, but a stranger is not given that much room.
const LARGEST_CONNECT: usize = 64 * 1024;

/// What is known of a client before it says anything.
pub(crate) struct Peer {
    /// Its place among the open connections, with its address.
    pub(crate) visit: Arc<Visit>,
    /// Its client certificate; that it holds the key was proved by TLS.
    pub(crate) certificate: Option<ClientCertificate>,
    /// Its CONNECT must have come by then.
    pub(crate) connect_by: Instant,
}

impl Peer {
    /// A client that opened its connection just now.
    pub(crate) fn new(visit: Arc<Visit>, connect_within: Duration) -> Self {
        Self { visit, certificate: None, connect_by: Instant::now() + connect_within }
    }

    /// Where it connects from, for the log.
    pub(crate) fn address(&self) -> SocketAddr {
        self.visit.peer()
    }
}

/// Lets a client in, or ends its connection; a session then runs on `tasks`. For the lobby.
pub(crate) async fn serve(
    wire: impl Wire + 'static,
    hub: Arc<Hub>,
    peer: Peer,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let mut wire = Tap::new(wire, hub.wire_log.clone());
    // The visit lasts as long as the connection.
    let (visit, threads) = (Arc::clone(&peer.visit), hub.threads.clone());
    match Box::pin(enter(&mut wire, hub, peer, stop)).await {
        Ok((session, rest)) => {
            let session = async move {
                visit.call_in();
                let end = session.serve(&mut wire, rest).await;
                close(wire, &visit, end).await;
            };
            drop(tasks.spawn_on(session, &threads));
        }
        Err(end) => close(wire, &visit, end).await,
    }
}

async fn close(mut wire: impl Wire, visit: &Visit, end: End) {
    drop(Box::pin(timeout(Duration::from_secs(1), wire.close())).await);
    tracing::info!(peer = %visit.peer(), end, "MQTT connection ended");
}

/// Up to the CONNACK, and for a provisioning client to its end: it is gone soon.
async fn enter(
    wire: &mut Tap<impl Wire>,
    hub: Arc<Hub>,
    peer: Peer,
    stop: CancellationToken,
) -> Result<(Box<Session>, Vec<Step>), End> {
    let mut protocol = Protocol::new();
    let (connect, rest) = tokio::select! {
        first = Box::pin(timeout_at(peer.connect_by, first_packet(wire, &mut protocol, &hub, &peer.visit))) => {
            first.unwrap_or_else(|_elapsed| Err("no CONNECT came in time".into()))?
        }
        () = peer.visit.overdue() => return Err("made room for another".into()),
        () = stop.cancelled() => return Err("the hub stops".into()),
    };
    if let Some(user) = UserName::parse(&connect.user_name) {
        let served = registration::serve(wire, protocol, hub, &peer, stop, (user, connect), rest);
        return Err(Box::pin(served).await);
    }
    let mut session = Box::pin(begin(wire, protocol, hub, &peer, stop, connect)).await?;
    if let Err(end) = session.accept(wire).await {
        session.end(&end);
        return Err(end);
    }
    Ok((session, rest))
}

/// Reads up to and including CONNECT, and keeps what a hasty client sent behind it.
async fn first_packet(
    wire: &mut impl Wire,
    protocol: &mut Protocol,
    hub: &Hub,
    visit: &Visit,
) -> Result<(Connect, Vec<Step>), End> {
    let mut unfinished = hub.memory.take(0);
    let mut read = 0;
    loop {
        let bytes = wire.read().await.map_err(|error| error.to_string())?;
        let Some(bytes) = bytes else { return Err("closed before CONNECT".into()) };
        read += bytes.len();
        if read > LARGEST_CONNECT {
            return Err(malformed(visit, format!("a CONNECT of more than {LARGEST_CONNECT} bytes")));
        }
        if !unfinished.as_mut().is_some_and(|unfinished| unfinished.grow(bytes.len())) {
            return Err(NO_MEMORY.into());
        }
        let mut steps = protocol.feed(&bytes).into_iter();
        while let Some(step) = steps.next() {
            match step {
                Step::Packet(Packet::Connect(connect)) => return Ok((connect, steps.collect())),
                Step::Packet(_) => return Err(malformed(visit, "a packet before CONNECT".into())),
                Step::Send(bytes) => write(wire, hub, bytes).await?,
                Step::Close(reason) => return Err(malformed(visit, reason)),
            }
        }
    }
}

/// Who cannot even say CONNECT has failed to show who it is.
fn malformed(visit: &Visit, reason: End) -> End {
    visit.fail();
    reason
}

/// Checks who the client is and enters it in the table of connections.
async fn begin(
    wire: &mut Tap<impl Wire>,
    mut protocol: Protocol,
    hub: Arc<Hub>,
    peer: &Peer,
    stop: CancellationToken,
    connect: Connect,
) -> Result<Box<Session>, End> {
    let entered = async {
        let login = log_in(&hub, peer, &connect).await?;
        troubles::enter(&hub, &login).await?;
        Ok::<_, Refusal>(login)
    };
    let login = match entered.await {
        Ok(login) => login,
        Err(refusal) => {
            tracing::warn!(peer = %peer.address(), code = ?refusal.code, reason = refusal.reason, "refused");
            peer.visit.fail_slowly().await;
            return Err(refuse(wire, &hub, &mut protocol, refusal.code, refusal.reason).await);
        }
    };
    let penalty = hub.offences.penalty(&login.name, Instant::now());
    if !penalty.is_zero() {
        tracing::info!(device = %login.name, ?penalty, "it was ended too often for what it did, and waits");
        tokio::select! {
            () = sleep(penalty) => {}
            () = peer.visit.overdue() => return Err("made room for another".into()),
            () = stop.cancelled() => return Err("the hub stops".into()),
        }
    }
    wire.belongs_to(&login.name);
    peer.visit.prove();
    let (kept, resumed) = match restore(&hub, &login.name, connect.clean_session).await {
        Ok(restored) => restored,
        Err(fault) => return Err(refuse(wire, &hub, &mut protocol, ReturnCode::Unavailable, fault).await),
    };
    let kept = Kept { subscriptions: Subscriptions::restored(kept), resumed, clean: connect.clean_session };
    let mut session = Session::attach(protocol, hub, login, stop, kept, connect.keep_alive);
    let (hub, name) = (Arc::clone(&session.hub), session.login.name.clone());
    // The operator's word may have come between the check at the door and the entry in the table: that it refuses the
    // device, disabled it, or deleted it.
    let refused = if hub.is_refused(&name) {
        Some((ReturnCode::Unavailable, "refused for a while on request"))
    } else if !hub.record(&name).await.is_ok_and(|record| record.is_enabled()) {
        Some((ReturnCode::NotAuthorized, "disabled or deleted"))
    } else {
        None
    };
    if let Some((code, reason)) = refused {
        return Err(refuse(wire, &hub, &mut session.protocol, code, reason.into()).await);
    }
    session.will = connect.will;
    tracing::info!(device = %name, peer = %peer.address(), session_present = resumed, "connected");
    Ok(session)
}

/// Tells the client; gives the reason back, or why it could not be told.
async fn refuse(
    wire: &mut impl Wire,
    hub: &Hub,
    protocol: &mut Protocol,
    code: ReturnCode,
    reason: String,
) -> End {
    send_all(wire, hub, protocol.refuse(code)).await.err().unwrap_or(reason)
}

async fn restore(hub: &Arc<Hub>, name: &Name, clean: bool) -> Result<(store::Session, bool), End> {
    let name = name.clone();
    let restored = hub.blocking(move |hub| match (hub.store.session(&name)?, clean) {
        (Some(kept), false) => Ok((kept, true)),
        (kept, true) => {
            if kept.is_some() {
                hub.store.keep_session(&name, None)?;
            }
            Ok((store::Session::default(), false))
        }
        (None, false) => {
            hub.store.keep_session(&name, Some(&store::Session::default()))?;
            Ok((store::Session::default(), false))
        }
    });
    restored.await.map_err(|fault| fault.to_string())
}
