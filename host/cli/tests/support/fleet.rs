//! Many simulated devices on a real local hub: the simulator's own program, real sessions with scripted outcomes.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::local::Place;

/// How long anything may take on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The program; it ends with this.
pub(crate) struct Fleet {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Fleet {
    /// Registers so many devices, `sim-0001` and so on, and waits until all are connected.
    pub(crate) async fn start(place: &Place, devices: usize, outcomes: &str) -> Fleet {
        let program = Path::new(env!("CARGO_BIN_EXE_hotshoe")).with_file_name("hotshoe-simulator");
        assert!(program.exists(), "{} is not there: cargo build --workspace --bins", program.display());
        let directory = place.directory.path();
        let mut process = Command::new(program)
            .arg("fleet")
            .arg("--hub")
            .arg(directory.join("owner.connection-string"))
            .arg("--ca")
            .arg(directory.join("ca.pem"))
            .args(["--port", &place.hub.mqtt_port.to_string(), "--devices", &devices.to_string()])
            .args(["--outcomes", outcomes, "--seed", "5", "--phase-time", "200ms±50%"])
            .args(["--plugins", "acme.pump=1.0.0", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut fleet = Fleet { process, lines };
        assert_eq!(fleet.event("connected").await["connected"], devices);
        fleet
    }

    async fn event(&mut self, event: &str) -> Value {
        told(&mut self.lines, |line| line["event"] == event).await
    }

    /// Ends it as an operator does; gives what its devices have counted.
    pub(crate) async fn end(mut self) -> Value {
        let id = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        self.event("summary").await
    }
}

/// Waits until a program that prints lines of JSON has told something.
pub(crate) async fn told(lines: &mut Lines<BufReader<ChildStdout>>, right: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Vec::new();
    let found = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let line: Value = serde_json::from_str(&line).unwrap();
            if right(&line) {
                return Some(line);
            }
            seen.push(line);
        }
        None
    });
    let found = found.await.ok().flatten();
    found.unwrap_or_else(|| panic!("it did not come, only {seen:?}"))
}
