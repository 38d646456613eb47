//! A scripted IoT Hub for one device.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hotshoe_core::topic::{self, FromDevice};
use hotshoe_core::twin;
use rumqttc::{
    Codec, ConnAck, Connect, ConnectReturnCode, Packet, PubAck, PubRel, Publish, QoS, SubAck,
    SubscribeReasonCode, UnsubAck,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::server::TlsStream;
use tokio_util::codec::Framed;

use crate::face;
use crate::server::{Authority, Face, authority};

/// How long anything may take before a test fails. Never reached when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the device just did, as the script sees it.
#[derive(Debug)]
pub(crate) enum Moment<'a> {
    /// CONNECT; the number counts from 1.
    Connect(usize),
    Subscribe,
    Unsubscribe,
    TwinGet,
    TwinPatch(&'a Value),
    MethodAnswer,
    Telemetry,
    Ping,
    /// Something for a provisioning service: topic and body.
    Provisioning(&'a str, &'a Value),
}

/// What the hub does about it.
#[derive(Debug)]
pub(crate) enum Act {
    /// What IoT Hub does.
    Serve,
    /// Nothing happened and the link is cut.
    Cut,
    /// It happened, but the link is cut before the answer.
    ServeThenCut,
    /// Nothing happened and no answer comes.
    Silence,
    /// A twin request is answered with this status; nothing happened.
    Status(u16),
    /// CONNECT is answered with this code and the link closed.
    Refuse(ConnectReturnCode),
    /// SUBSCRIBE is answered with failures.
    RefuseFilters,
    /// These packets first, then what IoT Hub does.
    After(Vec<Packet>),
    /// Nothing happened, and these bytes are the answer.
    Bytes(Vec<u8>),
    /// The same, and the link is cut.
    BytesThenCut(Vec<u8>),
    /// A twin request is answered with this status and body; nothing happened.
    Body(u16, Vec<u8>),
    /// A twin request is answered under another request id; nothing happened.
    OtherId,
}

type Script = Box<dyn FnMut(Moment<'_>) -> Act + Send>;

/// What the hub knows and has seen.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) connects: Vec<Connect>,
    /// DISCONNECT packets.
    pub(crate) farewells: usize,
    /// Connections that are subscribed now.
    pub(crate) subscribed: bool,
    pub(crate) desired: Value,
    pub(crate) desired_version: u64,
    pub(crate) reported: Value,
    pub(crate) reported_version: u64,
    /// Patches that were applied, in order.
    pub(crate) patches: Vec<Value>,
    /// Twin GETs that were answered.
    pub(crate) reads: usize,
    /// Answers to methods: request id, status, body.
    pub(crate) answers: Vec<(String, i32, Value)>,
    /// Telemetry: topic and body.
    pub(crate) telemetry: Vec<(String, Value)>,
    pub(crate) session_present: bool,
    pub(crate) failed_handshakes: usize,
    /// Connections that came with the client certificate the hub knows.
    pub(crate) certified: usize,
}

enum Push {
    Packets(Vec<Packet>),
    Bytes(Vec<u8>),
    Cut,
}

/// The running hub.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) port: u16,
    pub(crate) roots: Arc<RootCertStore>,
    /// A client certificate that the hub knows.
    pub(crate) device: Arc<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    shared: Arc<Shared>,
}

struct Shared {
    model: Mutex<Model>,
    script: Mutex<Script>,
    changes: watch::Sender<u64>,
    authority: Authority,
    /// What the next connections meet before MQTT.
    face: Mutex<Face>,
    push: Mutex<Option<mpsc::UnboundedSender<Push>>>,
}

impl Broker {
    pub(crate) async fn truthful() -> Broker {
        Broker::start(|_| Act::Serve).await
    }

    /// Acts through `acts` at each moment that `pick` chooses, then serves truthfully.
    pub(crate) async fn once(
        pick: impl Fn(&Moment<'_>) -> bool + Send + 'static,
        acts: impl IntoIterator<Item = Act>,
    ) -> Broker {
        let mut acts: VecDeque<Act> = acts.into_iter().collect();
        Broker::start(move |moment| match pick(&moment) {
            true => acts.pop_front().unwrap_or(Act::Serve),
            false => Act::Serve,
        })
        .await
    }

    pub(crate) async fn start(script: impl FnMut(Moment<'_>) -> Act + Send + 'static) -> Broker {
        let (device, device_certificate) = face::certified(crate::device::NAME);
        let authority = authority();
        let roots = face::trusting(authority.der());
        let acceptor = face::acceptor(&authority, &device_certificate);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let model = Model {
            desired: json!({}),
            desired_version: 1,
            reported: json!({}),
            reported_version: 1,
            session_present: true,
            ..Model::default()
        };
        let shared = Arc::new(Shared {
            model: Mutex::new(model),
            script: Mutex::new(Box::new(script)),
            changes: watch::Sender::new(0),
            authority,
            face: Mutex::new(face::TRUE),
            push: Mutex::new(None),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shown = *serving.face.lock().unwrap();
                match face::meet(shown, &serving.authority, &acceptor, socket).await {
                    Some(stream) => serving.clone().connection(stream).await,
                    None => {
                        serving.model.lock().unwrap().failed_handshakes += 1;
                        serving.changes.send_modify(|count| *count += 1);
                    }
                }
            }
        });
        Broker { port, roots: Arc::new(roots), device: Arc::new((device_certificate, device)), shared }
    }

    /// From now on connections meet this.
    pub(crate) fn show(&self, face: Face) {
        *self.shared.face.lock().unwrap() = face;
    }

    /// Replaces the script.
    pub(crate) fn script(&self, script: impl FnMut(Moment<'_>) -> Act + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Looks at, or changes, what the hub knows.
    pub(crate) fn model<T>(&self, look: impl FnOnce(&mut Model) -> T) -> T {
        look(&mut self.shared.model.lock().unwrap())
    }

    /// Waits until `found` finds something.
    pub(crate) async fn until<T>(&self, what: &str, mut found: impl FnMut(&mut Model) -> Option<T>) -> T {
        let mut changes = self.shared.changes.subscribe();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if let Some(value) = self.model(&mut found) {
                    return value;
                }
                changes.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(value) => value,
            Err(_) => {
                let (connects, patches) = self.model(|model| (model.connects.len(), model.patches.clone()));
                panic!("waited in vain for {what}; {connects} connections, patches {patches:?}")
            }
        }
    }

    /// Waits until the device is connected, subscribed and has read its twin.
    pub(crate) async fn until_up(&self) {
        self.until("the device", |model| (model.subscribed && model.reads > 0).then_some(())).await;
    }

    pub(crate) async fn until_reported(&self, wanted: Value) {
        self.until(&format!("reported {wanted}"), |model| (model.reported == wanted).then_some(())).await;
    }

    /// Sends packets over the connection as it is now.
    pub(crate) fn push(&self, packets: Vec<Packet>) {
        let push = self.shared.push.lock().unwrap();
        push.as_ref().expect("a connection").send(Push::Packets(packets)).unwrap();
    }

    /// Sends bytes that need be no packets.
    pub(crate) fn push_bytes(&self, bytes: Vec<u8>) {
        let push = self.shared.push.lock().unwrap();
        push.as_ref().expect("a connection").send(Push::Bytes(bytes)).unwrap();
    }

    /// Cuts the connection.
    pub(crate) fn cut(&self) {
        let push = self.shared.push.lock().unwrap();
        push.as_ref().expect("a connection").send(Push::Cut).unwrap();
    }

    /// Calls a method and waits for its answer.
    pub(crate) async fn call(
        &self,
        name: &str,
        request_id: &str,
        payload: impl Into<Vec<u8>>,
    ) -> (i32, Value) {
        self.push(vec![call(name, request_id, payload)]);
        self.answer(request_id).await
    }

    pub(crate) async fn answer(&self, request_id: &str) -> (i32, Value) {
        self.until(&format!("the answer to {request_id}"), |model| {
            let answer = model.answers.iter().find(|(id, ..)| id == request_id)?;
            Some((answer.1, answer.2.clone()))
        })
        .await
    }
}

/// A direct method call as IoT Hub sends it.
pub(crate) fn call(name: &str, request_id: &str, payload: impl Into<Vec<u8>>) -> Packet {
    message(&topic::method_request(name, request_id), payload)
}

/// A message at QoS 0.
pub(crate) fn message(topic: &str, payload: impl Into<Vec<u8>>) -> Packet {
    Packet::Publish(Publish::new(topic, QoS::AtMostOnce, payload))
}

/// A message at QoS 1, perhaps marked as sent before.
pub(crate) fn certain(topic: &str, payload: impl Into<Vec<u8>>, pkid: u16, dup: bool) -> Packet {
    let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
    publish.pkid = pkid;
    publish.dup = dup;
    Packet::Publish(publish)
}

type Wire = Framed<TlsStream<TcpStream>, Codec>;

impl Shared {
    async fn connection(self: Arc<Self>, stream: TlsStream<TcpStream>) {
        if stream.get_ref().1.peer_certificates().is_some() {
            self.model.lock().unwrap().certified += 1;
        }
        let codec = Codec { max_incoming_size: 4 << 20, max_outgoing_size: 8 << 20 };
        let mut wire = Framed::new(stream, codec);
        let (sender, mut pushes) = mpsc::unbounded_channel();
        *self.push.lock().unwrap() = Some(sender);
        loop {
            let alive = tokio::select! {
                packet = wire.next() => match packet {
                    Some(Ok(packet)) => self.packet(packet, &mut wire).await,
                    _ => false,
                },
                push = pushes.recv() => match push {
                    Some(Push::Packets(packets)) => send(&mut wire, packets).await,
                    Some(Push::Bytes(bytes)) => write(&mut wire, &bytes).await,
                    Some(Push::Cut) | None => false,
                },
            };
            self.changes.send_modify(|count| *count += 1);
            if !alive {
                break;
            }
        }
        self.model.lock().unwrap().subscribed = false;
        self.changes.send_modify(|count| *count += 1);
    }

    /// Deals with one packet; false cuts the connection.
    async fn packet(&self, packet: Packet, wire: &mut Wire) -> bool {
        let (mut act, mut answers) = (Act::Serve, Vec::new());
        let script = |moment: Moment<'_>| (self.script.lock().unwrap())(moment);
        match packet {
            Packet::Connect(connect) => {
                let (number, session_present) = {
                    let mut model = self.model.lock().unwrap();
                    let session_present = model.session_present && !connect.clean_session;
                    model.connects.push(connect);
                    (model.connects.len(), session_present)
                };
                act = script(Moment::Connect(number));
                if let Act::Refuse(code) = act {
                    send(wire, vec![Packet::ConnAck(ConnAck::new(code, false))]).await;
                    return false;
                }
                answers.push(Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, session_present)));
            }
            Packet::Subscribe(subscribe) => {
                act = script(Moment::Subscribe);
                let code = match act {
                    Act::RefuseFilters => SubscribeReasonCode::Failure,
                    _ => SubscribeReasonCode::Success(QoS::AtLeastOnce),
                };
                self.model.lock().unwrap().subscribed = matches!(act, Act::Serve | Act::After(_));
                let codes = subscribe.filters.iter().map(|_| code).collect();
                answers.push(Packet::SubAck(SubAck::new(subscribe.pkid, codes)));
            }
            Packet::Unsubscribe(unsubscribe) => {
                act = script(Moment::Unsubscribe);
                self.model.lock().unwrap().subscribed = false;
                answers.push(Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid)));
            }
            Packet::Publish(publish) => {
                if publish.qos == QoS::AtLeastOnce {
                    answers.push(Packet::PubAck(PubAck::new(publish.pkid)));
                }
                let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                let body: Value = serde_json::from_slice(&publish.payload).unwrap_or(Value::Null);
                if topic.starts_with("$dps/") {
                    let act = script(Moment::Provisioning(&topic, &body));
                    if let Act::After(said) = act {
                        answers.extend(said);
                    }
                    return send(wire, answers).await;
                }
                match topic::parse_from_device(&topic, crate::device::NAME, None) {
                    FromDevice::TwinGet { request_id } => {
                        act = script(Moment::TwinGet);
                        answers.push(self.read(request_id, &act));
                    }
                    FromDevice::TwinPatch { request_id, version: None } => {
                        act = script(Moment::TwinPatch(&body));
                        answers.push(self.patch(request_id, &act, body));
                    }
                    FromDevice::MethodResponse { status, request_id } => {
                        act = script(Moment::MethodAnswer);
                        if happened(&act) {
                            let answer = (request_id.to_owned(), status, body);
                            self.model.lock().unwrap().answers.push(answer);
                        }
                    }
                    FromDevice::Telemetry { .. } => {
                        act = script(Moment::Telemetry);
                        if happened(&act) {
                            self.model.lock().unwrap().telemetry.push((topic, body));
                        }
                    }
                    // IoT Hub drops the connection for an unknown topic.
                    other => panic!("the device published {topic}: {other:?}"),
                }
            }
            Packet::PingReq => {
                act = script(Moment::Ping);
                answers.push(Packet::PingResp);
            }
            Packet::Disconnect => {
                self.model.lock().unwrap().farewells += 1;
                return false;
            }
            Packet::PubRec(received) => answers.push(Packet::PubRel(PubRel::new(received.pkid))),
            Packet::PubAck(_) | Packet::PubComp(_) => {}
            other => panic!("the device sent {other:?}"),
        }
        match act {
            Act::Cut | Act::ServeThenCut => return false,
            Act::Silence => return true,
            Act::Bytes(bytes) => return write(wire, &bytes).await,
            Act::BytesThenCut(bytes) => {
                write(wire, &bytes).await;
                return false;
            }
            Act::After(mut first) => {
                first.append(&mut answers);
                answers = first;
            }
            Act::Serve
            | Act::Status(_)
            | Act::Body(..)
            | Act::OtherId
            | Act::Refuse(_)
            | Act::RefuseFilters => {}
        }
        send(wire, answers).await
    }

    fn read(&self, request_id: &str, act: &Act) -> Packet {
        if let Some(answer) = instead(act, request_id) {
            return answer;
        }
        let mut model = self.model.lock().unwrap();
        if happened(act) {
            model.reads += 1;
        }
        let with_version = |document: &Value, version: u64| {
            let mut members = document.as_object().cloned().unwrap_or_else(Map::new);
            members.insert("$version".to_owned(), json!(version));
            Value::Object(members)
        };
        let body = json!({
            "desired": with_version(&model.desired, model.desired_version),
            "reported": with_version(&model.reported, model.reported_version),
        });
        message(&topic::twin_response(200, request_id, None), body.to_string())
    }

    fn patch(&self, request_id: &str, act: &Act, patch: Value) -> Packet {
        if let Some(answer) = instead(act, request_id) {
            return answer;
        }
        let mut model = self.model.lock().unwrap();
        if happened(act) {
            twin::validate_patch(&patch).expect("the device sends only valid patches");
            twin::merge(&mut model.reported, &patch);
            model.reported_version += 1;
            model.patches.push(patch);
        }
        message(&topic::twin_response(204, request_id, Some(model.reported_version)), "")
    }
}

fn happened(act: &Act) -> bool {
    matches!(act, Act::Serve | Act::ServeThenCut | Act::After(_))
}

/// What a twin request is answered with where nothing happened.
fn instead(act: &Act, request_id: &str) -> Option<Packet> {
    match act {
        Act::Status(status) => Some(refusal(*status, request_id)),
        Act::Body(status, body) => {
            Some(message(&topic::twin_response(*status, request_id, None), body.clone()))
        }
        Act::OtherId => Some(message(&topic::twin_response(200, "another", None), "{}")),
        _ => None,
    }
}

fn refusal(status: u16, request_id: &str) -> Packet {
    let body = json!({"errorCode": u32::from(status) * 1000 + 4, "message": "scripted"});
    message(&topic::twin_response(status, request_id, None), body.to_string())
}

async fn write(wire: &mut Wire, bytes: &[u8]) -> bool {
    let socket = wire.get_mut();
    socket.write_all(bytes).await.is_ok() && socket.flush().await.is_ok()
}

async fn send(wire: &mut Wire, packets: Vec<Packet>) -> bool {
    for packet in packets {
        if wire.feed(packet).await.is_err() {
            return false;
        }
    }
    wire.flush().await.is_ok()
}
