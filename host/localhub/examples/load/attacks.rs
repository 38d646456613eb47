//! Hostile clients: what each does once, up to the hub's end of it.
//!
//! Those that *stay* hold their connection until the hub ends it. The others come
//! back at once, as fast as a network would carry them and not as fast as the same machine does. Each kind comes from
//! addresses of its own; who comes back does so from another address each time, as a botnet does, and with the credentials
//! of another device, so that what the hub holds against either does not make the attack a smaller one.

use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hotshoe_core::sas;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::device::{Device, Login};
use crate::figures::now;
use crate::hostile::RESERVED;
use crate::target::Target;
use crate::tls::{Stream, connect, open_from};

/// A key of nobody.
const WRONG_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A kind of attack.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// How many connections make it, in hundredths of those asked for: by itself, and among the others.
    share: (usize, usize),
    /// And at most. Few where each costs handshake after handshake, half of which this machine pays for the load; among
    /// the others they are as many together as one kind is by itself.
    most: (usize, usize),
    /// Whether it holds its connection until the hub ends it.
    pub(crate) stays: bool,
    make: fn(Client) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Attack {
    /// How many of so many connections make it, when it is the only one.
    pub(crate) fn by_itself(&self, connections: usize) -> usize {
        (connections * self.share.0 / 100).clamp(1, self.most.0)
    }

    /// And when all of them are made at once.
    pub(crate) fn among_others(&self, connections: usize) -> usize {
        (connections * self.share.1 / 100).clamp(1, self.most.1)
    }
}

/// All kinds.
pub(crate) static ATTACKS: [Attack; 8] = [
    stays("TCP and silence", (100, 40), |client| Box::pin(silence(client))),
    stays("TLS in drips", (100, 30), |client| Box::pin(drips(client))),
    stays("HTTP heads in drips", (25, 15), |client| Box::pin(heads(client))),
    stays("HTTP bodies half sent", (25, 15), |client| Box::pin(bodies(client))),
    comes_back("CONNECT with bad signatures", (20, 6), |client| Box::pin(signatures(client))),
    comes_back("malformed packets", (20, 6), |client| Box::pin(malformed(client))),
    comes_back("other devices' topics", (20, 6), |client| Box::pin(topics(client))),
    comes_back("telemetry without pause", (20, 6), |client| Box::pin(flood(client))),
];

/// Connections, packets, and ends by the hub, of each kind.
pub(crate) static DEEDS: [[AtomicU64; 3]; ATTACKS.len()] =
    [const { [const { AtomicU64::new(0) }; 3] }; ATTACKS.len()];

type Make = fn(Client) -> Pin<Box<dyn Future<Output = ()> + Send>>;

const fn stays(name: &'static str, share: (usize, usize), make: Make) -> Attack {
    Attack { name, share, most: (usize::MAX, usize::MAX), stays: true, make }
}

const fn comes_back(name: &'static str, most: (usize, usize), make: Make) -> Attack {
    Attack { name, share: (100, 100), most, stays: false, make }
}

/// One hostile client.
#[derive(Clone)]
struct Client {
    hub: Arc<Target>,
    deeds: &'static [AtomicU64; 3],
    source: Ipv4Addr,
    /// The device whose credentials it has, counted from the last of `devices`.
    device: usize,
    devices: usize,
    /// Counts those that stay and have their connections.
    in_place: Arc<AtomicUsize>,
}

/// Lets so many clients make an attack, those that stay once, the others again and again.
pub(crate) async fn send(
    attackers: &mut JoinSet<()>,
    hub: &Arc<Target>,
    in_place: &Arc<AtomicUsize>,
    (index, attack): (usize, &'static Attack),
    (count, devices): (usize, usize),
) {
    let kind = u8::try_from(index + 1).unwrap();
    for number in 0..count {
        let (hub, deeds, in_place) = (Arc::clone(hub), &DEEDS[index], Arc::clone(in_place));
        // An address each for a few dozen: ports of connections that ended are not free for a minute.
        let [high, low] = u16::try_from(number % 250 + 2).unwrap().to_be_bytes();
        let source = Ipv4Addr::new(127, kind, high, low);
        let mut client = Client { hub, deeds, source, device: number, devices, in_place };
        attackers.spawn(async move {
            for turn in 0_usize.. {
                (attack.make)(client.clone()).await;
                client.deeds[2].fetch_add(1, Ordering::Relaxed);
                if attack.stays {
                    return;
                }
                let [high, low] = u16::try_from((turn * count + number) % 60_000 + 2).unwrap().to_be_bytes();
                client.source = Ipv4Addr::new(127, kind, high, low);
                client.device += count;
                sleep(Duration::from_millis(100)).await;
            }
        });
        // The kernel keeps a thousand for a hub that is slow to accept, and loses the others without a word.
        if number % 16 == 15 {
            sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Client {
    /// One of the devices which the neighbours do not call; floods have their own.
    fn login(&self, floods: bool) -> Login {
        const FLOODS: usize = 100;
        let number = match floods {
            true => self.device % FLOODS,
            false => FLOODS + self.device % (RESERVED - FLOODS),
        };
        self.hub.login(self.devices - 1 - number)
    }

    fn connects(&self) {
        self.deeds[0].fetch_add(1, Ordering::Relaxed);
    }

    fn sends(&self) {
        self.deeds[1].fetch_add(1, Ordering::Relaxed);
    }

    async fn tcp(&self, port: u16) -> TcpStream {
        self.connects();
        connect(self.source, port).await.expect("a connection within this machine")
    }

    /// `None` when the hub would not.
    async fn tls(&self, port: u16) -> Option<Stream> {
        self.connects();
        open_from(self.source, &self.hub.tls, port).await.ok()
    }

    async fn device(&self, login: &Login) -> std::io::Result<Device> {
        self.connects();
        Device::connect(self.source, &self.hub.tls, self.hub.mqtt, login).await
    }

    fn stands(&self) {
        self.in_place.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends a piece a second until the hub ends the connection.
async fn drip(
    client: &Client,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    pieces: impl Iterator<Item = &[u8]>,
) {
    let mut space = [0; 1024];
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        client.sends();
        tokio::select! {
            read = stream.read(&mut space) => if read.is_ok_and(|read| read > 0) { continue } else { return },
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Reads until the hub ends the connection; gives what it said first.
async fn until_the_end(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let (mut said, mut space) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = stream.read(&mut space).await {
        said.extend_from_slice(&space[..read]);
    }
    said
}

async fn silence(client: Client) {
    let mut stream = client.tcp(client.hub.mqtt).await;
    client.stands();
    until_the_end(&mut stream).await;
}

/// The beginning of a ClientHello, a byte at a time.
async fn drips(client: Client) {
    const HELLO: [u8; 11] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let stream = client.tcp(client.hub.mqtt).await;
    client.stands();
    drip(&client, stream, HELLO.chunks(1).chain(std::iter::repeat(&[0][..]))).await;
}

async fn heads(client: Client) {
    let Some(stream) = client.tls(client.hub.https).await else { return client.stands() };
    client.stands();
    let first: &[u8] = b"GET /devices HTTP/1.1\r\n";
    drip(&client, stream, std::iter::once(first).chain(std::iter::repeat(&b"x: y\r\n"[..]))).await;
}

async fn bodies(client: Client) {
    let Some(mut stream) = client.tls(client.hub.https).await else { return client.stands() };
    let request = format!(
        "POST /devices HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-length: 8192\r\n\r\n{}",
        client.hub.token(),
        "[".repeat(4096)
    );
    drop(stream.write_all(request.as_bytes()).await);
    client.stands();
    let said = until_the_end(&mut stream).await;
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&said));
}

async fn signatures(client: Client) {
    let mut login = client.login(false);
    login.password = sas::token("localhost", WRONG_KEY, Some("iothubowner"), now() + 3600).unwrap();
    assert!(client.device(&login).await.is_err(), "a bad signature was taken");
}

async fn malformed(client: Client) {
    let Some(mut stream) = client.tls(client.hub.mqtt).await else { return };
    let mut state = client.device as u64 + 1;
    let mut junk = [0; 512];
    for byte in &mut junk {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 33) as u8;
    }
    // A whole packet stands in it: the hub has not to wait for the rest of one.
    junk[1] &= 0x7f;
    drop(stream.write_all(&junk).await);
    until_the_end(&mut stream).await;
}

/// A device that asks for another's messages, and then speaks in its name.
async fn topics(client: Client) {
    let own = client.login(false);
    let mut curious = own.clone();
    curious.filter = "devices/device-0/messages/devicebound/#".into();
    assert!(client.device(&curious).await.is_err(), "another device's messages were granted");
    client.deeds[2].fetch_add(1, Ordering::Relaxed);
    if let Ok(mut device) = client.device(&own).await {
        client.sends();
        drop(device.publish("devices/device-0/messages/events/", b"{}").await);
        assert!(device.message().await.is_err(), "another device's name was taken");
    }
}

/// A device that is let in, and then sends as fast as it can.
async fn flood(client: Client) {
    let login = client.login(true);
    let topic = format!("devices/{}/messages/events/", login.client);
    let mut device = client.device(&login).await.expect("a device is let in");
    while device.publish(&topic, &[b'x'; 1024]).await.is_ok() {
        client.sends();
    }
}
