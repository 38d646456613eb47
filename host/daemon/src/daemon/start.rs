//! The order in which everything begins and ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use hotshoe_core::connection_string::ConnectionString;
use hotshoe_core::reach::Reach;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::check::Asked;
use super::dispatch::Dispatch;
use super::error::DaemonError;
use super::native::Native;
use super::provision::Source;
use super::safe_mode::{SafeMode, give_up_trial};
use super::service::{Notify, Signals};
use super::settings::Settings;
use super::slots::{self, FlashDirs};
use super::wanted::Wanted;
use super::{facts, identity};
use crate::admin::{Admin, Orders, SocketError, Told, Waiting};
use crate::artifact::ArtifactStore;
use crate::capability::Services;
use crate::config::{Config, DownloadConfig, HubConfig};
use crate::disk;
use crate::fence;
use crate::fetch::{FetchSettings, Fetcher, Scheme};
use crate::gate::Gate;
use crate::hub::{self, Assignment, Hub, HubSettings, Transport};
use crate::job::{JobSettings, Jobs, NoSlots, Restart, Slots};
use crate::plugin::{Compile, Engine, EngineSettings};
use crate::receive::{ReceiveSettings, Receiver, Web};
use crate::state::{STATE_ROOM, StateDir};
use crate::swap::{Factory, LeftOut, Plugins, SwapSettings};
use crate::trust::{OpenDirectory, Repositories, TrustSettings};

/// How long runs of jobs may take to stop at the end. With the rest it stays under the 10 s after which many an
/// init loses patience.
const DRAIN: Duration = Duration::from_secs(3);
/// How long the hub session may take to send what is left.
const GOODBYE: Duration = Duration::from_secs(11);

/// The directories that the process works in, which are all that it reaches, and what else was opened before it gave
/// up its rights.
pub struct Dirs {
    /// For durable state.
    pub state: Dir,
    /// For slots and the boot loader's memory; on a device without slots any empty directory.
    pub flash: FlashDirs,
    /// The admin socket, or why there is none.
    pub admin: Result<Waiting, SocketError>,
    /// Opens what the configuration or an order over the admin socket names: a copy of a repository.
    pub open: OpenDirectory,
    /// The compiler of plugins; the configured program as a child where there is none.
    pub compiler: Option<Arc<dyn Compile>>,
    /// The restart of the device.
    pub restart: Arc<dyn Restart>,
    /// Who is told how the process is.
    pub notify: Notify,
}

/// Runs the device until `SIGTERM` or `SIGINT`, or until the host is to start anew.
///
/// # Errors
/// See [`DaemonError`]; its exit status is for the process.
pub async fn run(mut config: Config, dirs: Dirs) -> Result<Then, DaemonError> {
    let started = Instant::now();
    let mut signals = Signals::new(dirs.notify)?;
    let directory = |name: &str| directory(&dirs.state, name);
    let state = StateDir::new(dirs.state.try_clone().map_err(unreachable)?);
    // Before anything that could end the process: it is counted, too.
    let inside = Arc::new(directory("inside")?);
    let safe_mode = SafeMode::begin(config.safe_mode, state.subdirectory("life")?, inside, &config.boot_id);
    let safe_mode = Arc::new(safe_mode);
    let shutdown = CancellationToken::new();
    let source = Source::open(&mut config.hub, state.subdirectory("provisioning")?)?;
    let connection = match source.known()? {
        Some(connection) => connection,
        None => {
            // For systemd, waiting for the service is being up: it may last until somebody enrols the device.
            signals.ready();
            tokio::select! {
                connection = source.ask() => connection,
                _ = signals.wait() => {
                    safe_mode.ended(Then::End);
                    return Ok(Then::End);
                }
                () = safe_mode.watch() => return Ok(Then::Again),
                () = fence::resolver_lost() => {
                    safe_mode.ended(Then::Again);
                    return Ok(Then::Again);
                }
            }
        }
    };
    let device_id = connection.device.clone().unwrap_or_default();
    let here = Assignment { hub: connection.host.clone(), device: device_id.clone() };
    let hub_settings = hub_settings(config.hub, connection);
    let (hub, session) = hub::start(hub_settings, state.subdirectory("hub")?, shutdown.clone())?;
    let Hub { outbox, telemetry, desired, calls, connected, setbacks, retry, metrics: hub_metrics } = hub;

    let has_slots = config.flash.is_some();
    let flash = slots::open(config.flash, dirs.flash)?;
    let restart = dirs.restart;
    // Before all else that an image may have broken.
    if safe_mode.reason().is_some() && flash.is_unproven() {
        give_up_trial(&flash, restart.as_ref()).await;
    }
    let engine = {
        let cache = directory("cache")?;
        let settings = EngineSettings::new(config.aot, cache);
        Engine::new(EngineSettings { witness: safe_mode.witness(), compiler: dirs.compiler, ..settings })?
    };
    // What the operator named outright is the operator's word, wherever it leads.
    let own = crate::trust::hosts(&config.repositories);
    let reach = Arc::new(Reach { private: config.policy.download.private.clone(), own });
    let repositories = {
        let roots = Arc::clone(&config.download.roots);
        let clock = Arc::new(|| facts::now().as_secs());
        let mut settings =
            TrustSettings::new(config.repositories, config.hardware, roots, clock, facts::BUILT);
        settings.open = Arc::clone(&dirs.open);
        settings.fetch.reach = Arc::clone(&reach);
        Repositories::open(settings, &state.subdirectory("trust")?)?
    };
    let gate = {
        let free = dirs.state.try_clone().map_err(unreachable)?;
        let room = Arc::new(move || disk::available(&free));
        let clock = Arc::new(|| facts::now().as_secs());
        Gate::open(&config.policy, clock, facts::BUILT, room, &state.subdirectory("gate")?, &flash)?
    };
    let fetch = fetch_settings(&config.download, reach);
    let roots = config.download.roots;
    let artifacts = ArtifactStore::open(directory("artifacts")?, config.download.limit)?;
    // Also where an earlier version has filled the disk: else no order could be written down that would make room.
    if let Err(error) = artifacts.make_room(STATE_ROOM) {
        tracing::error!(%error, "downloads cannot be removed to make room for the state");
    }
    let services = Arc::new(Services {
        gate: gate.clone(),
        web: Web::new(Arc::clone(&roots), &fetch, Scheme::Https)?,
        receiver: Receiver::new(ReceiveSettings { fetch: fetch.clone(), ..ReceiveSettings::default() }),
        fetcher: Fetcher::new(artifacts, roots, fetch)?,
        flash: flash.clone(),
        outbox: outbox.clone(),
        telemetry,
        desired: desired.clone(),
        state: state.subdirectory("plugins")?,
        facts: facts::of_device(device_id),
        unsigned: config.policy.firmware.unsigned,
        repositories: repositories.clone(),
    });

    let job_settings = JobSettings::new(config.boot_id, restart, Arc::new(facts::now_milliseconds));
    let job_slots: Arc<dyn Slots> = if has_slots { Arc::new(flash.clone()) } else { Arc::new(NoSlots) };
    let jobs = Jobs::new(job_settings, state.subdirectory("jobs")?, outbox.clone(), job_slots);

    // Before the plugins: which older versions are still needed is what the jobs say.
    jobs.resume().await?;
    let swap = SwapSettings {
        engine: engine.clone(),
        services,
        jobs: jobs.clone(),
        policy: config.policy,
        machine: hotshoe_core::swap::Settings::default(),
        clock: Arc::new(facts::now_milliseconds),
        state: state.subdirectory("swap")?,
        shelf: directory("shelf")?,
        left_out: left_out(&safe_mode),
    };
    let factory = config.plugins.into_iter();
    let factory = factory.map(|plugin| Factory { file: plugin.file, settings: plugin.settings }).collect();
    let (plugins, broken) = tokio::select! {
        opened = Plugins::open(swap, factory) => opened?,
        // It may compile, for minutes. What is compiled is kept, so the next start goes on from there.
        signal = signals.wait() => {
            tracing::info!(signal, "ending before the plugins are mounted");
            signals.notify().stopping();
            jobs.drain(DRAIN).await;
            shutdown.cancel();
            let _ = tokio::time::timeout(GOODBYE, session).await;
            safe_mode.ended(Then::End);
            return Ok(Then::End);
        }
    };
    let routes = plugins.routes().clone();
    gate.asks_by(Arc::new(Asked(routes.clone())));

    let mut metrics = Registry::default();
    hub_metrics.register(&mut metrics);
    engine.metrics().register(&mut metrics);
    let orders = Orders { plugins: plugins.clone(), repositories };
    let again = CancellationToken::new();
    let native = Arc::new(Native {
        started,
        plugins: plugins.clone(),
        orders: orders.clone(),
        outbox: outbox.clone(),
        jobs: jobs.clone(),
        flash,
        connected,
        metrics,
        broken,
        safe_mode: Arc::clone(&safe_mode),
        again: again.clone(),
    });
    let settings = Settings {
        routes: routes.clone(),
        swapped: plugins.changed(),
        jobs: jobs.clone(),
        desired: desired.clone(),
        outbox: outbox.clone(),
        state: state.subdirectory("settings")?,
    };
    let wanted = Wanted {
        orders: orders.clone(),
        desired,
        outbox: outbox.clone(),
        state: state.subdirectory("wanted")?,
    };
    let ending = CancellationToken::new();
    let admin = Admin {
        told: Arc::clone(&native) as Arc<dyn Told>,
        logs: engine.logs().clone(),
        orders,
        jobs: jobs.clone(),
        open: dirs.open,
        taking: Arc::new(Semaphore::new(1)),
        ending: ending.clone(),
    };
    // Without it the device can still be reached through the hub.
    if let Err(error) = admin.start(dirs.admin) {
        tracing::error!(%error, "there is no admin socket");
    }
    let dispatch = Dispatch {
        routes,
        jobs: jobs.clone(),
        native: Arc::clone(&native),
        ending,
        open: TaskTracker::new(),
    };
    let serving = tokio::spawn(dispatch.clone().serve(calls));
    let mut followers = vec![tokio::spawn(identity::follow(native, outbox))];
    followers.push(tokio::spawn(source.follow(here, setbacks, retry, again.clone())));
    if safe_mode.reason().is_none() {
        followers.push(tokio::spawn(settings.follow()));
        followers.push(tokio::spawn(wanted.follow()));
    }
    signals.ready();
    tracing::info!(took_ms = started.elapsed().as_millis() as u64, "ready");

    let ended = wait(&mut signals, session, &safe_mode, &again).await;
    signals.notify().stopping();
    dispatch.ending.cancel();
    followers.iter().for_each(JoinHandle::abort);
    tokio::join!(dispatch.quiet(DRAIN), jobs.drain(DRAIN));
    shutdown.cancel();
    let result = match ended {
        Ended::Asked(session, then) => {
            if tokio::time::timeout(GOODBYE, session).await.is_err() {
                tracing::warn!(
                    "the hub session did not end in time; what is left is sent after the next start"
                );
            }
            safe_mode.ended(then);
            Ok(then)
        }
        Ended::Unasked => Err(DaemonError::SessionEnded),
    };
    serving.abort();
    tracing::info!("ended");
    result
}

/// What is to follow when the host has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// Nothing.
    End,
    /// Another start, in place of this one.
    Again,
}

enum Ended {
    Asked(JoinHandle<()>, Then),
    Unasked,
}

async fn wait(
    signals: &mut Signals,
    mut session: JoinHandle<()>,
    safe_mode: &SafeMode,
    again: &CancellationToken,
) -> Ended {
    tokio::select! {
        signal = signals.wait() => {
            tracing::info!(signal, "ending");
            Ended::Asked(session, Then::End)
        }
        () = again.cancelled() => Ended::Asked(session, Then::Again),
        () = safe_mode.watch() => Ended::Asked(session, Then::Again),
        () = fence::resolver_lost() => {
            tracing::warn!("the fence lets the new /etc/resolv.conf not be read; starting anew");
            Ended::Asked(session, Then::Again)
        }
        _ = &mut session => Ended::Unasked,
    }
}

/// Which plugins are not mounted for what has happened before.
fn left_out(safe_mode: &SafeMode) -> LeftOut {
    if let Some(reason) = safe_mode.reason() {
        return LeftOut::All(format!("safe mode: {reason}"));
    }
    let those = safe_mode.without();
    if those.is_empty() {
        return LeftOut::None;
    }
    let reason = "the host died each time that it was called; it is left out until the device is restarted";
    LeftOut::Those(those, reason.to_owned())
}

fn hub_settings(config: HubConfig, connection: ConnectionString) -> HubSettings {
    let clock = Arc::new(|| facts::now().as_secs());
    let mut settings = HubSettings::new(connection, config.roots, clock);
    settings.transport = if config.web_socket { Transport::WebSocket } else { Transport::Mqtt };
    settings.port = config.port;
    settings.client_certificate = config.certificate;
    settings.keep_alive = config.keep_alive;
    settings.token_lifetime = config.token_lifetime;
    settings
}

fn fetch_settings(config: &DownloadConfig, reach: Arc<Reach>) -> FetchSettings {
    FetchSettings {
        stall_timeout: config.stall_timeout,
        backoff: config.backoff,
        retries: config.retries,
        deadline: config.deadline,
        reach,
        clock: Some(Arc::new(|| facts::now().as_secs().max(facts::BUILT))),
        ..FetchSettings::default()
    }
}

fn directory(state: &Dir, name: &str) -> Result<Dir, DaemonError> {
    disk::subdirectory(state, name).map_err(unreachable)
}

fn unreachable(source: std::io::Error) -> DaemonError {
    DaemonError::System { action: "open a directory of the state", source }
}
