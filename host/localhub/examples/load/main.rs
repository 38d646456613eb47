//! Load on a hub: idle devices, direct methods, hostile neighbours; mosquitto beside it where it can be compared.
//!
//! `cargo xtask hub-bench` builds and runs it. It starts the hub's release build as a process of its own, so that the
//! figures are that process's: memory from `/proc/PID/status`, processor time from `/proc/PID/stat`. Devices and
//! callers are hand-rolled over TLS, because a client library would cost more than what is measured. Hub and load
//! share the machine; processor time for each call says what the hub would do with the machine to itself.

// A measurement that cannot go on has nothing better to do than to say so and end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod army;
mod attacks;
mod caller;
mod device;
mod figures;
mod hostile;
mod mosquitto;
mod process;
mod target;
mod tls;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use self::device::Device;
use self::figures::Latencies;
use self::process::Process;
use self::target::Target;

#[derive(Parser)]
struct Arguments {
    /// The hub's program.
    #[arg(long, required_unless_present = "attack")]
    hub: Option<PathBuf>,
    /// Devices to connect.
    #[arg(long, default_value_t = 10_000)]
    devices: usize,
    /// Connections being opened at once.
    #[arg(long, default_value_t = 64)]
    opening: usize,
    /// Callers of direct methods, each with one connection and one call at a time.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// How long to call.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Hostile connections.
    #[arg(long, default_value_t = 10_000)]
    hostile: usize,
    /// Rounds beside all hostile connections, in turns with rounds alone; each kind by itself has half as many.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the kinds of hostile clients whose names contain this, and not all of them at once.
    #[arg(long)]
    only: Option<String>,
    /// mosquitto's program, to run the same against it.
    #[arg(long)]
    mosquitto: Option<PathBuf>,
    /// Also write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fail unless the goals are met.
    #[arg(long)]
    check: bool,
    /// Be the attackers, by these orders.
    #[arg(long, hide = true)]
    attack: Option<String>,
}

/// So many devices stay when the hostile clients come: a process may have some ten thousand files open on most machines,
/// and they are to be the attackers'.
const NEIGHBOURS: usize = 2_000;

/// The running hub and how to reach it.
pub(crate) struct Place {
    pub(crate) process: Process,
    pub(crate) target: Target,
}

impl Place {
    fn start(program: &std::path::Path, data: &std::path::Path) -> Self {
        let arguments = ["serve", "--mqtt-port", "0", "--https-port", "0", "--data", data.to_str().unwrap()];
        let (process, line) = Process::start(program, &arguments, Some(("RUST_LOG", "error")));
        Self { process, target: Target::of_ready_line(&line) }
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    raise_files();
    if let Some(orders) = &arguments.attack {
        return army::fight(orders).await;
    }
    let program = arguments.hub.as_deref().expect("--hub");
    assert!(arguments.devices > hostile::RESERVED, "at least {} devices", hostile::RESERVED + 1);
    let data = tempfile::tempdir().unwrap();
    let hub = Arc::new(Place::start(program, data.path()));
    let mut rows = serde_json::Map::new();
    let mut tell = |name: &str, value: f64, unit: &str| {
        println!("{name:<58} {value:>12.1} {unit}");
        rows.insert(name.into(), json!({"value": (value * 10.0).round() / 10.0, "unit": unit}));
    };

    register(&hub, arguments.devices).await;
    // The first connection makes the hub allocate what it needs once.
    drop(Device::connect(Ipv4Addr::LOCALHOST, &hub.target.tls, hub.target.mqtt, &hub.target.login(0)).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = hub.process.memory();
    let began = Instant::now();
    let logins = (0..arguments.devices).map(|number| hub.target.login(number));
    let devices = device::connect_all(&hub.target.tls, hub.target.mqtt, logins, arguments.opening).await;
    let rate = arguments.devices as f64 / began.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let per_device = (hub.process.memory() - before) as f64 / 1024.0 / arguments.devices as f64;
    tell("hub: devices connected", devices.len() as f64, "devices");
    tell("hub: connections opened", rate, "/s");
    tell("hub: memory before", before as f64 / 1024.0 / 1024.0, "MiB");
    tell("hub: memory for each idle device", per_device, "KiB");

    let mut devices = devices;
    let others = devices.split_off(devices.len().min(NEIGHBOURS));
    let (answering, others) = (device::answer_all(devices), device::answer_all(others));
    let (calls, latencies, cpu) = call(&hub, &arguments).await;
    let methods = calls as f64 / arguments.seconds as f64;
    tell("hub: direct methods", methods, "/s");
    tell("hub: direct methods, p50", latencies.at(0.5), "ms");
    tell("hub: direct methods, p99", latencies.at(0.99), "ms");
    tell("hub: processor time for each method", cpu * 1e6 / calls as f64, "us");

    drop(others);
    let neighbours = arguments.devices.min(NEIGHBOURS);
    let worst = hostile::measure(&hub, &arguments, neighbours, &mut tell).await;
    tell("hub: memory after all", hub.process.memory() as f64 / 1024.0 / 1024.0, "MiB");
    drop((answering, hub));

    if let Some(program) = &arguments.mosquitto {
        mosquitto::measure(program, &arguments, &mut tell).await;
    }
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    }
    if arguments.check {
        assert!(per_device <= 20.0, "an idle device costs {per_device:.1} KiB, more than 20");
        assert!(methods >= 5_000.0, "{methods:.0} direct methods a second, fewer than 5000");
        assert!(worst <= 3.0, "a hostile neighbour makes the p99 {worst:.1} times as long, more than 3");
    }
}

/// Lets this process, and the servers that it starts, have as many files open as it may.
fn raise_files() {
    let present = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: present.maximum, ..present });
}

/// Registers the devices, a hundred at a time where the hub takes that.
async fn register(hub: &Arc<Place>, devices: usize) {
    let began = Instant::now();
    let mut caller = hub.target.caller().await;
    for first in (0..devices).step_by(100) {
        let entry = |number: usize| json!({"id": format!("device-{number}"), "importMode": "create"});
        let body: Vec<Value> = (first..devices.min(first + 100)).map(entry).collect();
        let (status, answer) = caller.send("POST", "/devices", &json!(body).to_string()).await;
        assert_eq!(status, 200, "{answer}");
    }
    println!("registered {devices} devices in {:.1} s", began.elapsed().as_secs_f64());
}

/// Calls direct methods for a while; gives their number, how long each took, and the hub's processor seconds.
async fn call(hub: &Arc<Place>, arguments: &Arguments) -> (usize, Latencies, f64) {
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let cpu = hub.process.cpu();
    let callers = (0..arguments.callers).map(|number| {
        let (hub, devices, step) = (Arc::clone(hub), arguments.devices, arguments.callers);
        tokio::spawn(async move {
            let mut caller = hub.target.caller().await;
            let (mut latencies, mut next) = (Latencies::default(), number);
            while Instant::now() < until {
                let began = Instant::now();
                caller.invoke(next % devices).await;
                latencies.push(began.elapsed());
                next += step;
            }
            latencies
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut all = Latencies::default();
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    (all.len(), all, hub.process.cpu() - cpu)
}
