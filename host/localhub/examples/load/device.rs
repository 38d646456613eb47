//! Devices that speak just enough MQTT: CONNECT, SUBSCRIBE, and an answer to each request.

use std::io::{Error, Result};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::tls::{Stream, open_from};

/// What a client shows at the door, and what it wants to hear.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) client: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) filter: String,
}

/// A connected device.
pub(crate) struct Device {
    stream: Stream,
    read: BytesMut,
}

impl Device {
    /// Connects from that address (session kept) and subscribes.
    pub(crate) async fn connect(
        source: Ipv4Addr,
        tls: &Arc<rustls::ClientConfig>,
        port: u16,
        login: &Login,
    ) -> Result<Self> {
        let mut device = Self { stream: open_from(source, tls, port).await?, read: BytesMut::new() };
        device.stream.write_all(&connect(login)).await?;
        let answer = device.packet().await?;
        if answer.get(1..4) != Some(&[2, answer[2], 0]) {
            return Err(Error::other(format!("refused: {answer:?}")));
        }
        let mut body = BytesMut::new();
        body.put_u16(1);
        text(&mut body, &login.filter);
        body.put_u8(0);
        device.stream.write_all(&framed(0x82, &body)).await?;
        let answer = device.packet().await?;
        if answer[0] != 0x90 {
            return Err(Error::other(format!("not subscribed: {answer:?}")));
        }
        device.read = BytesMut::new();
        Ok(device)
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<()> {
        self.stream.write_all(&publish(topic, payload)).await
    }

    /// The next message's topic and body.
    pub(crate) async fn message(&mut self) -> Result<(String, BytesMut)> {
        loop {
            let mut packet = self.packet().await?;
            if packet[0] >> 4 != 3 {
                continue;
            }
            let length = packet[1..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 2;
            packet.advance(length);
            let topic = usize::from(packet.get_u16());
            let topic = String::from_utf8(packet.split_to(topic).to_vec()).unwrap();
            return Ok((topic, packet));
        }
    }

    /// Answers every request until the connection ends.
    async fn answer(mut self) -> Result<()> {
        loop {
            let (topic, body) = self.message().await?;
            match topic.rsplit_once("$rid=") {
                Some((_, id)) => self.publish(&format!("$iothub/methods/res/200/?$rid={id}"), &body).await?,
                None => self.publish(&topic.replace("request", "answer"), &body).await?,
            }
        }
    }

    async fn packet(&mut self) -> Result<BytesMut> {
        loop {
            if let Some(size) = size(&self.read).filter(|size| *size <= self.read.len()) {
                return Ok(self.read.split_to(size));
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(Error::other("closed"));
            }
        }
    }
}

/// Connects all, so many at a time.
pub(crate) async fn connect_all(
    tls: &Arc<rustls::ClientConfig>,
    port: u16,
    logins: impl Iterator<Item = Login>,
    at_once: usize,
) -> Vec<Device> {
    let logins: Arc<Vec<Login>> = Arc::new(logins.collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (tls, logins, next) = (Arc::clone(tls), Arc::clone(&logins), Arc::clone(&next));
        workers.spawn(async move {
            let mut devices = Vec::new();
            while let Some(login) = logins.get(next.fetch_add(1, Ordering::Relaxed)) {
                devices.push(
                    Device::connect(Ipv4Addr::LOCALHOST, &tls, port, login)
                        .await
                        .expect("a device is let in"),
                );
            }
            devices
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}

/// Lets all devices answer; they stop when the set is dropped.
pub(crate) fn answer_all(devices: Vec<Device>) -> JoinSet<Result<()>> {
    devices.into_iter().map(Device::answer).collect()
}

fn connect(login: &Login) -> BytesMut {
    let mut body = BytesMut::new();
    text(&mut body, "MQTT");
    body.put_slice(&[4, 0b1100_0000]);
    body.put_u16(1_000);
    for part in [&login.client, &login.user, &login.password] {
        text(&mut body, part);
    }
    framed(0x10, &body)
}

/// A publish at quality of service 0.
pub(crate) fn publish(topic: &str, payload: &[u8]) -> BytesMut {
    let mut body = BytesMut::with_capacity(topic.len() + payload.len() + 2);
    text(&mut body, topic);
    body.put_slice(payload);
    framed(0x30, &body)
}

fn text(to: &mut BytesMut, text: &str) {
    to.put_u16(u16::try_from(text.len()).unwrap());
    to.put_slice(text.as_bytes());
}

fn framed(kind: u8, body: &[u8]) -> BytesMut {
    let mut packet = BytesMut::with_capacity(body.len() + 5);
    packet.put_u8(kind);
    let mut rest = body.len();
    loop {
        let byte = u8::try_from(rest % 128).unwrap();
        rest /= 128;
        packet.put_u8(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            break;
        }
    }
    packet.put_slice(body);
    packet
}

/// The size of the packet at the front, once its length is there.
fn size(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(length + index + 2);
        }
    }
    None
}
