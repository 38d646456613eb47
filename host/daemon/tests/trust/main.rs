//! Signed repositories, seen from a device: what it takes, what it refuses and by which name.
//!
//! Each case is a real repository, signed here and served over TLS.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;
mod author;
mod clock;
mod device;
mod honest;
mod images;
mod power;
#[path = "../fetch/server.rs"]
#[allow(dead_code, reason = "shared with the tests of fetch")]
mod server;
