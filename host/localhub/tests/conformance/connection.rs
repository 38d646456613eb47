//! A device's side of an MQTT connection, packet by packet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{SinkExt as _, StreamExt as _};
use rumqttc::{
    Codec, Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, QoS, Subscribe, SubscribeFilter,
    SubscribeReasonCode, Unsubscribe,
};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::codec::Framed;

use crate::Place;
use crate::pattern;

/// Nothing that is expected takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Connection {
    framed: Framed<TlsStream<TcpStream>, Codec>,
    identifier: u16,
}

/// The parts of a line: words already filled in.
type Parts<'a> = &'a [String];

impl Connection {
    pub(crate) async fn open(place: &Place) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", place.hub.mqtt_port))
            .await
            .map_err(|error| error.to_string())?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::clone(&place.tls)).connect(name, stream).await;
        let codec = Codec { max_incoming_size: 1 << 20, max_outgoing_size: 1 << 20 };
        Ok(Self { framed: Framed::new(stream.map_err(|error| error.to_string())?, codec), identifier: 0 })
    }

    /// Sends the packet that a line names.
    pub(crate) async fn send(
        &mut self,
        word: &str,
        parts: Parts<'_>,
        kept: &HashMap<String, String>,
    ) -> Result<(), String> {
        let first = || parts.first().cloned().ok_or_else(|| format!("{word} of what?"));
        let packet = match word {
            "CONNECT" => return self.connect(parts, kept).await,
            "HEX" => {
                let digits: String = parts.concat();
                let byte = |index: usize| u8::from_str_radix(&digits[index..index + 2], 16).unwrap();
                let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
                return self.write(&bytes).await;
            }
            "SUBSCRIBE" => {
                let filter = |part: &String| {
                    let (filter, qos) = part.rsplit_once(':').unwrap_or((part, "0"));
                    SubscribeFilter::new(filter.into(), quality(qos))
                };
                let mut packet = Subscribe::new_many(parts.iter().map(filter));
                packet.pkid = self.identifier();
                Packet::Subscribe(packet)
            }
            "UNSUBSCRIBE" => {
                let mut packet = Unsubscribe::new(first()?);
                packet.pkid = self.identifier();
                Packet::Unsubscribe(packet)
            }
            "PUBLISH" => {
                let flags = first()?;
                let topic = parts.get(1).cloned().ok_or("PUBLISH where?")?;
                let body = parts.get(2..).unwrap_or_default().join(" ");
                let mut packet = Publish::new(topic, quality(flags.split(',').next().unwrap()), body);
                packet.retain = flags.contains("retain");
                packet.dup = flags.contains("dup");
                if packet.qos != QoS::AtMostOnce {
                    packet.pkid = self.identifier();
                }
                Packet::Publish(packet)
            }
            "PUBACK" => Packet::PubAck(PubAck::new(first()?.parse().map_err(|_| "PUBACK of what?")?)),
            "PINGREQ" => Packet::PingReq,
            "DISCONNECT" => Packet::Disconnect,
            _ => return Err(format!("there is no packet {word}")),
        };
        // A connection that the hub has ended shows when reading.
        drop(self.framed.send(packet).await);
        Ok(())
    }

    async fn connect(&mut self, parts: Parts<'_>, kept: &HashMap<String, String>) -> Result<(), String> {
        let option = |name: &str| parts.iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let device = kept.get("d").cloned().unwrap_or_default();
        let client = option("client").map_or(device.clone(), str::to_owned);
        let mut packet = Connect::new(client);
        let user = option("user")
            .map_or_else(|| format!("localhost/{device}/?api-version=2021-04-12"), str::to_owned);
        let password =
            option("password").map_or_else(|| kept.get("sas").cloned().unwrap_or_default(), str::to_owned);
        if !user.is_empty() {
            if password.is_empty() {
                packet.set_username(user);
            } else {
                packet.set_credentials(user, password);
            }
        }
        packet.clean_session = option("clean") == Some("1");
        packet.keep_alive = option("keepalive").map_or(60, |seconds| seconds.parse().unwrap());
        if let Some(topic) = option("will") {
            let body = option("willbody").unwrap_or_default();
            packet.last_will = Some(LastWill::new(topic, body.to_owned(), QoS::AtLeastOnce, false));
        }
        let mut bytes = BytesMut::new();
        Packet::Connect(packet).write(&mut bytes, 1 << 20).map_err(|error| format!("{error:?}"))?;
        if let Some(level) = option("level") {
            let name = bytes.windows(4).position(|bytes| bytes == b"MQTT").unwrap();
            bytes[name + 4] = level.parse().unwrap();
        }
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let stream = self.framed.get_mut();
        drop(stream.write_all(bytes).await);
        drop(stream.flush().await);
        Ok(())
    }

    /// Compares the next packet with what a line expects.
    pub(crate) async fn expect(
        &mut self,
        word: &str,
        parts: Parts<'_>,
        kept: &mut HashMap<String, String>,
    ) -> Result<(), String> {
        if word == "NOTHING" {
            self.send("PINGREQ", &[], kept).await?;
            return match self.next().await? {
                Some(Packet::PingResp) => Ok(()),
                other => Err(format!("expected nothing, got {other:?}")),
            };
        }
        let mut packet = self.next().await?;
        while word == "PUBLISH" && matches!(packet, Some(Packet::PubAck(_))) {
            packet = self.next().await?;
        }
        let found = match packet {
            None => "CLOSED".to_owned(),
            Some(Packet::ConnAck(answer)) => {
                let code = match answer.code {
                    ConnectReturnCode::Success => 0,
                    ConnectReturnCode::RefusedProtocolVersion => 1,
                    ConnectReturnCode::BadClientId => 2,
                    ConnectReturnCode::ServiceUnavailable => 3,
                    ConnectReturnCode::BadUserNamePassword => 4,
                    ConnectReturnCode::NotAuthorized => 5,
                };
                format!("CONNACK {code} {}", if answer.session_present { "present" } else { "fresh" })
            }
            Some(Packet::SubAck(answer)) => {
                let code = |code: &SubscribeReasonCode| match code {
                    SubscribeReasonCode::Success(qos) => (*qos as u8).to_string(),
                    SubscribeReasonCode::Failure => "128".into(),
                };
                format!("SUBACK {}", answer.return_codes.iter().map(code).collect::<Vec<_>>().join(" "))
            }
            Some(Packet::Publish(publish)) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let (topic, body) = (text(&publish.topic), text(&publish.payload));
                kept.insert("pkid".into(), publish.pkid.to_string());
                kept.insert("qos".into(), (publish.qos as u8).to_string());
                kept.insert("dup".into(), publish.dup.to_string());
                if word != "PUBLISH" {
                    return Err(format!("expected {word}, got PUBLISH {topic} {body}"));
                }
                pattern::text(parts.first().ok_or("PUBLISH where?")?, &topic, kept)?;
                return pattern::body(&parts.get(1..).unwrap_or_default().join(" "), &body, kept);
            }
            Some(Packet::PubAck(_)) => "PUBACK".into(),
            Some(Packet::UnsubAck(_)) => "UNSUBACK".into(),
            Some(Packet::PingResp) => "PINGRESP".into(),
            other => format!("{other:?}"),
        };
        let wanted =
            std::iter::once(word).chain(parts.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        let fits =
            found == wanted || found.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with(' '));
        if fits { Ok(()) } else { Err(format!("expected {wanted}, got {found}")) }
    }

    /// The next packet; `None` when the hub ended the connection.
    async fn next(&mut self) -> Result<Option<Packet>, String> {
        let next = timeout(PATIENCE, self.framed.next()).await.map_err(|_| "the hub is silent")?;
        Ok(next.and_then(Result::ok))
    }

    fn identifier(&mut self) -> u16 {
        self.identifier += 1;
        self.identifier
    }
}

fn quality(text: &str) -> QoS {
    match text {
        "0" => QoS::AtMostOnce,
        "1" => QoS::AtLeastOnce,
        "2" => QoS::ExactlyOnce,
        other => panic!("{other:?} is no quality of service"),
    }
}
