//! What an attacker finds: a device's directory with a real configuration, and around it what is not its business.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The user and group of nobody.
const NOBODY: u32 = 65534;
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// What an attempt is told: the same names in [`tell`](Place::tell) and [`told`].
pub(crate) const VICTIM: &str = "HOTSHOE_TEST_VICTIM";
pub(crate) const PARENT: &str = "HOTSHOE_TEST_PARENT";
pub(crate) const GRANTED: &str = "HOTSHOE_TEST_GRANTED";
pub(crate) const OTHER: &str = "HOTSHOE_TEST_OTHER";

/// A number that the attempt was told.
pub(crate) fn told(name: &str) -> i32 {
    std::env::var(name).unwrap().parse().unwrap()
}

/// Another process, until it is forgotten.
pub(crate) struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Place {
    folder: tempfile::TempDir,
    program: PathBuf,
    /// One that the policy grants, one that nobody grants.
    granted: TcpListener,
    other: TcpListener,
    /// Services of this device.
    _sockets: [UnixListener; 2],
    nobody: bool,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place::with(false)
    }

    pub(crate) fn of_nobody() -> Place {
        Place::with(true)
    }

    fn with(nobody: bool) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| fs::write(at(name), bytes).unwrap();
        for name in ["state", "flash", "home", "copies"] {
            fs::create_dir(at(name)).unwrap();
        }
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (granted, other) = (listen(), listen());
        let port = granted.local_addr().unwrap().port();
        let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write("ca.pem", ca.cert.pem().as_bytes());
        write("boot-id", b"first");
        write("cmdline", b"hotshoe.slot=a");
        write("connection-string", format!("HostName=localhost;DeviceId=d;SharedAccessKey={KEY}").as_bytes());
        write(
            "policy.toml",
            format!("[plugins.\"*\"]\ndownload = [\"https://localhost:{port}/\"]\n").as_bytes(),
        );
        write("grubenv", &[b'#'; 1024]);
        write("running.img", &[1; 4096]);
        write("spare.img", &[2; 4096]);
        write("copies/stick", b"copy");
        write("home/secret", b"not yours");
        write("device.toml", CONFIG.as_bytes());
        // What an attacker may have brought before.
        std::os::unix::fs::symlink("../home/secret", at("state/escape")).unwrap();
        write("state/mine", b"mine");
        fs::copy("/bin/true", at("state/program")).unwrap();
        let abstract_name = SocketAddr::from_abstract_name(abstract_name(folder.path())).unwrap();
        let sockets =
            [UnixListener::bind_addr(&abstract_name).unwrap(), UnixListener::bind(at("service")).unwrap()];
        let program = std::env::current_exe().unwrap();
        let place = Place { program, granted, other, _sockets: sockets, nobody, folder };
        place.open_up();
        place
    }

    /// Whoever it is may enter and read, as on a device without care; what is the host's is that user's.
    fn open_up(&self) {
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(self.path("service"), fs::Permissions::from_mode(0o777)).unwrap();
        if self.nobody {
            for name in [
                "",
                "state",
                "state/mine",
                "state/program",
                "flash",
                "spare.img",
                "running.img",
                "grubenv",
                "device.toml",
            ] {
                std::os::unix::fs::chown(self.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// As at the beginning, whatever an attack before has done.
    pub(crate) fn restore(&self) {
        for (name, bytes) in [("state/mine", b"mine".as_slice()), ("running.img", &[1; 4096])] {
            fs::write(self.path(name), bytes).unwrap();
        }
        self.open_up();
    }

    /// A process of the same user that is nobody's business.
    pub(crate) fn victim(&self) -> Victim {
        let mut command = Command::new("sleep");
        self.become_owner(&mut command);
        Victim(command.arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    /// Tells an attempt what there is.
    pub(crate) fn tell(&self, command: &mut Command, victim: &Victim) {
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port().to_string();
        command.env(VICTIM, victim.0.id().to_string()).env(PARENT, std::process::id().to_string());
        command.env(GRANTED, port(&self.granted)).env(OTHER, port(&self.other));
        self.become_owner(command);
    }

    fn become_owner(&self, command: &mut Command) {
        if self.nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
    }
}

/// The name of a socket that stands in no file system.
pub(crate) fn abstract_name(folder: &Path) -> Vec<u8> {
    [b"hotshoe-fence-".as_slice(), folder.file_name().unwrap().as_encoded_bytes()].concat()
}

const CONFIG: &str = r#"
state = "state"
policy = "policy.toml"
boot_id_file = "boot-id"

[hub]
connection_string_file = "connection-string"
ca_file = "ca.pem"

[fence]
read = ["copies"]

[restart]
command = ["reboot"]

[flash]
directory = "flash"
boot_control = "grub"
command_line_file = "cmdline"
grub = { file = "grubenv" }
[[flash.slots]]
name = "a"
device = "running.img"
size = "4KiB"
[[flash.slots]]
name = "b"
device = "spare.img"
size = "4KiB"
"#;
