//! Cuts a stream of bytes into MQTT packets, as they come, without reading more of them than is kept.
//!
//! It knows the fixed header alone (MQTT 3.1.1 §2.2): the first byte, and a length of one to four bytes. Of each
//! packet it keeps the first [`KEPT`] bytes, and none when nobody wants to see it. What is no MQTT makes it stop
//! for good: the session ends such a connection.

use super::packet::Direction;
use super::seen::Seen;

/// Enough for a topic of some length and a body of 1 KiB.
const KEPT: usize = 2048;

/// One direction of one connection.
pub(super) struct Framer {
    direction: Direction,
    state: State,
    kept: Vec<u8>,
}

enum State {
    /// Before a packet.
    First,
    /// Within the length: the first byte, the length so far, its bytes so far.
    Length(u8, usize, u8),
    /// Within the rest: the first byte, bytes left, size of the whole, whether it is kept.
    Rest { first: u8, left: usize, size: usize, wanted: bool },
    /// This is no MQTT.
    Lost,
}

impl Framer {
    pub(super) fn new(direction: Direction) -> Self {
        Self { direction, state: State::First, kept: Vec::new() }
    }

    /// Takes bytes; gives each packet that ends in them to `found`, if it was `wanted` when it began.
    pub(super) fn feed(&mut self, mut bytes: &[u8], wanted: bool, mut found: impl FnMut(Seen)) {
        loop {
            if let State::Rest { first, left: 0, size, wanted } = self.state {
                if wanted {
                    found(Seen::new(self.direction, first, size, std::mem::take(&mut self.kept)));
                }
                self.state = State::First;
            }
            let Some((byte, after)) = bytes.split_first() else { return };
            match &mut self.state {
                State::First => {
                    self.state = State::Length(*byte, 0, 0);
                    bytes = after;
                }
                State::Length(first, length, count) => {
                    let length = *length | usize::from(byte & 0x7f) << (7 * u32::from(*count));
                    self.state = match (byte & 0x80, *count) {
                        (0, count) => {
                            let size = 2 + usize::from(count) + length;
                            State::Rest { first: *first, left: length, size, wanted }
                        }
                        (_, 3) => State::Lost,
                        (_, count) => State::Length(*first, length, count + 1),
                    };
                    bytes = after;
                }
                State::Rest { left, wanted, .. } => {
                    let (own, after) = bytes.split_at_checked(*left).unwrap_or((bytes, &[]));
                    *left -= own.len();
                    let room = KEPT.saturating_sub(self.kept.len());
                    if let (true, Some(kept)) = (*wanted, own.get(..room.min(own.len()))) {
                        self.kept.reserve_exact(kept.len());
                        self.kept.extend_from_slice(kept);
                    }
                    bytes = after;
                }
                State::Lost => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_however_the_stream_is_cut() {
        let mut stream = vec![0xC0, 0]; // PINGREQ
        stream.extend([0x30, 0xAC, 0x02, 0, 3, b'a', b'/', b'b']); // a PUBLISH of 300 bytes
        stream.extend([b'x'; 295]);
        stream.extend([0x40, 2, 0, 7]); // PUBACK
        for size in 1..=stream.len() {
            let mut framer = Framer::new(Direction::In);
            let mut seen = Vec::new();
            for piece in stream.chunks(size) {
                framer.feed(piece, true, |one| {
                    let packet = one.packet();
                    seen.push((packet.packet, packet.size, packet.topic));
                });
            }
            assert_eq!(
                seen,
                [("pingreq", 2, None), ("publish", 303, Some("a/b".to_owned())), ("puback", 4, None)]
            );
        }
    }

    #[test]
    fn what_nobody_wants_is_skipped_and_nonsense_ends_it() {
        let mut framer = Framer::new(Direction::Out);
        framer.feed(&[0x30, 100, 0, 1], false, |_| panic!("not wanted"));
        assert_eq!(framer.kept.capacity(), 0);
        framer.feed(&[b'a'; 98], true, |_| panic!("was not wanted when it began"));
        framer.feed(&[0xD0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0xC0, 0], true, |_| panic!("this is no MQTT"));
    }
}
