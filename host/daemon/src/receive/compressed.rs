//! The image as a compressed stream, as far as that gets.
//!
//! It is one stream from one place on, so it is used where most of the image is missing from there; what it leaves, bad
//! frames included, comes uncompressed. A stream that is no good costs two frames.

use hotshoe_core::image::{CHUNK, Runs, chunks};

use super::{
    Part, SourceError,
    session::{Session, Trouble},
    sink::locked,
    zstd::{FRAME, Frame, Scanner},
};
use crate::{
    fetch::{FetchError, transfer::Meter},
    flash::Encoded,
};

/// Bad frames after which the rest comes uncompressed.
const GARBLED: u64 = 2;

impl Session<'_> {
    /// Receives compressed what can be.
    pub(super) async fn compressed(&mut self) -> Result<(), Trouble> {
        // Who does not have it may still have the image.
        let mut without = vec![false; self.about.sources.len()];
        while self.garbled < GARBLED
            && let Some((border, length)) = self.worth_it()
        {
            let have = |source: &usize| without.get(*source) == Some(&false);
            let Some(source) = self.plan.preferred().find(have) else { return Ok(()) };
            let inflated = self.inflate(source, border, length).await;
            self.pipeline.drain().await?;
            self.note(source);
            match inflated {
                Ok(()) => return Ok(()),
                Err(Trouble::Source(SourceError::Missing(error) | SourceError::Refused(error))) => {
                    tracing::warn!(source = self.name(source), %error, "no compressed image here");
                    without.iter_mut().skip(source).take(1).for_each(|without| *without = true);
                }
                Err(Trouble::Source(error)) => self.after(source, error).await?,
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// Where the stream would go on, if most of the image is missing from there.
    fn worth_it(&self) -> Option<(Encoded, u64)> {
        let staging = locked(self.about.staging);
        let length = staging.length()?;
        let border = staging.reached();
        let mut missing = staging.missing();
        missing.subtract(&Runs::first(border.image / CHUNK));
        let behind = chunks(length).saturating_sub(border.image / CHUNK);
        (missing.count() > 0 && missing.count().saturating_mul(2) >= behind).then_some((border, length))
    }

    async fn inflate(&mut self, source: usize, mut at: Encoded, length: u64) -> Result<(), Trouble> {
        let Some(from) = self.about.sources.get(source) else { return Ok(()) };
        let mut opened = self.unless_cancelled(from.open(Part::Zstd, at.stream, None)).await??;
        let mut skip = at.stream.saturating_sub(opened.start);
        let (mut bytes, mut scanner, mut meter) = (Vec::new(), Scanner::default(), Meter::default());
        while at.image < length {
            let Some(mut piece) = self.piece(source, &mut opened, &mut meter).await? else {
                let text = format!("{} ended its compressed image at byte {}", self.name(source), at.image);
                return Err(SourceError::Refused(FetchError::Interrupted(text)).into());
            };
            let before = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip = skip.saturating_sub(before as u64);
            bytes.extend_from_slice(&piece.split_off(before));
            while at.image < length
                && let Some(end) = scanner.end(&bytes).map_err(|error| self.no_stream(source, &error))?
            {
                let rest = bytes.split_off(end);
                let frame_length = (FRAME as u64).min(length.saturating_sub(at.image));
                let border = Encoded {
                    image: at.image.saturating_add(frame_length),
                    stream: at.stream.saturating_add(end as u64),
                };
                let frame = Frame {
                    bytes: std::mem::replace(&mut bytes, rest),
                    first: at.image / CHUNK,
                    length: usize::try_from(frame_length).unwrap_or(FRAME),
                    border,
                };
                let mut work = self.pipeline.work(frame.first).await?;
                work.frame = Some(frame);
                self.pipeline.send(work).await?;
                (at, scanner) = (border, Scanner::default());
            }
            self.note(source);
            self.tell();
            if self.garbled >= GARBLED {
                let text = format!("{} has no usable compressed image", self.name(source));
                return Err(SourceError::Refused(FetchError::Interrupted(text)).into());
            }
        }
        Ok(())
    }

    fn no_stream(&self, source: usize, error: &dyn std::error::Error) -> SourceError {
        let text = format!("{} has no usable compressed image: {error}", self.name(source));
        SourceError::Refused(FetchError::Interrupted(text))
    }
}
