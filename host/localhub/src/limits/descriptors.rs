//! Files that the process may have open: a connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Limits;

/// Files for everything that is not a connection: the database, images being read, the runtime's own.
const RESERVED: u64 = 256;

/// How many connections each port may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// At the MQTT port.
    pub(crate) mqtt: usize,
    /// At the HTTPS port.
    pub(crate) https: usize,
}

impl Room {
    /// Raises the process's limit of open files as far as it may, and shares the rest out. The limits hold if the
    /// files suffice for both ports; else MQTT gets three quarters of them, because devices stay and requests go.
    pub(crate) fn make(limits: &Limits) -> Self {
        let files = raise();
        let room = Self::of(limits, files);
        if room.mqtt < limits.connections || room.https < limits.connections {
            tracing::warn!(
                files,
                mqtt = room.mqtt,
                https = room.https,
                "the process may open too few files for {} connections at each port; raise `ulimit -n`",
                limits.connections
            );
        }
        room
    }

    fn of(limits: &Limits, files: u64) -> Self {
        let files = usize::try_from(files.saturating_sub(RESERVED)).unwrap_or(usize::MAX);
        if limits.connections.saturating_mul(2) <= files {
            return Self { mqtt: limits.connections, https: limits.connections };
        }
        let https = limits.connections.min(files / 4).max(1);
        Self { mqtt: limits.connections.min(files - files / 4).max(1), https }
    }
}

fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.unwrap_or(u64::MAX);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => {
            tracing::info!(from = current, to = maximum, "raised the limit of open files");
            maximum.unwrap_or(u64::MAX)
        }
        Err(error) => {
            tracing::warn!(%error, limit = current, "the limit of open files cannot be raised");
            current.unwrap_or(u64::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_are_shared_out_and_many_leave_the_limits_as_they_are() {
        let limits = Limits::default();
        assert_eq!(Room::of(&limits, 1_048_576), Room { mqtt: 20_000, https: 20_000 });
        assert_eq!(Room::of(&limits, 20_000), Room { mqtt: 14_808, https: 4_936 });
        assert_eq!(Room::of(&limits, 0), Room { mqtt: 1, https: 1 });
        let small = Limits { connections: 100, ..limits };
        assert_eq!(Room::of(&small, 1_024), Room { mqtt: 100, https: 100 });
    }
}
