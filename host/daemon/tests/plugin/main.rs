//! Plugins as the device meets them: real components, compiled by the real compiler, run by the real engine.
//!
//! Needs `hotshoe-aot` beside the tests and the guests in `target/guests` (or where `HOTSHOE_GUESTS` says); `cargo xtask
//! test` builds both first.

// All of it is tests, the helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod calling;
mod jobs;
mod loading;
mod reaching;
#[path = "../fetch/server.rs"]
#[allow(dead_code)] // Made for the tests of fetching; this is one of what it can do.
mod server;
mod stage;
mod updating;
