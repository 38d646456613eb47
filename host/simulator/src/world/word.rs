//! What was said and promised on the device, kept where no power cut reaches: what it is held to.
//!
//! The device's code knows nothing of it. Each note is made at the moment in which the code says that something is so;
//! whoever is told something else later has found it out.

use std::sync::Arc;

use hotshoe_core::{image::CHUNK, job::JobId};
use serde_json::Value;

use super::State;

/// What the device is held to.
#[derive(Clone, Debug, Default)]
pub struct Word {
    /// All that was reported of the firmware.
    reports: Arc<Vec<Value>>,
    /// The checkpoint of a job that was saved for good, and the one that was being saved after it.
    saved: Option<Arc<Saved>>,
    saving: Option<Arc<Saved>>,
    /// All checkpoints that anybody ever wanted saved, and all inputs of orders.
    written: Arc<Vec<Vec<u8>>>,
    inputs: Arc<Vec<Value>>,
    /// Orders that the operator was told are refused, by their tickets.
    refused: Arc<Vec<u64>>,
    /// How many tickets were given out.
    tickets: u64,
    /// What was received for which job and piece; what is being received comes last.
    received: Arc<Vec<Received>>,
}

/// The checkpoint of a job.
type Saved = (JobId, Vec<u8>);

#[derive(Clone, Debug)]
struct Received {
    job: JobId,
    piece: usize,
    /// How often it was begun, and how many bytes came in all.
    begun: u64,
    bytes: u64,
}

impl State {
    /// A number for an order that nobody gave before.
    pub fn ticket(&mut self) -> u64 {
        self.word.tickets += 1;
        self.word.tickets
    }

    /// An order with this input goes out.
    pub fn orders(&mut self, input: &Value) {
        Arc::make_mut(&mut self.word.inputs).push(input.clone());
    }

    /// What is wrong with running a job with this input from here, whatever the disk has done to its file: rot is
    /// to be noticed, and what is noticed is not there.
    pub fn unwritten(&self, input: &Value, checkpoint: Option<&[u8]>) -> Option<String> {
        if !self.word.inputs.contains(input) {
            return Some(format!("a job is run with an input that nobody has ordered: {input}"));
        }
        let known = |bytes: &[u8]| self.word.written.iter().any(|written| written == bytes);
        let unknown = checkpoint.filter(|bytes| !known(bytes))?;
        let text = String::from_utf8_lossy(unknown);
        Some(format!("a job is run from a checkpoint that nobody has saved: {text:?}"))
    }

    /// The operator is told that an order is refused.
    pub fn refused(&mut self, ticket: u64) {
        Arc::make_mut(&mut self.word.refused).push(ticket);
    }

    /// Something is about to be reported.
    pub fn reports(&mut self, firmware: &Value) {
        if !self.word.reports.contains(firmware) {
            Arc::make_mut(&mut self.word.reports).push(firmware.clone());
        }
    }

    /// What is wrong with hearing this.
    pub fn unsaid(&self, patch: &Value) -> Option<String> {
        let firmware = patch.get("firmware")?;
        let said = self.word.reports.contains(firmware);
        (!said).then(|| format!("a report arrives that nobody on the device has made: {firmware}"))
    }

    /// A checkpoint is about to be saved.
    pub fn saves(&mut self, job: &JobId, bytes: &[u8]) {
        self.word.saving = Some(Arc::new((job.clone(), bytes.to_vec())));
        if !self.word.written.iter().any(|written| written == bytes) {
            Arc::make_mut(&mut self.word.written).push(bytes.to_vec());
        }
    }

    /// The host says that it is.
    pub fn saved(&mut self) {
        self.word.saved = self.word.saving.take();
    }

    /// What is wrong with a job that is run from here.
    pub fn begins(&mut self, job: &JobId, ticket: u64, checkpoint: Option<&[u8]>) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.word.refused.contains(&ticket) {
            wrong.push(format!(
                "an order is carried out by job {job}, and the operator was told that it is refused"
            ));
        }
        let of_job = |kept: &Option<Arc<Saved>>| {
            kept.as_ref().filter(|kept| kept.0 == *job).map(|kept| kept.1.clone())
        };
        let (saved, saving) = (of_job(&self.word.saved), of_job(&self.word.saving));
        let as_saved = saved.as_deref() == checkpoint;
        if !as_saved && (saving.is_none() || saving.as_deref() != checkpoint) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            wrong.push(format!(
                "job {job} is run from the checkpoint {:?}, and {:?} was saved for good",
                checkpoint.map(text),
                saved.as_deref().map(text)
            ));
        }
        // What it runs from is what counts from now on.
        self.word.saved = checkpoint.map(|bytes| Arc::new((job.clone(), bytes.to_vec())));
        self.word.saving = None;
        wrong
    }

    /// A piece is begun to be received, or gone on with.
    pub fn receives(&mut self, job: &JobId, piece: usize) {
        let all = Arc::make_mut(&mut self.word.received);
        let place = all.iter().position(|known| known.job == *job && known.piece == piece);
        let mut known = match place {
            Some(place) => all.remove(place),
            None => Received { job: job.clone(), piece, begun: 0, bytes: 0 },
        };
        known.begun += 1;
        all.push(known);
    }

    /// Bytes of the piece of this length that is being received have come, `most` at a time; what is wrong with that.
    ///
    /// Each time that it was cut off may cost one chunk and what was on its way (a piece that has come and one that was
    /// asked for), and a server with a wrong byte one chunk more.
    pub fn received(&mut self, bytes: usize, length: usize, most: usize) -> Option<String> {
        let wrong_servers = u64::from(self.world.mirrored || self.world.forged);
        let known = Arc::make_mut(&mut self.word.received).last_mut()?;
        known.bytes += bytes as u64;
        let again = known.begun.saturating_sub(1);
        let limit = length as u64 + again * (CHUNK + 2 * most as u64) + known.begun * wrong_servers * CHUNK;
        (known.bytes > limit).then(|| {
            format!(
                "job {} was sent {} bytes of {length}, after it was cut off {again} times: more than a chunk each time",
                known.job, known.bytes
            )
        })
    }
}
