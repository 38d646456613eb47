//! The hub as its clients see it: real sockets, real TLS, real files. Packets are written and read by another
//! codec than the hub's own.

// The lint's own exception for tests covers test functions, not the helpers they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bulk;
mod certificates;
mod client;
mod cloud;
mod configurations;
mod durable;
mod events;
mod fair;
mod faults;
mod images;
mod jobs;
mod methods;
mod mqtt;
mod policies;
mod provisioning;
mod query;
mod rest;
mod sessions;
mod throttles;
mod twins;
mod websocket;
mod wire;
