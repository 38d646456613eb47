//! What one version of a plugin uses of the device, counted where it is used.
//!
//! The figures are handles into the device's metrics (`plugin::Metrics` makes them when a plugin is loaded), so that
//! counting is an addition and nothing is looked up in a call.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

/// The figures of one version of a plugin. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Bytes that came over the network for it; what an earlier fetch had left is not among them.
    pub fetched: Counter,
    /// Bytes written into slots for it.
    pub flashed: Counter,
    /// Log lines over its rate, which nobody sees.
    pub dropped: Counter,
    /// The most memory that one of its instances had, in bytes.
    pub memory: Gauge,
}
