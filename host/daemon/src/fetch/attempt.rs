//! One fetch: attempts, and pauses between them, until the file is whole or there is no hope.
//!
//! Every attempt asks for what is missing. The count of failures starts anew whenever the file got longer than it
//! ever was by a fair step, so a bad line costs patience and not the download; and since a file is only so long,
//! even a server that breaks off each time keeps nobody busy for ever.

use std::time::Duration;

use reqwest::{
    Response,
    header::{HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE},
};
use tokio::time::Instant;
use url::Url;

use super::{
    Allow, FetchError, FetchRequest, Fetcher, Progress,
    answer::{Decision, decide},
    blocking,
    client::Failed,
    error::shown,
    transfer::{End, Pace, receive},
};
use crate::artifact::{Artifact, Origin, Partial, Validator, Vouched};

/// A fetch under way.
pub(super) struct Fetch<'a> {
    fetcher: &'a Fetcher,
    request: &'a FetchRequest,
    vouched: Vouched,
    allow: &'a Allow,
    progress: &'a Progress,
    told: Option<Instant>,
    /// Answers that bytes came from, an earlier process's counted as one.
    answers: u32,
    failures: u32,
    /// The longest the file ever was, of which progress is counted.
    longest: u64,
}

/// What an attempt came to.
enum Step {
    /// The file is whole; it came from here.
    Whole(Partial, Url),
    /// The server says that the file we have is the one.
    Unchanged(Partial, Artifact),
    /// Not yet: what to say if this was the last attempt, and how long the server wants to be left alone.
    Again(Partial, FetchError, Option<Duration>),
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        fetcher: &'a Fetcher,
        request: &'a FetchRequest,
        vouched: Vouched,
        allow: &'a Allow,
        progress: &'a Progress,
        position: u64,
    ) -> Self {
        let answers = u32::from(position > 0);
        Self {
            fetcher,
            request,
            vouched,
            allow,
            progress,
            told: None,
            answers,
            failures: 0,
            longest: position,
        }
    }

    /// Whether the bytes are of more than one answer.
    pub(super) fn joined(&self) -> bool {
        self.answers > 1
    }

    pub(super) async fn run(&mut self, mut partial: Partial) -> Result<Artifact, FetchError> {
        loop {
            match self.attempt(partial).await? {
                Step::Whole(partial, from) => {
                    let vouched = self.vouched;
                    return blocking(move || partial.finish(from.as_str(), vouched)).await;
                }
                Step::Unchanged(partial, artifact) => {
                    blocking(move || partial.discard()).await?;
                    return Ok(artifact);
                }
                Step::Again(back, error, after) => {
                    partial = back;
                    self.count(partial.position());
                    let settings = &self.fetcher.settings;
                    if self.failures > settings.retries {
                        return Err(error);
                    }
                    let pause = settings.pause(self.failures.saturating_sub(1), after);
                    tracing::info!(url = shown(&self.request.url), %error, pause_ms = pause.as_millis() as u64,
                        position = partial.position(), "fetch interrupted; trying again");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    fn count(&mut self, position: u64) {
        if position >= self.longest.saturating_add(self.fetcher.settings.progress_step) {
            (self.longest, self.failures) = (position, 0);
        }
        self.failures = self.failures.saturating_add(1);
    }

    async fn attempt(&mut self, mut partial: Partial) -> Result<Step, FetchError> {
        // Without a name for the version that is there it cannot be asked whether it is still the same.
        let known = partial.origin().filter(|known| known.url == self.request.url.as_str());
        let resumable = known.is_some_and(|known| known.validator.is_some());
        if partial.position() > 0 && !resumable {
            partial = over(partial).await?;
        }
        let had =
            (partial.position() == 0 && self.request.digest.is_none() && self.vouched == Vouched::Nobody)
                .then(|| self.fetcher.store.find_by_url(self.request.url.as_str()))
                .flatten();
        let headers = conditions(&partial, had.as_ref().map(|(_, validator)| validator));
        let (response, from) = match self.fetcher.client.ask(&self.request.url, &headers, self.allow).await {
            Ok(answer) => answer,
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::Broken(text)) => {
                return Ok(Step::Again(partial, FetchError::Interrupted(text), None));
            }
        };
        let url = self.request.url.as_str();
        match decide(url, partial.position(), partial.origin(), response.status(), response.headers()) {
            Decision::Whole(origin) => self.receive(partial, response, origin, false, from).await,
            Decision::Rest(origin) => self.receive(partial, response, origin, true, from).await,
            Decision::Unchanged => {
                match had.and_then(|(digest, _)| self.fetcher.store.find(&digest).ok().flatten()) {
                    Some(artifact) => Ok(Step::Unchanged(partial, artifact)),
                    None => Ok(Step::Again(partial, self.status(&response, &from), None)),
                }
            }
            Decision::StartOver(why) => {
                tracing::warn!(url = shown(&from), why, "starting the download over");
                let text = format!("{}: {why}", shown(&from));
                Ok(Step::Again(over(partial).await?, FetchError::Interrupted(text), None))
            }
            Decision::Refused { retry: true, after } => {
                Ok(Step::Again(partial, self.status(&response, &from), after))
            }
            Decision::Refused { retry: false, .. } => Err(self.status(&response, &from)),
        }
    }

    async fn receive(
        &mut self,
        mut partial: Partial,
        response: Response,
        origin: Origin,
        resumes: bool,
        from: Url,
    ) -> Result<Step, FetchError> {
        let wanted = self.request.size;
        if let (Some(expected), Some(actual)) = (wanted, origin.total)
            && expected != actual
        {
            return Err(FetchError::Size { expected, actual });
        }
        let total = origin.total.or(wanted);
        let origin = Origin { total, ..origin };
        self.answers = if resumes { self.answers.saturating_add(1) } else { 1 };
        let partial = blocking(move || partial.begin(origin, resumes).map(|()| partial)).await?;
        let pace = Pace {
            settings: &self.fetcher.settings,
            progress: self.progress,
            total,
            received: &self.fetcher.received,
            meter: self.fetcher.meter.as_deref(),
            told: &mut self.told,
        };
        let (partial, end) = receive(response, partial, pace).await?;
        let position = partial.position();
        let interrupted =
            |why: &str| FetchError::Interrupted(format!("{} at byte {position}: {why}", shown(&from)));
        match (end, total) {
            (End::Whole, None) => Ok(Step::Whole(partial, from)),
            (End::Whole | End::Broken(_) | End::Capped(_), Some(total)) if position == total => {
                Ok(Step::Whole(partial, from))
            }
            (End::Whole, Some(_)) => match wanted {
                // A body without a length that ended well is all there is.
                Some(expected) if !resumes && self.answers == 1 => {
                    blocking(move || partial.discard()).await?;
                    Err(FetchError::Size { expected, actual: position })
                }
                _ => Ok(Step::Again(partial, interrupted("the answer ended before the file did"), None)),
            },
            (End::Capped(why), _) => Err(FetchError::Capped(why)),
            (End::Broken(why), _) => Ok(Step::Again(partial, interrupted(&why), None)),
            (End::TooLong(actual), total) => {
                blocking(move || partial.discard()).await?;
                Err(FetchError::Size { expected: total.unwrap_or_default(), actual })
            }
        }
    }

    fn status(&self, response: &Response, from: &Url) -> FetchError {
        FetchError::Status { url: shown(from), status: response.status().as_u16() }
    }
}

async fn over(mut partial: Partial) -> Result<Partial, FetchError> {
    blocking(move || partial.restart().map(|()| partial)).await
}

/// The headers that ask for the rest only, or for a file only if it is another one than ours.
fn conditions(partial: &Partial, had: Option<&Validator>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    match (partial.origin().and_then(|origin| origin.validator.as_ref()), had) {
        (Some(validator), _) => {
            set(RANGE, &format!("bytes={}-", partial.position()));
            match validator {
                Validator::Etag(tag) => set(IF_RANGE, tag),
                Validator::LastModified(date) => set(IF_RANGE, date),
            }
        }
        (None, Some(Validator::Etag(tag))) => set(IF_NONE_MATCH, tag),
        (None, Some(Validator::LastModified(date))) => set(IF_MODIFIED_SINCE, date),
        (None, None) => {}
    }
    headers
}
