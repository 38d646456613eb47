//! Which messages from the cloud are on their way to one client, sent and not yet acknowledged.
//!
//! A message's packet identifier follows from its number in the inbox, so a message that comes again on a later
//! connection of the same session has the identifier it had before (MQTT 3.1.1 §4.4), without anything being kept
//! for that. Two messages of one inbox cannot share one: it holds far fewer than there are identifiers.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many messages may be on their way.
const WINDOW: usize = 10;
/// IoT Hub's lock on a message that is being delivered; when it ends, the message is sent again.
const LOCK: Duration = Duration::from_secs(60);

/// The state of one connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    reached: u64,
    on_the_way: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    number: u64,
    again_at: Instant,
}

/// The packet identifier of a message: 1 to 65,535.
pub(super) fn identifier(number: u64) -> u16 {
    u16::try_from((number.saturating_sub(1)) % 65_535).map_or(1, |identifier| identifier + 1)
}

impl Outbox {
    /// The last message that was handed to the client.
    pub(super) fn reached(&self) -> u64 {
        self.reached
    }

    /// How many more may be sent.
    pub(super) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.on_the_way.len())
    }

    /// A message was passed by or needs no acknowledgement.
    pub(super) fn pass(&mut self, number: u64) {
        self.reached = self.reached.max(number);
    }

    /// A message was sent and will be acknowledged.
    pub(super) fn sent(&mut self, number: u64, now: Instant) {
        self.pass(number);
        self.on_the_way.push_back(Sent { number, again_at: now + LOCK });
    }

    /// The message that the client acknowledged.
    pub(super) fn acknowledged(&mut self, id: u16) -> Option<u64> {
        let place = self.on_the_way.iter().position(|sent| identifier(sent.number) == id)?;
        self.on_the_way.remove(place).map(|sent| sent.number)
    }

    /// When the next message is to be sent again.
    pub(super) fn next_again(&self) -> Option<Instant> {
        self.on_the_way.iter().map(|sent| sent.again_at).min()
    }

    /// Which are to be sent again now; their locks begin anew.
    pub(super) fn again(&mut self, now: Instant) -> Vec<u64> {
        let due = self.on_the_way.iter_mut().filter(|sent| sent.again_at <= now);
        due.map(|sent| {
            sent.again_at = now + LOCK;
            sent.number
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_never_zero_and_differ_within_an_inbox() {
        assert_eq!((identifier(1), identifier(65_535), identifier(65_536)), (1, 65_535, 1));
        assert_eq!(identifier(0), 1);
    }

    #[test]
    fn the_window_opens_with_acknowledgements_and_locks_run_out() {
        let start = Instant::now();
        let mut outbox = Outbox::default();
        for number in 1..=WINDOW as u64 {
            outbox.sent(number, start);
        }
        assert_eq!((outbox.room(), outbox.reached()), (0, 10));
        assert_eq!(outbox.acknowledged(identifier(3)), Some(3));
        assert_eq!(outbox.acknowledged(identifier(3)), None);
        assert_eq!(outbox.room(), 1);
        assert!(outbox.again(start).is_empty());
        let later = start + LOCK;
        assert_eq!(outbox.next_again(), Some(later));
        assert_eq!(outbox.again(later), [1, 2, 4, 5, 6, 7, 8, 9, 10]);
        assert!(outbox.again(later).is_empty());
    }
}
