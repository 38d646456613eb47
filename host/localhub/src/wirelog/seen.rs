//! A packet as the log holds it: its bytes, read only when somebody looks.
//!
//! Most packets are never looked at, so noting one is little more than a copy. CONNECT is read at once and its bytes
//! are let go, for they hold a password.

use super::packet::{Direction, Packet};

/// The packet type of CONNECT.
const CONNECT: u8 = 1;

pub(super) enum Seen {
    Bytes { direction: Direction, first: u8, size: usize, rest: Box<[u8]> },
    Read(Packet),
}

impl Seen {
    /// From the first byte, the size of the whole, and the beginning of what follows the length.
    pub(super) fn new(direction: Direction, first: u8, size: usize, rest: Vec<u8>) -> Self {
        match first >> 4 {
            CONNECT => Self::Read(Packet::read(direction, first, size, &rest)),
            _ => Self::Bytes { direction, first, size, rest: rest.into_boxed_slice() },
        }
    }

    /// What it says, without secrets.
    pub(super) fn packet(&self) -> Packet {
        match self {
            Self::Bytes { direction, first, size, rest } => Packet::read(*direction, *first, *size, rest),
            Self::Read(packet) => packet.clone(),
        }
    }

    /// About how many bytes it occupies.
    pub(super) fn memory(&self) -> usize {
        let inside = match self {
            Self::Bytes { rest, .. } => rest.len(),
            Self::Read(packet) => packet.note.as_ref().map_or(0, String::len),
        };
        size_of::<Self>() + inside
    }
}
