//! The device's session with IoT Hub: direct methods in, reported properties and telemetry out, desired properties
//! kept at hand. The one place that speaks MQTT.
//!
//! Promises: reported state that was taken is delivered, over lost links, restarts and power cuts (`outbox`); a
//! method call is answered once (`methods`); the desired properties end up as the service set them (`desired`); the
//! connection comes back by itself for as long as the process lives (`session`). No input from the network panics,
//! blocks or grows memory without bound: each queue has a limit and each refusal an answer.
//!
//! A device that is not told its hub asks the provisioning service (`provisioning`).
//!
//! It does not decide what a method does, does not know jobs or plugins, and takes no cloud-to-device messages.
//! Wire contract: iothub.md.

mod backoff;
mod credential;
mod desired;
mod kept;
mod link;
mod methods;
mod metrics;
mod outbox;
mod progress;
mod provisioning;
mod reporter;
mod session;
mod settings;
mod telemetry;
mod transport;
mod twin;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hotshoe_core::method::MethodResponse;
use hotshoe_core::sas::SasError;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use self::backoff::Backoff;
pub use self::desired::{Desired, Document};
pub use self::metrics::HubMetrics;
pub use self::outbox::{Outbox, OutboxError, REJECTED, Work};
pub use self::provisioning::{Assignment, Provisioner, ProvisioningKey, ProvisioningSettings};
pub use self::settings::{Clock, HubSettings, KEEP_ALIVE_LIMIT, Pace, Transport};
pub use self::telemetry::{MESSAGE_LIMIT, Telemetry, TelemetryError, TelemetryQueue};
pub use self::transport::shared_tls;
use crate::state::{StateDir, StateError};

/// A direct method call that waits for its answer.
#[derive(Debug)]
pub struct MethodCall {
    /// The method's name, as it stood in the topic.
    pub name: String,
    /// Its payload: valid JSON of at most 128 KiB, or empty.
    pub payload: Bytes,
    /// Where the answer goes. Dropped without one, the caller gets 500.
    pub reply: oneshot::Sender<MethodResponse>,
    /// Names this call in logs; unique within the life of the process.
    pub call_id: String,
}

/// The running session, as the rest of the device sees it.
pub struct Hub {
    /// The durable reported state.
    pub outbox: Outbox,
    /// Device-to-cloud messages.
    pub telemetry: Telemetry,
    /// The desired properties as last seen.
    pub desired: Desired,
    /// Direct method calls, in the order of their arrival.
    pub calls: mpsc::Receiver<MethodCall>,
    /// True while the device is connected and subscribed.
    pub connected: watch::Receiver<bool>,
    /// How often in a row it did not come to that.
    pub setbacks: watch::Receiver<Setbacks>,
    /// Has the session try again now, where it waits between two connections.
    pub retry: Arc<Notify>,
    /// What the session counts.
    pub metrics: HubMetrics,
}

/// How often in a row a connection did not come about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setbacks {
    /// For whatever reason.
    pub connections: u32,
    /// Because the hub refused the credential, or does not know the device.
    pub refusals: u32,
}

/// Why the session could not be started. Nothing was opened.
#[derive(Debug, Error)]
pub enum HubError {
    /// A connection string of a service, not of a device.
    #[error("connection string names no DeviceId; take the device's own connection string")]
    NoDevice,
    /// `x509=true` and no certificate.
    #[error(
        "connection string says x509=true but no client certificate is configured; set certificate_file and private_key_file"
    )]
    NoCertificate,
    /// The hub would not honour it.
    #[error("keep_alive of {seconds} s: the hub honours 1 s to 1177 s; choose a value between")]
    KeepAlive {
        /// As configured.
        seconds: u64,
    },
    /// Shorter than a clock can tell.
    #[error("token_lifetime of {seconds} s: it must be at least 1 s")]
    TokenLifetime {
        /// As configured.
        seconds: u64,
    },
    /// No token can be made from the key.
    #[error("no token can be made from the connection string's key: {0}")]
    Key(#[from] SasError),
    /// Certificate and key do not fit.
    #[error("client certificate and key cannot be used: {0}")]
    Certificate(#[source] rustls::Error),
    /// The TLS library refused its configuration.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] rustls::Error),
    /// The MQTT client refused its options.
    #[error("MQTT cannot be set up: {0}")]
    Options(String),
    /// The outbox could not be opened.
    #[error("reported state cannot be opened: {0}")]
    Outbox(#[from] OutboxError),
    /// The last desired properties could not be opened.
    #[error("desired properties cannot be opened: {0}")]
    Desired(#[from] StateError),
}

/// Starts the session with what an earlier run left in `state`, a directory of its own.
///
/// Returns at once; the connection is made, and made again, in the background. Cancelling `shutdown` refuses new
/// calls, lets running ones and the outbox finish (bounded by [`Pace::drain`] each), disconnects and ends the task.
/// Must be called within a Tokio runtime.
pub fn start(
    settings: HubSettings,
    state: StateDir,
    shutdown: CancellationToken,
) -> Result<(Hub, JoinHandle<()>), HubError> {
    let identity = settings.check()?;
    let certificate = settings.client_certificate.is_some();
    let source =
        credential::Source::new(&settings.connection, &identity, settings.token_lifetime, certificate)?;
    let tls = transport::tls(&settings)?;
    // What can be wrong with the options is found now, not at the first connection.
    transport::options(&settings, &identity, &tls, source.password(0)?, false)?;

    let metrics = HubMetrics::default();
    let outbox = Outbox::open(state.clone())?;
    let desired = Desired::open(state)?;
    let (telemetry, telemetry_queue) =
        Telemetry::queue(&identity.device, identity.module.as_deref(), telemetry::QUEUE_LIMIT);
    let (methods, calls) = methods::Methods::new(metrics.clone());
    let connected = watch::Sender::new(false);
    let (setbacks, retry) = (watch::Sender::new(Setbacks::default()), Arc::new(Notify::new()));
    let hub = Hub {
        outbox: outbox.clone(),
        telemetry,
        desired: desired.clone(),
        calls,
        connected: connected.subscribe(),
        setbacks: setbacks.subscribe(),
        retry: Arc::clone(&retry),
        metrics: metrics.clone(),
    };
    let session = session::Session {
        settings,
        identity,
        source,
        tls,
        outbox,
        desired,
        telemetry: telemetry_queue,
        methods,
        connected,
        setbacks,
        retry,
        metrics,
        shutdown,
    };
    let task = tokio::spawn(session.run().in_current_span());
    Ok((hub, task))
}

/// A lock that no panic elsewhere can poison: every value here is whole between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
