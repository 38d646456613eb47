//! The hub session against a hub that misbehaves on purpose, over real TLS sockets and real files.
//!
//! `broker` is a small IoT Hub with a script: it serves one device truthfully until the script says otherwise.
//! No test sleeps; each waits for something to be true and fails when it is not within [`broker::PATIENCE`].

// Everything here is a test, the helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod broker;
mod device;
mod face;
#[path = "../fetch/server.rs"]
#[allow(dead_code, reason = "shared with the tests of fetch")]
mod server;

mod credentials;
mod desired;
mod hostile;
mod link;
mod localhub;
mod methods;
mod provisioning;
mod reported;
mod telemetry;
