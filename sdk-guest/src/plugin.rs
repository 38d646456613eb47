//! The trait that a plugin implements.
//!
//! All of it has defaults that refuse, so a plugin writes only what it serves. The functions take no `self`:
//! there is no state between two calls to put there.

use crate::{Document, Failure, Job, JobSpec, Outcome, RawCheckpoint, Rejection, Reply, Request};

/// What became of a change of the desired properties.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is in force: acknowledged with `ac` 200.
    Applied,
    /// It takes a job: acknowledged with `ac` 202 once the job is stored, 409 when its lane is taken.
    Started(JobSpec),
    /// It cannot be: acknowledged with `ac` 400 and this text.
    Refused(String),
}

/// A plugin: what it answers, what it works at, what it takes over.
///
/// [`export!`](crate::export) makes a component of it.
pub trait Plugin {
    /// Answers one call of a direct method, within the time that the manifest gives (5 seconds unless it says
    /// otherwise). What takes longer is a job: [`Reply::with_job`].
    ///
    /// The default knows no method.
    fn handle(request: Request) -> Result<Reply, Rejection> {
        let _ = request;
        Err(Rejection::UnknownMethod)
    }

    /// Runs a job from its last checkpoint ([`Job::load`]).
    ///
    /// Called again after an interruption of any kind, so every step must be safe to repeat; those of the
    /// host are. The default fails for good: it announces no jobs.
    fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        Err(Failure::Permanent(format!("the plugin has no jobs of the kind {:?}", job.kind())))
    }

    /// Takes over a job that another version of the plugin began: returns the checkpoint to go on from, or why
    /// this version cannot; the job then stays with the old version until it ends.
    ///
    /// The default takes jobs that have no checkpoint yet, and no others: only the author knows whether a
    /// checkpoint still means the same.
    fn adopt(from_version: &str, checkpoint: Option<RawCheckpoint>) -> Result<Option<RawCheckpoint>, String> {
        match checkpoint {
            None => Ok(None),
            Some(checkpoint) => Err(format!(
                "this version does not take over checkpoints, and the job of version {from_version} has one in \
                 phase {:?}",
                checkpoint.phase
            )),
        }
    }

    /// Takes a change of the plugin's section of the desired properties. Must be safe to repeat: the same
    /// document may come again.
    ///
    /// The default refuses: it has no section.
    fn apply(document: Document) -> Decision {
        let _ = document;
        Decision::Refused("the plugin takes no desired properties".to_owned())
    }
}
