//! `hotshoe twin …`: what is wished of a device and what it says of itself.

mod conflict;
mod leaves;
mod patch;
mod set;
mod show;
mod watch;

use crate::{args::TwinCommand, context::Context, failure::Failure};

/// Carries out a command.
pub(crate) async fn run(context: &Context<'_>, command: &TwinCommand) -> Result<(), Failure> {
    match command {
        TwinCommand::Show(of) => show::run(context, of.of()).await,
        TwinCommand::Watch(watch) => watch::run(context, watch).await,
        TwinCommand::Set(set) => set::run(context, set).await,
        TwinCommand::Patch(patch) => patch::merge(context, patch).await,
        TwinCommand::Replace(patch) => patch::replace(context, patch).await,
        TwinCommand::Tags(tags) => set::tags(context, tags).await,
    }
}
