//! The inboxes of devices and the feedback about their messages, in tables of their own.
//!
//! A message's key is its device and a number that counts up per device and never comes again. Whoever takes a
//! message out writes what its sender wanted to hear in the same transaction.

use std::ops::RangeInclusive;

use redb::{ReadableDatabase as _, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{RECORDS, Store, StoreError, decode, encode};
use crate::fault::Fault;
use crate::hub::unknown;
use crate::identity::Name;
use crate::inbox::feedback::{Outcome, Record};
use crate::inbox::{MOST, Message};

const INBOX: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("inbox");
const LAST: TableDefinition<'_, &str, u64> = TableDefinition::new("inbox-last");
const FEEDBACK: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("feedback");

/// How many ends are kept for senders to hear of; the oldest go first.
const MOST_FEEDBACK: u64 = 1_000;

/// Makes the tables, so that reading finds them.
pub(super) fn make(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(INBOX)?;
    write.open_table(LAST)?;
    write.open_table(FEEDBACK)?;
    Ok(())
}

/// Removes what waits for a device that is being removed. Nobody hears of it.
pub(super) fn forget(write: &WriteTransaction, device: &str) -> Result<(), StoreError> {
    write.open_table(INBOX)?.retain_in((device, 0)..=(device, u64::MAX), |_, _| false)?;
    write.open_table(LAST)?.remove(device)?;
    Ok(())
}

impl Store {
    /// Puts a message behind the others of its device; gives its number. Refuses when the inbox is full or the
    /// device is gone.
    pub(crate) fn post(&self, name: &Name, message: &Message, now: u64) -> Result<u64, Fault> {
        let device = name.device_id();
        self.write(|write| {
            if !is_registered(write, device)? {
                return Err(unknown(name));
            }
            if waiting(&write.open_table(INBOX).map_err(StoreError::from)?, device, now)? >= MOST {
                return Err(Fault::QueueFull(format!(
                    "{MOST} messages wait for {device}; let it connect, or purge them"
                )));
            }
            expire(write, name, now)?;
            Ok(append(write, device, message)?)
        })
    }

    /// At most `most` messages behind number `after`, oldest first, which are noted as sent once more. What has
    /// expired leaves.
    pub(crate) fn mail(
        &self,
        name: &Name,
        after: u64,
        most: usize,
        now: u64,
    ) -> Result<Vec<(u64, Message)>, Fault> {
        let device = name.device_id();
        if self.is_empty_behind(device, after)? {
            return Ok(Vec::new()); // most often: nothing to write either
        }
        self.write(|write| {
            expire(write, name, now)?;
            Ok(send(write, device, after, most)?)
        })
    }

    fn is_empty_behind(&self, device: &str, after: u64) -> Result<bool, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(INBOX)?.range(behind(device, after))?.next().is_none())
    }

    /// One message, if it still waits.
    pub(crate) fn letter(&self, name: &Name, number: u64, now: u64) -> Result<Option<Message>, StoreError> {
        let read = self.database.begin_read()?;
        let inbox = read.open_table(INBOX)?;
        let found = inbox.get((name.device_id(), number))?;
        let message: Option<Message> =
            found.map(|value| decode(name.device_id(), value.value())).transpose()?;
        Ok(message.filter(|message| message.expires > now))
    }

    /// Removes messages that the device has acknowledged.
    pub(crate) fn complete(&self, name: &Name, numbers: &[u64]) -> Result<(), Fault> {
        self.write(|write| {
            let ended = remove(write, name.device_id(), numbers)?;
            Ok(tell(write, name, &ended, Outcome::Success)?)
        })
    }

    /// Empties an inbox; gives how many messages there were.
    pub(crate) fn purge(&self, name: &Name) -> Result<usize, Fault> {
        self.write(|write| {
            let ended = take(write, name, |_| true)?;
            tell(write, name, &ended, Outcome::Purged)?;
            Ok(ended.len())
        })
    }

    /// How many messages wait.
    pub(crate) fn waiting(&self, name: &Name, now: u64) -> Result<usize, StoreError> {
        waiting(&self.database.begin_read()?.open_table(INBOX)?, name.device_id(), now)
    }

    /// The oldest feedback, at most `most` records with their numbers. Looks through all inboxes for what expired.
    pub(crate) fn feedback(&self, most: usize, now: u64) -> Result<Vec<(u64, Record)>, Fault> {
        let devices = self.with_expired(now)?;
        if !devices.is_empty() {
            self.write(|write| Ok(devices.iter().try_for_each(|name| expire(write, name, now))?))?;
        }
        Ok(self.oldest_feedback(most)?)
    }

    /// The devices in whose inboxes something has expired.
    fn with_expired(&self, now: u64) -> Result<Vec<Name>, StoreError> {
        let mut devices: Vec<Name> = Vec::new();
        for entry in self.database.begin_read()?.open_table(INBOX)?.iter()? {
            let (key, value) = entry?;
            let device = key.value().0;
            let message: Message = decode(device, value.value())?;
            if message.expires <= now && devices.last().is_none_or(|last| last.device_id() != device) {
                devices.extend(Name::device(device).ok());
            }
        }
        Ok(devices)
    }

    fn oldest_feedback(&self, most: usize) -> Result<Vec<(u64, Record)>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(FEEDBACK)?;
        let entries = table.iter()?.take(most).map(|entry| {
            let (key, value) = entry?;
            Ok((key.value(), decode("feedback", value.value())?))
        });
        entries.collect()
    }

    /// Removes feedback up to a number.
    pub(crate) fn heard(&self, last: u64) -> Result<(), Fault> {
        self.write(|write| {
            let mut feedback = write.open_table(FEEDBACK).map_err(StoreError::from)?;
            Ok(feedback.retain_in(..=last, |_, _| false).map_err(StoreError::from)?)
        })
    }
}

/// The keys of a device's messages behind a number.
fn behind(device: &str, after: u64) -> RangeInclusive<(&str, u64)> {
    (device, after.saturating_add(1))..=(device, u64::MAX)
}

fn is_registered(write: &WriteTransaction, device: &str) -> Result<bool, StoreError> {
    Ok(write.open_table(RECORDS)?.get(device)?.is_some())
}

/// How many messages wait that have not expired.
fn waiting(
    inbox: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    device: &str,
    now: u64,
) -> Result<usize, StoreError> {
    let mut waiting = 0;
    for entry in inbox.range(behind(device, 0))? {
        let message: Message = decode(device, entry?.1.value())?;
        waiting += usize::from(message.expires > now);
    }
    Ok(waiting)
}

/// [`Store::mail`], once what expired has left.
fn send(
    write: &WriteTransaction,
    device: &str,
    after: u64,
    most: usize,
) -> Result<Vec<(u64, Message)>, StoreError> {
    let mut inbox = write.open_table(INBOX)?;
    let mut found = Vec::new();
    for entry in inbox.range(behind(device, after))?.take(most) {
        let (key, value) = entry?;
        let mut message: Message = decode(device, value.value())?;
        message.deliveries = message.deliveries.saturating_add(1);
        found.push((key.value().1, message));
    }
    for (number, message) in &found {
        inbox.insert((device, *number), encode(message)?.as_slice())?;
    }
    Ok(found)
}

fn remove(write: &WriteTransaction, device: &str, numbers: &[u64]) -> Result<Vec<Message>, StoreError> {
    let mut inbox = write.open_table(INBOX)?;
    let mut removed = Vec::new();
    for number in numbers {
        if let Some(value) = inbox.remove((device, *number))? {
            removed.push(decode(device, value.value())?);
        }
    }
    Ok(removed)
}

fn append(write: &WriteTransaction, device: &str, message: &Message) -> Result<u64, StoreError> {
    let mut last = write.open_table(LAST)?;
    let number = last.get(device)?.map_or(0, |last| last.value()) + 1;
    last.insert(device, number)?;
    write.open_table(INBOX)?.insert((device, number), encode(message)?.as_slice())?;
    Ok(number)
}

fn expire(write: &WriteTransaction, name: &Name, now: u64) -> Result<(), StoreError> {
    let ended = take(write, name, |message| message.expires <= now)?;
    tell(write, name, &ended, Outcome::Expired)
}

fn take(
    write: &WriteTransaction,
    name: &Name,
    which: impl Fn(&Message) -> bool,
) -> Result<Vec<Message>, StoreError> {
    let device = name.device_id();
    let mut inbox = write.open_table(INBOX)?;
    let mut ended = Vec::new();
    for entry in inbox.range(behind(device, 0))? {
        let (key, value) = entry?;
        let message: Message = decode(device, value.value())?;
        if which(&message) {
            ended.push((key.value().1, message));
        }
    }
    for (number, _) in &ended {
        inbox.remove((device, *number))?;
    }
    Ok(ended.into_iter().map(|(_, message)| message).collect())
}

fn tell(
    write: &WriteTransaction,
    name: &Name,
    ended: &[Message],
    outcome: Outcome,
) -> Result<(), StoreError> {
    let wanted: Vec<_> = ended.iter().filter(|message| outcome.is_wanted(message.ack)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut table: Table<'_, u64, &[u8]> = write.open_table(FEEDBACK)?;
    let mut number = table.last()?.map_or(0, |(key, _)| key.value());
    for message in wanted {
        number += 1;
        table.insert(number, encode(&Record::of(name, message, outcome))?.as_slice())?;
    }
    table.retain_in(..=number.saturating_sub(MOST_FEEDBACK), |_, _| false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Ack;
    use crate::store::Record as Registered;

    fn open(directory: &tempfile::TempDir, name: &Name) -> Store {
        let store = Store::open(&directory.path().join("hub.redb")).unwrap();
        store
            .change(name, |record| {
                record.get_or_insert_with(|| Registered::for_tests(name));
                Ok(())
            })
            .unwrap();
        store
    }

    fn told(store: &Store, now: u64) -> Vec<(String, Outcome)> {
        let told = store.feedback(100, now).unwrap().into_iter();
        told.map(|(_, record)| (record.original_message_id, record.status_code)).collect()
    }

    #[test]
    fn messages_wait_in_order_over_restarts_until_they_are_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let name = Name::device("d").unwrap();
        {
            let store = open(&directory, &name);
            for id in ["a", "b", "c"] {
                store.post(&name, &Message::for_tests(id, Ack::Full, 100), 1).unwrap();
            }
            let sent = store.mail(&name, 0, 2, 1).unwrap();
            assert_eq!(sent.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
            store.complete(&name, &[1]).unwrap();
        }
        let store = open(&directory, &name);
        let sent = store.mail(&name, 0, 10, 1).unwrap();
        let seen: Vec<_> = sent.iter().map(|(_, sent)| (sent.message_id.as_str(), sent.deliveries)).collect();
        assert_eq!(seen, [("b", 2), ("c", 1)]);
        store.complete(&name, &[2, 3, 3, 9]).unwrap();
        assert_eq!(store.waiting(&name, 1).unwrap(), 0);
        assert_eq!(store.post(&name, &Message::for_tests("d", Ack::None, 100), 1).unwrap(), 4);
        let success = |id: &str| (id.to_owned(), Outcome::Success);
        assert_eq!(told(&store, 1), [success("a"), success("b"), success("c")]);
    }

    #[test]
    fn what_expired_is_gone_and_only_who_asked_hears_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let (name, other) = (Name::device("d").unwrap(), Name::device("d2").unwrap());
        let store = open(&directory, &name);
        for (id, ack) in [
            ("none", Ack::None),
            ("positive", Ack::Positive),
            ("negative", Ack::Negative),
            ("full", Ack::Full),
        ] {
            store.post(&name, &Message::for_tests(id, ack, 100), 1).unwrap();
        }
        assert_eq!(store.waiting(&name, 99).unwrap(), 4);
        assert_eq!(store.waiting(&name, 100).unwrap(), 0);
        let expired = |id: &str| (id.to_owned(), Outcome::Expired);
        assert_eq!(told(&store, 100), [expired("negative"), expired("full")]);
        assert!(store.mail(&name, 0, 10, 100).unwrap().is_empty());
        store.heard(1).unwrap();
        assert_eq!(told(&store, 100), [expired("full")]);
        assert_eq!(store.post(&other, &Message::for_tests("x", Ack::None, 1), 0).unwrap_err().status(), 404);
    }

    #[test]
    fn a_full_inbox_takes_no_more_and_a_removed_device_leaves_none() {
        let directory = tempfile::tempdir().unwrap();
        let name = Name::device("d").unwrap();
        let store = open(&directory, &name);
        for _ in 0..MOST {
            store.post(&name, &Message::for_tests("m", Ack::None, 100), 1).unwrap();
        }
        let refused = store.post(&name, &Message::for_tests("m", Ack::None, 100), 1).unwrap_err();
        assert_eq!(refused.code(), 403_004);
        store
            .change(&name, |record| {
                *record = None;
                Ok(())
            })
            .unwrap();
        assert_eq!(store.waiting(&name, 1).unwrap(), 0);
    }
}
