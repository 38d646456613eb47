//! What provisioning knows, and the registered authorities, in tables of their own.

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;

use super::{Store, StoreError, decode};
use crate::authorities::Authority;
use crate::dps::{Enrollment, Kind, Registration};

type Named = TableDefinition<'static, &'static str, &'static [u8]>;

const INDIVIDUAL: Named = TableDefinition::new("enrollments");
const GROUPS: Named = TableDefinition::new("enrollment-groups");
const REGISTRATIONS: Named = TableDefinition::new("registrations");
const AUTHORITIES: Named = TableDefinition::new("authorities");

fn table_of(kind: Kind) -> Named {
    match kind {
        Kind::Individual => INDIVIDUAL,
        Kind::Group => GROUPS,
    }
}

/// Makes the tables, so that reading finds them.
pub(super) fn make(write: &WriteTransaction) -> Result<(), StoreError> {
    for table in [INDIVIDUAL, GROUPS, REGISTRATIONS, AUTHORITIES] {
        write.open_table(table)?;
    }
    Ok(())
}

impl Store {
    /// One enrollment.
    pub(crate) fn enrollment(&self, kind: Kind, id: &str) -> Result<Option<Enrollment>, StoreError> {
        self.read(table_of(kind), id)
    }

    /// All enrollments of a kind, in the order of their ids, at most `limit`.
    pub(crate) fn enrollments(&self, kind: Kind, limit: usize) -> Result<Vec<Enrollment>, StoreError> {
        self.all(table_of(kind), limit)
    }

    /// How many there are.
    pub(crate) fn count_enrollments(&self, kind: Kind) -> Result<usize, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(table_of(kind))?.iter()?.count())
    }

    /// Keeps an enrollment, or forgets it. What was registered through it stays.
    pub(crate) fn keep_enrollment(
        &self,
        kind: Kind,
        id: &str,
        enrollment: Option<&Enrollment>,
    ) -> Result<(), StoreError> {
        self.put(table_of(kind), id, enrollment)
    }

    /// How a registration ended.
    pub(crate) fn registration(&self, id: &str) -> Result<Option<Registration>, StoreError> {
        self.read(REGISTRATIONS, id)
    }

    /// Keeps a registration, or forgets it.
    pub(crate) fn keep_registration(
        &self,
        id: &str,
        registration: Option<&Registration>,
    ) -> Result<(), StoreError> {
        self.put(REGISTRATIONS, id, registration)
    }

    /// The registered authorities.
    pub(crate) fn authorities(&self) -> Result<Vec<Authority>, StoreError> {
        self.all(AUTHORITIES, usize::MAX)
    }

    /// Keeps an authority, or forgets it.
    pub(crate) fn keep_authority(&self, name: &str, authority: Option<&Authority>) -> Result<(), StoreError> {
        self.put(AUTHORITIES, name, authority)
    }

    fn all<T: DeserializeOwned>(&self, table: Named, limit: usize) -> Result<Vec<T>, StoreError> {
        let read = self.database.begin_read()?;
        let mut all = Vec::new();
        for entry in read.open_table(table)?.iter()?.take(limit) {
            let (key, value) = entry?;
            all.push(decode(key.value(), value.value())?);
        }
        Ok(all)
    }
}
