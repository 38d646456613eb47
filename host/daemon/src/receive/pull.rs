//! One answer of the image itself, into the pipeline.
//!
//! Bytes are put together to chunks in the buffer that goes to the disk: this is the only copy of them that is made. What
//! is left of a chunk when an answer breaks off stays in it, and the next request begins behind it.

use hotshoe_core::{
    image::{CHUNK, Runs},
    planted::{self, Bug},
};
use tokio::time::Instant;

use super::{
    Opened, Part, ReceiveError, SourceError,
    plan::Ask,
    session::{Session, Trouble},
    sink::{CHUNK_BYTES, locked},
};
use crate::fetch::{FetchError, transfer::Meter};

impl Session<'_> {
    /// Receives one run from one source.
    pub(super) async fn pull(&mut self, ask: &Ask) -> Result<(), Trouble> {
        let Some(source) = self.about.sources.get(ask.source) else { return Ok(()) };
        let (wanted, length) = {
            let staging = locked(self.about.staging);
            (staging.bytes_of(&ask.run), staging.length())
        };
        let from = self.resume(ask.run.start);
        let to = Some(wanted.end).filter(|end| length.is_some_and(|length| *end < length));
        let asked = if planted::on(Bug::AskedFromStart) { 0 } else { from };
        let opened = match self.unless_cancelled(source.open(Part::Image, asked, to)).await? {
            Err(SourceError::Refused(FetchError::Status { status: 416, .. }))
                if from > 0 && !self.length_vouched =>
            {
                let text =
                    format!("{} has no bytes from {from} on; receiving all of it", self.name(ask.source));
                self.length_vouched = true;
                self.forget()?;
                return Err(SourceError::broken(text).into());
            }
            opened => opened?,
        };
        let length = self.agree(&opened, length)?;
        // A length that nobody knew until now is shorter than the slot.
        let mut until = length.map_or(u64::MAX, |length| wanted.end.min(length));
        if opened.start != from {
            until = self.all_of_it(opened.start)?.unwrap_or(until);
        }
        let start = opened.start;
        self.stream(ask.source, opened, start, until, length.is_none()).await
    }

    /// Where to go on: inside of a chunk of which a part has come.
    fn resume(&mut self, first: u64) -> u64 {
        let offset = first.saturating_mul(CHUNK);
        match self.work.take() {
            Some(work) if work.first == first => {
                let from = offset.saturating_add(work.filled as u64);
                self.work = Some(work);
                from
            }
            Some(work) => {
                self.pipeline.give_back(work);
                offset
            }
            None => offset,
        }
    }

    /// Whether an answer is about an image of the right length; returns the length if it is known now.
    fn agree(&mut self, opened: &Opened, length: Option<u64>) -> Result<Option<u64>, Trouble> {
        match (length, opened.total) {
            (_, Some(0)) => {
                let text = "the image is empty, says the server".to_owned();
                Err(SourceError::Refused(FetchError::Interrupted(text)).into())
            }
            (Some(expected), Some(actual)) if expected != actual => {
                if self.length_vouched {
                    return Err(SourceError::Refused(FetchError::Size { expected, actual }).into());
                }
                // What a server said in an earlier run is no better than what one says now.
                self.length_vouched = true;
                self.forget()?;
                self.begin(actual)?;
                let text =
                    format!("the image has {actual} bytes, and {expected} before; receiving all of it");
                Err(SourceError::broken(text).into())
            }
            (None, Some(total)) => {
                self.length_vouched = true;
                self.begin(total)?;
                Ok(Some(total))
            }
            (length, total) => {
                self.length_vouched |= total.is_some();
                Ok(length)
            }
        }
    }

    /// Nothing that came is of use.
    fn forget(&mut self) -> Result<(), Trouble> {
        self.good = 0;
        let all: Runs = std::iter::once(0..u64::MAX).collect();
        locked(self.about.staging).forget(&all).map_err(|error| Trouble::End(error.into()))
    }

    fn begin(&self, length: u64) -> Result<(), Trouble> {
        let begun = locked(self.about.staging).begin(Some(length), None);
        begun.map_err(|error| Trouble::End(error.into()))
    }

    /// The source gives all of the image: up to where is of use. What came without hashes has to come again.
    fn all_of_it(&mut self, start: u64) -> Result<Option<u64>, Trouble> {
        if let Some(work) = self.work.take() {
            self.pipeline.give_back(work);
        }
        if start != 0 {
            return Err(SourceError::broken("the answer begins elsewhere than was asked for").into());
        }
        if self.about.tree.is_none() {
            self.forget()?;
        }
        let staging = locked(self.about.staging);
        let last = staging.missing().iter().next_back().cloned();
        Ok(last.filter(|_| staging.length().is_some()).map(|run| staging.bytes_of(&run).end))
    }

    /// Takes the bytes of an answer that begins at `position`, up to `until`; or to its end if only that tells where it is.
    async fn stream(
        &mut self,
        source: usize,
        mut opened: Opened,
        mut position: u64,
        until: u64,
        to_the_end: bool,
    ) -> Result<(), Trouble> {
        let mut meter = Meter::default();
        while position < until {
            let Some(piece) = self.piece(source, &mut opened, &mut meter).await? else {
                if to_the_end {
                    self.hand_over(true).await?;
                    self.pipeline.drain().await?;
                    let ended = locked(self.about.staging).end(position);
                    return ended.map_err(|error| Trouble::End(error.into()));
                }
                let text = format!("{} ended at byte {position}, before the image did", self.name(source));
                return Err(SourceError::broken(text).into());
            };
            let useful = usize::try_from(until.saturating_sub(position)).unwrap_or(usize::MAX);
            let piece = piece.get(..useful).unwrap_or(&piece);
            self.feed(piece, position).await?;
            position = position.saturating_add(piece.len() as u64);
            self.note(source);
            self.believed(source)?;
            self.tell();
        }
        self.hand_over(true).await
    }

    /// The next bytes of an answer, if they come in time. Whole chunks that wait for more go to the slot meanwhile, as
    /// soon as it has nothing else to do.
    pub(super) async fn piece(
        &mut self,
        source: usize,
        opened: &mut Opened,
        meter: &mut Meter,
    ) -> Result<Option<bytes::Bytes>, Trouble> {
        let (settings, cancel) = (&self.about.settings.fetch, self.about.cancel);
        let asked = Instant::now();
        let mut next = std::pin::pin!(tokio::time::timeout(settings.stall_timeout, opened.body.next()));
        let piece = loop {
            let waits = self.work.as_ref().is_some_and(|work| work.filled >= CHUNK_BYTES);
            let under_way = self.pipeline.under_way();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Trouble::End(ReceiveError::Cancelled)),
                piece = &mut next => break piece,
                settled = self.pipeline.drain(), if waits || under_way => {
                    settled?;
                    self.hand_over(false).await?;
                    self.note(source);
                    self.tell();
                }
            }
        };
        let Ok(piece) = piece else {
            return Err(SourceError::broken(format!("{} stalls", self.name(source))).into());
        };
        let piece = piece?;
        let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if let Some(rate) = meter.too_slow(asked.elapsed(), length, settings) {
            let text = format!("{} sends {rate} bytes a second, too slow to wait for", self.name(source));
            return Err(SourceError::broken(text).into());
        }
        Ok(piece)
    }

    /// Puts bytes behind those that are there; full buffers go to the slot, and whole chunks if it has nothing to do.
    async fn feed(&mut self, mut bytes: &[u8], mut position: u64) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            let mut work = match self.work.take() {
                Some(work) => work,
                None => self.pipeline.work(position / CHUNK).await?,
            };
            let room = work.buffer.get_mut(work.filled..).unwrap_or_default();
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            let full = room.len() == now.len();
            copy(room, now);
            work.filled = work.filled.saturating_add(now.len());
            position = position.saturating_add(now.len() as u64);
            bytes = later;
            if full {
                self.pipeline.send(work).await?;
            } else {
                self.work = Some(work);
            }
        }
        Ok(())
    }

    /// Hands over what has been put together: whole chunks, or everything.
    pub(super) async fn hand_over(&mut self, everything: bool) -> Result<(), Trouble> {
        let Some(mut work) = self.work.take() else { return Ok(()) };
        let rest = if everything { 0 } else { work.filled % CHUNK_BYTES };
        let whole = work.filled.saturating_sub(rest);
        if whole == 0 {
            match rest {
                0 => self.pipeline.give_back(work),
                _ => self.work = Some(work),
            }
            return Ok(());
        }
        if rest > 0 {
            let first = work.first.saturating_add(whole as u64 / CHUNK);
            let mut next = self.pipeline.work(first).await?;
            let left = work.buffer.get(whole..work.filled).unwrap_or_default();
            copy(&mut next.buffer, left);
            (next.filled, work.filled) = (rest, whole);
            self.work = Some(next);
        }
        Ok(self.pipeline.send(work).await?)
    }
}

/// Copies all of `from` to the beginning of `to`, which is not shorter.
fn copy(to: &mut [u8], from: &[u8]) {
    if let Some(to) = to.get_mut(..from.len()) {
        to.copy_from_slice(from);
    }
}
