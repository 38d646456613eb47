//! The local hub's MQTT: raw bytes to the real server, before and after a device has logged in.

use std::time::Duration;

use crate::{
    conversation::converse,
    hub::{Hub, hub},
    pieces::{choice, hurried},
};

/// Enough of them that one is read, whatever was begun before.
const DISCONNECTS: [u8; 128] = {
    let mut packets = [0; 128];
    let mut at = 0;
    while at < packets.len() {
        packets[at] = 0xe0;
        at += 2;
    }
    packets
};

/// Whether a good CONNECT goes first, and packets.
pub(super) fn run(data: &[u8]) {
    let Some((kind, packets)) = choice(data) else { return };
    let hub = hub();
    let mut said = if kind & 1 != 0 { connect(&hub, kind & 2 != 0) } else { Vec::new() };
    said.extend_from_slice(packets);
    said.extend_from_slice(&DISCONNECTS);
    let first = Duration::from_millis(20);
    let answer = hurried(converse(&said, first, |stream| hub.running.serve_mqtt(stream)));
    assert!(matches!(answer.first(), None | Some(0x20)), "the first packet of a hub is CONNACK");
    if let (true, Some([_, _, _, code])) = (kind & 1 != 0, answer.first_chunk::<4>()) {
        assert_eq!(*code, 0, "a good device is let in");
    }
}

/// The CONNECT of a device that is who it says (MQTT 3.1.1, 3.1).
fn connect(hub: &Hub, clean: bool) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04".to_vec();
    body.push(0xc0 | u8::from(clean) << 1);
    body.extend_from_slice(&[0, 60]);
    for text in ["device", &hub.device.0, &hub.device.1] {
        body.extend_from_slice(&(text.len() as u16).to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    let mut packet = vec![0x10];
    let mut length = body.len();
    while length > 127 {
        packet.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend_from_slice(&body);
    packet
}
