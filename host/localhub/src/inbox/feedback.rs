//! What senders hear of their messages' ends, in batches that are read, then completed or put back.
//!
//! The records are durable ([`crate::store`]); that a batch is being read is not: a lock lasts a minute and no
//! restart. IoT Hub offers the same over REST as over AMQP (`iothub.md` §6.2).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Ack, Message};
use crate::clock;
use crate::identity::Name;

/// How many records a batch has at most.
pub(crate) const BATCH: usize = 64;
/// How long a reader has a batch for himself.
const LOCK: Duration = Duration::from_secs(60);

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The device acknowledged it.
    Success,
    /// Its time was over.
    Expired,
    /// An operator emptied the inbox.
    Purged,
}

impl Outcome {
    /// Whether a sender who asked for `ack` hears of this end.
    pub(crate) fn is_wanted(self, ack: Ack) -> bool {
        match ack {
            Ack::None => false,
            Ack::Full => true,
            Ack::Positive => self == Self::Success,
            Ack::Negative => self != Self::Success,
        }
    }
}

/// One end, in IoT Hub's words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) original_message_id: String,
    pub(crate) enqueued_time_utc: String,
    pub(crate) status_code: Outcome,
    pub(crate) description: Outcome,
    pub(crate) device_id: String,
    pub(crate) device_generation_id: String,
}

impl Record {
    pub(crate) fn of(name: &Name, message: &Message, outcome: Outcome) -> Self {
        Self {
            original_message_id: message.message_id.clone(),
            enqueued_time_utc: clock::now_text(),
            status_code: outcome,
            description: outcome,
            device_id: name.device_id().to_owned(),
            device_generation_id: message.generation.clone(),
        }
    }
}

/// The batch that somebody reads now. There is one at a time: enough for one service, and it cannot pile up.
#[derive(Default)]
pub(crate) struct Reading(Mutex<Option<Lock>>);

struct Lock {
    token: String,
    last: u64,
    until: Instant,
}

impl Reading {
    /// True while a batch is locked.
    pub(crate) fn is_locked(&self) -> bool {
        let lock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lock.as_ref().is_some_and(|lock| lock.until > Instant::now())
    }

    /// Locks the records up to number `last`; gives the token.
    pub(crate) fn lock(&self, last: u64) -> String {
        let token = format!("{:032x}", rand::rng().random::<u128>());
        let lock = Lock { token: token.clone(), last, until: Instant::now() + LOCK };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        token
    }

    /// Lets go of the lock with that token; gives the number up to which it reached. `None` if it ran out or is
    /// another's.
    pub(crate) fn unlock(&self, token: &str) -> Option<u64> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = held.take_if(|lock| lock.token == token)?;
        (lock.until > Instant::now()).then_some(lock.last)
    }
}
