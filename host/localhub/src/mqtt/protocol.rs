//! MQTT 3.1.1 packets, by `mqtt-protocol-core`, narrowed to what a session needs.
//!
//! The crate is sans-io: bytes go in, events come out. It checks packets, refuses a second CONNECT and what only a
//! server may send, bounds the size of a packet before it allocates for it, and answers pings. Here its events
//! become [`Step`]s, so that no other file names the crate. Acknowledging a publish is left to the session, which
//! does it only after what was published is durable.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::common::{Cursor, IntoPayload as _};
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait as _, Packet as Parsed, Qos, v3_1_1};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, SubackReturnCode};
use mqtt_protocol_core::mqtt::{Connection, Version, role};

/// The largest packet taken from a client: 256 KiB of telemetry or 128 KiB of a method's answer, and the topic.
const LARGEST: u32 = 300 * 1024;

/// What the session is to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Act on a packet.
    Packet(Packet),
    /// Write these bytes.
    Send(Bytes),
    /// End the connection; the text says why.
    Close(String),
}

/// The packets that a client sends on purpose.
#[derive(Debug)]
pub(super) enum Packet {
    Connect(Connect),
    Publish {
        id: Option<u16>,
        qos: u8,
        topic: String,
        payload: Bytes,
        retain: bool,
        duplicate: bool,
    },
    /// The client has a message that was sent to it at quality of service 1.
    Acknowledged {
        id: u16,
    },
    Subscribe {
        id: u16,
        filters: Vec<(String, u8)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Disconnect,
    /// A packet that asks for nothing but shows that the client is there.
    Other,
}

/// A client's first packet.
pub(super) struct Connect {
    pub(super) client_id: String,
    pub(super) user_name: String,
    pub(super) password: String,
    pub(super) clean_session: bool,
    pub(super) keep_alive: u16,
    pub(super) will: Option<(String, Bytes)>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Connect({:?}, {:?}, password redacted)", self.client_id, self.user_name)
    }
}

/// Answers to CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReturnCode {
    Unavailable,
    NotAuthorized,
}

/// One connection's packet reader and writer.
/// Boxed, because sessions are moved into the futures that serve them, and futures keep room for what is moved.
pub(super) struct Protocol(Box<Connection<role::Server>>);

impl Protocol {
    pub(super) fn new() -> Self {
        let options = ConnectionOptions::new().maximum_packet_size_recv(LARGEST);
        let mut connection = Connection::with_options(Version::V3_1_1, options);
        connection.set_auto_ping_response(true);
        Self(Box::new(connection))
    }

    /// Takes what was read from the wire. No steps mean that no packet is complete yet.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Step> {
        let mut cursor = Cursor::new(bytes);
        let mut steps = Vec::new();
        while cursor.position() < bytes.len() as u64 {
            let mut next: Vec<Step> = self.0.recv(&mut cursor).into_iter().filter_map(step).collect();
            // The packet before the answer that the crate gives by itself.
            next.sort_by_key(|step| !matches!(step, Step::Packet(_)));
            steps.append(&mut next);
            if matches!(steps.last(), Some(Step::Close(_))) {
                break;
            }
        }
        steps
    }

    pub(super) fn accept(&mut self, session_present: bool) -> Vec<Step> {
        let packet = v3_1_1::Connack::builder()
            .session_present(session_present)
            .return_code(ConnectReturnCode::Accepted)
            .build();
        self.send(packet.map(Into::into))
    }

    pub(super) fn refuse(&mut self, code: ReturnCode) -> Vec<Step> {
        let code = match code {
            ReturnCode::Unavailable => ConnectReturnCode::ServerUnavailable,
            ReturnCode::NotAuthorized => ConnectReturnCode::NotAuthorized,
        };
        let packet = v3_1_1::Connack::builder().session_present(false).return_code(code).build();
        self.send(packet.map(Into::into))
    }

    /// Publishes at quality of service 0.
    pub(super) fn publish(&mut self, topic: &str, payload: &Bytes) -> Vec<Step> {
        let packet = v3_1_1::Publish::builder().topic_name(topic).and_then(|builder| {
            builder.qos(Qos::AtMostOnce).payload(payload.as_ref().into_payload()).build()
        });
        self.send(packet.map(Into::into))
    }

    /// Publishes at quality of service 1 under an identifier that is not in use.
    pub(super) fn publish_once_or_more(
        &mut self,
        topic: &str,
        payload: &Bytes,
        id: u16,
        duplicate: bool,
    ) -> Vec<Step> {
        if self.0.register_packet_id(id).is_err() {
            return vec![Step::Close(format!("the packet identifier {id} is in use"))];
        }
        self.send(at_least_once(topic, payload, id, duplicate).map(Into::into))
    }

    /// Publishes once more what the client has not acknowledged, as a duplicate.
    pub(super) fn publish_again(topic: &str, payload: &Bytes, id: u16) -> Vec<Step> {
        // The reader goes on waiting for the acknowledgement of the first.
        match at_least_once(topic, payload, id, true) {
            Ok(packet) => vec![Step::Send(Bytes::from(packet.to_continuous_buffer()))],
            Err(reason) => vec![Step::Close(reason)],
        }
    }

    pub(super) fn acknowledge(&mut self, id: u16) -> Vec<Step> {
        self.send(v3_1_1::Puback::builder().packet_id(id).build().map(Into::into))
    }

    pub(super) fn subscribed(&mut self, id: u16, granted: &[u8]) -> Vec<Step> {
        let code = |qos: &u8| match qos {
            0 => SubackReturnCode::SuccessMaximumQos0,
            _ => SubackReturnCode::SuccessMaximumQos1,
        };
        let codes = granted.iter().map(code).collect::<Vec<_>>();
        self.send(v3_1_1::Suback::builder().packet_id(id).return_codes(codes).build().map(Into::into))
    }

    pub(super) fn unsubscribed(&mut self, id: u16) -> Vec<Step> {
        self.send(v3_1_1::Unsuback::builder().packet_id(id).build().map(Into::into))
    }

    fn send<E: std::fmt::Debug>(&mut self, packet: Result<Parsed, E>) -> Vec<Step> {
        match packet {
            Ok(packet) => self.0.send(packet).into_iter().filter_map(step).collect(),
            Err(error) => vec![Step::Close(format!("a packet could not be made: {error:?}"))],
        }
    }
}

fn at_least_once(topic: &str, payload: &Bytes, id: u16, duplicate: bool) -> Result<v3_1_1::Publish, String> {
    let wrong = |error| format!("a packet could not be made: {error:?}");
    let builder = v3_1_1::Publish::builder().topic_name(topic).map_err(wrong)?;
    let builder = builder.qos(Qos::AtLeastOnce).packet_id(id).dup(duplicate);
    builder.payload(payload.as_ref().into_payload()).build().map_err(wrong)
}

fn step(event: Event) -> Option<Step> {
    match event {
        Event::NotifyPacketReceived(packet) => Some(packet_step(packet)),
        Event::RequestSendPacket { packet, .. } => {
            Some(Step::Send(Bytes::from(packet.to_continuous_buffer())))
        }
        Event::RequestClose => Some(Step::Close("the protocol asks to close".into())),
        Event::NotifyError(error) => Some(Step::Close(format!("protocol error: {error:?}"))),
        // The session keeps the keep-alive timer itself: IoT Hub caps it.
        Event::RequestTimerReset { .. } | Event::RequestTimerCancel(_) | Event::NotifyPacketIdReleased(_) => {
            None
        }
    }
}

fn packet_step(packet: Parsed) -> Step {
    let packet = match packet {
        Parsed::V3_1_1Connect(packet) => Packet::Connect(connect(&packet)),
        Parsed::V3_1_1Publish(packet) => Packet::Publish {
            id: packet.packet_id(),
            qos: packet.qos() as u8,
            topic: packet.topic_name().to_owned(),
            payload: Bytes::copy_from_slice(packet.payload().as_slice()),
            retain: packet.retain(),
            duplicate: packet.dup(),
        },
        Parsed::V3_1_1Puback(packet) => Packet::Acknowledged { id: packet.packet_id() },
        Parsed::V3_1_1Subscribe(packet) => {
            let filter = |entry: &mqtt_protocol_core::mqtt::packet::SubEntry| {
                (entry.topic_filter().to_owned(), entry.sub_opts().qos() as u8)
            };
            Packet::Subscribe {
                id: packet.packet_id(),
                filters: packet.entries().iter().map(filter).collect(),
            }
        }
        Parsed::V3_1_1Unsubscribe(packet) => Packet::Unsubscribe {
            id: packet.packet_id(),
            filters: packet.entries().iter().map(|filter| filter.as_str().to_owned()).collect(),
        },
        Parsed::V3_1_1Disconnect(_) => Packet::Disconnect,
        _ => Packet::Other,
    };
    Step::Packet(packet)
}

fn connect(packet: &v3_1_1::Connect) -> Connect {
    let will = packet.will_topic().zip(packet.will_payload());
    Connect {
        client_id: packet.client_id().to_owned(),
        user_name: packet.user_name().unwrap_or_default().to_owned(),
        password: String::from_utf8_lossy(packet.password().unwrap_or_default()).into_owned(),
        clean_session: packet.clean_session(),
        keep_alive: packet.keep_alive(),
        will: will.map(|(topic, payload)| (topic.to_owned(), Bytes::copy_from_slice(payload))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use rumqttc::{
        Connect as Hello, LastWill, Packet as Written, PubAck, Publish, QoS, Subscribe, Unsubscribe,
    };

    use super::*;

    fn written(packet: &Written) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, 1 << 20).unwrap();
        bytes.to_vec()
    }

    fn samples() -> Vec<Vec<u8>> {
        let mut hello = Hello::new("d");
        hello.set_credentials("h/d/?api-version=1", "s");
        hello.last_will = Some(LastWill::new("w", "p", QoS::AtLeastOnce, false));
        let mut publish = Publish::new("a/b", QoS::AtLeastOnce, "{}");
        publish.pkid = 1;
        let mut subscribe = Subscribe::new("a/#", QoS::AtLeastOnce);
        subscribe.pkid = 2;
        let mut unsubscribe = Unsubscribe::new("a/#");
        unsubscribe.pkid = 3;
        [
            Written::Connect(hello),
            Written::Publish(publish),
            Written::Subscribe(subscribe),
            Written::Unsubscribe(unsubscribe),
            Written::PubAck(PubAck::new(1)),
            Written::PingReq,
            Written::Disconnect,
        ]
        .iter()
        .map(written)
        .collect()
    }

    /// Before CONNECT, and after it was accepted.
    fn protocols() -> [Protocol; 2] {
        let mut connected = Protocol::new();
        let mut hello = Hello::new("d");
        hello.clean_session = false;
        connected.feed(&written(&Written::Connect(hello)));
        connected.accept(false);
        [Protocol::new(), connected]
    }

    #[test]
    fn no_byte_anywhere_makes_the_reader_panic() {
        for sample in samples() {
            for position in 0..sample.len() {
                for value in 0..=u8::MAX {
                    let mut bytes = sample.clone();
                    bytes[position] = value;
                    for mut protocol in protocols() {
                        protocol.feed(&bytes);
                        protocol.feed(&sample);
                    }
                }
            }
        }
    }

    #[test]
    fn packets_may_be_cut_and_joined_anywhere() {
        let stream: Vec<u8> = samples().concat();
        for size in 1..stream.len() {
            let mut protocol = Protocol::new();
            let mut names = Vec::new();
            for piece in stream.chunks(size) {
                for step in protocol.feed(piece) {
                    match step {
                        Step::Packet(Packet::Connect(_)) => {
                            protocol.accept(false);
                            names.push("connect");
                        }
                        Step::Packet(Packet::Publish { .. }) => names.push("publish"),
                        Step::Packet(Packet::Subscribe { .. }) => names.push("subscribe"),
                        Step::Packet(Packet::Unsubscribe { .. }) => names.push("unsubscribe"),
                        // The acknowledgement is of nothing that was sent, which ends the stream.
                        Step::Close(_) => names.push("close"),
                        _ => {}
                    }
                }
            }
            assert_eq!(names[..5], ["connect", "publish", "subscribe", "unsubscribe", "close"], "{size}");
        }
    }
}
