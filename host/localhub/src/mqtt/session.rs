//! A client that was let in: what comes from it and what goes to it, until either ends.
//!
//! Silence is bounded by the keep-alive (× 1.5, at most [`LONGEST_SILENCE`]), a write by a time, and the session itself
//! by its token. A publish is acknowledged only when what it asked for is durable.
//!
//! A session mostly waits. What it does when something happened runs in a future that is boxed for that moment, and
//! it waits with one timer: both for the sake of the memory of those that idle.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::filters::Subscriptions;
use super::login::Login;
use super::outbox::Outbox;
use super::pace::Pace;
use super::protocol::{Packet, Protocol, Step};
use super::published::Flags;
use super::wire::Wire;
use crate::clock;
use crate::faults::What;
use crate::hub::Hub;
use crate::limits::Share;
use crate::links::Command;

/// IoT Hub's longest patience with a silent client: 29.45 minutes.
const LONGEST_SILENCE: Duration = Duration::from_secs(1767);
/// How often at most a busy client's activity is noted.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Why a connection ended; the text goes to the log.
pub(super) type End = String;

pub(super) const NO_MEMORY: &str = "the hub's memory for what waits is used up";

/// A connected client. Its entry in the table of connections goes with it.
pub(super) struct Session {
    pub(super) protocol: Protocol,
    pub(super) hub: Arc<Hub>,
    pub(super) number: u64,
    pub(super) subscriptions: Subscriptions,
    pub(super) login: Login,
    pub(super) outbox: Outbox,
    pub(super) pace: Pace,
    /// Whether an earlier connection's session goes on.
    pub(super) resumed: bool,
    pub(super) stop: CancellationToken,
    /// How many packets came, CONNECT aside.
    pub(super) packets: u64,
    /// A fault keeps the connection open and silent.
    pub(super) mute: bool,
    /// What is published if it does not say goodbye: topic and body.
    pub(super) will: Option<(String, Bytes)>,
    commands: mpsc::Receiver<Box<Command>>,
    clean: bool,
    noted: Instant,
    patience: Duration,
    silent_until: Instant,
    token_ends: Option<Instant>,
    unfinished: Option<Share>,
    ended: Option<End>,
}

/// What of a session was there before its connection.
pub(super) struct Kept {
    pub(super) subscriptions: Subscriptions,
    pub(super) resumed: bool,
    pub(super) clean: bool,
}

/// What a session waits for.
enum Event {
    Read(Option<Bytes>),
    Told(Option<Box<Command>>),
    Due,
}

impl Session {
    /// Enters the client in the table of connections, from which an older connection of its goes.
    pub(super) fn attach(
        protocol: Protocol,
        hub: Arc<Hub>,
        login: Login,
        stop: CancellationToken,
        kept: Kept,
        keep_alive: u16,
    ) -> Box<Self> {
        let Kept { subscriptions, resumed, clean } = kept;
        let (sender, commands) = mpsc::channel(hub.limits.queue.max(1));
        let number = hub.links.attach(&login.name, sender, subscriptions.clone());
        hub.presence.came(&login.name);
        let (now, patience) = (Instant::now(), patience(keep_alive));
        Box::new(Self {
            protocol,
            number,
            subscriptions,
            outbox: Outbox::default(),
            pace: Pace::new(&hub.limits),
            resumed,
            stop,
            packets: 0,
            mute: false,
            will: None,
            commands,
            clean,
            noted: now,
            patience,
            silent_until: now + patience,
            token_ends: login.expires.map(ends_at),
            unfinished: hub.memory.take(0),
            ended: None,
            login,
            hub,
        })
    }

    /// Sends the CONNACK.
    pub(super) async fn accept(&mut self, wire: &mut impl Wire) -> Result<(), End> {
        let steps = self.protocol.accept(self.resumed);
        send_all(wire, &self.hub, steps).await
    }

    /// Serves the client, whose first packets may be there already, to its end.
    pub(super) async fn serve(mut self: Box<Self>, wire: &mut impl Wire, rest: Vec<Step>) -> End {
        match self.run(wire, rest).await {
            Ok(()) => {
                let end = "the client disconnected";
                self.ended = Some(end.into());
                end.into()
            }
            Err(end) => {
                self.end(&end);
                end
            }
        }
    }

    /// Notes an end that was none of the client's saying: its will is published.
    pub(super) fn end(&mut self, reason: &str) {
        if let Some((topic, payload)) = self.will.take() {
            self.deliver_will(&topic, &payload);
        }
        self.ended = Some(reason.to_owned());
    }

    /// `Ok` after a DISCONNECT, `Err` after any other end.
    async fn run(&mut self, wire: &mut impl Wire, rest: Vec<Step>) -> Result<(), End> {
        if Box::pin(self.handle(wire, rest)).await?.is_break() {
            return Ok(());
        }
        Box::pin(self.deliver(wire)).await?;
        self.silent_until = Instant::now() + self.patience;
        loop {
            let due = [self.token_ends, self.outbox.next_again()].into_iter().flatten();
            let due = due.chain(self.pace.held_until()).fold(self.silent_until, Instant::min);
            let event = tokio::select! {
                read = wire.read(), if !self.pace.is_held(Instant::now) => Event::Read(read.map_err(|error| error.to_string())?),
                command = self.commands.recv() => Event::Told(command),
                () = sleep_until(due) => Event::Due,
                () = self.stop.cancelled() => return Err("the hub stops".into()),
            };
            if Box::pin(self.take(wire, event)).await?.is_break() {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, wire: &mut impl Wire, event: Event) -> Result<ControlFlow<()>, End> {
        match event {
            Event::Read(Some(bytes)) => return self.read(wire, &bytes).await,
            Event::Read(None) => return Err("the client closed the connection".into()),
            Event::Told(Some(command)) => self.obey(wire, *command).await?,
            Event::Told(None) => return Err("the hub let go of the connection".into()),
            Event::Due => {
                let now = Instant::now();
                if self.silent_until <= now {
                    return Err("silent for longer than its keep-alive".into());
                }
                if self.token_ends.is_some_and(|end| end <= now) {
                    return Err("its token expired".into());
                }
                self.deliver_again(wire).await?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn read(&mut self, wire: &mut impl Wire, bytes: &[u8]) -> Result<ControlFlow<()>, End> {
        if self.mute {
            return Ok(ControlFlow::Continue(()));
        }
        let steps = self.protocol.feed(bytes);
        let packets = steps.iter().filter(|step| matches!(step, Step::Packet(_))).count();
        let now = Instant::now();
        let is_others_turn = self.pace.spend(packets, bytes.len(), now);
        if packets > 0 {
            // A whole packet counts as a sign of life; bytes that drip in do not.
            self.silent_until = now + self.patience;
        }
        if let Some(until) = self.pace.held_until() {
            // While nothing is read the client cannot show that it is there.
            self.silent_until = self.silent_until.max(until + self.patience);
        }
        if is_others_turn {
            tokio::task::yield_now().await;
        }
        let unfinished = self.unfinished.as_mut().ok_or(NO_MEMORY)?;
        if steps.is_empty() {
            return match unfinished.grow(bytes.len()) {
                true => Ok(ControlFlow::Continue(())),
                false => Err(NO_MEMORY.into()),
            };
        }
        unfinished.clear();
        self.handle(wire, steps).await
    }

    async fn obey(&mut self, wire: &mut impl Wire, command: Command) -> Result<(), End> {
        match command {
            Command::Publish { topic, payload, held } => {
                let times = if self.mute { 0 } else { self.passes(What::to_device(&topic)).await? };
                for _ in 0..times {
                    self.pace.asked();
                    let steps = self.protocol.publish(&topic, &payload);
                    send_all(wire, &self.hub, steps).await?;
                }
                drop(held);
                Ok(())
            }
            Command::Mail => self.deliver(wire).await,
            Command::Close(reason) => Err(reason.into()),
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
                Step::Close(reason) => return Err(self.offence(reason)),
                Step::Packet(Packet::Other) => {}
                Step::Packet(Packet::Disconnect) => return Ok(ControlFlow::Break(())),
                Step::Packet(Packet::Connect(_)) => return Err(self.offence("a second CONNECT".into())),
                Step::Packet(Packet::Subscribe { id, filters }) => {
                    let answer = self.subscribe(id, filters).await?;
                    send_all(wire, &self.hub, answer).await?;
                    self.deliver(wire).await?;
                }
                Step::Packet(Packet::Unsubscribe { id, filters }) => {
                    filters.iter().for_each(|filter| self.subscriptions.remove(filter));
                    self.keep_subscriptions().await?;
                    // What was on its way by then comes before the word that no more will.
                    for _ in 0..self.commands.len() {
                        let Ok(command) = self.commands.try_recv() else { break };
                        self.obey(wire, *command).await?;
                    }
                    let steps = self.protocol.unsubscribed(id);
                    send_all(wire, &self.hub, steps).await?;
                }
                Step::Packet(Packet::Acknowledged { id }) => self.acknowledged(wire, id).await?,
                Step::Packet(Packet::Publish { id, qos, topic, payload, retain, duplicate }) => {
                    if qos > 1 {
                        return Err(self.offence("a publish at quality of service 2".into()));
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

    /// Ends the connection for what the client did, which is written down.
    pub(super) fn offence(&self, reason: End) -> End {
        self.hub.offences.note(&self.login.name, Instant::now());
        reason
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
            let offence = || self.offence(format!("a subscription to {filter:?}, which is not offered"));
            granted.push(qos.ok_or_else(offence)?);
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

impl Drop for Session {
    fn drop(&mut self) {
        let reason = self.ended.as_deref().unwrap_or("the hub let go of the connection");
        if self.hub.links.detach(&self.login.name, self.number, reason) {
            self.hub.presence.went(&self.login.name);
        }
    }
}

pub(super) async fn write(wire: &mut impl Wire, hub: &Hub, bytes: bytes::Bytes) -> Result<(), End> {
    match timeout(hub.limits.unread_within, wire.write(bytes)).await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(_elapsed) => Err("the client does not read what it is sent".into()),
    }
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
