//! The second fence: what `hotshoed` may ask of the kernel once it has begun, were its own code an attacker's.
//!
//! The first fence is the sandbox of the plugins. This one assumes it broken: native code of a stranger's choosing runs
//! in this process, with its memory and its rights. So the process gives up, before it has heard a word of anybody, all
//! that it does not need, and the kernel holds it to that; nothing that runs here can take it back.
//!
//! Three layers, each for what the others do not see:
//! - [`calls`]: seccomp, a list of the system calls that the host makes. It knows numbers and flags, no paths: no
//!   program may be traced, nothing mounted, no port or socket offered, no identity changed.
//! - [`places`]: Landlock, the files, directories and devices that the configuration names, and the TCP ports that
//!   its hub, repositories and policy name; no signal leaves.
//! - [`process`]: no privilege comes from a program that is run, no core is dumped.
//!
//! What the host must do and the fence forbids is done or begun before: the admin socket is bound, the one to systemd
//! open, and the restart command and the compiler wait in processes [`outside`]. A fence cannot be taken down, so a
//! host that is to start anew ends with a status that says so.
//!
//! What it does not do: keep secrets of this process from code that runs in it, or the network's many peers on ports
//! that are allowed; see `docs/fence.md`.

mod calls;
mod outside;
mod places;
mod plan;
mod process;
mod resolver;

pub use outside::{CompilerOutside, RestartOutside, run as run_outside};
pub use plan::{Access, Plan, Ports};
pub use resolver::lost as resolver_lost;

use crate::config::FenceMode;

/// What the kernel now holds this process to. To be kept for as long as the process lives.
#[derive(Debug)]
pub struct Raised {
    /// What was wanted and this kernel does not have: which part, what follows, and what to do.
    pub missing: Vec<String>,
    /// Whether anything is held to at all: then this process can become no other start of itself.
    pub is_up: bool,
    _held: Option<places::Held>,
}

/// Why there is no fence where one must be.
#[derive(Debug, thiserror::Error)]
#[error(
    "the fence is not whole, and [fence] mode is \"enforced\": {}; use a kernel that has it, or set mode = \"best-effort\"",
    .0.join("; ")
)]
pub struct FenceError(pub Vec<String>);

/// Gives up all rights that are not in the plan, for this thread and those that it starts: to be called while there
/// is no other. With `best-effort` what the kernel cannot do is left out and told in [`Raised::missing`].
///
/// # Errors
/// With `enforced`, when any part is missing.
pub fn raise(mode: FenceMode, plan: &Plan) -> Result<Raised, FenceError> {
    if mode == FenceMode::Off {
        return Ok(Raised { missing: Vec::new(), is_up: false, _held: None });
    }
    let mut missing = process::confine();
    let (held, without) = places::confine(plan);
    missing.extend(without);
    let calls = calls::confine(plan);
    let is_up = held.is_some() || calls.is_ok();
    missing.extend(calls.err());
    if mode == FenceMode::Enforced && !missing.is_empty() {
        return Err(FenceError(missing));
    }
    Ok(Raised { missing, is_up, _held: held })
}
