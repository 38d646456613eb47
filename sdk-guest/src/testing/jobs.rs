//! The device's jobs: lanes, wakes, attempts and checkpoints.

use std::time::Duration;

use serde_json::Value;

use crate::bindings::hotshoe::plugin::job::{Boot, Checkpoint, Wake};
use crate::{Failure, JobSpec, Outcome};

/// How a run of a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The job is done.
    Done(Value),
    /// It is to run again after this time.
    Later(Duration),
    /// The device is to restart: [`Device::restart`](super::Device::restart) comes next.
    Restart,
    /// It stopped because it was asked to.
    Suspended,
    /// It is to be tried again.
    Transient(String),
    /// The job has failed.
    Permanent(String),
    /// The plugin was killed: [`Device::kill_at_call`](super::Device::kill_at_call).
    Interrupted,
    /// It was cancelled, and has ended: [`Device::cancel_job`](super::Device::cancel_job).
    Cancelled,
}

impl End {
    /// Whether the job is over, for good or ill.
    pub fn is_final(&self) -> bool {
        matches!(self, End::Done(_) | End::Permanent(_) | End::Cancelled)
    }
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) spec: JobSpec,
    pub(super) wake: Wake,
    pub(super) attempt: u32,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) cancelled: bool,
    stage: Stage,
}

#[derive(Debug, PartialEq)]
enum Stage {
    Ready,
    /// Waits for a restart, into this slot where one was armed.
    Restarting(Option<String>),
    Ended,
}

#[derive(Debug, Default)]
pub(super) struct Jobs {
    records: Vec<Record>,
    running: Option<String>,
}

impl Jobs {
    /// Takes a job, or says why not: status, code and text.
    pub(super) fn announce(&mut self, spec: JobSpec) -> Result<String, (i32, &'static str, String)> {
        for name in [Some(&spec.kind), spec.lane.as_ref()].into_iter().flatten() {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                return Err((500, "pluginFailed", format!("{name:?} is not 1 to 64 of a-z, 0-9 and -")));
            }
        }
        if spec.input.to_string().len() > super::PAYLOAD_LIMIT {
            return Err((500, "pluginFailed", "the job's input is over 128 KiB".to_owned()));
        }
        let holds = |record: &&Record| record.spec.lane == spec.lane && record.stage != Stage::Ended;
        if let Some(lane) = &spec.lane
            && let Some(holder) = self.records.iter().find(holds)
        {
            return Err((409, "laneTaken", format!("the lane {lane} is held by the job {}", holder.id)));
        }
        let id = format!("job{}", self.records.len() + 1);
        self.records.push(Record {
            id: id.clone(),
            spec,
            wake: Wake::Started,
            attempt: 0,
            checkpoint: None,
            cancelled: false,
            stage: Stage::Ready,
        });
        Ok(id)
    }

    pub(super) fn record(&mut self, id: &str) -> &mut Record {
        match self.records.iter_mut().find(|record| record.id == id) {
            Some(record) => record,
            None => panic!("there is no job {id}"),
        }
    }

    /// The job that runs now.
    pub(super) fn running(&self) -> Option<String> {
        self.running.clone()
    }

    /// Whether the job that runs was cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.records.iter().any(|record| record.cancelled && self.running.as_ref() == Some(&record.id))
    }

    /// Cancels a job that has not ended: it is run once more.
    pub(super) fn cancel(&mut self, id: &str) {
        let record = self.record(id);
        if record.stage == Stage::Ended {
            panic!("the job {id} has ended");
        }
        record.cancelled = true;
        record.wake = Wake::Interrupted;
        record.stage = Stage::Ready;
    }

    pub(super) fn begin(&mut self, id: &str) {
        self.running = Some(id.to_owned());
        let record = self.record(id);
        match &record.stage {
            Stage::Ready => record.attempt += 1,
            Stage::Restarting(_) => panic!("the job {id} waits for a restart: call Device::restart first"),
            Stage::Ended => panic!("the job {id} has ended"),
        }
    }

    pub(super) fn end(
        &mut self,
        id: &str,
        result: Option<Result<Outcome, Failure>>,
        restart_granted: bool,
        armed: Option<String>,
    ) -> End {
        self.running = None;
        let record = self.record(id);
        if matches!(result, Some(Ok(_))) {
            record.attempt = 0;
        }
        let (end, wake, stage) = match result {
            Some(Ok(Outcome::Done(value))) => (End::Done(value), Wake::Due, Stage::Ended),
            Some(Ok(Outcome::Later(pause))) => (End::Later(pause), Wake::Due, Stage::Ready),
            Some(Ok(Outcome::Suspended)) => (End::Suspended, Wake::Interrupted, Stage::Ready),
            Some(Ok(Outcome::Restart)) if restart_granted => {
                (End::Restart, Wake::Interrupted, Stage::Restarting(armed))
            }
            Some(Ok(Outcome::Restart)) => {
                let text = "the job asks for a restart, and the manifest does not".to_owned();
                (End::Permanent(text), Wake::Due, Stage::Ended)
            }
            Some(Err(Failure::Transient(text))) => (End::Transient(text), Wake::Due, Stage::Ready),
            Some(Err(Failure::Permanent(text))) => (End::Permanent(text), Wake::Due, Stage::Ended),
            None => (End::Interrupted, Wake::Interrupted, Stage::Ready),
        };
        // However it ends, it has ended; but for one that was killed, which is run again to report.
        if record.cancelled && end != End::Interrupted {
            record.stage = Stage::Ended;
            return End::Cancelled;
        }
        record.wake = wake;
        record.stage = stage;
        end
    }

    /// The device has booted into this slot.
    pub(super) fn booted(&mut self, running: Option<&str>) {
        for record in &mut self.records {
            if let Stage::Restarting(wanted) = &record.stage {
                let expected = wanted.is_none() || wanted.as_deref() == running;
                let slot = running.unwrap_or_default().to_owned();
                record.wake = Wake::Restarted(Boot { slot, expected });
                record.stage = Stage::Ready;
            } else if let Wake::Restarted(boot) = &mut record.wake {
                // Another restart came between: what runs now counts.
                boot.expected &= Some(boot.slot.as_str()) == running;
                boot.slot = running.unwrap_or_default().to_owned();
            }
        }
    }
}
