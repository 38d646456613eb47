//! `hotshoe login`, `logout`, `profiles`, and who comes first where several say which hub is asked.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::json;
use support::{Hub, KEY, Ran, bare, ok};
use tokio::{io::AsyncWriteExt as _, process::Command};

/// A user with a configuration directory of their own.
struct User(tempfile::TempDir);

impl User {
    fn new() -> User {
        User(tempfile::tempdir().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.env("XDG_CONFIG_HOME", self.0.path());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().await.unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("hotshoe/profiles.toml")
    }

    /// Logs in to a hub by standard input.
    async fn login(&self, hub: &Hub, name: &str) -> Ran {
        let ca = hub.file("ca.pem");
        let mut command = self.command(&["login", "--name", name, "--ca", ca.to_str().unwrap()]);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(owner(hub).as_bytes()).await.unwrap();
        Ran::from(child.wait_with_output().await.unwrap())
    }
}

fn owner(hub: &Hub) -> String {
    std::fs::read_to_string(hub.file("owner")).unwrap()
}

async fn hub(device: &str) -> Hub {
    let hub = Hub::start().await;
    hub.script("GET /statistics/service", [ok(json!({"connectedDeviceCount": 1}))]);
    hub.script("GET /devices", [ok(json!([{"deviceId": device}]))]);
    hub
}

#[tokio::test]
async fn a_hub_is_remembered_and_forgotten() {
    let (user, hub) = (User::new(), hub("a").await);
    let told = user.login(&hub, "lab").await;
    assert_eq!(told.stdout, "localhost as iothubowner is the profile lab, and the default now\n", "{told:?}");
    assert_eq!(std::fs::metadata(user.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let told = user.run(&["device", "list", "--json"]).await;
    assert_eq!(told.json()[0]["deviceId"], "a", "without a connection string and without --ca: {told:?}");
    let told = user.run(&["profiles", "list"]).await;
    assert!(told.stdout.contains("lab      yes") && told.stdout.contains("iothubowner"), "{told:?}");
    for arguments in [&["profiles", "list"][..], &["profiles", "list", "--json"]] {
        assert!(!user.run(arguments).await.stdout.contains(KEY));
    }
    assert_eq!(user.run(&["logout"]).await.stdout, "forgot lab\n");
    let told = user.run(&["device", "list"]).await;
    assert_eq!(told.exit, 78);
    assert!(told.stderr.contains("`hotshoe login`"), "{told:?}");
    assert!(!std::fs::read_to_string(user.file()).unwrap().contains(KEY));
}

#[tokio::test]
async fn the_command_line_comes_before_the_environment_and_that_before_profiles() {
    let user = User::new();
    let (a, b, c, d) = (hub("a").await, hub("b").await, hub("c").await, hub("d").await);
    for (hub, name) in [(&a, "a"), (&b, "b")] {
        assert_eq!(user.login(hub, name).await.exit, 0);
    }
    assert_eq!(user.run(&["profiles", "default", "a"]).await.exit, 0);
    let asked = async |arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["device", "list", "--json"][..], arguments].concat();
        let mut command = user.command(&arguments);
        command.envs(environment.iter().copied());
        let told = Ran::from(command.output().await.unwrap());
        assert_eq!(told.exit, 0, "{told:?}");
        told.json()[0]["deviceId"].as_str().unwrap().to_owned()
    };
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (of_c, ca_of_c) = (owner(&c), path(c.file("ca.pem")));
    let environment =
        [("HOTSHOE_CONNECTION_STRING", of_c.as_str()), ("HOTSHOE_CA", &ca_of_c), ("HOTSHOE_PROFILE", "a")];
    assert_eq!(asked(&[], &[]).await, "a", "the default");
    assert_eq!(asked(&[], &environment[2..]).await, "a");
    assert_eq!(asked(&[], &[("HOTSHOE_PROFILE", "b")]).await, "b");
    assert_eq!(asked(&[], &environment).await, "c");
    assert_eq!(asked(&["--profile", "b"], &environment[..1]).await, "b");
    let (of_d, ca_of_d) = (path(d.file("owner")), path(d.file("ca.pem")));
    assert_eq!(asked(&["--connection-string-file", &of_d, "--ca", &ca_of_d], &environment).await, "d");
}

#[tokio::test]
async fn what_does_not_work_is_not_stored() {
    let (user, hub) = (User::new(), hub("a").await);
    let ca = hub.file("ca.pem");
    let ca = ca.to_str().unwrap();
    let wrong =
        format!("HostName=localhost:{};SharedAccessKeyName=iothubowner;SharedAccessKey=AAAA", hub.port);
    let told = user.run(&["login", "--ca", ca, "--connection-string", &wrong]).await;
    assert_ne!(told.exit, 0);
    assert!(told.stderr.contains("--no-check"), "{told:?}");
    assert!(!Path::new(&user.file()).exists());
    let told = user.run(&["login", "--ca", ca, "--connection-string", &wrong, "--no-check"]).await;
    assert_eq!(told.stdout, "localhost as iothubowner is the profile localhost, and the default now\n");
    assert_eq!(user.run(&["profiles", "default", "nobody"]).await.exit, 78);
    assert_eq!(
        user.run(&["login", "--connection-string", "HostName=h;DeviceId=d;SharedAccessKey=AAAA"]).await.exit,
        78
    );
    std::fs::set_permissions(user.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let told = user.run(&["device", "list"]).await;
    assert_eq!(told.exit, 78);
    assert!(told.stderr.contains("others may read it"), "{told:?}");
}
