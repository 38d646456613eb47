//! The open jobs of a plugin, offered to a candidate before it goes live.
//!
//! A refusal is an answer: that job stays with the version it has, which is kept for it. A candidate that traps or runs
//! out of time here would do so with every job, so it is refused. Nothing is changed by the asking; each job is offered
//! once more when it is about to run ([`crate::job::Stand`]).

use hotshoe_core::manifest::PluginName;

use super::error::InstallError;
use crate::job::{Adoption, Jobs};
use crate::plugin::Plugin;

/// Offers each open job's checkpoint to the candidate.
pub(super) async fn offer(jobs: &Jobs, name: &PluginName, candidate: &Plugin) -> Result<(), InstallError> {
    let version = &candidate.manifest().version;
    for job in jobs.open(name).into_iter().filter(|job| job.version != *version) {
        match candidate.adopt(&job.version, job.checkpoint).await {
            Adoption::Taken(_) => tracing::info!(job = %job.id, %version, "the version takes the job over"),
            Adoption::Refused(why) => {
                tracing::info!(job = %job.id, %version, reason = why, "the job stays with version {}", job.version);
            }
            Adoption::Failed(why) => {
                return Err(InstallError::Adopt { version: version.clone(), job: job.id.to_string(), why });
            }
        }
    }
    Ok(())
}
