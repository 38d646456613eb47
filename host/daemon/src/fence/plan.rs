//! From the configuration to what the fence lets through: files, devices, ports, kinds of system calls.
//!
//! What was read before the fence stands is not in it: the configuration itself, the policy, keys, certificates, roots.
//! Neither is what only the restart command needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hotshoe_core::connection_string::ConnectionString;
use rustix::process::geteuid;

use super::resolver::RESOLVER;
use crate::config::{BootEntry, Config, FlashConfig, HubSource, PlaceEntry};

/// What the C library reads to look up names.
const NAMES: &[&str] = &[
    RESOLVER,
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/os-release",
];
/// Libraries, which the loader and the resolver open when they need them; read, not run.
const LIBRARIES: &[&str] =
    &["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/ld.so.preload"];
/// What the kernel says of this process and of the processors.
const KERNEL: &[&str] = &["/proc/self", "/sys/devices/system/cpu", "/dev/urandom", "/dev/random"];
/// The loaders of programs: the kernel runs them when it runs the compiler.
const LOADERS: &[&str] = &[
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// What may be done with a file, or with all that is below a directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Access {
    /// Read and listed.
    Read,
    /// Read and run.
    Run,
    /// Read and written in place: a device, a boot loader's file.
    Write,
    /// Anything that is done with files and directories, but for running them.
    Keep,
    /// The same with links to elsewhere: the trees of files of a slot.
    KeepTrees,
}

/// To which TCP ports connections may be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ports {
    /// To any: the policy grants downloads from any port of a host.
    Any,
    /// To these.
    These(BTreeSet<u16>),
}

/// What the fence lets through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Files, devices and directories. Those that are not there are left out.
    pub places: BTreeSet<(PathBuf, Access)>,
    /// The network.
    pub ports: Ports,
    /// Whether slots hold trees of files, with owners and modes of their own.
    pub trees: bool,
    /// Whether programs are run, and then no connections made.
    pub programs: bool,
}

impl Plan {
    /// What this configuration needs.
    pub fn of(config: &Config) -> Plan {
        let mut places = BTreeSet::new();
        let mut add = |path: &Path, access| {
            places.insert((path.to_owned(), access));
        };
        add(&config.state, Access::Keep);
        for path in NAMES.iter().chain(LIBRARIES).chain(KERNEL) {
            add(Path::new(path), Access::Read);
        }
        // Names are followed to where they lead: a file that is replaced there is still found.
        if let Ok(real) = std::fs::canonicalize(RESOLVER)
            && let Some(place) = real.parent().filter(|place| !place.starts_with("/etc"))
        {
            add(place, Access::Read);
        }
        if !geteuid().is_root() {
            add(Path::new("/etc"), Access::Read);
        }
        if let Ok(program) = std::env::current_exe() {
            add(&program, Access::Read);
        }
        config.plugins.iter().for_each(|plugin| add(&plugin.file, Access::Read));
        let copies = config.repositories.iter().flat_map(|repository| &repository.directories);
        copies.chain(&config.fence.read).for_each(|path| add(path, Access::Read));
        // The socket is bound before, and only takes its name.
        add(&config.admin.directory, Access::Keep);
        if let Some(flash) = &config.flash {
            places.extend(of_flash(flash));
        }
        let trees = config.flash.as_ref().is_some_and(has_trees);
        Plan { places, ports: ports(config), trees, programs: false }
    }

    /// What the process outside needs that runs the compiler.
    pub fn of_compiler(program: &Path) -> Plan {
        let own = std::env::current_exe().into_iter();
        let read = LIBRARIES.iter().chain(KERNEL).map(PathBuf::from).chain(own);
        let run = LOADERS.iter().map(PathBuf::from).chain([program.to_owned()]);
        let places = read.map(|path| (path, Access::Read)).chain(run.map(|path| (path, Access::Run)));
        let places = places.chain([("/dev/null".into(), Access::Write)]).collect();
        Plan { places, ports: Ports::These(BTreeSet::new()), trees: false, programs: true }
    }
}

fn has_trees(flash: &FlashConfig) -> bool {
    let mut parts = flash.slots.iter().flat_map(|group| &group.parts);
    parts.any(|part| matches!(part.place, PlaceEntry::Directory(_)))
}

fn of_flash(flash: &FlashConfig) -> BTreeSet<(PathBuf, Access)> {
    let keep = if has_trees(flash) { Access::KeepTrees } else { Access::Keep };
    let mut places = BTreeSet::from([(flash.directory.clone(), keep)]);
    for group in &flash.slots {
        // Never written by the host, and so not by whoever sits in it.
        let is_running = flash.running.as_ref() == Some(&group.name);
        let access = if is_running { Access::Read } else { Access::Write };
        for part in &group.parts {
            if let PlaceEntry::Device(path) = &part.place {
                places.insert((path.clone(), access));
            }
        }
    }
    match &flash.boot {
        BootEntry::File => {}
        BootEntry::UBoot { copies, .. } => {
            places.extend(copies.iter().map(|(path, _)| (path.clone(), Access::Write)));
        }
        BootEntry::Grub(path) => places.extend([(path.clone(), Access::Write)]),
        BootEntry::SystemdBoot(path) => places.extend([(path.clone(), Access::Keep)]),
    }
    places
}

fn ports(config: &Config) -> Ports {
    let own = if config.hub.web_socket { 443 } else { 8883 };
    // Names are asked for over TCP where the answer is long.
    let mut ports = BTreeSet::from([53]);
    match &config.hub.source {
        HubSource::Connection(ConnectionString { port, .. }) => {
            ports.insert(config.hub.port.or(*port).unwrap_or(own));
        }
        HubSource::Provisioning(provisioning) => {
            ports.extend([config.hub.port.unwrap_or(own), provisioning.port.unwrap_or(own)]);
        }
    }
    for repository in &config.repositories {
        let urls = [&repository.metadata, &repository.targets].into_iter().chain(&repository.mirrors);
        ports.extend(urls.filter_map(url::Url::port_or_known_default));
    }
    let allowed = config.policy.plugins.values().chain(&config.policy.others);
    for pattern in allowed.flat_map(|allowed| &allowed.download) {
        match pattern.port() {
            Some(port) => ports.extend([port]),
            None => return Ports::Any,
        }
    }
    Ports::These(ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Surroundings;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    /// The plan of this configuration, and where its folder is.
    fn plan(toml: &str, policy: &str) -> (tempfile::TempDir, Plan) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let ca = rcgen::generate_simple_self_signed(["hub".to_owned()]).unwrap();
        write("ca.pem", &ca.cert.pem());
        write("cmdline", "hotshoe.slot=b");
        write("policy.toml", policy);
        write("boot-id", "first");
        let file = folder.path().join("device.toml");
        std::fs::write(
            &file,
            format!("state = \"state\"\nboot_id_file = \"boot-id\"\npolicy = \"policy.toml\"\naot = \"aot\"\n{toml}"),
        )
        .unwrap();
        let connection_string = Some(format!("HostName=hub:9999;DeviceId=d;SharedAccessKey={KEY}"));
        let surroundings = Surroundings { connection_string, program_directory: None };
        let config = Config::load(&file, &surroundings).unwrap();
        (folder, Plan::of(&config))
    }

    #[test]
    fn ports_are_those_of_the_hub_and_of_the_policy() {
        let hub = "[hub]\nca_file = \"ca.pem\"\n";
        let policy = "[plugins.\"*\"]\ndownload = [\"https://files.example/images/\", \"https://b:8443/\"]\n";
        let (_folder, narrow) = plan(hub, policy);
        assert_eq!(narrow.ports, Ports::These(BTreeSet::from([53, 443, 8443, 9999])));
        assert!(!narrow.trees && !narrow.programs);
        let (_folder, none) = plan(&format!("{hub}port = 7\n"), "");
        assert_eq!(
            none.ports,
            Ports::These(BTreeSet::from([7, 53])),
            "the configuration's before the string's"
        );
        let (_folder, wide) = plan(hub, "[plugins.\"a.b\"]\ndownload = [\"https://files.example:*/\"]\n");
        assert_eq!(wide.ports, Ports::Any);
    }

    #[test]
    fn the_running_slot_is_only_read_and_what_was_read_already_is_not_in_it() {
        let flash = "[hub]\nca_file = \"ca.pem\"\n[fence]\nread = [\"stick\"]\n\
            [flash]\ndirectory = \"flash\"\nboot_control = \"grub\"\ncommand_line_file = \"cmdline\"\n\
            grub = { file = \"/boot/grub/grubenv\" }\n\
            [[flash.slots]]\nname = \"a\"\nparts = [{ name = \"root\", device = \"/dev/sda2\", size = \"1MiB\" },\
            { name = \"data\", directory = \"data-a\", size = \"1MiB\" }]\n\
            [[flash.slots]]\nname = \"b\"\nparts = [{ name = \"root\", device = \"/dev/sda3\", size = \"1MiB\" },\
            { name = \"data\", directory = \"data-b\", size = \"1MiB\" }]\n";
        let (folder, plan) = plan(flash, "");
        let of = |path: &str| {
            let path = folder.path().join(path);
            let found = plan.places.iter().filter(|(place, _)| *place == path);
            found.map(|(_, access)| *access).collect::<Vec<_>>()
        };
        assert_eq!(of("/dev/sda2"), [Access::Write]);
        assert_eq!(of("/dev/sda3"), [Access::Read], "it runs");
        assert_eq!(of("/boot/grub/grubenv"), [Access::Write]);
        assert_eq!((of("flash"), plan.trees), (vec![Access::KeepTrees], true));
        assert_eq!(of("state"), [Access::Keep]);
        assert!(!plan.places.iter().any(|(_, access)| *access == Access::Run), "nothing is run");
        assert_eq!(of("stick"), [Access::Read]);
        for path in
            ["device.toml", "policy.toml", "ca.pem", "cmdline", "", "/", "/etc/shadow", "/bin", "/tmp", "aot"]
        {
            assert_eq!(of(path), [], "{path}");
        }
    }
}
