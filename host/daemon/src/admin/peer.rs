//! Who is at the other end of a connection, as the kernel says.

use std::fmt;

use tokio::net::UnixStream;

/// A process that is connected.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Peer {
    user: Option<u32>,
    process: Option<i32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> Peer {
        let credentials = stream.peer_cred().ok();
        Peer {
            user: credentials.as_ref().map(tokio::net::unix::UCred::uid),
            process: credentials.as_ref().and_then(tokio::net::unix::UCred::pid),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.user, self.process) {
            (Some(user), Some(process)) => write!(formatter, "user {user}, process {process}"),
            (Some(user), None) => write!(formatter, "user {user}"),
            _ => formatter.write_str("a process that is gone"),
        }
    }
}
