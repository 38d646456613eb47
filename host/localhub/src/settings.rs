//! What a hub is started with.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::faults::Rule;
use crate::limits::Limits;
use crate::throttle::Tier;

/// Settings of [`crate::LocalHub::start`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name by which clients reach the hub: in the certificate and in connection strings.
    pub host: String,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The port of MQTT over TLS; 0 for any free one. Most device SDKs know 8883 only.
    pub mqtt_port: u16,
    /// The port of REST, images and MQTT over WebSocket; 0 for any free one. Some SDKs know 443 only.
    pub https_port: u16,
    /// Where the hub keeps everything; made if missing. One hub per directory.
    pub data: PathBuf,
    /// Files with certificates of authorities that sign for devices.
    pub device_authorities: Vec<PathBuf>,
    /// Files to serve under `/images/`.
    pub images: Option<PathBuf>,
    /// Bytes a second at which each image is sent, as over a real link; as fast as it goes otherwise.
    pub image_rate: Option<u64>,
    /// How long after its end a token is still good, and the connection made with it still open.
    pub clock_slack: Duration,
    /// How far connections, queues, times and memory go.
    pub limits: Limits,
    /// What goes wrong from the start.
    pub faults: Vec<Rule>,
    /// Whose throttles to simulate.
    pub throttle: Tier,
}

impl Settings {
    /// `localhost` on 127.0.0.1 with any free ports, no images, IoT Hub's five minutes of slack, the default
    /// limits, no faults and no throttles.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            host: "localhost".into(),
            listen: Ipv4Addr::LOCALHOST.into(),
            mqtt_port: 0,
            https_port: 0,
            data: data.into(),
            device_authorities: Vec::new(),
            images: None,
            image_rate: None,
            clock_slack: Duration::from_secs(300),
            limits: Limits::default(),
            faults: Vec::new(),
            throttle: Tier::Off,
        }
    }
}
