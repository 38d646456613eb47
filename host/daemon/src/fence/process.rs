//! What the process gives up of itself: dumps of its memory.
//!
//! A core holds the device's keys, and a crash handler carries it to a disk or a server. Not dumpable means as well
//! that only root may look into the process from outside. That programs gain no privileges comes with the other layers,
//! which the kernel gives to nobody else.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// What could not be given up.
pub(super) fn confine() -> Vec<String> {
    let dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let limit = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    match dumpable.and(limit) {
        Ok(()) => Vec::new(),
        Err(error) => vec![format!("the process may be dumped with its keys: {error}")],
    }
}
