//! What a Hotshoe plugin is written against.
//!
//! A plugin answers direct methods and carries out jobs; the host does the rest: it fetches, writes slots,
//! reports, restarts, and calls again after an interruption of any kind. This crate puts a Rust face on the
//! contract in `wit/`: one trait, [`Plugin`], whose methods all have defaults, one module per interface of the
//! host, and [`testing::Device`], a device in memory on which a plugin is tested natively in milliseconds.
//!
//! A whole plugin, and its test:
//!
//! ```
//! use hotshoe_guest::{Plugin, Rejection, Reply, Request};
//! use serde_json::json;
//!
//! struct Greeter;
//!
//! impl Plugin for Greeter {
//!     fn handle(request: Request) -> Result<Reply, Rejection> {
//!         Ok(Reply::ok(json!({ "hello": request.parse::<String>()? })))
//!     }
//! }
//!
//! hotshoe_guest::export!(Greeter);
//!
//! # fn main() {
//! let device = hotshoe_guest::testing::Device::new();
//! assert_eq!(device.call::<Greeter>("greet", json!("world")).payload, json!({ "hello": "world" }));
//! # }
//! ```
//!
//! Every call runs in a fresh instance: statics hold nothing from one call to the next. What must last goes
//! through [`Job::store`], [`storage`] or [`report`]. What the crate does not do: it has no way to reboot, to
//! sleep or to open a socket; a job *returns* what should happen ([`Outcome`]).

#[cfg(target_arch = "wasm32")]
mod adapter;
#[doc(hidden)]
pub mod bindings;
pub mod desired;
pub mod device;
pub mod download;
mod export;
pub mod flash;
mod job;
pub mod log;
mod method;
mod plugin;
pub mod report;
pub mod storage;
pub mod telemetry;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[cfg(target_arch = "wasm32")]
use bindings::hotshoe::plugin as host;
#[cfg(not(target_arch = "wasm32"))]
use testing::host;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use adapter::Adapter;
pub use desired::Document;
pub use job::{Checkpoint, Failure, Job, Outcome, RawCheckpoint, SaveError, Wake};
pub use method::{JobSpec, Rejection, Reply, Request, Response};
pub use plugin::{Decision, Plugin};
