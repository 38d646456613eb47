//! One receiving: asking sources until nothing is missing, or there is no hope.
//!
//! Every request asks for one run of missing chunks, of which there is one unless something went wrong or much is there
//! already. The count of failures starts anew whenever a fair step was made, so a bad line costs patience and not the
//! update; and since an image is only so long, even sources that break off each time keep nobody busy for ever.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hotshoe_core::image::{CHUNK, Tree};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Image, ReceiveError, ReceiveSettings, Source, SourceError,
    pipeline::{Gone, Pipeline},
    plan::{Hopeless, Plan},
    sink::{Work, locked},
};
use crate::{
    fetch::{FetchError, Progress},
    flash::Staging,
};

/// Wrong chunks of one answer after which the source is not believed any more, unless more were right.
const WRONG: u64 = 4;

/// What one receiving is about; none of it changes.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) settings: &'a ReceiveSettings,
    pub(super) image: &'a Image,
    pub(super) staging: &'a Arc<Mutex<Staging>>,
    pub(super) tree: Option<&'a Arc<Tree>>,
    pub(super) sources: &'a [Arc<dyn Source>],
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
}

/// A receiving under way.
pub(super) struct Session<'a> {
    pub(super) about: About<'a>,
    pub(super) pipeline: Pipeline,
    pub(super) plan: Plan,
    /// Chunks that are being put together.
    pub(super) work: Option<Work>,
    /// Chunks that are there.
    pub(super) good: u64,
    /// The most that were there when the count of failures began.
    marked: u64,
    /// Whether somebody said in this session, or signed, how long the image is: then what came is not thrown away on
    /// another one's word.
    pub(super) length_vouched: bool,
    failures: u32,
    told: Option<Instant>,
    last: Option<FetchError>,
    /// Of the answer under way: chunks that were right, and wrong.
    answer: (u64, u64),
    pub(super) garbled: u64,
}

/// What may come between.
pub(super) enum Trouble {
    /// A source cannot go on.
    Source(SourceError),
    /// The slot cannot; the pipeline tells why.
    Gone,
    /// Something that ends it.
    End(ReceiveError),
}

impl From<Gone> for Trouble {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl<'a> Session<'a> {
    pub(super) fn start(about: About<'a>) -> Self {
        let pipeline = Pipeline::start(about.staging, about.tree, about.settings);
        let missing = locked(about.staging).missing().count();
        let good =
            hotshoe_core::image::chunks(about.image.length.unwrap_or_default()).saturating_sub(missing);
        Self {
            about,
            pipeline,
            plan: Plan::new(about.sources.len(), about.settings.merge_gap),
            work: None,
            good,
            marked: good,
            length_vouched: about.image.length.is_some() || about.tree.is_some(),
            failures: 0,
            told: None,
            last: None,
            answer: (0, 0),
            garbled: 0,
        }
    }

    /// Receives what is missing. Whatever the outcome, [`Session::finish`] it.
    pub(super) async fn run(&mut self) -> Result<(), Trouble> {
        if self.about.image.zstd {
            self.compressed().await?;
        }
        loop {
            let missing = locked(self.about.staging).missing();
            let ask = match self.plan.next(&missing) {
                Ok(None) => return Ok(()),
                Ok(Some(ask)) => ask,
                Err(Hopeless::Sources) => return Err(self.hopeless(None)),
                Err(Hopeless::Chunk(chunk)) => return Err(self.hopeless(Some(chunk))),
            };
            self.answer = (0, 0);
            let pulled = self.pull(&ask).await;
            match (&pulled, self.work.take()) {
                // What one source sent of a chunk is no good together with what another one will.
                (Err(Trouble::Source(SourceError::Missing(_) | SourceError::Refused(_))), Some(work)) => {
                    self.pipeline.give_back(work);
                }
                (_, work) => self.work = work,
            }
            self.hand_over(false).await?;
            self.pipeline.drain().await?;
            self.note(ask.source);
            match pulled {
                Ok(()) => {}
                Err(Trouble::Source(error)) => self.after(ask.source, error).await?,
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Makes durable what came. The reason why the slot takes nothing more comes first.
    pub(super) async fn finish(self, outcome: Result<(), Trouble>) -> Result<(), ReceiveError> {
        self.pipeline.finish(outcome.is_err()).await?;
        match outcome {
            Ok(()) => Ok(()),
            Err(Trouble::End(error)) => Err(error),
            Err(Trouble::Source(error)) => Err(error.into_fetch().into()),
            Err(Trouble::Gone) => {
                let text = "the thread that writes ended without a reason; try again";
                Err(FetchError::Io(text.to_owned()).into())
            }
        }
    }

    /// What is to be done about a source that did not give what was asked for.
    pub(super) async fn after(&mut self, source: usize, error: SourceError) -> Result<(), Trouble> {
        let name = self.name(source);
        let (error, pause) = match error {
            SourceError::Missing(error) | SourceError::Refused(error) => {
                tracing::warn!(source = name, %error, "nothing more is asked of this source");
                self.plan.lose(source);
                self.last = Some(error);
                return Ok(());
            }
            SourceError::Broken { error, after } => (error, after),
        };
        let step = self.about.settings.fetch.progress_step / CHUNK;
        if self.good >= self.marked.saturating_add(step.max(1)) {
            (self.marked, self.failures) = (self.good, 0);
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures > self.about.settings.fetch.retries {
            return Err(Trouble::End(error.into()));
        }
        self.plan.pass_on(source);
        let left = u32::try_from(self.plan.left()).unwrap_or(u32::MAX).max(1);
        tracing::info!(source = name, %error, "receiving was interrupted; going on");
        self.last = Some(error);
        if self.failures.is_multiple_of(left) {
            let round = (self.failures / left).saturating_sub(1);
            self.pause(self.about.settings.fetch.pause(round, pause)).await?;
        }
        Ok(())
    }

    async fn pause(&self, pause: Duration) -> Result<(), Trouble> {
        if pause.is_zero() {
            return Ok(());
        }
        self.unless_cancelled(tokio::time::sleep(pause)).await
    }

    /// Waits for something, unless it is cancelled.
    pub(super) async fn unless_cancelled<T>(&self, waited: impl Future<Output = T>) -> Result<T, Trouble> {
        tokio::select! {
            biased;
            () = self.about.cancel.cancelled() => Err(Trouble::End(ReceiveError::Cancelled)),
            done = waited => Ok(done),
        }
    }

    fn hopeless(&mut self, chunk: Option<u64>) -> Trouble {
        let error = match (chunk, self.last.take()) {
            (Some(chunk), _) => FetchError::Interrupted(format!(
                "no source has the signed bytes from offset {} on; the rest is kept, publish the image anew",
                chunk.saturating_mul(CHUNK)
            )),
            (None, Some(error)) => error,
            (None, None) => {
                FetchError::Interrupted("there is no source to receive the image from".to_owned())
            }
        };
        Trouble::End(error.into())
    }

    /// Looks at what became of the chunks.
    pub(super) fn note(&mut self, source: usize) {
        let verdict = self.pipeline.verdict();
        self.good = self.good.saturating_add(verdict.good);
        self.garbled = self.garbled.saturating_add(verdict.garbled);
        let (good, bad) = self.answer;
        self.answer = (good.saturating_add(verdict.good), bad.saturating_add(verdict.bad.len() as u64));
        for chunk in verdict.bad {
            tracing::warn!(
                source = self.name(source),
                offset = chunk.saturating_mul(CHUNK),
                "a chunk is not what was signed"
            );
            self.plan.blame(source, chunk);
        }
    }

    /// Whether this answer is of another file.
    pub(super) fn believed(&self, source: usize) -> Result<(), SourceError> {
        let (good, bad) = self.answer;
        if bad < WRONG || bad <= good {
            return Ok(());
        }
        let text = format!("{} sends other bytes than were signed", self.name(source));
        Err(SourceError::Refused(FetchError::Interrupted(text)))
    }

    /// Tells how far it is, not too often.
    pub(super) fn tell(&mut self) {
        let length = locked(self.about.staging).length();
        if self.told.is_none_or(|told| told.elapsed() >= self.about.settings.fetch.progress_every) {
            self.told = Some(Instant::now());
            let done = self.good.saturating_mul(CHUNK).min(length.unwrap_or(u64::MAX));
            (self.about.progress)(done, length);
        }
    }

    pub(super) fn name(&self, source: usize) -> String {
        self.about.sources.get(source).map(|source| source.name()).unwrap_or_default()
    }
}
