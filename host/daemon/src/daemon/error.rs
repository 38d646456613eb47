//! What ends the process, and the exit status it ends with (sysexits.h).

use crate::artifact::ArtifactError;
use crate::fetch::FetchError;
use crate::flash::FlashError;
use crate::hub::HubError;
use crate::job::JobsError;
use crate::plugin::EngineError;
use crate::state::StateError;
use crate::swap::SwapError;
use crate::trust::TrustError;

/// What ends the process. Nothing that a plugin, a call or the network does is among it.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The state directory cannot be used.
    #[error("the state directory cannot be used: {0}")]
    State(#[from] StateError),
    /// The artifact store cannot be used.
    #[error("the artifact store cannot be used: {0}")]
    Artifacts(#[from] ArtifactError),
    /// Files cannot be fetched at all.
    #[error("downloads cannot be set up: {0}")]
    Fetcher(#[from] FetchError),
    /// The slots cannot be used.
    #[error("the slots cannot be used: {0}")]
    Flash(#[from] FlashError),
    /// The hub's settings are wrong.
    #[error("the hub session cannot be set up: {0}")]
    Hub(#[from] HubError),
    /// No plugin can run.
    #[error("plugins cannot be run: {0}")]
    Engine(#[from] EngineError),
    /// The jobs cannot be read.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// The plugins cannot be read.
    #[error(transparent)]
    Plugins(#[from] SwapError),
    /// The signed repositories cannot be set up.
    #[error("the signed repositories cannot be set up: {0}")]
    Trust(#[from] TrustError),
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    System {
        /// What.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The hub session ended unasked.
    #[error("the hub session ended unasked; this is a defect")]
    SessionEnded,
}

impl DaemonError {
    /// The exit status, as sysexits.h has it.
    pub fn exit_status(&self) -> u8 {
        match self {
            DaemonError::Hub(HubError::Outbox(_) | HubError::Desired(_)) => 74,
            DaemonError::Trust(TrustError::State(_)) => 74,
            DaemonError::Hub(_) | DaemonError::Trust(_) => 78,
            DaemonError::State(_)
            | DaemonError::Artifacts(_)
            | DaemonError::Flash(_)
            | DaemonError::Jobs(_)
            | DaemonError::Plugins(_) => 74,
            DaemonError::Engine(EngineError::Cache(_)) => 74,
            DaemonError::Engine(_) | DaemonError::System { .. } | DaemonError::Fetcher(_) => 69,
            DaemonError::SessionEnded => 70,
        }
    }
}
