//! What hostile clients cost their neighbours: the time of a direct method, alone and beside each of them.
//!
//! The neighbours call at a steady pace far below what the hub can do, so that the figure is waiting, not working.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Place;
use crate::device::Device;
use crate::figures::Latencies;
use crate::tls::open;

const NEIGHBOURS: usize = 4;
const PACE: Duration = Duration::from_millis(20);
const CALLS: usize = 250;

type Attack = fn(Arc<Place>, usize) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each attack, and how many connections make it: in hundredths of those asked for, one at least.
const ATTACKS: [(&str, usize, Attack); 6] = [
    ("TCP and silence", 100, |hub, _| Box::pin(silence(hub))),
    ("TLS in drips", 100, |hub, _| Box::pin(drips(hub))),
    ("HTTP heads in drips", 25, |hub, _| Box::pin(heads(hub))),
    ("CONNECT with bad signatures", 1, |hub, number| Box::pin(signatures(hub, number))),
    ("malformed packets", 1, |hub, number| Box::pin(malformed(hub, number))),
    ("telemetry without pause", 0, |hub, number| Box::pin(flood(hub, number))),
];

/// Measures all of them; gives the worst ratio of the p99 to the p99 alone.
pub(crate) async fn measure(
    hub: &Arc<Place>,
    connections: usize,
    devices: usize,
    tell: &mut impl FnMut(&str, f64, &str),
) -> f64 {
    let alone = neighbours(hub, devices).await.at(0.99);
    tell("hub: method p99 alone, at a steady pace", alone, "ms");
    let mut worst: f64 = 0.0;
    for (name, share, attack) in ATTACKS {
        let mut attackers = JoinSet::new();
        for number in 0..(connections * share / 100).max(1) {
            // The last devices: the neighbours call the first ones.
            attackers.spawn(attack(Arc::clone(hub), devices.saturating_sub(number + 1)));
        }
        sleep(Duration::from_secs(2)).await;
        let beside = neighbours(hub, devices).await.at(0.99);
        tell(&format!("hub: method p99 beside {name}"), beside, "ms");
        worst = worst.max(beside / alone);
        attackers.shutdown().await;
        sleep(Duration::from_millis(500)).await;
    }
    tell("hub: worst p99 beside / alone", worst, "times");
    worst
}

async fn neighbours(hub: &Arc<Place>, devices: usize) -> Latencies {
    let mut callers = JoinSet::new();
    for number in 0..NEIGHBOURS {
        let hub = Arc::clone(hub);
        callers.spawn(async move {
            let mut caller = hub.caller().await;
            let mut latencies = Latencies::default();
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for call in 0..CALLS {
                pace.tick().await;
                let began = Instant::now();
                caller.invoke((call * NEIGHBOURS + number) % devices).await;
                latencies.push(began.elapsed());
            }
            latencies
        });
    }
    let mut all = Latencies::default();
    for latencies in callers.join_all().await {
        all.extend(latencies);
    }
    all
}

async fn silence(hub: Arc<Place>) {
    let _held = TcpStream::connect(("127.0.0.1", hub.mqtt)).await;
    std::future::pending().await
}

/// The beginning of a ClientHello, a byte at a time.
async fn drips(hub: Arc<Place>) {
    loop {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", hub.mqtt)).await else { continue };
        for byte in
            [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03].into_iter().cycle().take(500)
        {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn heads(hub: Arc<Place>) {
    loop {
        let Ok(mut stream) = open(&hub.tls, hub.https).await else { continue };
        drop(stream.write_all(b"GET /devices HTTP/1.1\r\n").await);
        while stream.write_all(b"x: y\r\n").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn signatures(hub: Arc<Place>, number: usize) {
    let mut login = hub.login(number);
    login.password = login.password.replace("sig=", "sig=x");
    loop {
        drop(Device::connect(&hub.tls, hub.mqtt, &login).await);
        // As fast as a network would carry it, not as fast as the same machine does.
        sleep(Duration::from_millis(100)).await;
    }
}

async fn malformed(hub: Arc<Place>, number: usize) {
    let mut state = number as u64 + 1;
    loop {
        let Ok(mut stream) = open(&hub.tls, hub.mqtt).await else { continue };
        let mut junk = [0; 512];
        for byte in &mut junk {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 33) as u8;
        }
        drop(stream.write_all(&junk).await);
        sleep(Duration::from_millis(100)).await;
    }
}

/// A device that is let in, and then sends as fast as it can. One, because the machine is the load's too.
async fn flood(hub: Arc<Place>, number: usize) {
    let login = hub.login(number);
    let topic = format!("devices/{}/messages/events/", login.client);
    if let Ok(mut device) = Device::connect(&hub.tls, hub.mqtt, &login).await {
        while device.publish(&topic, &[b'x'; 1024]).await.is_ok() {}
    }
}
