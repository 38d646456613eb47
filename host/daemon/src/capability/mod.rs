//! Capabilities: what the host does when a plugin asks.
//!
//! One file for each interface of the contract. Here a guest's call becomes one of the host's own types, is checked
//! against what the plugin was granted, bounded in size, time and rate, and handed to the service that does the
//! work; the answer becomes one of the contract's cases, which say whether a retry helps. No policy is made here
//! (`hotshoe_core::grants`), no file is written here (`state`, `artifact`, `flash`), and nothing here blocks the
//! executor: what waits for a disk does so on a thread for that.
//!
//! A capability is reached only when it was linked, and it is linked only when it was granted
//! (`plugin::link`). The checks stay nevertheless: the second lock costs nothing.

mod allowance;
pub(crate) mod bindings;
mod context;
mod desired;
mod device;
mod download;
mod entry;
mod flash;
mod gate;
mod history;
mod job;
pub(crate) mod limits;
mod log;
mod ownership;
mod report;
mod source;
mod storage;
mod telemetry;
mod usage;
mod wasi;

pub use context::{OfDevice, Services, Tenant};
pub use device::{DeviceFacts, Uptime, WallClock};
pub use entry::Probe;
pub use flash::OpenStaging;
pub use history::{Author, History, Line, Logs};
pub use job::RunningJob;
pub use log::LogSink;
pub use source::OpenSource;
pub use usage::Usage;

pub(crate) use allowance::Allowance;
pub(crate) use context::Context;
pub(crate) use log::plain;
pub(crate) use ownership::overlap;
