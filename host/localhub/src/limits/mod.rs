//! What the hub bounds, and how far: connections, silence, queues, memory.
//!
//! Everything that a client can make grow or last has an end here, set on the command line. What exceeds it is
//! refused in words where the protocol has words (CONNACK 3, HTTP 413, 431, 503) and by closing the connection
//! where it has none; the log says which, at most once a second for each port. A client that has not yet proved who it is can cost
//! a place among the [`Limits::pending`] at most, and the oldest of those makes room for the next; what it makes the hub
//! do is done after everything else ([`crate::lobby`]).
//!
//! | what | bound | then |
//! |---|---|---|
//! | connections at a port, from one address | [`Limits::connections`], [`Limits::connections_per_address`] | closed as they come |
//! | connections that proved nothing yet | [`Limits::pending`] | the oldest is closed |
//! | failed logins from one address | [`Limits::failed_logins`] a minute | closed as they come, for that minute |
//! | of those the second half | [`Limits::failed_logins`] ÷ 2 | the refusal takes a second |
//! | what a device is ended for | [`Limits::offences`] a minute | its next connection waits, 0.2 to 5 s |
//! | what a device sends | [`Limits::packets`] and [`Limits::rate`] (bytes) a second, two seconds' worth at once | read later |
//! | TLS and CONNECT | [`Limits::connect_within`] | closed |
//! | a silent MQTT client | 1.5 × keep-alive, at most 29.45 min | closed, its will delivered |
//! | a request's head, or the next request | [`Limits::head_within`], 64 KiB | 408 or 431, closed |
//! | a request's body | [`Limits::body_within`], 512 KiB | 408, 413 |
//! | an answer that nobody reads | [`Limits::unread_within`] | closed |
//! | messages waiting for a device | [`Limits::queue`], [`Limits::queue_size`] | the device is cut off |
//! | everything that waits | [`Limits::memory`] | 503, or closed |

mod budget;
mod descriptors;
mod door;
mod offences;

use std::time::Duration;

use hotshoe_core::units::{parse_duration, parse_size};

pub(crate) use self::budget::{Budget, Share};
pub(crate) use self::descriptors::Room;
pub(crate) use self::door::{Door, Visit};
pub(crate) use self::offences::Offences;

/// The bounds of a hub; each is an option of the command line.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Connections open at once at each port; more are closed as they come.
    #[arg(long = "max-connections", value_name = "N", default_value_t = 20_000)]
    pub connections: usize,
    /// Connections open at once from one address at each port; any number if not given.
    #[arg(long = "max-per-address", value_name = "N")]
    pub connections_per_address: Option<usize>,
    /// Connections at each port that have not yet logged in; the oldest makes room for the next.
    #[arg(long = "max-pending", value_name = "N", default_value_t = 10_000)]
    pub pending: usize,
    /// Failed logins in a minute, after which an address is not let in for the rest of it; from half of them on each refusal
    /// takes a second. 0 for any number.
    #[arg(long = "max-failed-logins", value_name = "N", default_value_t = 1_000)]
    pub failed_logins: u32,
    /// Times in a minute that a device may be ended for what it does (another device's topics, malformed packets, too large
    /// ones) before its next connection has to wait, 0.2 to 5 s; 0 for any number.
    #[arg(long = "max-offences", value_name = "N", default_value_t = 5)]
    pub offences: u32,
    /// Packets a second that are read of a device's connection, twice as many at once; answers to the hub do not count. What
    /// comes faster waits unread. 0 for any number.
    #[arg(long = "max-packets", value_name = "N", default_value_t = 1_000)]
    pub packets: u32,
    /// Bytes a second that are read of a device's connection, twice as many at once. What comes faster waits unread. 0 for
    /// any number.
    #[arg(long = "max-rate", value_name = "SIZE", default_value = "4MiB", value_parser = rate)]
    pub rate: u32,
    /// From the TCP connection to the CONNECT packet or the request, TLS included.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub connect_within: Duration,
    /// For the head of the next request, which also ends idle HTTP connections.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub head_within: Duration,
    /// For the body of a request.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub body_within: Duration,
    /// How long a client may leave what it is sent unread.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub unread_within: Duration,
    /// Messages that may wait for one connected device; one that does not keep up is cut off.
    #[arg(long = "max-queue", value_name = "N", default_value_t = 256)]
    pub queue: usize,
    /// And how large they may be together.
    #[arg(long = "max-queue-size", value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub queue_size: usize,
    /// Memory for everything that waits: queues, half-received packets, requests with their bodies.
    #[arg(long = "max-memory", value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: None,
            pending: 10_000,
            failed_logins: 1_000,
            offences: 5,
            packets: 1_000,
            rate: 4 * 1024 * 1024,
            connect_within: Duration::from_secs(60),
            head_within: Duration::from_secs(60),
            body_within: Duration::from_secs(30),
            unread_within: Duration::from_secs(30),
            queue: 256,
            queue_size: 1024 * 1024,
            memory: 256 * 1024 * 1024,
        }
    }
}

fn size(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    usize::try_from(bytes).map_err(|_| format!("{text} is more than this machine can address"))
}

fn rate(text: &str) -> Result<u32, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    u32::try_from(bytes).map_err(|_| format!("{text} a second is more than 4 GiB; 0 is any number"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        limits: Limits,
    }

    #[test]
    fn the_command_lines_defaults_are_the_librarys() {
        assert_eq!(Line::parse_from(["hub"]).limits, Limits::default());
        let line = Line::parse_from(["hub", "--max-memory", "1GiB", "--head-within", "500ms"]);
        assert_eq!((line.limits.memory, line.limits.head_within.as_millis()), (1 << 30, 500));
    }
}
