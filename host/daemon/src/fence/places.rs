//! Landlock: which files, directories and devices there are for this process, which TCP ports, and whom it may signal.
//!
//! What the kernel's version of Landlock cannot do is left out, with one exception: below Linux 5.19 nothing could be
//! moved from one directory to another, as the artifact store does. There no file is held back at all, rather than to
//! have every download fail at its end.

use std::collections::BTreeSet;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::plan::{Access, Plan, Ports};

/// The version whose rights are asked for: the newest that the tests ran on. A later one may deny more.
const FILES: ABI = ABI::V5;
/// Nothing is asked of an earlier one.
const LEAST: ABI = ABI::V2;

/// What comes with each version, and what follows where it is missing.
const MISSING: &[(ABI, &str)] = &[
    (ABI::V3, "files that may be read may be cut short too (Landlock 3, Linux 6.2)"),
    (ABI::V4, "connections may be made to any port (Landlock 4, Linux 6.7)"),
    (ABI::V5, "devices that may be read take any command (Landlock 5, Linux 6.10)"),
    (ABI::V6, "other processes may be signalled (Landlock 6, Linux 6.12)"),
];

/// Files whose rules last as long as they are known to the kernel, which are those of `/proc`.
#[derive(Debug)]
pub(super) struct Held(#[allow(dead_code, reason = "kept open, never used")] Vec<PathFd>);

/// Confines this thread. What is missing comes back in words; no [`Held`] where nothing is confined.
pub(super) fn confine(plan: &Plan) -> (Option<Held>, Vec<String>) {
    let none = |why: String| {
        let told = format!(
            "files and ports are not held back ({why}): the kernel needs Landlock, Linux 5.19 or newer"
        );
        (None, vec![told])
    };
    match restrict(plan) {
        Ok((held, status)) => match status.landlock {
            LandlockStatus::Available { effective_abi, .. } => {
                let lacking = MISSING.iter().filter(|(since, _)| effective_abi < *since);
                (Some(held), lacking.map(|(_, text)| (*text).to_owned()).collect())
            }
            LandlockStatus::NotEnabled => none("Landlock is not in the kernel's lsm= list".to_owned()),
            LandlockStatus::NotImplemented => none("it has none".to_owned()),
        },
        Err(error) => none(error.to_string()),
    }
}

fn restrict(plan: &Plan) -> Result<(Held, RestrictionStatus), RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(FILES))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?;
    let none = BTreeSet::new();
    let ports = match &plan.ports {
        Ports::Any => &none,
        Ports::These(ports) => {
            rules = rules.handle_access(AccessNet::ConnectTcp)?;
            ports
        }
    };
    let mut rules = rules.create()?;
    for port in ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    let mut held = Vec::new();
    for (path, access) in &plan.places {
        // What is not there cannot be let through; whoever needs it says so.
        let Ok(place) = PathFd::new(path) else { continue };
        rules = rules.add_rule(PathBeneath::new(&place, rights(path, *access)))?;
        if path.starts_with("/proc") {
            held.push(place);
        }
    }
    Ok((Held(held), rules.restrict_self()?))
}

/// The rights that make up an access: of a file those that files have.
fn rights(path: &Path, access: Access) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile | AccessFs::Truncate;
    let names = AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let rights = match access {
        Access::Read => read,
        Access::Run => read | AccessFs::Execute,
        Access::Write => read | write | AccessFs::IoctlDev,
        Access::Keep => read | write | names,
        Access::KeepTrees => read | write | names | AccessFs::MakeSym,
    };
    if path.is_dir() { rights } else { rights & AccessFs::from_file(FILES) }
}
