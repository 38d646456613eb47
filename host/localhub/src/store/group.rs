//! Group commit: changes that come at the same time share one flush of the disk.
//!
//! A commit waits for the disk, and everything that comes meanwhile waits for the commit. So whoever changes
//! something does it in a transaction that is left open for those who wait behind, one after the other, and the last
//! of them commits for all. Alone, that is a commit of one's own at once; nobody ever waits for company. Each caller
//! hears the outcome of the commit that holds its change, so "done" still means "on the disk".

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use redb::WriteTransaction;

use super::{Store, StoreError};
use crate::fault::Fault;

/// The most changes of one commit: a bound on how long the first of them waits.
const MOST: usize = 512;

/// The transaction that is open for whoever comes next.
#[derive(Default)]
pub(super) struct Group {
    waiting: AtomicUsize,
    open: Mutex<Option<Batch>>,
}

struct Batch {
    transaction: WriteTransaction,
    outcome: Arc<Outcome>,
    changes: usize,
    is_changed: bool,
}

#[derive(Default)]
struct Outcome {
    ended: Mutex<Option<Result<(), String>>>,
    told: Condvar,
}

impl Store {
    /// Runs `work` in a transaction, possibly together with others', and returns when it is on the disk. When `work`
    /// refuses, it must have written nothing: the others' changes are committed all the same. It must not come back
    /// here, nor block. Blocks.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.group.waiting.fetch_add(1, Ordering::SeqCst);
        let mut open = self.group.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.group.waiting.fetch_sub(1, Ordering::SeqCst);
        let mut batch = match open.take() {
            Some(batch) => batch,
            None => Batch {
                transaction: self.database.begin_write().map_err(StoreError::from)?,
                outcome: Arc::default(),
                changes: 0,
                is_changed: false,
            },
        };
        let given = work(&batch.transaction);
        batch.changes += 1;
        batch.is_changed |= given.is_ok();
        // Whoever is counted as waiting takes the lock next and finds the batch.
        if self.group.waiting.load(Ordering::SeqCst) > 0 && batch.changes < MOST {
            let outcome = Arc::clone(&batch.outcome);
            *open = Some(batch);
            drop(open);
            let given = given?;
            outcome.wait()?;
            return Ok(given);
        }
        // The lock is held until the commit is over: the database has one writer, and those who come form a group.
        let ended = match batch.is_changed {
            true => batch.transaction.commit().map_err(StoreError::from),
            false => batch.transaction.abort().map_err(StoreError::from),
        };
        drop(open);
        batch.outcome.tell(&ended);
        let given = given?;
        ended?;
        Ok(given)
    }
}

impl Outcome {
    fn tell(&self, ended: &Result<(), StoreError>) {
        let ended = ended.as_ref().copied().map_err(|error| error.0.clone());
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        self.told.notify_all();
    }

    fn wait(&self) -> Result<(), StoreError> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let ended =
            self.told.wait_while(ended, |ended| ended.is_none()).unwrap_or_else(PoisonError::into_inner);
        match &*ended {
            Some(Err(error)) => Err(StoreError(error.clone())),
            _ => Ok(()),
        }
    }
}
