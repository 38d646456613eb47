//! What systemd is told by a host that has plugins to compile, and what it does on a signal then.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::within;
use tokio::net::UnixDatagram;

/// Killed where the test fails.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The next word, whatever of the rest comes in between, which is kept.
async fn until_told(socket: &UnixDatagram, word: &str, told: &mut Vec<String>) {
    within(word, async {
        loop {
            let mut text = vec![0; 1024];
            let length = socket.recv(&mut text).await.unwrap();
            let text = String::from_utf8_lossy(&text[..length]).into_owned();
            told.extend(text.lines().map(str::to_owned));
            if text.lines().any(|line| line == word) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_compiles_is_no_host_that_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(at("ca.pem"), ca.cert.pem()).unwrap();
    fs::write(at("boot-id"), "first").unwrap();
    // Nobody is there: what this is about needs no hub.
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    fs::write(at("connection-string"), format!("HostName=localhost;DeviceId=d;SharedAccessKey={key}"))
        .unwrap();
    let policy = "[plugins.\"*\"]\ndownload = [\"https://*:*/\"]\nflash = true\nrestart = true\n\
        storage = \"64KiB\"\ntelemetry = true\n";
    fs::write(at("policy.toml"), policy).unwrap();
    fs::write(at("aot"), "#!/bin/sh\nexec /bin/sleep 1000\n").unwrap();
    fs::set_permissions(at("aot"), fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "state = \"state\"\nboot_id_file = \"boot-id\"\naot = \"aot\"\npolicy = \"policy.toml\"\n\n\
         [hub]\nconnection_string_file = \"connection-string\"\nca_file = \"ca.pem\"\nport = 1\n\n\
         [fence]\nmode = \"off\"\n\n[[plugins]]\nfile = \"{}\"\n",
        support::plugin("test-guest").display()
    );
    fs::write(at("device.toml"), config).unwrap();
    let socket = UnixDatagram::bind(at("notify")).unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_hotshoed"));
    command.arg("--config").arg(at("device.toml")).stdin(Stdio::null());
    command.env("NOTIFY_SOCKET", at("notify")).env("WATCHDOG_USEC", "200000");
    let mut host = Host(command.spawn().unwrap());
    let mut told = Vec::new();
    for _ in 0..3 {
        until_told(&socket, "WATCHDOG=1", &mut told).await;
    }
    assert!(told.iter().any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")), "{told:?}");
    assert!(!told.contains(&"READY=1".to_owned()), "it compiles: {told:?}");

    kill_process(Pid::from_child(&host.0), Signal::TERM).unwrap();
    until_told(&socket, "STOPPING=1", &mut told).await;
    let ended = within("it ends", async {
        tokio::task::spawn_blocking(move || host.0.wait().unwrap()).await.unwrap()
    })
    .await;
    assert!(ended.success(), "{ended}");
}
