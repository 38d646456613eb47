//! What native code would try that has broken out of the sandbox.
//!
//! Each succeeds only by doing harm, or, where that would harm this machine as well, by being let through to the point
//! where the kernel finds its arguments wrong.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use super::calls::{address, call, reaches};
use super::place::{OTHER, PARENT, VICTIM, abstract_name, told};

/// `Ok` is harm done.
pub(crate) type Attempt = fn() -> io::Result<()>;

pub(crate) const ALL: &[(&str, Attempt)] = &[
    // Files.
    ("read /etc/shadow", || read("/etc/shadow")),
    ("write to /etc", || write("/etc/hotshoe-fence")),
    ("write a unit of systemd", || write("/run/hotshoe-fence.service")),
    ("write to /tmp", || write("/tmp/hotshoe-fence")),
    ("list the root directory", || fs::read_dir("/").map(drop)),
    ("list the home of root", || fs::read_dir("/root").map(drop)),
    ("read what is another's", || read("home/secret")),
    ("read the connection string again", || read("connection-string")),
    ("read the policy", || read("policy.toml")),
    ("change the configuration", || append("device.toml")),
    ("write to the running slot", || append("running.img")),
    ("cut the running slot short", || OpenOptions::new().write(true).open("running.img")?.set_len(4095)),
    ("replace the running slot", || fs::rename("state/mine", "running.img")),
    ("write to the kernel's log", || append("/dev/kmsg")),
    ("set a knob of the kernel", || append("/proc/sys/kernel/core_pattern")),
    ("trigger the kernel", || OpenOptions::new().write(true).open("/proc/sysrq-trigger").map(drop)),
    ("follow a link out of the state", || read("state/escape")),
    ("make a link out of the state", || {
        let _ = fs::remove_file("state/link");
        symlink("/etc", "state/link")
    }),
    ("link another's file into the state", || {
        let _ = fs::remove_file("state/hard");
        fs::hard_link("home/secret", "state/hard").and_then(|()| read("state/hard"))
    }),
    ("move the state to where others look", || fs::rename("state/mine", "home/mine")),
    ("make a program that lends rights", || lend("state/program", 0o4755)),
    ("make a file that lends rights", || {
        let _ = fs::remove_file("state/lends");
        let how = [i64::from(libc::O_CREAT | libc::O_RDWR), 0o4755, 0];
        call(libc::SYS_openat2, [at_here(), address(c"state/lends"), address(&how), 24, 0, 0]).map(drop)
    }),
    ("make a device", || {
        let _ = fs::remove_file("state/device");
        let null = libc::makedev(1, 3) as i64;
        let mode = i64::from(libc::S_IFCHR | 0o666);
        call(libc::SYS_mknodat, [at_here(), address(c"state/device"), mode, null, 0, 0]).map(drop)
    }),
    ("make a pipe for others", || {
        let _ = fs::remove_file("state/pipe");
        let mode = i64::from(libc::S_IFIFO | 0o666);
        call(libc::SYS_mknodat, [at_here(), address(c"state/pipe"), mode, 0, 0, 0]).map(drop)
    }),
    ("give a file away", || std::os::unix::fs::chown("state/mine", Some(1), Some(1))),
    ("mark a file", || {
        let arguments = [address(c"state/mine"), address(c"user.hotshoe"), address(b"1"), 1, 0, 0];
        call(libc::SYS_setxattr, arguments).map(drop)
    }),
    // Programs.
    ("run a shell", || run(Command::new("/bin/sh").args(["-c", "true"]))),
    ("become a shell", || Err(Command::new("/bin/sh").args(["-c", "exit 0"]).exec())),
    ("run a program it has brought", || run(&mut Command::new("state/program"))),
    ("become a program it has brought", || Err(Command::new("state/program").exec())),
    ("become a program through its loader", || {
        Err(Command::new("/lib64/ld-linux-x86-64.so.2").arg("state/program").exec())
    }),
    ("become a program that stands in no file", || become_from_memory(false)),
    ("become one by its name in /proc", || become_from_memory(true)),
    ("become itself anew", || Err(Command::new("/proc/self/exe").arg("--list").exec())),
    ("begin a process", || {
        call(libc::SYS_clone, [i64::from(libc::SIGCHLD), 0, 0, 0, 0, 0]).map(|child| {
            if child == 0 {
                std::process::exit(0);
            }
        })
    }),
    // Other processes.
    ("read the memory of another process", || {
        let (byte, from) = (std::cell::Cell::new(0_u8), victims_memory()?);
        let own = [address(&byte), 1];
        let other = [from, 1];
        let arguments = [victim(), address(&own), 1, address(&other), 1, 0];
        call(libc::SYS_process_vm_readv, arguments).map(drop)
    }),
    ("write the memory of another process", || {
        let (byte, to) = ([0_u8; 1], victims_memory()?);
        let own = [address(&byte), 1];
        let other = [to, 0];
        reaches(libc::SYS_process_vm_writev, [victim(), address(&own), 1, address(&other), 1, 0])
    }),
    ("open the memory of another process", || read(&format!("/proc/{}/mem", victim())).or_else(not_mapped)),
    ("open the memory of the one who started it", || {
        read(&format!("/proc/{}/mem", told(PARENT))).or_else(not_mapped)
    }),
    ("open the memory of init", || read("/proc/1/mem").or_else(not_mapped)),
    ("read the environment of another process", || read(&format!("/proc/{}/environ", victim()))),
    ("trace another process", || {
        call(libc::SYS_ptrace, [libc::PTRACE_SEIZE.into(), victim(), 0, 0, 0, 0]).map(drop)
    }),
    ("kill another process", || call(libc::SYS_kill, [victim(), 9, 0, 0, 0, 0]).map(drop)),
    ("signal the one who started it", || {
        call(libc::SYS_kill, [told(PARENT).into(), 0, 0, 0, 0, 0]).map(drop)
    }),
    ("signal a thread of another process", || {
        call(libc::SYS_tgkill, [victim(), victim(), 9, 0, 0, 0]).map(drop)
    }),
    ("signal by a handle of a process", || {
        let handle = call(libc::SYS_pidfd_open, [victim(), 0, 0, 0, 0, 0])?;
        call(libc::SYS_pidfd_send_signal, [handle, 9, 0, 0, 0, 0]).map(drop)
    }),
    ("take a file from another process", || {
        let handle = call(libc::SYS_pidfd_open, [victim(), 0, 0, 0, 0, 0])?;
        call(libc::SYS_pidfd_getfd, [handle, 0, 0, 0, 0, 0]).map(drop)
    }),
    ("bound another process", || {
        let limit = [0_u64, 0];
        let arguments = [victim(), libc::RLIMIT_NOFILE.into(), address(&limit), 0, 0, 0];
        call(libc::SYS_prlimit64, arguments).map(drop)
    }),
    // Another view of the device.
    ("mount", || {
        let arguments = [address(c"none"), address(c"state"), address(c"tmpfs"), 0, 0, 0];
        call(libc::SYS_mount, arguments)?;
        call(libc::SYS_umount2, [address(c"state"), 0, 0, 0, 0, 0]).map(drop)
    }),
    ("unmount", || reaches(libc::SYS_umount2, [address(c"nowhere"), 0, 0, 0, 0, 0])),
    ("open a file system", || call(libc::SYS_fsopen, [address(c"tmpfs"), 0, 0, 0, 0, 0]).map(drop)),
    ("turn the root", || reaches(libc::SYS_pivot_root, [address(c"state"), address(c"nowhere"), 0, 0, 0, 0])),
    ("change the root", || call(libc::SYS_chroot, [address(c"state"), 0, 0, 0, 0, 0]).map(drop)),
    ("a namespace of its own", || {
        call(libc::SYS_unshare, [(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).into(), 0, 0, 0, 0, 0]).map(drop)
    }),
    ("a child in a namespace of its own", || {
        let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
        let child = call(libc::SYS_clone, [flags.into(), 0, 0, 0, 0, 0])?;
        if child == 0 {
            std::process::exit(0);
        }
        Ok(())
    }),
    ("the namespace of another process", || {
        let handle = call(libc::SYS_pidfd_open, [victim(), 0, 0, 0, 0, 0])?;
        reaches(libc::SYS_setns, [handle, libc::CLONE_NEWUTS.into(), 0, 0, 0, 0])
    }),
    ("open by a handle", || reaches(libc::SYS_open_by_handle_at, [-1, address(&[8_u64, 0]), 0, 0, 0, 0])),
    // The kernel.
    ("load a module", || reaches(libc::SYS_init_module, [0, 0, address(c""), 0, 0, 0])),
    ("unload a module", || reaches(libc::SYS_delete_module, [address(c"hotshoe_none"), 0, 0, 0, 0, 0])),
    ("run a program in the kernel", || {
        let array = [2_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        call(libc::SYS_bpf, [0, address(&array), 64, 0, 0, 0]).map(drop)
    }),
    ("boot another kernel", || reaches(libc::SYS_kexec_load, [0, 0, 0, -1, 0, 0])),
    ("reboot", || reaches(libc::SYS_reboot, [0xfee1_dead, 672_274_793, 0x1234, 0, 0, 0])),
    ("set the clock", || {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        let now = [now.as_secs(), u64::from(now.subsec_nanos())];
        call(libc::SYS_clock_settime, [0, address(&now), 0, 0, 0, 0]).map(drop)
    }),
    ("bend the clock", || {
        let mut bent = [0_u64; 26];
        bent[0] = 1;
        reaches(libc::SYS_adjtimex, [address(&bent), 0, 0, 0, 0, 0])
    }),
    ("keep a key in the kernel", || {
        let arguments = [address(c"user"), address(c"hotshoe"), address(b"key"), 3, -1, 0];
        call(libc::SYS_add_key, arguments).map(drop)
    }),
    ("read the keys of the kernel", || call(libc::SYS_keyctl, [0, -3, 1, 0, 0, 0]).map(drop)),
    ("measure the processor", || {
        let mut event = [0_u64; 16];
        event[0] = 1 | (128 << 32);
        call(libc::SYS_perf_event_open, [address(&event), 0, -1, -1, 0, 0]).map(drop)
    }),
    ("handle faults of memory", || call(libc::SYS_userfaultfd, [0, 0, 0, 0, 0, 0]).map(drop)),
    ("a ring of calls", || {
        let ring = [0_u8; 120];
        call(libc::SYS_io_uring_setup, [4, address(&ring), 0, 0, 0, 0]).map(drop)
    }),
    ("another personality", || call(libc::SYS_personality, [0x004_0000, 0, 0, 0, 0, 0]).map(drop)),
    ("name the device", || {
        let name = fs::read("/proc/sys/kernel/hostname").unwrap_or_else(|_| b"a\n".to_vec());
        let length = name.len() as i64 - 1;
        call(libc::SYS_sethostname, [address(name.as_slice()), length, 0, 0, 0, 0]).map(drop)
    }),
    ("swap to a file", || reaches(libc::SYS_swapon, [address(c"nowhere"), 0, 0, 0, 0, 0])),
    ("end the accounting", || call(libc::SYS_acct, [0, 0, 0, 0, 0, 0]).map(drop)),
    ("read the kernel's log", || {
        let text = [0_u8; 64];
        call(libc::SYS_syslog, [3, address(&text), 64, 0, 0, 0]).map(drop)
    }),
    ("move the memory of another process", || reaches(libc::SYS_move_pages, [victim(), 0, 0, 0, 0, 0])),
    // Another identity.
    ("become another user", || call(libc::SYS_setresuid, [1, 1, 1, 0, 0, 0]).map(drop)),
    ("become another group", || call(libc::SYS_setgroups, [0, 0, 0, 0, 0, 0]).map(drop)),
    ("change its capabilities", || {
        let (header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
        call(libc::SYS_capset, [address(&header), address(&none), 0, 0, 0, 0]).map(drop)
    }),
    ("be dumped with its keys", || {
        call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), 1, 0, 0, 0, 0]).map(drop)
    }),
    // The network.
    ("connect to where nobody lets it", || connect(([127, 0, 0, 1], other()).into())),
    ("connect to port 22", || connect(([127, 0, 0, 1], 22).into())),
    ("connect to the cloud's metadata", || connect(([169, 254, 169, 254], 80).into())),
    ("connect without connecting", || fast_open(other())),
    ("connect by another protocol", || multipath(other())),
    ("offer a port", || TcpListener::bind("0.0.0.0:0").map(drop)),
    ("offer a port that it has not chosen", || {
        let socket = call(libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0, 0, 0, 0])?;
        call(libc::SYS_listen, [socket, 1, 0, 0, 0, 0]).map(drop)
    }),
    ("offer a port of UDP", || UdpSocket::bind("0.0.0.0:0").map(drop)),
    ("a raw socket", || socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)),
    ("a socket of packets", || socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
    ("set up the network", || socket(libc::AF_NETLINK, libc::SOCK_RAW, 0)),
    ("a socket of the kernel's ciphers", || socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
    ("a service of this device", || UnixStream::connect("service").map(drop)),
    ("a service that stands in no file system", || {
        let folder = std::env::current_dir()?;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(abstract_name(&folder))?;
        UnixStream::connect_addr(&address).map(drop)
    }),
];

fn read(path: &str) -> io::Result<()> {
    File::open(path)?.read(&mut [0]).map(drop)
}

/// Where nothing is mapped at the first address, the memory was open all the same.
fn not_mapped(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::EIO) { Ok(()) } else { Err(error) }
}

/// Makes a file and removes it.
fn write(path: &str) -> io::Result<()> {
    fs::write(path, "mine")?;
    fs::remove_file(path)
}

/// Opens to write, and writes nothing that stays.
fn append(path: &str) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write(b"").map(drop)
}

fn lend(path: &str, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn run(command: &mut Command) -> io::Result<()> {
    command.status().map(drop)
}

fn at_here() -> i64 {
    libc::AT_FDCWD.into()
}

fn victim() -> i64 {
    told(VICTIM).into()
}

fn other() -> u16 {
    u16::try_from(told(OTHER)).unwrap()
}

/// Where the stack of the other process is. What may not be looked up is guessed: it is not what is tried.
fn victims_memory() -> io::Result<i64> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", victim())).unwrap_or_default();
    let first = maps.split('-').next().and_then(|start| i64::from_str_radix(start, 16).ok());
    Ok(first.unwrap_or(4096))
}

/// The program is the attacker's own, from its state.
fn become_from_memory(by_name: bool) -> io::Result<()> {
    let program = fs::read("state/program")?;
    let memory = call(libc::SYS_memfd_create, [address(c"program"), 0, 0, 0, 0, 0])?;
    let mut written = 0;
    while written < program.len() {
        let rest = &program[written..];
        let count = call(libc::SYS_write, [memory, address(rest), rest.len() as i64, 0, 0, 0])?;
        written += usize::try_from(count).unwrap();
    }
    let arguments = [address(c"program"), 0];
    let environment = [0_i64];
    if by_name {
        let path = std::ffi::CString::new(format!("/proc/self/fd/{memory}")).unwrap();
        let (path, arguments) = (address(path.as_c_str()), address(&arguments));
        return call(libc::SYS_execve, [path, arguments, address(&environment), 0, 0, 0]).map(drop);
    }
    let flags = i64::from(libc::AT_EMPTY_PATH);
    let (arguments, environment) = (address(&arguments), address(&environment));
    call(libc::SYS_execveat, [memory, address(c""), arguments, environment, flags, 0]).map(drop)
}

/// Whether it is let out; what comes back, if anything, is another matter.
fn connect(to: SocketAddr) -> io::Result<()> {
    match TcpStream::connect_timeout(&to, Duration::from_millis(300)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<()> {
    call(libc::SYS_socket, [family.into(), kind.into(), protocol.into(), 0, 0, 0]).map(drop)
}

/// The address of a port of this device, as the kernel reads it.
fn local(port: u16) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}

fn fast_open(port: u16) -> io::Result<()> {
    let own = call(libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0, 0, 0, 0])?;
    let to = local(port);
    let arguments = [own, address(b"hello"), 5, libc::MSG_FASTOPEN.into(), address(&to), 16];
    call(libc::SYS_sendto, arguments).map(drop)
}

fn multipath(port: u16) -> io::Result<()> {
    const MPTCP: i64 = 262;
    let own = call(libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_STREAM.into(), MPTCP, 0, 0, 0])?;
    let to = local(port);
    call(libc::SYS_connect, [own, address(&to), 16, 0, 0, 0]).map(drop)
}
