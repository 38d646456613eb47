//! The device process as a whole: opens everything in order, runs it, and ends it in the opposite order.
//!
//! Promise: whatever one plugin, one file or one call does, the others are served. What is wrong with the
//! configuration is found before anything is opened (`config`); what is wrong with a plugin's file is logged and
//! reported, and the device runs without that plugin; only what nobody could work around (the state directory, the
//! slots, the engine) ends the process, with an exit status that says which.
//!
//! Order at the start: durable state, which hub (`provision`), hub (so that it connects while the rest goes on), the jobs of earlier lives, the
//! plugins that run them, then calls. Order at the end: no new calls, jobs to a stop, the outbox sent, the link closed.

mod check;
mod dispatch;
mod error;
mod facts;
mod identity;
mod jobs;
mod log;
mod mend;
mod methods;
mod native;
mod provision;
mod safe_mode;
mod service;
mod settings;
mod slots;
mod start;
mod wanted;

pub use error::DaemonError;
pub use log::start as start_log;
pub use safe_mode::{SafeMode, give_up_trial};
pub use service::Notify;
pub use slots::FlashDirs;
pub use start::{Dirs, Then, run};
