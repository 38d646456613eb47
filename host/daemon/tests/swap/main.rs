//! Plugins that are swapped while they are called: real components, real disk, real engine.
//!
//! Needs `hotshoe-aot` beside the tests and the guests in `target/guests` (or where `HOTSHOE_GUESTS` says); `cargo xtask
//! test` builds both first.

// All of it is tests, the helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod adopting;
mod cuts;
mod failing;
mod installing;
mod load;
mod returning;
mod rig;
#[path = "../plugin/stage.rs"]
#[allow(dead_code)] // Made for the tests of single plugins; this is a part of what it can do.
mod stage;
mod starting;
#[path = "../support/strace.rs"]
mod strace;
mod swaps;
