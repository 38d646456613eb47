//! The device's door: MQTT 3.1.1 over TLS and over WebSocket (`iothub.md` §1–5).
//!
//! [`listen`] takes TLS connections; the WebSocket path of the HTTPS port hands its connections to the same
//! [`entrance::serve`]. The packets are read and written by `mqtt-protocol-core` (see `docs/decisions`), wrapped in
//! [`protocol`]; what they mean is decided in [`login`] and [`session`]. This is not a broker: a client can
//! reach its own twin, its own methods and the telemetry sink, and nothing else.

mod deliver;
mod entrance;
mod filters;
mod listen;
mod login;
mod outbox;
mod pace;
mod protocol;
mod published;
mod registration;
mod session;
mod troubles;
mod user_name;
mod wire;

pub(crate) use self::entrance::{Peer, serve};
pub(crate) use self::filters::Subscriptions;
pub(crate) use self::listen::listen;
pub(crate) use self::wire::{StreamWire, WebSocketWire, Wire};
