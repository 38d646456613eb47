//! The check: a plugin's method that is asked before an image is armed.
//!
//! 2xx is yes. Anything else is no, with what was answered: another status, a refusal, a plugin that is not there, fails,
//! or takes too long. A device whose check cannot be asked does not interrupt what its owner wanted checked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hotshoe_core::policy::update::Check;
use serde::Serialize;
use tokio::sync::watch;

/// How long a check may take in all, waiting for a free instance included.
const LIMIT: Duration = Duration::from_secs(60);

/// What is to be armed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Question {
    /// The slot, or the group of slots.
    pub slot: String,
    /// The version that it was sealed with.
    pub version: Option<String>,
    /// The digest of the image.
    pub image: Option<String>,
    /// The image's bytes.
    pub size: Option<u64>,
}

/// Asks plugins.
pub trait Ask: Send + Sync + 'static {
    /// Puts the question to the check; the text of a no is for people.
    fn ask<'a>(
        &'a self,
        check: &'a Check,
        question: serde_json::Value,
        call_id: &'a str,
    ) -> BoxFuture<'a, Result<(), String>>;
}

/// Who is asked, and by whom.
pub(super) struct Checker {
    check: Option<Check>,
    asks: watch::Sender<Option<Arc<dyn Ask>>>,
}

impl Checker {
    pub(super) fn new(check: Option<Check>) -> Checker {
        Checker { check, asks: watch::Sender::new(None) }
    }

    pub(super) fn asks_by(&self, ask: Arc<dyn Ask>) {
        self.asks.send_replace(Some(ask));
    }

    pub(super) async fn ask(&self, question: Question, call_id: &str) -> Result<(), String> {
        let Some(check) = &self.check else { return Ok(()) };
        let question = serde_json::to_value(question).map_err(|error| error.to_string())?;
        let asked = async {
            // The job may run before all plugins are mounted.
            let mut asks = self.asks.subscribe();
            let ask = asks.wait_for(Option::is_some).await.ok().and_then(|ask| ask.clone());
            match ask {
                Some(ask) => ask.ask(check, question, call_id).await,
                None => Err("the device is shutting down".to_owned()),
            }
        };
        let answer = tokio::time::timeout(LIMIT, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
        answer.map_err(|why| format!("the check {} of {} puts it off: {why}", check.method, check.plugin))
    }
}
