//! One client's connection, from its first byte to its last.
//!
//! Nothing waits for ever (see [`crate::limits`]): the CONNECT must arrive within a time of the TCP connection,
//! silence is bounded by the keep-alive (× 1.5, at most [`LONGEST_SILENCE`]), a write by a time, and the connection
//! itself by its token. What a client sent of a packet that is not yet whole counts against the hub's memory. A publish is acknowledged only when what it asked for is durable.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::filters::Subscriptions;
use super::login::{Login, Refusal, log_in};
use super::outbox::Outbox;
use super::protocol::{Connect, Packet, Protocol, ReturnCode, Step};
use super::published::Flags;
use super::registration;
use super::troubles;
use super::wire::Wire;
use crate::clock;
use crate::dps::UserName;
use crate::faults::What;
use crate::hub::Hub;
use crate::identity::Name;
use crate::limits::Visit;
use crate::links::Command;
use crate::store::Session as Kept;
use crate::tls::ClientCertificate;
use crate::wirelog::Tap;

/// The largest CONNECT: a will may be telemetry, but a stranger is not given that much room.
const LARGEST_CONNECT: usize = 64 * 1024;
/// IoT Hub's longest patience with a silent client: 29.45 minutes.
const LONGEST_SILENCE: Duration = Duration::from_secs(1767);
/// How often at most a busy client's activity is noted.
const NOTE_EVERY: Duration = Duration::from_secs(1);

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

/// Why a connection ended; the text goes to the log.
pub(super) type End = String;

pub(super) const NO_MEMORY: &str = "the hub's memory for what waits is used up";

/// Serves a connection to its end.
pub(crate) async fn serve(wire: impl Wire, hub: Arc<Hub>, peer: Peer, stop: CancellationToken) {
    let mut wire = Tap::new(wire, hub.wire_log.clone());
    let mut protocol = Protocol::new();
    let first = tokio::select! {
        first = Box::pin(timeout_at(peer.connect_by, first_packet(&mut wire, &mut protocol, &hub))) => first,
        () = peer.visit.overdue() => Ok(Err("made room for another".into())),
        () = stop.cancelled() => Ok(Err("the hub stops".into())),
    };
    let end = match first {
        Ok(Ok((connect, rest))) => match UserName::parse(&connect.user_name) {
            Some(user) => {
                registration::serve(&mut wire, protocol, hub, &peer, stop, (user, connect), rest).await
            }
            None => begin(&mut wire, protocol, hub, &peer, stop, connect, rest).await,
        },
        Ok(Err(end)) => end,
        Err(_elapsed) => "no CONNECT came in time".into(),
    };
    drop(timeout(Duration::from_secs(1), wire.close()).await);
    tracing::info!(peer = %peer.address(), end, "MQTT connection ended");
}

/// Reads up to and including CONNECT, and keeps what a hasty client sent behind it.
async fn first_packet(
    wire: &mut impl Wire,
    protocol: &mut Protocol,
    hub: &Hub,
) -> Result<(Connect, Vec<Step>), End> {
    let mut unfinished = hub.memory.take(0);
    let mut read = 0;
    loop {
        let bytes = wire.read().await.map_err(|error| error.to_string())?;
        let Some(bytes) = bytes else { return Err("closed before CONNECT".into()) };
        read += bytes.len();
        if read > LARGEST_CONNECT {
            return Err(format!("a CONNECT of more than {LARGEST_CONNECT} bytes"));
        }
        if !unfinished.as_mut().is_some_and(|unfinished| unfinished.grow(bytes.len())) {
            return Err(NO_MEMORY.into());
        }
        let mut steps = protocol.feed(&bytes).into_iter();
        while let Some(step) = steps.next() {
            match step {
                Step::Packet(Packet::Connect(connect)) => return Ok((connect, steps.collect())),
                Step::Packet(_) => return Err("a packet before CONNECT".into()),
                Step::Send(bytes) => write(wire, hub, bytes).await?,
                Step::Close(reason) => return Err(reason),
            }
        }
    }
}

async fn write(wire: &mut impl Wire, hub: &Hub, bytes: bytes::Bytes) -> Result<(), End> {
    match timeout(hub.limits.unread_within, wire.write(bytes)).await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(_elapsed) => Err("the client does not read what it is sent".into()),
    }
}

async fn begin(
    wire: &mut Tap<impl Wire>,
    mut protocol: Protocol,
    hub: Arc<Hub>,
    peer: &Peer,
    stop: CancellationToken,
    connect: Connect,
    rest: Vec<Step>,
) -> End {
    let entered = async {
        let login = log_in(&hub, peer, &connect).await?;
        troubles::enter(&hub, &login).await?;
        Ok::<_, Refusal>(login)
    };
    let login = match Box::pin(entered).await {
        Ok(login) => login,
        Err(refusal) => {
            tracing::warn!(peer = %peer.address(), code = ?refusal.code, reason = refusal.reason, "refused");
            peer.visit.fail();
            return send_all(wire, &hub, protocol.refuse(refusal.code)).await.err().unwrap_or(refusal.reason);
        }
    };
    wire.belongs_to(&login.name);
    peer.visit.prove();
    let (kept, present) = match Box::pin(restore(&hub, &login.name, connect.clean_session)).await {
        Ok(restored) => restored,
        Err(fault) => {
            let sent = send_all(wire, &hub, protocol.refuse(ReturnCode::Unavailable)).await;
            return sent.err().unwrap_or(fault);
        }
    };
    let subscriptions = Subscriptions::restored(kept);
    let (sender, commands) = mpsc::channel(hub.limits.queue.max(1));
    let number = hub.links.attach(&login.name, sender, subscriptions.clone());
    hub.presence.came(&login.name);
    let reason = "the hub let go of the connection".to_owned();
    let mut attached = Attached { hub: Arc::clone(&hub), name: login.name.clone(), number, reason };
    if hub.is_refused(&login.name) {
        // The operator's word came between the check at the door and the entry in the table.
        let sent = send_all(wire, &hub, protocol.refuse(ReturnCode::Unavailable)).await;
        return sent.err().unwrap_or_else(|| "refused for a while on request".into());
    }
    if !hub.record(&login.name).await.is_ok_and(|record| record.is_enabled()) {
        // Or it was disabled or deleted between the two.
        let sent = send_all(wire, &hub, protocol.refuse(ReturnCode::NotAuthorized)).await;
        return sent.err().unwrap_or_else(|| "disabled or deleted".into());
    }
    tracing::info!(device = %login.name, peer = %peer.address(), session_present = present, "connected");
    let mut session = Session {
        protocol,
        hub,
        number,
        clean: connect.clean_session,
        resumed: present,
        subscriptions,
        outbox: Outbox::default(),
        noted: Instant::now(),
        login,
        stop: stop.clone(),
        packets: 0,
        mute: false,
    };
    let end = match send_all(wire, &session.hub, session.protocol.accept(present)).await {
        Ok(()) => session.run(wire, commands, &stop, connect.keep_alive, rest).await,
        Err(end) => Err(end),
    };
    let end = match end {
        Ok(()) => "the client disconnected".into(),
        Err(end) => {
            if let Some((topic, payload)) = connect.will {
                session.deliver_will(&topic, &payload);
            }
            end
        }
    };
    attached.reason.clone_from(&end);
    end
}

async fn restore(hub: &Arc<Hub>, name: &Name, clean: bool) -> Result<(Kept, bool), End> {
    let name = name.clone();
    let restored = hub.blocking(move |hub| match (hub.store.session(&name)?, clean) {
        (Some(kept), false) => Ok((kept, true)),
        (kept, true) => {
            if kept.is_some() {
                hub.store.keep_session(&name, None)?;
            }
            Ok((Kept::default(), false))
        }
        (None, false) => {
            hub.store.keep_session(&name, Some(&Kept::default()))?;
            Ok((Kept::default(), false))
        }
    });
    restored.await.map_err(|fault| fault.to_string())
}

pub(super) async fn send_all(wire: &mut impl Wire, hub: &Hub, steps: Vec<Step>) -> Result<(), End> {
    for step in steps {
        match step {
            Step::Send(bytes) => write(wire, hub, bytes).await?,
            Step::Close(reason) => return Err(reason),
            Step::Packet(_) => {}
        }
    }
    Ok(())
}

/// The connection's entry in the table, which goes with it however it ends.
struct Attached {
    hub: Arc<Hub>,
    name: Name,
    number: u64,
    reason: String,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.hub.links.detach(&self.name, self.number, &self.reason) {
            self.hub.presence.went(&self.name);
        }
    }
}

/// A connected client.
pub(super) struct Session {
    pub(super) protocol: Protocol,
    pub(super) hub: Arc<Hub>,
    pub(super) number: u64,
    pub(super) subscriptions: Subscriptions,
    pub(super) login: Login,
    pub(super) outbox: Outbox,
    /// Whether an earlier connection's session goes on.
    pub(super) resumed: bool,
    pub(super) stop: CancellationToken,
    /// How many packets came, CONNECT aside.
    pub(super) packets: u64,
    /// A fault keeps the connection open and silent.
    pub(super) mute: bool,
    clean: bool,
    noted: Instant,
}

impl Session {
    /// `Ok` after a DISCONNECT, `Err` after any other end.
    async fn run(
        &mut self,
        wire: &mut impl Wire,
        mut commands: mpsc::Receiver<Command>,
        stop: &CancellationToken,
        keep_alive: u16,
        rest: Vec<Step>,
    ) -> Result<(), End> {
        if self.handle(wire, rest).await?.is_break() {
            return Ok(());
        }
        self.deliver(wire).await?;
        let patience = patience(keep_alive);
        let token_ends = self.login.expires.map(ends_at);
        let mut silent_until = Instant::now() + patience;
        let mut unfinished = self.hub.memory.take(0).ok_or(NO_MEMORY)?;
        loop {
            tokio::select! {
                read = wire.read() => {
                    let bytes = read.map_err(|error| error.to_string())?;
                    let Some(bytes) = bytes else { return Err("the client closed the connection".into()) };
                    if self.mute {
                        continue;
                    }
                    let steps = self.protocol.feed(&bytes);
                    // A whole packet counts as a sign of life; bytes that drip in do not.
                    if steps.is_empty() {
                        if !unfinished.grow(bytes.len()) {
                            return Err(NO_MEMORY.into());
                        }
                        continue;
                    }
                    silent_until = Instant::now() + patience;
                    unfinished.clear();
                    if Box::pin(self.handle(wire, steps)).await?.is_break() {
                        return Ok(());
                    }
                }
                command = commands.recv() => match command {
                    Some(Command::Publish { topic, payload, held }) => {
                        let times = if self.mute { 0 } else { self.passes(What::to_device(&topic)).await? };
                        for _ in 0..times {
                            let steps = self.protocol.publish(&topic, &payload);
                            send_all(wire, &self.hub, steps).await?;
                        }
                        drop(held);
                    }
                    Some(Command::Mail) => self.deliver(wire).await?,
                    Some(Command::Close(reason)) => return Err(reason.into()),
                    None => return Err("the hub let go of the connection".into()),
                },
                () = sleep_until(silent_until) => return Err("silent for longer than its keep-alive".into()),
                () = at(token_ends) => return Err("its token expired".into()),
                () = at(self.outbox.next_again()) => self.deliver_again(wire).await?,
                () = stop.cancelled() => return Err("the hub stops".into()),
            }
        }
    }

    async fn handle(&mut self, wire: &mut impl Wire, steps: Vec<Step>) -> Result<ControlFlow<()>, End> {
        for step in steps {
            if matches!(step, Step::Packet(_)) {
                self.count_packet()?;
            }
            if self.mute {
                break;
            }
            match step {
                Step::Send(bytes) => write(wire, &self.hub, bytes).await?,
                Step::Close(reason) => return Err(reason),
                Step::Packet(Packet::Other) => {}
                Step::Packet(Packet::Disconnect) => return Ok(ControlFlow::Break(())),
                Step::Packet(Packet::Connect(_)) => return Err("a second CONNECT".into()),
                Step::Packet(Packet::Subscribe { id, filters }) => {
                    let answer = self.subscribe(id, filters).await?;
                    send_all(wire, &self.hub, answer).await?;
                    self.deliver(wire).await?;
                }
                Step::Packet(Packet::Unsubscribe { id, filters }) => {
                    filters.iter().for_each(|filter| self.subscriptions.remove(filter));
                    self.keep_subscriptions().await?;
                    let steps = self.protocol.unsubscribed(id);
                    send_all(wire, &self.hub, steps).await?;
                }
                Step::Packet(Packet::Acknowledged { id }) => self.acknowledged(wire, id).await?,
                Step::Packet(Packet::Publish { id, qos, topic, payload, retain, duplicate }) => {
                    if qos > 1 {
                        return Err("a publish at quality of service 2".into());
                    }
                    self.note_activity();
                    let flags = Flags { retain, duplicate };
                    let Some(answer) = self.published(&topic, &payload, flags).await? else { continue };
                    if let Some(id) = id {
                        let steps = self.protocol.acknowledge(id);
                        send_all(wire, &self.hub, steps).await?;
                    }
                    send_all(wire, &self.hub, answer).await?;
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn note_activity(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.noted) >= NOTE_EVERY {
            self.noted = now;
            self.hub.presence.active(&self.login.name);
        }
    }

    async fn subscribe(&mut self, id: u16, filters: Vec<(String, u8)>) -> Result<Vec<Step>, End> {
        let mut granted = Vec::with_capacity(filters.len());
        for (filter, qos) in filters {
            let qos = self.subscriptions.add(&self.login.name, &filter, qos);
            granted.push(qos.ok_or_else(|| format!("a subscription to {filter:?}, which is not offered"))?);
        }
        self.keep_subscriptions().await?;
        Ok(self.protocol.subscribed(id, &granted))
    }

    /// Makes the subscriptions durable (unless the session is a clean one), then effective.
    async fn keep_subscriptions(&mut self) -> Result<(), End> {
        if !self.clean {
            let (name, kept) = (self.login.name.clone(), self.subscriptions.session());
            let keep = self.hub.blocking(move |hub| {
                if hub.store.session(&name)?.as_ref() != Some(&kept) {
                    hub.store.keep_session(&name, Some(&kept))?;
                }
                Ok(())
            });
            keep.await.map_err(|fault| fault.to_string())?;
        }
        self.hub.links.subscribe(&self.login.name, self.number, self.subscriptions.clone());
        Ok(())
    }
}

/// How long a client with this keep-alive, in seconds, may be silent.
pub(super) fn patience(keep_alive: u16) -> Duration {
    match keep_alive {
        0 => LONGEST_SILENCE,
        seconds => (Duration::from_secs(seconds.into()) * 3 / 2).min(LONGEST_SILENCE),
    }
}

/// When a token ends that is good until `expires`, in seconds since the epoch.
pub(super) fn ends_at(expires: u64) -> Instant {
    Instant::now() + Duration::from_secs(expires.saturating_sub(clock::now_seconds()).min(1 << 30))
}

/// Waits until then; for ever if there is no then.
pub(super) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
