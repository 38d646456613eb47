//! `hotshoe job …`

use clap::{Args, Subcommand};
use hotshoe_core::job::JobId;

use super::plugin::Socket;

/// What to do with the jobs of this device.
#[derive(Subcommand, Debug)]
pub(crate) enum JobCommand {
    /// List the jobs that have not ended and the last that have: how they stand, and why they wait
    #[command(after_help = "Examples:
  hotshoe job list
  hotshoe job list --json | jq -r '.[] | select(.state == \"waiting\") | .id'")]
    List(Socket),
    /// Cancel a job. It ends as cancelled, whatever its plugin does; what it had armed is given up
    ///
    /// The cancel is on the disk when this returns, and the job ends soon afterwards. An update that was confirmed is
    /// done and cannot be cancelled. A device that runs its new image on trial is restarted into the one before.
    #[command(after_help = "Examples:
  hotshoe job cancel 3k2j8s0d9f1ab
  hotshoe job cancel 3k2j8s0d9f1ab --json

Exit codes: 0 cancelled, or was before; 65 it has ended or is confirmed, 66 there is none; else as `hotshoe --help` says.")]
    Cancel(One),
}

/// One job.
#[derive(Args, Debug)]
pub(crate) struct One {
    /// The job's id, as `hotshoe job list` shows it
    pub(crate) id: JobId,
    #[command(flatten)]
    pub(crate) socket: Socket,
}
