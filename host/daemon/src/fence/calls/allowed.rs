//! The system calls that the host makes, and some only with these arguments.
//!
//! Everything is here that files, timers, threads and connections of its own take. What a path leads to is for the
//! other layer to say. Where the calls of one name differ in what they can do, the arguments are looked at: a socket of
//! TCP or UDP, but none of the kernel's, no raw one and none to the services of this device; threads, but neither
//! children nor namespaces; modes, but none that lend rights.
//!
//! `openat2(2)` is not here, since it hides from this layer the mode of what it makes; who opens below a directory does
//! without it what the kernel would do (`cap-std`, which is held to that release by `deny.toml`).

use std::collections::BTreeMap;

use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{BackendError, SeccompCondition, SeccompRule};

use crate::fence::plan::Plan;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// With whatever arguments.
const ANY: &[i64] = &[
    // Files that are open.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_getdents64,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    // Files by their names.
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_utimensat,
    libc::SYS_truncate,
    libc::SYS_umask,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    // Connections.
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    // Memory. The engine turns compiled code into what runs.
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_msync,
    libc::SYS_brk,
    libc::SYS_membarrier,
    // What instances of a plugin begin with, mapped into each of them.
    libc::SYS_memfd_create,
    // Threads and signals among them; the engine catches those of its guests.
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // What is asked of the kernel about oneself.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getrusage,
    libc::SYS_getcpu,
    libc::SYS_times,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    // The second program is installed under the first one, and forbids it.
    libc::SYS_seccomp,
];

/// Old calls that later machines have no more.
#[cfg(target_arch = "x86_64")]
const OLD: &[i64] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[i64] = &[];

/// With whatever arguments where programs are run: to run one, bound it, wait for it and end it. Which ones run, and whom
/// a signal reaches, the other layer says.
const PROGRAMS: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_prlimit64,
    libc::SYS_setpriority,
];

/// With whatever arguments where slots hold trees of files: their owners and modes are what the image says.
const TREES: &[i64] = &[libc::SYS_fchown, libc::SYS_fchownat];

/// Namespaces of `clone(2)`. `clone3(2)` hides its flags, and libraries fall back.
const NAMESPACES: u64 = 0x7e02_0000;
/// `CLONE_THREAD`: what begins is a thread of this process.
const THREAD: u64 = 0x1_0000;
/// A mode with which a program runs as somebody else.
const LENDS: u64 = 0o6000;
/// Flags of `open(2)` with which a mode counts: `O_CREAT`, and that of `O_TMPFILE` that is its own.
const CREATES: u64 = 0o100 | 0o20_000_000;
/// `MSG_FASTOPEN`: a connection without `connect(2)`, which is where the other layer looks.
const FAST_OPEN: u64 = 0x2000_0000;
/// The kind of a socket, without what else stands in the argument.
const KIND: u64 = 0xf;

/// What may be asked of files that are no files: terminals, sockets and pipes, block devices.
const CONTROLS: &[u64] = &[
    0x5401,      // TCGETS: is it a terminal?
    0x5413,      // TIOCGWINSZ
    0x541b,      // FIONREAD
    0x5421,      // FIONBIO
    0x5450,      // FIONCLEX
    0x5451,      // FIOCLEX
    0x125e,      // BLKROGET
    0x1260,      // BLKGETSIZE
    0x1261,      // BLKFLSBUF
    0x1268,      // BLKSSZGET
    0x8008_1272, // BLKGETSIZE64
];

/// What a process may do to itself: names of threads and memory, and what the fence's second program asks.
const OF_ITSELF: &[u64] = &[
    3,           // PR_GET_DUMPABLE
    15,          // PR_SET_NAME
    16,          // PR_GET_NAME
    23,          // PR_CAPBSET_READ
    38,          // PR_SET_NO_NEW_PRIVS
    39,          // PR_GET_NO_NEW_PRIVS
    0x5356_4d41, // PR_SET_VMA
];

/// All that is allowed.
pub(super) fn rules(plan: &Plan) -> Result<Rules, BackendError> {
    let mut rules: Rules = ANY.iter().chain(OLD).map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_socketpair, vec![all(&[(0, Eq, of(libc::AF_UNIX))])?]);
    if plan.programs {
        rules.extend(PROGRAMS.iter().map(|call| (*call, Vec::new())));
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_vfork, Vec::new());
        rules.insert(libc::SYS_clone, vec![without(0, NAMESPACES)?]);
    } else {
        rules.insert(libc::SYS_socket, sockets()?);
        rules.insert(libc::SYS_clone, vec![all(&[(0, MaskedEq(NAMESPACES | THREAD), THREAD)])?]);
        // As when the program ends itself; and what its own limits are.
        rules.insert(libc::SYS_tgkill, vec![all(&[(0, Eq, u64::from(std::process::id()))])?]);
        rules.insert(libc::SYS_prlimit64, vec![all(&[(0, Eq, 0)])?]);
    }
    for (call, flags) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
        rules.insert(call, vec![without(flags, FAST_OPEN)?]);
    }
    rules.insert(libc::SYS_ioctl, one_of(1, CONTROLS)?);
    rules.insert(libc::SYS_prctl, one_of(0, OF_ITSELF)?);
    rules.insert(libc::SYS_openat, vec![without(2, CREATES)?, without(3, LENDS)?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![without(1, CREATES)?, without(2, LENDS)?]);
    let mut modes = vec![(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (FCHMODAT2, 2)];
    #[cfg(target_arch = "x86_64")]
    modes.push((libc::SYS_chmod, 1));
    for (call, mode) in modes {
        rules.insert(call, if plan.trees { Vec::new() } else { vec![without(mode, LENDS)?] });
    }
    if plan.trees {
        rules.extend(TREES.iter().map(|call| (*call, Vec::new())));
    }
    Ok(rules)
}

/// The same number on every machine.
const FCHMODAT2: i64 = 452;

/// TCP and UDP over IP. A protocol that does not say so, such as MPTCP, would pass by the ports that are allowed.
fn sockets() -> Result<Vec<SeccompRule>, BackendError> {
    let mut rules = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let kinds = [(libc::SOCK_STREAM, libc::IPPROTO_TCP), (libc::SOCK_DGRAM, libc::IPPROTO_UDP)];
        for (kind, own) in kinds {
            for protocol in [0, own] {
                rules.push(all(&[
                    (0, Eq, of(family)),
                    (1, MaskedEq(KIND), of(kind)),
                    (2, Eq, of(protocol)),
                ])?);
            }
        }
    }
    Ok(rules)
}

fn of(number: i32) -> u64 {
    u64::from(number.unsigned_abs())
}

/// None of these bits in an argument.
fn without(argument: u8, bits: u64) -> Result<SeccompRule, BackendError> {
    all(&[(argument, MaskedEq(bits), 0)])
}

/// An argument with one of these values.
fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, BackendError> {
    values.iter().map(|value| all(&[(argument, Eq, *value)])).collect()
}

/// Arguments with these values, all of them. They are compared as the kernel reads them: 32 bits.
fn all(conditions: &[(u8, seccompiler::SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.iter();
    let conditions = conditions
        .map(|(argument, compare, value)| SeccompCondition::new(*argument, Dword, compare.clone(), *value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}
