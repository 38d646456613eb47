//! Jobs as they are stored: what was ordered, which never changes; how far it is; and a row for each device.

use std::ops::{Bound, ControlFlow};

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};

use super::{Store, StoreError, decode, encode};
use crate::fault::Fault;
use crate::identity::Name;
use crate::jobs::{DeviceState, Job, Row, State};
use crate::store::Record;

const JOBS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("jobs");
const STATES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("job-states");
const ROWS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("job-devices");

/// Makes the tables, so that reading finds them.
pub(super) fn make(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(JOBS)?;
    write.open_table(STATES)?;
    write.open_table(ROWS)?;
    Ok(())
}

impl Store {
    /// Keeps a new job and forgets those for which `is_over` holds. Refuses an id that is taken, and a job more than
    /// `most`.
    pub(crate) fn add_job(
        &self,
        job: &Job,
        state: &State,
        most: usize,
        is_over: impl Fn(&State) -> bool,
    ) -> Result<(), Fault> {
        self.write(|write| {
            let id = job.job_id.as_str();
            let (mut kept, mut over) = (0, Vec::new());
            {
                let states = write.open_table(STATES).map_err(StoreError::from)?;
                if states.get(id).map_err(StoreError::from)?.is_some() {
                    return Err(Fault::JobAlreadyExists(id.to_owned()));
                }
                for entry in states.iter().map_err(StoreError::from)? {
                    let (key, value) = entry.map_err(StoreError::from)?;
                    if is_over(&decode(key.value(), value.value())?) {
                        over.push(key.value().to_owned());
                    } else {
                        kept += 1;
                    }
                }
            }
            if kept >= most {
                return Err(Fault::QuotaExceeded(format!(
                    "the hub keeps {most} jobs and has no room for another"
                )));
            }
            let (job_text, state_text) = (encode(job)?, encode(state)?);
            forget(write, &over)?;
            put(write, JOBS, id, &job_text)?;
            put(write, STATES, id, &state_text)?;
            Ok(())
        })
    }

    /// A job and how far it is.
    pub(crate) fn job(&self, id: &str) -> Result<Option<(Job, State)>, StoreError> {
        let read = self.database.begin_read()?;
        let (jobs, states) = (read.open_table(JOBS)?, read.open_table(STATES)?);
        let (Some(job), Some(state)) = (jobs.get(id)?, states.get(id)?) else { return Ok(None) };
        Ok(Some((decode(id, job.value())?, decode(id, state.value())?)))
    }

    /// Shows how far each job is, by their ids, until `see` breaks.
    pub(crate) fn visit_job_states(
        &self,
        after: Option<&str>,
        mut see: impl FnMut(&str, State) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let read = self.database.begin_read().map_err(StoreError::from)?;
        let states = read.open_table(STATES).map_err(StoreError::from)?;
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        for entry in states.range::<&str>((first, Bound::Unbounded)).map_err(StoreError::from)? {
            let (key, value) = entry.map_err(StoreError::from)?;
            if see(key.value(), decode(key.value(), value.value())?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Notes which devices a job is for, if `begin` says that it may begin.
    pub(crate) fn begin_job(
        &self,
        id: &str,
        devices: &[String],
        now: &str,
        begin: impl FnOnce(&mut State) -> bool,
    ) -> Result<State, Fault> {
        self.write(|write| {
            let mut state = state(write, id)?;
            if !begin(&mut state) {
                return Ok(state);
            }
            state.counts.device_count = u64::try_from(devices.len()).unwrap_or(u64::MAX);
            state.counts.pending_count = state.counts.device_count;
            let (row, text) = (encode(&Row::new(state.kind, now))?, encode(&state)?);
            let mut rows = write.open_table(ROWS).map_err(StoreError::from)?;
            for device in devices {
                rows.insert((id, device.as_str()), row.as_slice()).map_err(StoreError::from)?;
            }
            drop(rows);
            put(write, STATES, id, &text)?;
            Ok(state)
        })
    }

    /// At most `most` devices for which a job has yet to do something, by their names.
    pub(crate) fn pending(&self, id: &str, after: &str, most: usize) -> Result<Vec<String>, StoreError> {
        let read = self.database.begin_read()?;
        let rows = read.open_table(ROWS)?;
        let mut pending = Vec::new();
        let range = (Bound::Excluded((id, after)), Bound::Unbounded);
        for entry in rows.range::<(&str, &str)>(range)? {
            let (key, value) = entry?;
            let (job, device) = key.value();
            if job != id || pending.len() == most {
                break;
            }
            if decode::<Row>(device, value.value())?.state == DeviceState::Pending {
                pending.push(device.to_owned());
            }
        }
        Ok(pending)
    }

    /// Changes the row of one device.
    pub(crate) fn change_row<T>(
        &self,
        id: &str,
        device: &str,
        change: impl FnOnce(&mut Row) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.write(|write| change_row(write, id, device, change))
    }

    /// Changes a record and a device's row of a job in one step. `change` gets both; what it does to the record is
    /// dropped when it leaves it as `Err`, what it does to the row is kept.
    pub(crate) fn change_with_row<T>(
        &self,
        name: &Name,
        id: &str,
        change: impl FnOnce(&mut Option<Record>) -> Result<T, Fault>,
        begin: impl FnOnce(&mut Row) -> Result<(), Fault>,
        end: impl FnOnce(&mut Row, Option<&Fault>),
    ) -> Result<Result<T, Fault>, Fault> {
        self.write(|write| {
            change_row(write, id, name.device_id(), |row| {
                begin(row)?;
                let changed = super::change_in(write, name, change);
                end(row, changed.as_ref().err());
                Ok(changed)
            })
        })
    }

    /// Ends all rows of a job that are not ended, and the job as `end` says; all in one step.
    pub(crate) fn end_rows(
        &self,
        id: &str,
        end_row: impl Fn(&mut Row),
        end: impl FnOnce(&mut State) -> Result<(), Fault>,
    ) -> Result<State, Fault> {
        self.write(|write| {
            let mut state = state(write, id)?;
            end(&mut state)?;
            let mut rows = write.open_table(ROWS).map_err(StoreError::from)?;
            let mut changed = Vec::new();
            for entry in rows.range((id, "")..).map_err(StoreError::from)? {
                let (key, value) = entry.map_err(StoreError::from)?;
                let (job, device) = key.value();
                if job != id {
                    break;
                }
                let mut row: Row = decode(device, value.value())?;
                let before = row.state;
                end_row(&mut row);
                if row.state != before {
                    state.counts.moved(before, row.state);
                    changed.push((device.to_owned(), encode(&row)?));
                }
            }
            for (device, text) in changed {
                rows.insert((id, device.as_str()), text.as_slice()).map_err(StoreError::from)?;
            }
            drop(rows);
            put(write, STATES, id, &encode(&state)?)?;
            Ok(state)
        })
    }

    /// Shows the rows of one job, or of all, whose keys come after `after`, until `see` breaks: job, device, row.
    pub(crate) fn visit_rows(
        &self,
        only: Option<&str>,
        after: (&str, &str),
        mut see: impl FnMut(&str, &str, Row) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let read = self.database.begin_read().map_err(StoreError::from)?;
        let rows = read.open_table(ROWS).map_err(StoreError::from)?;
        let first = only.map_or(after, |only| after.max((only, "")));
        let range = (Bound::Excluded(first), Bound::Unbounded);
        for entry in rows.range::<(&str, &str)>(range).map_err(StoreError::from)? {
            let (key, value) = entry.map_err(StoreError::from)?;
            let (job, device) = key.value();
            if only.is_some_and(|only| only != job) {
                break;
            }
            if see(job, device, decode(device, value.value())?)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn change_row<T>(
    write: &WriteTransaction,
    id: &str,
    device: &str,
    change: impl FnOnce(&mut Row) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut state = state(write, id)?;
    let mut row: Row = {
        let rows = write.open_table(ROWS).map_err(StoreError::from)?;
        let stored = rows.get((id, device)).map_err(StoreError::from)?;
        let stored = stored.ok_or_else(|| Fault::Internal(format!("job {id} has no row for {device}")))?;
        decode(device, stored.value())?
    };
    let before = row.state;
    let given = change(&mut row)?;
    state.counts.moved(before, row.state);
    let mut rows = write.open_table(ROWS).map_err(StoreError::from)?;
    rows.insert((id, device), encode(&row)?.as_slice()).map_err(StoreError::from)?;
    drop(rows);
    put(write, STATES, id, &encode(&state)?)?;
    Ok(given)
}

fn state(write: &WriteTransaction, id: &str) -> Result<State, Fault> {
    let states = write.open_table(STATES).map_err(StoreError::from)?;
    let stored = states.get(id).map_err(StoreError::from)?;
    let stored = stored.ok_or_else(|| Fault::JobNotFound(id.to_owned()))?;
    Ok(decode(id, stored.value())?)
}

fn put(
    write: &WriteTransaction,
    table: TableDefinition<'_, &str, &[u8]>,
    key: &str,
    bytes: &[u8],
) -> Result<(), StoreError> {
    write.open_table(table)?.insert(key, bytes)?;
    Ok(())
}

fn forget(write: &WriteTransaction, ids: &[String]) -> Result<(), StoreError> {
    for id in ids {
        write.open_table(JOBS)?.remove(id.as_str())?;
        write.open_table(STATES)?.remove(id.as_str())?;
        let end = format!("{id}\u{0}");
        write.open_table(ROWS)?.retain_in((id.as_str(), "")..(end.as_str(), ""), |_, _| false)?;
    }
    Ok(())
}
