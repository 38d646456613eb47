//! Jobs: work that outlives the call that began it, the instance, the plugin's version and the boot.

mod backoff;
mod id;
mod spec;
mod wake;

pub use backoff::Backoff;
pub use id::{ID_LIMIT, JobId, JobIdError};
pub use spec::{
    CHECKPOINT_LIMIT, Checkpoint, CheckpointError, INPUT_LIMIT, JobSpec, NAME_LIMIT, PHASE_LIMIT, Progress,
    SpecError,
};
pub use wake::{Boot, Wake, remaining};
