//! When each identity was last heard of, in a table of its own.

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};

use super::{Store, StoreError, decode, encode};
use crate::fault::Fault;
use crate::identity::Name;
use crate::presence::Seen;

const PRESENCE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("presence");

/// Makes the table, so that reading finds it.
pub(super) fn make(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(PRESENCE)?;
    Ok(())
}

/// Removes an identity that is being removed, and a device's modules with it.
pub(super) fn forget(write: &WriteTransaction, name: &Name) -> Result<(), StoreError> {
    let key = name.to_string();
    let mut table = write.open_table(PRESENCE)?;
    table.remove(key.as_str())?;
    if name.module_id().is_none() {
        let (first, last) = (format!("{key}/"), format!("{key}0"));
        table.retain_in(first.as_str()..last.as_str(), |_, _| false)?;
    }
    Ok(())
}

impl Store {
    /// All that is known.
    pub(crate) fn presence(&self) -> Result<Vec<(Name, Seen)>, StoreError> {
        let read = self.database.begin_read()?;
        let mut all = Vec::new();
        for entry in read.open_table(PRESENCE)?.iter()? {
            let (key, value) = entry?;
            let name = match key.value().split_once('/') {
                None => Name::device(key.value()),
                Some((device, module)) => Name::module(device, module),
            };
            if let Ok(name) = name {
                all.push((name, decode(key.value(), value.value())?));
            }
        }
        Ok(all)
    }

    /// Notes what is new, all at once.
    pub(crate) fn keep_presence(&self, seen: &[(Name, Seen)]) -> Result<(), Fault> {
        self.write(|write| Ok(keep(write, seen)?))
    }
}

fn keep(write: &WriteTransaction, seen: &[(Name, Seen)]) -> Result<(), StoreError> {
    let mut table = write.open_table(PRESENCE)?;
    for (name, seen) in seen {
        table.insert(name.to_string().as_str(), encode(seen)?.as_slice())?;
    }
    Ok(())
}
