//! What a direct method costs within the host: the plugin's `ping` beside the same answer made by native code.
//!
//! Both take the payload's bytes and give a response's bytes back, as the dispatch does; the plugin's way goes through a
//! fresh instance each time. Prints one line of JSON with the medians in microseconds.
//!
//! `method_latency --guests DIRECTORY`, beside a built `hotshoe-aot`

#![allow(clippy::print_stdout)] // its result

use std::{path::PathBuf, sync::Arc, time::Duration, time::Instant};

use anyhow::{Context as _, Result};
use cap_std::{ambient_authority, fs::Dir};
use clap::Parser;
use hotshoe_core::{
    method::{MethodResponse, parse_payload},
    policy::{self, Unsigned},
};
use hotshoed::{
    artifact::ArtifactStore,
    capability::{DeviceFacts, Services},
    fetch::{FetchSettings, Fetcher, Scheme},
    flash::Flash,
    gate::Gate,
    hub::{Desired, Outbox, Telemetry},
    plugin::{Engine, EngineSettings, Plugin, Reply},
    receive::{ReceiveSettings, Receiver, Web},
    state::StateDir,
    trust::Repositories,
};
use serde_json::{Value, json};

const PAYLOAD: &[u8] = br#"{"hello":"world","numbers":[1,2,3]}"#;
const ROUNDS: usize = 5_000;

#[derive(Parser)]
struct Arguments {
    /// Where `diagnostics.wasm` stands.
    #[arg(long)]
    guests: PathBuf,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let plugin = mount(&arguments, &folder).await?;
    let (mut native, mut guest) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let response = MethodResponse { status: 200, payload: json!({ "echo": parse_payload(PAYLOAD)? }) };
        std::hint::black_box(response.payload.to_string());
        native.push(start.elapsed());

        let start = Instant::now();
        let payload = parse_payload(PAYLOAD)?;
        let Reply::Done(response) = plugin.call("ping", payload, "bench").await? else {
            anyhow::bail!("ping announced a job");
        };
        std::hint::black_box(response.payload.to_string());
        guest.push(start.elapsed());
    }
    println!("{}", json!({ "native_us": median(native), "plugin_us": median(guest) }));
    Ok(())
}

async fn mount(arguments: &Arguments, folder: &tempfile::TempDir) -> Result<Plugin> {
    let dir = |name: &str| -> Result<Dir> {
        let path = folder.path().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Dir::open_ambient_dir(path, ambient_authority())?)
    };
    let here = std::env::current_exe()?;
    let aot = here.ancestors().nth(2).context("no directory")?.join("hotshoe-aot");
    let engine = Engine::new(EngineSettings::new(aot, dir("cache")?))?;
    let state = StateDir::new(dir("state")?);
    let (telemetry, _queue) = Telemetry::queue("bench", None, 4);
    let store = ArtifactStore::open(dir("artifacts")?, 1 << 20)?;
    let roots = Arc::new(rustls::RootCertStore::empty());
    let flash = Flash::open(Arc::new(dir("flash")?), Vec::new())?;
    let services = Services {
        web: Web::new(Arc::clone(&roots), &FetchSettings::default(), Scheme::Https)?,
        receiver: Receiver::new(ReceiveSettings::default()),
        fetcher: Fetcher::new(store, roots, FetchSettings::default())?,
        gate: Gate::wide_open(&state.subdirectory("gate")?, &flash)?,
        flash,
        outbox: Outbox::open(state.subdirectory("hub")?)?,
        telemetry,
        desired: Desired::open(state.subdirectory("hub")?)?,
        state: state.subdirectory("plugins")?,
        facts: DeviceFacts {
            device_id: "bench".into(),
            host_version: "0.0.0".into(),
            os: "bench".into(),
            kernel: "bench".into(),
            architecture: std::env::consts::ARCH.into(),
            memory: 1 << 30,
            built: 1,
            clock: Arc::new(|| Duration::from_secs(1_795_348_800)),
            uptime: Arc::new(|| Duration::from_secs(60)),
        },
        unsigned: Unsigned::Deny,
        repositories: Repositories::none(),
    };
    let file = arguments.guests.join("diagnostics.wasm");
    let component = std::fs::read(&file).with_context(|| format!("could not read {}", file.display()))?;
    let policy = policy::parse("[plugins.\"*\"]\nrestart = true\n")?;
    Ok(engine.load(&component, &policy, Value::Null, Arc::new(services)).await?)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
