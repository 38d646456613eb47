//! IoT Hub's throttles on request: `--throttle s1` (`iothub.md` §8.1).
//!
//! Off by default, because a development hub that says 429 by itself helps nobody; on, it shows whether devices and
//! back ends have the manners that the service expects. One bucket for each kind of operation, over the whole hub,
//! sized as one unit of the tier. As the service does, the hub first smooths: what comes too early waits, up to
//! [`SMOOTHED`]; what would wait longer is refused, with 429001 over REST and in twin answers, with CONNACK 3 for
//! connections, and by closing the connection for telemetry, for which MQTT has no other word. The devices of a job
//! wait for their turn however long that takes: a job is slow, and fails for no device because of that.
//!
//! What it does not do: daily quotas, and limits that depend on the number of units.

mod bucket;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

pub(crate) use self::bucket::{Bucket, Passage};
use crate::fault::Fault;

/// The longest that an operation is held back before it is refused.
const SMOOTHED: Duration = Duration::from_secs(5);
/// Direct methods are metered in steps of so many bytes.
const STEP: usize = 4 * 1024;

/// Whose throttles are simulated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Tier {
    /// None.
    #[default]
    Off,
    /// Standard tier 1, one unit.
    S1,
}

/// A kind of operation with a throttle of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A new device connection.
    Connect,
    /// A device-to-cloud message.
    Telemetry,
    /// A direct method, with the bytes of its payload.
    Method(usize),
    /// Reading a twin, by device or operator.
    TwinRead,
    /// Changing a twin, by device or operator.
    TwinUpdate,
    /// A query.
    Query,
    /// Reading or changing an identity.
    Registry,
    /// Making, reading or cancelling a job.
    Job,
    /// A job's work on one device, whatever it does there.
    JobWork,
    /// A cloud-to-device message.
    Message,
    /// Making, reading or changing a configuration.
    Configuration,
}

/// S1, one unit: operations in a period. The order is that of [`Operation::index`].
const S1: [(f64, Duration); 11] = [
    (100.0, Duration::from_secs(1)),
    (100.0, Duration::from_secs(1)),
    (40.0, Duration::from_secs(1)), // 160 KB/s in steps of 4 KB
    (100.0, Duration::from_secs(1)),
    (50.0, Duration::from_secs(1)),
    (20.0, Duration::from_secs(60)),
    (100.0, Duration::from_secs(60)),
    (100.0, Duration::from_secs(60)),
    (10.0, Duration::from_secs(1)),
    (100.0, Duration::from_secs(60)),
    (20.0, Duration::from_secs(60)),
];

impl Operation {
    fn index(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::Telemetry => 1,
            Self::Method(_) => 2,
            Self::TwinRead => 3,
            Self::TwinUpdate => 4,
            Self::Query => 5,
            Self::Registry => 6,
            Self::Job => 7,
            Self::JobWork => 8,
            Self::Message => 9,
            Self::Configuration => 10,
        }
    }

    fn cost(self) -> f64 {
        match self {
            Self::Method(bytes) => u32::try_from(bytes.div_ceil(STEP).max(1)).map_or(f64::MAX, f64::from),
            _ => 1.0,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Connect => "device connections",
            Self::Telemetry => "device-to-cloud messages",
            Self::Method(_) => "direct methods",
            Self::TwinRead => "twin reads",
            Self::TwinUpdate => "twin updates",
            Self::Query => "queries",
            Self::Registry => "identity registry operations",
            Self::Job => "job operations",
            Self::JobWork => "devices that jobs work on",
            Self::Message => "cloud-to-device messages",
            Self::Configuration => "configuration operations",
        }
    }
}

/// The throttles of a hub.
#[derive(Debug)]
pub(crate) struct Throttle(Option<Vec<Mutex<Bucket>>>);

impl Throttle {
    pub(crate) fn new(tier: Tier) -> Self {
        let bucket = |(number, period): &(f64, Duration)| Mutex::new(Bucket::new(*number, *period));
        match tier {
            Tier::Off => Self(None),
            Tier::S1 => Self(Some(S1.iter().map(bucket).collect())),
        }
    }

    /// Returns when the operation may go on, at once as a rule; fails when it would have to wait for too long.
    pub(crate) async fn pass(&self, operation: Operation) -> Result<(), Fault> {
        match self.take(operation, SMOOTHED) {
            Passage::Now => Ok(()),
            Passage::After(wait) => {
                tracing::debug!(?operation, ?wait, "throttled");
                sleep(wait).await;
                Ok(())
            }
            Passage::Refused => {
                tracing::info!(?operation, "refused by the throttle");
                let text = format!("too many {} for this tier; back off and repeat", operation.words());
                Err(Fault::Throttled { text, method: matches!(operation, Operation::Method(_)) })
            }
        }
    }

    /// Returns when the operation may go on, however long that takes.
    pub(crate) async fn turn(&self, operation: Operation) {
        if let Passage::After(wait) = self.take(operation, Duration::MAX) {
            sleep(wait).await;
        }
    }

    fn take(&self, operation: Operation, patience: Duration) -> Passage {
        let Some(bucket) = self.0.as_ref().and_then(|buckets| buckets.get(operation.index())) else {
            return Passage::Now;
        };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(operation.cost(), Instant::now(), patience)
    }
}
