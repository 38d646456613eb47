//! seccomp: which system calls this process and all that it starts may make.
//!
//! Two programs, since they answer differently. The first lists what the host makes ([`allowed`]) and tells of all
//! else that the kernel has no such call: C libraries try new calls first and fall back at that very answer, and a
//! call that nobody has heard of yet is refused without anybody's having to hear of it. The second names what is known
//! to harm ([`harmful`]) and says that it is not permitted, which is what a reader of a log understands. Where both
//! speak, the kernel takes the answer of the later one. Nobody is killed: a library that tries something must find
//! its way, not end an update.

mod allowed;
mod harmful;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter_all_threads};

use super::plan::Plan;

/// Confines every thread. An error says what follows.
pub(super) fn confine(plan: &Plan) -> Result<(), String> {
    install(plan).map_err(|error| {
        format!("system calls are not held back: the kernel needs seccomp filters (CONFIG_SECCOMP_FILTER): {error}")
    })
}

fn install(plan: &Plan) -> Result<(), seccompiler::Error> {
    let (allowed, harmful) = programs(plan)?;
    apply_filter_all_threads(&allowed)?;
    apply_filter_all_threads(&harmful)
}

fn programs(plan: &Plan) -> Result<(BpfProgram, BpfProgram), seccompiler::Error> {
    let machine: TargetArch = std::env::consts::ARCH.try_into()?;
    let unknown = SeccompAction::Errno(errno(libc::ENOSYS));
    let allowed = SeccompFilter::new(allowed::rules(plan)?, unknown, SeccompAction::Allow, machine)?;
    let denied = SeccompAction::Errno(errno(libc::EPERM));
    let harmful = SeccompFilter::new(harmful::rules(), SeccompAction::Allow, denied, machine)?;
    Ok((allowed.try_into()?, harmful.try_into()?))
}

fn errno(number: i32) -> u32 {
    number.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_do_not_contradict_each_other() {
        let none = Plan::of_compiler("/".as_ref());
        for plan in [none.clone(), Plan { trees: true, programs: false, ..none }] {
            let allowed = allowed::rules(&plan).unwrap();
            // What raises the fence has to be let through by the program that comes first.
            let both: Vec<i64> =
                harmful::rules().into_keys().filter(|number| allowed.contains_key(number)).collect();
            assert_eq!(both, [libc::SYS_seccomp]);
        }
    }
}
