//! Configurations as they are stored, and whether a walk over all twins is owed because one has changed.
//!
//! Every change of a configuration counts the revision up, in the same transaction; a walk notes the revision that it
//! was begun for when it is done. While the two differ, one is owed.

use redb::{
    ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, WriteTransaction,
};

use super::{Store, StoreError, decode, encode};
use crate::configurations::Configuration;
use crate::fault::Fault;

const CONFIGURATIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("configurations");
const REVISIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("configuration-revisions");
/// Of the configurations.
const PRESENT: &str = "present";
/// Of the last walk that was done.
const WALKED: &str = "walked";

/// Makes the tables, so that reading finds them.
pub(super) fn make(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(CONFIGURATIONS)?;
    write.open_table(REVISIONS)?;
    Ok(())
}

impl Store {
    /// One configuration.
    pub(crate) fn configuration(&self, id: &str) -> Result<Option<Configuration>, StoreError> {
        self.read(CONFIGURATIONS, id)
    }

    /// All of them, by their ids.
    pub(crate) fn configurations(&self) -> Result<Vec<Configuration>, StoreError> {
        all(&self.database.begin_read()?.open_table(CONFIGURATIONS)?)
    }

    /// Makes, changes or removes a configuration; `change` also gets how many there are. `then` gets all that there are
    /// after it, still inside the transaction: changes of twins come before or after it and never beside it.
    pub(crate) fn change_configuration<T>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Option<Configuration>, usize) -> Result<T, Fault>,
        then: impl FnOnce(&[Configuration]),
    ) -> Result<T, Fault> {
        self.write(|write| {
            let mut table = write.open_table(CONFIGURATIONS).map_err(StoreError::from)?;
            let count = usize::try_from(table.len().map_err(StoreError::from)?).unwrap_or(usize::MAX);
            let stored = table.get(id).map_err(StoreError::from)?;
            let mut configuration = stored.map(|value| decode(id, value.value())).transpose()?;
            let given = change(&mut configuration, count)?;
            match configuration.as_ref().map(encode).transpose()? {
                Some(bytes) => drop(table.insert(id, bytes.as_slice()).map_err(StoreError::from)?),
                None => drop(table.remove(id).map_err(StoreError::from)?),
            }
            let mut revisions = write.open_table(REVISIONS).map_err(StoreError::from)?;
            let present = number(&revisions, PRESENT)?;
            revisions.insert(PRESENT, present + 1).map_err(StoreError::from)?;
            then(&all(&table)?);
            Ok(given)
        })
    }

    /// The revision for which a walk is owed, if one is.
    pub(crate) fn owed_walk(&self) -> Result<Option<u64>, StoreError> {
        let revisions = self.database.begin_read()?.open_table(REVISIONS)?;
        let present = number(&revisions, PRESENT)?;
        Ok((number(&revisions, WALKED)? != present).then_some(present))
    }

    /// A walk is done that was begun for a revision.
    pub(crate) fn walked(&self, revision: u64) -> Result<(), Fault> {
        self.write(|write| {
            let mut revisions = write.open_table(REVISIONS).map_err(StoreError::from)?;
            revisions.insert(WALKED, revision).map_err(StoreError::from)?;
            Ok(())
        })
    }
}

fn all(
    table: &impl redb::ReadableTable<&'static str, &'static [u8]>,
) -> Result<Vec<Configuration>, StoreError> {
    let mut all = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        all.push(decode(key.value(), value.value())?);
    }
    Ok(all)
}

fn number(table: &impl redb::ReadableTable<&'static str, u64>, key: &str) -> Result<u64, StoreError> {
    Ok(table.get(key)?.map_or(0, |number| number.value()))
}
