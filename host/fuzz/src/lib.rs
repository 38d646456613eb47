//! What the fuzzers call: one function per surface that others write to.
//!
//! Hubs, servers, plugins, files and operators all give the device bytes that somebody else chose. Each such surface is a
//! [`Target`] here: a function from any bytes to nothing, which ends in bounded time and memory and asserts what must
//! hold. What must hold is more than not to panic: what was read and written is read again as the same, what was refused
//! has changed nothing, what carries a seal is believed with that seal alone.
//!
//! The bodies are ordinary code on the stable compiler, so the test of this crate replays every committed input and some
//! thousand changed ones on each run of the tests; libFuzzer (`fuzz/`, nightly) calls the same functions, millions of
//! times (`cargo xtask torture --only fuzz`). `docs/fuzzing.md` tells how a finding becomes a regression case.
//!
//! What it does not cover: the compiler of plugins (a process of its own with bounds of its own), TLS (rustls fuzzes
//! itself), and what takes sockets or disks to go wrong (the simulator and the tests of hostile servers and hubs).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test tool: a promise that is broken must stop it"
)]

mod conversation;
pub mod corpus;
mod device;
mod hub;
pub mod memory;
pub mod mutate;
mod pieces;
mod targets;

pub use targets::{TARGETS, Target, find, tuf_seeds};
