//! The session: one connection after the other, until the device ends.
//!
//! Each connection gets a new MQTT client with a new password. Nothing that matters lives in the client: what is
//! unacknowledged stands in outbox, telemetry queue and method desk, so that a client may be thrown away at any
//! moment, whatever the hub says about the session it has or has not kept. After every CONNACK everything is
//! subscribed again, then the twin is read, then reported state flows.
//!
//! The client's event loop runs as one future that is never cancelled half-way; the other futures of a connection
//! run beside it in the same task and end with it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hotshoe_core::topic::{self, Incoming};
use rumqttc::{AsyncClient, ConnAck, Event, EventLoop, Packet, Publish};
use rustls::ClientConfig;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::credential::Source;
use super::desired::{Desired, Notice};
use super::link::{Link, Lost};
use super::methods::{Delivery, Methods};
use super::metrics::HubMetrics;
use super::outbox::Outbox;
use super::settings::{HubSettings, Identity};
use super::telemetry::TelemetryQueue;
use super::twin::{Answer, Requests};
use super::{Setbacks, reporter, transport};

/// How many pushed changes of the desired properties wait at most; the rest is made up for by a GET.
const NOTICES: usize = 64;
/// How long the hub may take to acknowledge what was sent before DISCONNECT.
const PARTING: Duration = Duration::from_secs(3);

pub(super) struct Session {
    pub(super) settings: HubSettings,
    pub(super) identity: Identity,
    pub(super) source: Source,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) outbox: Outbox,
    pub(super) desired: Desired,
    pub(super) telemetry: TelemetryQueue,
    pub(super) methods: Methods,
    pub(super) connected: watch::Sender<bool>,
    pub(super) setbacks: watch::Sender<Setbacks>,
    pub(super) retry: Arc<Notify>,
    pub(super) metrics: HubMetrics,
    pub(super) shutdown: CancellationToken,
}

/// Why this side ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Renewal,
    Shutdown,
}

enum Ended {
    Left(Leaving),
    Lost(Lost),
}

impl Session {
    /// Runs until `shutdown`.
    pub(super) async fn run(mut self) {
        // Connection numbers go into request ids; a random start keeps runs of the process apart.
        let mut number = u64::from(rand::random::<u32>());
        let (mut attempt, mut refusals, mut clean) = (0_u32, 0_u32, false);
        while !self.shutdown.is_cancelled() {
            number += 1;
            let span = tracing::info_span!("hub", device = %self.identity.client_id(), connection = number);
            let mut settled = None;
            let ended = self.connection(number, clean, &mut settled).instrument(span).await;
            self.connected.send_replace(false);
            self.outbox.linked(false);
            self.methods.through(None);
            if settled.is_some_and(|since: Instant| since.elapsed() >= self.settings.pace.settled) {
                attempt = 0;
            }
            if settled.is_some() {
                refusals = 0;
                self.setbacks.send_replace(Setbacks::default());
            }
            clean = false;
            let refused = matches!(ended, Ended::Lost(Lost::Refused { .. }));
            let wait = match ended {
                Ended::Left(Leaving::Shutdown) => break,
                Ended::Left(Leaving::Renewal) => continue,
                // The next connection brings a new token anyway; the first refusal may have been the old one's.
                Ended::Lost(Lost::Refused { code }) if refusals == 0 => {
                    tracing::warn!(code, "the hub refused the credential; trying once with a new token");
                    refusals = 1;
                    continue;
                }
                Ended::Lost(lost @ Lost::Refused { .. }) => {
                    let wait = self.settings.pace.refused.delay(refusals - 1, rand::random());
                    refusals = refusals.saturating_add(1);
                    tracing::error!(error = %lost, ?wait, "no connection to the hub");
                    wait
                }
                Ended::Lost(lost) => {
                    // A packet that is too large and kept by the hub would come again on every connection.
                    clean = matches!(lost, Lost::Oversize { .. });
                    let wait = self.settings.pace.reconnect.delay(attempt, rand::random());
                    attempt = attempt.saturating_add(1);
                    tracing::warn!(error = %lost, ?wait, "no connection to the hub");
                    wait
                }
            };
            self.metrics.losses.inc();
            if settled.is_none() {
                self.setbacks.send_modify(|setbacks| {
                    setbacks.connections = setbacks.connections.saturating_add(1);
                    setbacks.refusals = if refused { refusals } else { 0 };
                });
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.retry.notified() => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        self.methods.end();
    }

    /// One connection from CONNECT to its end. `settled` is set once it was subscribed.
    async fn connection(&mut self, number: u64, clean: bool, settled: &mut Option<Instant>) -> Ended {
        let Session { settings, identity, source, tls, outbox, desired, telemetry, methods, metrics, .. } =
            self;
        let (connected, shutdown) = (&self.connected, &self.shutdown);
        let started = Instant::now();
        let password = match source.password((settings.clock)()) {
            Ok(password) => password,
            Err(error) => return Ended::Lost(Lost::Link(error.to_string())),
        };
        let renew_at = password.renew_after.map(|after| started + after);
        let (client, mut events) = match transport::options(settings, identity, tls, password, clean) {
            Ok(options) => AsyncClient::builder(options).unbounded().build(),
            Err(error) => return Ended::Lost(Lost::Link(error.to_string())),
        };
        events.set_network_options(transport::network(settings));
        let session_present = tokio::select! {
            connack = connect(&mut events) => match connack {
                Ok(connack) => connack.session_present,
                Err(lost) => return Ended::Lost(lost),
            },
            () = shutdown.cancelled() => return Ended::Left(Leaving::Shutdown),
        };
        tracing::info!(session_present, "connected");

        let link = Link::new(client, number);
        let requests = Arc::new(Requests::new(link.clone(), settings.pace.answer));
        let (notices, mut changes) = mpsc::channel(NOTICES);
        methods.through(Some(link.clone()));
        let router = Router { methods: methods.clone(), requests: Arc::clone(&requests), notices, number };
        let left = OnceLock::new();

        let work = async {
            if let Err(lost) = subscribe(&link, settings.pace.answer).await {
                return lost;
            }
            *settled = Some(Instant::now());
            metrics.connects.inc();
            outbox.linked(true);
            connected.send_replace(true);
            // In this order: the GET of a new connection goes before any patch.
            tokio::select! {
                biased;
                lost = desired.follow(&requests, &mut changes, outbox, &settings.pace) => lost,
                lost = reporter::run(outbox, &requests, &settings.pace, metrics) => lost,
                lost = telemetry.run(&link, &settings.pace, metrics) => lost,
            }
        };
        let leave = async {
            let leaving = tokio::select! {
                () = shutdown.cancelled() => Leaving::Shutdown,
                () = at(renew_at) => Leaving::Renewal,
            };
            tracing::debug!(?leaving, "leaving");
            let drain = settings.pace.drain;
            match leaving {
                Leaving::Shutdown => {
                    methods.end();
                    quiet(&link, methods, Duration::ZERO, drain).await;
                    if !outbox.flush(drain).await {
                        tracing::warn!(
                            "reported state waits for the next start: the hub has not acknowledged it yet"
                        );
                    }
                }
                Leaving::Renewal => {
                    // Half of what the token has left belongs to the calls that still run.
                    let patience = renew_at.map(|at| at.duration_since(started) / 8).unwrap_or_default();
                    quiet(&link, methods, patience, drain).await;
                }
            }
            let _paused = tokio::time::timeout(settings.pace.drain, requests.pause()).await;
            let _ = left.set(leaving);
            link.disconnect(PARTING);
            std::future::pending::<()>().await;
        };
        // In this order: what has arrived is seen before the connection is left.
        let lost = tokio::select! {
            biased;
            lost = pump(&mut events, &router) => lost,
            lost = work => lost,
            () = leave => Lost::Link("left".to_owned()),
        };
        match left.get() {
            Some(leaving) => Ended::Left(*leaving),
            None => Ended::Lost(lost),
        }
    }
}

/// Up to the hub's CONNACK.
async fn connect(events: &mut EventLoop) -> Result<ConnAck, Lost> {
    loop {
        if let Event::Incoming(Packet::ConnAck(connack)) = events.poll().await? {
            return Ok(connack);
        }
    }
}

/// All three filters in one packet; done when the hub has granted them.
async fn subscribe(link: &Link, timeout: Duration) -> Result<(), Lost> {
    let notice = link.subscribe(&[topic::METHODS, topic::TWIN_RESPONSES, topic::DESIRED])?;
    match tokio::time::timeout(timeout, notice.wait_completion_async()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Lost::Subscription(error.to_string())),
        Err(_) => Err(Lost::Silent { what: "SUBSCRIBE", timeout }),
    }
}

/// Lets the calls that run come to their answers, and sees to it that none is on its way when the link ends: a hub
/// that has acknowledged UNSUBSCRIBE sends no more of them, and what it sent before has arrived. Until the next
/// connection has subscribed, callers hear from the hub that the device is away (docs/decisions/0209).
///
/// First with calls still coming, for at most `patience`, so that the device is away for a moment and not for as long
/// as its slowest call; then without, for at most `drain`.
async fn quiet(link: &Link, methods: &Methods, patience: Duration, drain: Duration) {
    let _ = tokio::time::timeout(patience, methods.quiet()).await;
    match link.unsubscribe(topic::METHODS) {
        Ok(notice) => match tokio::time::timeout(drain, notice.wait_completion_async()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "direct methods stay subscribed until the end"),
            Err(_) => tracing::debug!("the hub does not answer UNSUBSCRIBE"),
        },
        Err(error) => tracing::debug!(%error, "direct methods stay subscribed until the end"),
    }
    let _ = tokio::time::timeout(drain, methods.quiet()).await;
}

/// Drives the connection and hands on what comes in, until it ends.
async fn pump(events: &mut EventLoop, router: &Router) -> Lost {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => router.incoming(publish),
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Where a message belongs, by its topic.
struct Router {
    methods: Methods,
    requests: Arc<Requests>,
    notices: mpsc::Sender<Notice>,
    number: u64,
}

impl Router {
    fn incoming(&self, publish: Publish) {
        let Publish { topic, payload, dup, .. } = publish;
        let Ok(topic) = std::str::from_utf8(&topic) else { return };
        match topic::parse_incoming(topic) {
            Incoming::Method { name, request_id } => {
                self.methods.deliver(Delivery { name, request_id, again: dup, payload }, self.number);
            }
            Incoming::TwinResponse { status, request_id, .. } => {
                self.requests.answered(request_id, Answer { status, body: payload.to_vec() });
            }
            Incoming::Desired { version } => {
                if self.notices.try_send(Notice { version, body: payload.to_vec() }).is_err() {
                    tracing::debug!(
                        "changes of the desired properties come too fast; a GET will make up for it"
                    );
                }
            }
            Incoming::CloudToDevice { .. } => {
                tracing::debug!("cloud-to-device message dropped: nobody takes them here")
            }
            Incoming::Unknown => tracing::debug!(topic, "message on an unknown topic dropped"),
        }
    }
}
