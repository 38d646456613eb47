//! How fast a client may speak: packets and bytes a second, and how much of it in one turn.
//!
//! A client that always has a next packet would keep a thread of the hub's for itself. So each has an allowance of
//! packets and of bytes ([`Limits::packets`](crate::limits::Limits::packets), [`rate`](crate::limits::Limits::rate)), with two
//! seconds' worth at once for bursts. When it is used up the session reads no more until some of it is back: the rest
//! waits in the client's own socket, nothing is lost and nobody is cut off. What answers the hub (a method's answer, an
//! acknowledgement) costs no packet. Within its allowance a client gives way to the others after each [`TURN`].

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;
use crate::throttle::{Bucket, Passage};

/// What is there at once, in seconds of the allowance.
const BURST: Duration = Duration::from_secs(2);
/// Packets handled, or reads of the socket, before the others get their turn.
const TURN: usize = 16;
/// How many answers to come are counted: as many as may be asked for at once, by far.
const MOST_ANSWERS: usize = 1024;

/// One client's allowance.
pub(super) struct Pace {
    packets: Option<Bucket>,
    bytes: Option<Bucket>,
    /// How many of the packets to come answer the hub.
    answers: usize,
    held_until: Option<Instant>,
    turn: usize,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        let bucket =
            |rate: u32| (rate > 0).then(|| Bucket::new(f64::from(rate) * BURST.as_secs_f64(), BURST));
        Self {
            packets: bucket(limits.packets),
            bytes: bucket(limits.rate),
            answers: 0,
            held_until: None,
            turn: 0,
        }
    }

    /// The hub sent something that the client may answer.
    pub(super) fn asked(&mut self) {
        self.answers = (self.answers + 1).min(MOST_ANSWERS);
    }

    /// Counts what one read brought. True when it is the others' turn.
    pub(super) fn spend(&mut self, packets: usize, bytes: usize, now: Instant) -> bool {
        let answers = packets.min(self.answers);
        self.answers -= answers;
        let spent = [(&mut self.packets, packets - answers), (&mut self.bytes, bytes)];
        for (bucket, spent) in spent {
            let cost = u32::try_from(spent).map_or(f64::MAX, f64::from);
            match bucket.as_mut().map(|bucket| bucket.take(cost, now, Duration::MAX)) {
                Some(Passage::After(wait)) => self.held_until = self.held_until.max(now.checked_add(wait)),
                Some(Passage::Now | Passage::Refused) | None => {}
            }
        }
        // Who reads and answers waits often enough by itself.
        self.turn += if answers > 0 { packets - answers } else { packets.max(1) };
        let is_over = self.turn >= TURN;
        if is_over {
            self.turn = 0;
        }
        is_over
    }

    /// Until when nothing more is read.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// True while nothing is to be read.
    pub(super) fn is_held(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if let Some(until) = self.held_until
            && until <= now()
        {
            self.held_until = None;
        }
        self.held_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_reading_waits_and_answers_cost_nothing() {
        let now = Instant::now();
        let mut pace = Pace::new(&Limits { packets: 100, rate: 1_000_000, ..Limits::default() });
        let turns = (0..200).filter(|_| pace.spend(1, 100, now)).count();
        assert_eq!(turns, 200 / TURN);
        assert!(!pace.is_held(|| now), "two seconds' worth");
        (0..50).for_each(|_| pace.asked());
        let turns = (0..50).filter(|_| pace.spend(1, 100, now)).count();
        assert_eq!(turns, 0, "who answers waits often enough");
        assert!(!pace.is_held(|| now));
        pace.spend(10, 100, now);
        assert_eq!(pace.held_until(), Some(now + Duration::from_millis(100)));
        assert!(!pace.is_held(|| now + Duration::from_millis(100)));
        pace.spend(1, 3_000_000, now);
        assert!(pace.held_until().unwrap() > now + Duration::from_millis(900), "bytes count too");
        let mut free = Pace::new(&Limits { packets: 0, rate: 0, ..Limits::default() });
        free.spend(1_000_000, usize::MAX, now);
        assert!(!free.is_held(|| now));
    }
}
