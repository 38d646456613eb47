//! An embedded hub with IoT Hub's contract, for demonstrations, development and tests; never on a device.
//!
//! Devices connect by MQTT 3.1.1 over TLS (and in WebSockets), operators by HTTPS REST, with the official SDKs of
//! either side unmodified. Identities, twins and sessions live in a data directory and survive `kill -9`. What IoT
//! Hub has and this hub has not: AMQP, digital twins, import and export by storage.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use hotshoe_localhub::{LocalHub, Settings};
//!
//! let hub = LocalHub::start(Settings::new("/tmp/hub")).await?;
//! let device = hub.create_device("device-1").await?;
//! println!("MQTT on port {}, device connection string {device}", hub.mqtt_port);
//! hub.stop().await;
//! # Ok(())
//! # }
//! ```

mod authorities;
mod clock;
mod configurations;
mod dps;
mod events;
mod fault;
mod faults;
mod files;
mod hub;
mod identity;
mod inbox;
mod invoke;
mod jobs;
mod limits;
mod links;
mod lobby;
mod mqtt;
mod page;
mod policies;
mod presence;
mod query;
mod rest;
mod running;
mod settings;
mod show;
mod store;
mod throttle;
mod tls;
mod twin;
mod wirelog;

pub use self::dps::device_key;
pub use self::events::{Event, Events, Heard, Kind, Kinds, Listener, Section, Text, What};
pub use self::fault::Fault;
pub use self::faults::{HELP as FAULTS_HELP, Rule};
pub use self::hub::{Hub, Telemetry};
pub use self::identity::Name;
pub use self::inbox::{Ack, Outgoing, Posted};
pub use self::invoke::{Answered, Invocation};
pub use self::limits::Limits;
pub use self::query::find;
pub use self::running::{LocalHub, Running, StartError};
pub use self::settings::Settings;
pub use self::throttle::Tier;
pub use self::twin::{Change, ChangedProperties};
pub use self::wirelog::{Direction, Packet};
