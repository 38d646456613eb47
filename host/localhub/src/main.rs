//! `hotshoe-localhub serve`: runs the embedded hub until it is told to stop.
//!
//! When it listens, one line of JSON on standard output says where; logs go to standard error (`RUST_LOG` chooses
//! how much).

use std::io::{IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use hotshoe_localhub::{FAULTS_HELP, Limits, LocalHub, Rule, Settings, Tier};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// An embedded hub with IoT Hub's contract, for development and tests.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the hub until SIGTERM or SIGINT.
    #[command(after_long_help = FAULTS_HELP)]
    Serve(Serve),
}

#[derive(clap::Args)]
struct Serve {
    /// Name by which clients reach the hub: in its certificate and its connection strings.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// Port of MQTT over TLS; 0 for any free one. Most device SDKs know 8883 only.
    #[arg(long, default_value_t = 8883)]
    mqtt_port: u16,
    /// Port of REST, images and MQTT over WebSocket; 0 for any free one. Some SDKs know 443 only.
    #[arg(long, default_value_t = 8443)]
    https_port: u16,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Directory of everything the hub keeps; made if missing.
    #[arg(long)]
    data: PathBuf,
    /// PEM file with certificates of authorities that sign for devices; may be given more than once.
    #[arg(long = "device-ca", value_name = "FILE")]
    device_authorities: Vec<PathBuf>,
    /// Directory of files to serve under /images/.
    #[arg(long)]
    images: Option<PathBuf>,
    /// Send each image at this pace, as over a real link: bytes a second, such as 20MiB.
    #[arg(long, value_parser = hotshoe_core::units::parse_size)]
    image_rate: Option<u64>,
    /// Seconds for which a token is still good after its end.
    #[arg(long, default_value_t = 300)]
    clock_slack: u64,
    /// Make something go wrong, as said below; may be given several times.
    #[arg(long, value_name = "KIND[:PARAMETER=VALUE,…]")]
    fault: Vec<Rule>,
    /// Simulate IoT Hub's throttles: smooth what comes too fast, then refuse it with 429.
    #[arg(long, value_enum, default_value_t = Tier::Off)]
    throttle: Tier,
    #[command(flatten)]
    limits: Limits,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let Command::Serve(serve) = Arguments::parse().command;
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: Serve) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let data = std::path::absolute(&serve.data)?;
    let running = LocalHub::start(Settings {
        host: serve.host,
        listen: serve.listen,
        mqtt_port: serve.mqtt_port,
        https_port: serve.https_port,
        data: data.clone(),
        device_authorities: serve.device_authorities,
        images: serve.images,
        image_rate: serve.image_rate,
        clock_slack: Duration::from_secs(serve.clock_slack),
        limits: serve.limits,
        faults: serve.fault,
        throttle: serve.throttle,
    })
    .await?;
    writeln!(std::io::stdout(), "{}", running.ready_line(&data))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    Ok(())
}
