//! What the hub remembers over restarts and power cuts: identities with their twins, sessions, policy keys.
//!
//! An embedded database (`redb`) keeps all of it in one file, `DIR/hub.redb`. A change is one write transaction:
//! when a function here returns, it is on the disk; when the process is killed in the middle, nothing of it is.
//! Changes that come at the same time share a flush ([`group`]). The calls block (a commit flushes the file), so
//! asynchronous callers go through [`crate::hub::Hub`], which moves them to a blocking thread.

mod configurations;
mod enrollments;
mod group;
mod inbox;
mod jobs;
mod presence;
mod tables;

use std::ops::{Bound, ControlFlow};
use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) use self::tables::{Filter, Record, Session};
use crate::fault::Fault;
use crate::identity::Name;

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const SESSIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sessions");
const SETTINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("settings");

/// Memory that the database may use for its pages.
const CACHE: usize = 32 * 1024 * 1024;

/// The database failed; the text names the file or the table and the cause.
#[derive(Debug, thiserror::Error)]
#[error("the hub's database: {0}")]
pub struct StoreError(String);

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.to_string())
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => { $(impl From<$error> for StoreError {
        fn from(error: $error) -> Self { Self(error.to_string()) }
    })* };
}
from_redb!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

/// The open database. One process at a time.
pub(crate) struct Store {
    database: Database,
    group: group::Group,
}

impl Store {
    /// Opens or creates the database. Fails if another process has it open.
    pub(crate) fn open(file: &Path) -> Result<Self, StoreError> {
        let describe = |error: &dyn std::fmt::Display| StoreError(format!("{}: {error}", file.display()));
        let database =
            Database::builder().set_cache_size(CACHE).create(file).map_err(|error| describe(&error))?;
        let write = database.begin_write()?;
        write.open_table(RECORDS)?;
        write.open_table(SESSIONS)?;
        write.open_table(SETTINGS)?;
        inbox::make(&write)?;
        presence::make(&write)?;
        enrollments::make(&write)?;
        jobs::make(&write)?;
        configurations::make(&write)?;
        write.commit()?;
        Ok(Self { database, group: group::Group::default() })
    }

    /// The identity and twin of that name.
    pub(crate) fn record(&self, name: &Name) -> Result<Option<Record>, StoreError> {
        self.read(RECORDS, &name.to_string())
    }

    /// Shows the identities and twins of all devices, or of all modules, whose names come after `after`, in the order
    /// of their names, until `see` breaks or fails. One state of the database is seen throughout; changes meanwhile
    /// are neither seen nor held up.
    pub(crate) fn visit(
        &self,
        modules: bool,
        after: Option<&str>,
        mut see: impl FnMut(&str, Record) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let read = self.database.begin_read().map_err(StoreError::from)?;
        let table = read.open_table(RECORDS).map_err(StoreError::from)?;
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        for entry in table.range::<&str>((first, Bound::Unbounded)).map_err(StoreError::from)? {
            let (key, value) = entry.map_err(StoreError::from)?;
            if key.value().contains('/') != modules {
                continue;
            }
            if see(key.value(), decode(key.value(), value.value())?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The identities and twins of at most `limit` devices, in the order of their names. Modules are left out.
    pub(crate) fn devices(&self, limit: usize) -> Result<Vec<Record>, Fault> {
        let mut found = Vec::new();
        self.visit(false, None, |_, record| {
            found.push(record);
            Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }

    /// The identities and twins of one device's modules.
    pub(crate) fn modules(&self, device: &str) -> Result<Vec<Record>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(RECORDS)?;
        let (first, last) = (format!("{device}/"), format!("{device}0")); // '0' follows '/'
        let mut found = Vec::new();
        for entry in table.range(first.as_str()..last.as_str())? {
            let (key, value) = entry?;
            found.push(decode(key.value(), value.value())?);
        }
        Ok(found)
    }

    /// How many devices there are, and how many of them are enabled.
    pub(crate) fn count(&self) -> Result<(u64, u64), Fault> {
        let (mut total, mut enabled) = (0, 0);
        self.visit(false, None, |_, record| {
            total += 1;
            enabled += u64::from(record.is_enabled());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((total, enabled))
    }

    /// Reads a record, lets `change` turn it into another (or into none), and writes that durably. An error from
    /// `change` leaves everything as it was. Removing a device removes its modules and all their sessions.
    pub(crate) fn change<T>(
        &self,
        name: &Name,
        change: impl FnOnce(&mut Option<Record>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.write(|write| change_in(write, name, change))
    }

    /// The session that an identity left behind, if it asked for one to be kept.
    pub(crate) fn session(&self, name: &Name) -> Result<Option<Session>, StoreError> {
        self.read(SESSIONS, &name.to_string())
    }

    /// Keeps a session, or forgets it.
    pub(crate) fn keep_session(&self, name: &Name, session: Option<&Session>) -> Result<(), StoreError> {
        self.put(SESSIONS, &name.to_string(), session)
    }

    /// A setting of the hub itself, such as its policy keys.
    pub(crate) fn setting<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        self.read(SETTINGS, name)
    }

    /// Keeps a setting.
    pub(crate) fn keep_setting<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StoreError> {
        self.put(SETTINGS, name, Some(value))
    }

    fn read<T: DeserializeOwned>(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        key: &str,
    ) -> Result<Option<T>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(table)?;
        table.get(key)?.map(|value| decode(key, value.value())).transpose()
    }

    fn put<T: Serialize>(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        key: &str,
        value: Option<&T>,
    ) -> Result<(), StoreError> {
        let bytes = value.map(encode).transpose()?;
        let written = self.write(|write| {
            let mut table = write.open_table(table).map_err(StoreError::from)?;
            match &bytes {
                Some(bytes) => table.insert(key, bytes.as_slice()).map_err(StoreError::from)?,
                None => table.remove(key).map_err(StoreError::from)?,
            };
            Ok(())
        });
        written.map_err(|fault| StoreError(fault.to_string()))
    }
}

/// [`Store::change`] within a transaction. Nothing is written when `change` refuses.
fn change_in<T>(
    write: &WriteTransaction,
    name: &Name,
    change: impl FnOnce(&mut Option<Record>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let key = name.to_string();
    let mut table = write.open_table(RECORDS).map_err(StoreError::from)?;
    let stored = table.get(key.as_str()).map_err(StoreError::from)?;
    let mut record = stored.map(|value| decode::<Record>(&key, value.value())).transpose()?;
    let given = change(&mut record)?;
    match record {
        Some(record) => {
            table.insert(key.as_str(), encode(&record)?.as_slice()).map_err(StoreError::from)?;
        }
        None => {
            let mut sessions = write.open_table(SESSIONS).map_err(StoreError::from)?;
            let below = (format!("{key}/"), format!("{key}0"));
            table.remove(key.as_str()).map_err(StoreError::from)?;
            sessions.remove(key.as_str()).map_err(StoreError::from)?;
            presence::forget(write, name)?;
            if name.module_id().is_none() {
                inbox::forget(write, &key)?;
                let range = below.0.as_str()..below.1.as_str();
                table.retain_in(range.clone(), |_, _| false).map_err(StoreError::from)?;
                sessions.retain_in(range, |_, _| false).map_err(StoreError::from)?;
            }
        }
    }
    Ok(given)
}

fn decode<T: for<'a> Deserialize<'a>>(key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StoreError(format!("the entry {key} cannot be read: {error}")))
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError(format!("an entry cannot be written: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(store: &Store, name: &Name) {
        store
            .change(name, |record| {
                *record = Some(Record::for_tests(name));
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn a_refused_change_leaves_the_record_and_a_removed_device_takes_its_modules_along() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hub.redb");
        let (device, module, neighbour) =
            (Name::device("d").unwrap(), Name::module("d", "m").unwrap(), Name::device("d0").unwrap());
        {
            let store = Store::open(&file).unwrap();
            for name in [&device, &module, &neighbour] {
                create(&store, name);
                store.keep_session(name, Some(&Session::default())).unwrap();
            }
            let refused = store.change(&device, |record| {
                *record = None;
                Err::<(), _>(Fault::PreconditionFailed("no".into()))
            });
            assert_eq!(refused.unwrap_err().status(), 412);
        }
        let store = Store::open(&file).unwrap();
        assert_eq!(store.devices(10).unwrap().len(), 2);
        assert_eq!(store.modules("d").unwrap().len(), 1);
        store
            .change(&device, |record| {
                *record = None;
                Ok(())
            })
            .unwrap();
        assert!(store.record(&module).unwrap().is_none());
        assert!(store.session(&module).unwrap().is_none());
        assert!(store.record(&neighbour).unwrap().is_some());
        assert!(store.session(&neighbour).unwrap().is_some());
    }
}
