//! `hotshoe twin …`: what is wished of a device and what it says of itself.

mod leaves;
mod patch;
mod show;
mod watch;

use crate::{args::TwinCommand, context::Context, failure::Failure};

/// Carries out a command.
pub(crate) async fn run(context: &Context<'_>, command: &TwinCommand) -> Result<(), Failure> {
    match command {
        TwinCommand::Show { device } => show::run(context, device).await,
        TwinCommand::Watch(watch) => watch::run(context, watch).await,
        TwinCommand::Patch(patch) => patch::run(context, patch).await,
    }
}
