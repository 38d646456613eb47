//! A fleet on paper: many devices in one process, to try rollouts, pages and hubs on.
//!
//! Each device is a real session of `hotshoed::hub` with its own outbox, desired properties, methods and token; what is
//! made up is the machine behind it: an update takes scripted phases to a scripted end ([`script`]), told in the words of
//! the first-party plugin's own code, and a restart ends the session and begins another over the same state. All
//! devices share one TLS configuration, and their state lies in memory ([`memory`]).
//!
//! Promise: the same seed gives the same device the same fate, in whatever order a rollout reaches it. Devices are
//! registered with keys of their own and the tag `simulated`; nothing but these identities is touched on the hub.
//!
//! | File | Question it answers |
//! |---|---|
//! | [`options`] | what may be asked for |
//! | [`script`] | how does an update end on a device, and how long does it take |
//! | `register` | how do the devices get into the hub |
//! | `device` | what does one device do with a call, a desired property, a restart |
//! | `firmware` | what is told of a firmware update, and when |
//! | `plugins` | what is told of desired plugins |
//! | `board` | what is counted, and how it is shown |
//!
//! What it does not do: no image is fetched and no plugin runs; a device takes no cloud-to-device messages.

mod board;
mod device;
mod firmware;
pub mod memory;
pub mod options;
mod plugins;
mod register;
pub mod script;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use hotshoe_core::connection_string::ConnectionString;
use hotshoed::hub::{self, HubSettings, Transport};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use self::options::Options;
use self::{board::Board, device::Device, register::Registry};

/// What all devices of a fleet have in common.
pub(crate) struct Fleet {
    options: Options,
    host: String,
    port: Option<u16>,
    roots: Arc<RootCertStore>,
    tls: Arc<rustls::ClientConfig>,
    board: Board,
}

impl Fleet {
    /// The settings of one device's session.
    fn settings(&self, name: &str, key: &str) -> Result<HubSettings> {
        let text = format!("HostName={};DeviceId={name};SharedAccessKey={key}", self.host);
        let connection: ConnectionString = text.parse()?;
        let clock = Arc::new(|| u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default());
        let mut settings = HubSettings::new(connection, Arc::clone(&self.roots), clock);
        settings.tls = Some(Arc::clone(&self.tls));
        settings.port = self.port;
        settings.token_lifetime = self.options.token_lifetime;
        settings.keep_alive = self.options.keep_alive;
        if self.options.websocket {
            settings.transport = Transport::WebSocket;
        }
        Ok(settings)
    }
}

/// Runs a fleet until SIGTERM, SIGINT or the end of `--run-for`. False where not all devices came up before that.
pub fn run(options: Options) -> Result<bool> {
    // What the sessions write is in memory: two threads for it are plenty, whatever the number of devices.
    let runtime = tokio::runtime::Builder::new_multi_thread().max_blocking_threads(2).enable_all().build()?;
    let well = runtime.block_on(live(options));
    runtime.shutdown_background();
    well
}

async fn live(options: Options) -> Result<bool> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let owner = owner(&options.hub)?;
    let roots = Arc::new(roots(options.ca.as_deref())?);
    let registry = Registry::new(&owner, &roots)?;
    let names = options.device_names();
    let board = Board::new(names.len() as u64, options.json);
    let keys = tokio::select! {
        keys = registry.create(&names, &options.tags, &board) => keys?,
        _ = terminate.recv() => bail!("ended while the devices were registered"),
        _ = interrupt.recv() => bail!("ended while the devices were registered"),
    };
    board.registered();

    let port = options.port.or(if options.websocket { owner.port } else { None });
    let tls = hub::shared_tls(&roots)?;
    let run_for = options.run_for;
    let (connect_rate, remove) = (options.connect_rate, options.remove);
    let fleet = Arc::new(Fleet { options, host: owner.host.clone(), port, roots, tls, board });
    let stop = CancellationToken::new();
    let mut devices = JoinSet::new();
    for (index, (name, key)) in names.iter().zip(&keys).enumerate() {
        let device = Device::new(Arc::clone(&fleet), name.clone(), key)?;
        let after = Duration::from_secs_f64(index as f64 / f64::from(connect_rate));
        devices.spawn(device.live(after, stop.clone()));
    }
    tokio::select! {
        () = fleet.board.show() => {}
        () = ended(run_for) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    while let Some(device) = devices.join_next().await {
        device.context("a simulated device panicked")?;
    }
    if remove {
        registry.remove(&names).await?;
    }
    Ok(fleet.board.summary())
}

async fn ended(run_for: Option<Duration>) {
    match run_for {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// The owner's connection string, given as it is or as the file that holds it.
fn owner(given: &str) -> Result<ConnectionString> {
    let text = if given.contains("HostName=") {
        given.to_owned()
    } else {
        std::fs::read_to_string(given).with_context(|| format!("--hub {given}: it cannot be read"))?
    };
    text.parse().context("--hub: this is no connection string of a policy with RegistryReadWrite")
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let pem =
                std::fs::read(path).with_context(|| format!("--ca {} cannot be read", path.display()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.with_context(|| format!("--ca {} is not PEM", path.display()))?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        bail!("there is no certificate to check the hub's against; name one with --ca");
    }
    Ok(roots)
}
