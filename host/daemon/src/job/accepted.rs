//! A job that is stored and not begun: the moment in which the caller is told.

use std::sync::Arc;

use hotshoe_core::job::{Event, JobId};

use super::life::{Seat, live};

/// A job that was accepted. Tell the caller, then [`start`](Accepted::start) it.
///
/// Dropping it starts it too: the promise was made when it was stored, so that no error on the way to the caller
/// can leave a job that nobody runs.
#[must_use = "tell the caller, then start it"]
pub struct Accepted {
    pub(super) seat: Arc<Seat>,
}

impl Accepted {
    /// The job's name.
    pub fn id(&self) -> &JobId {
        &self.seat.id
    }

    /// Lets the job begin. To be called once the answer was handed over.
    pub fn start(self) {}
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let seat = Arc::clone(&self.seat);
        self.seat.jobs.spawn(live(seat, Event::Replied));
    }
}
