//! A fleet of simulated devices on a real local hub: each ends as its script has it, and says so as a device does.

// The lint's own exception for tests covers test functions, not the helpers they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use hotshoe_localhub::{LocalHub, Running, Settings};
use hotshoe_simulator::fleet::script::{Mix, Outcome};
use serde_json::{Value, json};
use tempfile::TempDir;

const DEVICES: usize = 24;
const SEED: u64 = 5;
const OUTCOMES: &str = "failed=20%,rolled-back=20%,silent=15%,refused=10%,offline=10%";
const PATIENCE: Duration = Duration::from_secs(90);

/// The program, ended with this.
struct Fleet {
    process: Child,
    lines: mpsc::Receiver<Value>,
}

impl Fleet {
    fn start(hub: &Running, folder: &TempDir) -> Fleet {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hotshoe-simulator"))
            .arg("fleet")
            .arg("--hub")
            .arg(folder.path().join("owner.connection-string"))
            .arg("--ca")
            .arg(folder.path().join("ca.pem"))
            .args(["--port", &hub.mqtt_port.to_string(), "--devices", &DEVICES.to_string()])
            .args(["--outcomes", OUTCOMES, "--seed", &SEED.to_string(), "--phase-time", "100ms±50%"])
            .args(["--plugins", "acme.pump=1.0.0", "--tags", "ring=canary", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Fleet { process, lines }
    }

    /// Waits for an event of the program.
    fn event(&self, event: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {event} came"));
            if line["event"] == event {
                return line;
            }
        }
    }

    /// Ends it as an operator does; returns what it came to.
    fn end(mut self) -> Value {
        let kill = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let summary = self.event("summary");
        assert!(self.process.wait().unwrap().success());
        summary
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until the reported properties of a device are as they should be.
async fn reported(hub: &Running, device: &str, what: &str, right: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            last = hub.twin(device).await.unwrap()["reported"].take();
            if right(&last) {
                return last.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let seen = seen.await;
    seen.unwrap_or_else(|_| panic!("{device}: {what} was not reported"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_device_ends_as_its_script_has_it() {
    let folder = TempDir::new().unwrap();
    let hub = LocalHub::start(Settings::new(folder.path())).await.unwrap();
    let fleet = Fleet::start(&hub, &folder);
    let connected = tokio::task::spawn_blocking(move || {
        let connected = fleet.event("connected");
        (fleet, connected)
    });
    let (fleet, connected) = connected.await.unwrap();
    let mix: Mix = OUTCOMES.parse().unwrap();
    let names: Vec<String> = (1..=DEVICES).map(|number| format!("sim-{number:04}")).collect();
    let fates: Vec<Outcome> = names.iter().map(|name| mix.outcome(SEED, name)).collect();
    for (outcome, name) in Outcome::ALL {
        assert!(fates.contains(&outcome), "this seed has no {name}; take another");
    }
    let count = |wanted: Outcome| fates.iter().filter(|fate| **fate == wanted).count() as u64;
    assert_eq!(connected["connected"], DEVICES as u64 - count(Outcome::Offline));

    // The firmware of each.
    let order = json!({ "fwPackageUri": "https://example.com/image.img", "version": "2.0.0" });
    for (name, fate) in names.iter().zip(&fates) {
        // One that is not there is waited for, by the hub.
        let patience = Duration::from_secs(if *fate == Outcome::Offline { 1 } else { 30 });
        let answer = hub.invoke(name, "firmwareUpdate", &order, patience).await;
        match fate {
            Outcome::Offline => assert!(answer.is_err(), "{name} answered"),
            Outcome::Refused => assert_eq!(answer.unwrap().0, 409, "{name}"),
            _ => {
                assert_eq!(answer.unwrap(), (200, json!({ "Response": "Firmware update started" })), "{name}")
            }
        }
    }
    for (name, fate) in names.iter().zip(&fates) {
        let (status, runs) = match fate {
            Outcome::Completed => ("completed", "2.0.0"),
            Outcome::Failed => ("failed", "1.0.0"),
            Outcome::RolledBack => ("rolledBack", "1.0.0"),
            Outcome::Silent => ("applying", "1.0.0"),
            Outcome::Refused | Outcome::Offline => continue,
        };
        let twin = reported(&hub, name, status, |twin| twin["firmwareStatus"] == status).await;
        assert_eq!(twin["hotshoe"]["slots"][0]["version"], runs, "{name}");
        assert_eq!(
            twin["hotshoe"]["lastFailure"].is_object(),
            matches!(status, "failed" | "rolledBack"),
            "{name}"
        );
    }

    // A plugin of each, by the desired properties; devices that went silent stay so.
    for (name, fate) in names.iter().zip(&fates) {
        let wanted = json!({ "hotshoe": { "plugins": { "acme/pump": { "version": "1.1.0" } } } });
        hub.patch_desired(name, wanted).await.unwrap();
        let (code, live) = match fate {
            Outcome::Completed => (200, "1.1.0"),
            Outcome::Failed => (422, "1.0.0"),
            Outcome::RolledBack => (409, "1.0.0"),
            Outcome::Refused => (403, "1.0.0"),
            Outcome::Silent | Outcome::Offline => continue,
        };
        let right = |twin: &Value| twin["hotshoe"]["plugins"]["acme/pump"]["ac"] == code;
        let twin = reported(&hub, name, "the plugin", right).await;
        assert_eq!(twin["hotshoe"]["plugins"]["acme/pump"]["version"], live, "{name}");
    }

    let summary = tokio::task::spawn_blocking(|| fleet.end()).await.unwrap();
    assert_eq!(summary["updates"]["completed"], count(Outcome::Completed));
    assert_eq!(summary["updates"]["failed"], count(Outcome::Failed));
    assert_eq!(summary["updates"]["rolledBack"], count(Outcome::RolledBack));
    assert_eq!(summary["updates"]["silent"], count(Outcome::Silent));
    assert_eq!(summary["refused"], count(Outcome::Refused));
    hub.stop().await;
}
