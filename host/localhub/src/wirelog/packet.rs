//! One packet as the log shows it: read from its bytes as far as a developer wants to know.
//!
//! Every byte may be anything: what cannot be read is left out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::redacted::redacted;

/// How much of a body is kept.
const BODY: usize = 1024;
/// How much of a topic.
const TOPIC: usize = 512;

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// A packet. Members that do not apply are `None` and left out of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Packet {
    /// Which way it went.
    pub direction: Direction,
    /// `connect`, `publish`, `pingreq`…
    pub packet: &'static str,
    /// Bytes on the wire, headers included.
    pub size: usize,
    /// A publish's topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// A publish's quality of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<u8>,
    /// The packet identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u16>,
    /// The beginning of a publish's body: text, or base64 when `binary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Bytes of the whole body, when it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<usize>,
    /// True when the body is no text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub binary: bool,
    /// What else is to be said: names, filters, codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Packet {
    pub(super) fn new(direction: Direction, packet: &'static str, size: usize) -> Self {
        Self {
            direction,
            packet,
            size,
            topic: None,
            qos: None,
            id: None,
            body: None,
            cut: None,
            binary: false,
            note: None,
        }
    }

    /// Reads a packet from its first byte, its whole size, and the beginning of what follows its length.
    pub(super) fn read(direction: Direction, first: u8, size: usize, rest: &[u8]) -> Self {
        const NAMES: [&str; 16] = [
            "reserved",
            "connect",
            "connack",
            "publish",
            "puback",
            "pubrec",
            "pubrel",
            "pubcomp",
            "subscribe",
            "suback",
            "unsubscribe",
            "unsuback",
            "pingreq",
            "pingresp",
            "disconnect",
            "reserved",
        ];
        let name = NAMES.get(usize::from(first >> 4)).copied().unwrap_or("reserved");
        let mut packet = Self::new(direction, name, size);
        let mut rest = Rest(rest);
        match name {
            "connect" => packet.note = connect(&mut rest),
            "connack" => packet.note = connack(&mut rest),
            "publish" => packet.publish(first, &mut rest),
            "subscribe" | "unsubscribe" => {
                packet.id = rest.number();
                let mut filters = Vec::new();
                while let Some(filter) = rest.text() {
                    let qos = if name == "subscribe" { rest.byte() } else { None };
                    filters.push(match qos {
                        Some(qos) => format!("{filter} (QoS {qos})"),
                        None => filter,
                    });
                }
                packet.note = Some(limited(&filters.join(", "), BODY));
            }
            "suback" => {
                packet.id = rest.number();
                let granted: Vec<String> = rest.0.iter().take(16).map(|code| format!("QoS {code}")).collect();
                packet.note = Some(format!("granted {}", granted.join(", ")));
            }
            "puback" | "pubrec" | "pubrel" | "pubcomp" | "unsuback" => packet.id = rest.number(),
            _ => {}
        }
        packet
    }

    fn publish(&mut self, first: u8, rest: &mut Rest<'_>) {
        let qos = first >> 1 & 3;
        self.qos = Some(qos);
        let whole = rest.0.len();
        self.topic = rest.text().map(|topic| limited(&redacted(&topic), TOPIC));
        if qos > 0 {
            self.id = rest.number();
        }
        let headers = whole - rest.0.len();
        let length_bytes = (1..=4).find(|count| self.size < 1 << (7 * count)).unwrap_or(4);
        let bytes = self.size.saturating_sub(1 + length_bytes + headers);
        let kept = rest.0.get(..BODY).unwrap_or(rest.0);
        if kept.len() < bytes {
            self.cut = Some(bytes);
        }
        match text(kept, kept.len() < bytes) {
            Some(text) => self.body = Some(redacted(text).into_owned()),
            None => {
                self.binary = true;
                self.body = Some(STANDARD.encode(kept));
            }
        }
        let flags = [(first & 1 != 0, "retain"), (first & 8 != 0, "again")];
        let said: Vec<&str> = flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect();
        self.note = (!said.is_empty()).then(|| said.join(", "));
    }
}

/// The text, if it is one; its last character may have been cut.
fn text(bytes: &[u8], is_cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()
        }
        Err(_) => None,
    }
}

fn limited(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Names and flags; of will and password only whether there is one.
fn connect(rest: &mut Rest<'_>) -> Option<String> {
    rest.text()?;
    rest.byte()?;
    let flags = rest.byte()?;
    let keep_alive = rest.number()?;
    let mut said = vec![format!("client id {}", rest.text()?)];
    if flags & 4 != 0 {
        said.push(format!("will on {}", rest.text()?));
        rest.text()?;
    }
    if flags & 128 != 0 {
        said.push(format!("user name {}", rest.text()?));
    }
    said.push(if flags & 64 != 0 { "with a password".into() } else { "without a password".into() });
    said.push(if flags & 2 != 0 { "clean session".into() } else { "session to be kept".into() });
    said.push(format!("keep-alive {keep_alive} s"));
    Some(limited(&redacted(&said.join(", ")), BODY))
}

fn connack(rest: &mut Rest<'_>) -> Option<String> {
    let (present, code) = (rest.byte()? & 1 != 0, rest.byte()?);
    let said = match code {
        0 => "accepted",
        1 => "refused: protocol version",
        2 => "refused: client id",
        3 => "refused: server unavailable",
        4 => "refused: user name or password",
        5 => "refused: not authorized",
        _ => "refused",
    };
    Some(format!("{said}{}", if present { ", session present" } else { "" }))
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.number()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(first: u8, rest: &[u8]) -> Packet {
        Packet::read(Direction::In, first, rest.len() + 2, rest)
    }

    fn with_length(text: &str) -> Vec<u8> {
        let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes
    }

    #[test]
    fn a_connect_shows_names_and_never_its_password() {
        let mut rest = with_length("MQTT");
        rest.extend([4, 0b1100_0010, 0, 60]);
        for text in ["d", "h/d/?api-version=1", "SharedAccessSignature sr=x&sig=SECRET&se=1"] {
            rest.extend(with_length(text));
        }
        let note = read(0x10, &rest).note.unwrap();
        assert_eq!(
            note,
            "client id d, user name h/d/?api-version=1, with a password, clean session, keep-alive 60 s"
        );
    }

    #[test]
    fn a_body_is_text_cut_text_or_base64() {
        let mut rest = with_length("a/b");
        rest.extend("{}".as_bytes());
        let packet = read(0x31, &rest);
        assert_eq!((packet.topic.as_deref(), packet.body.as_deref()), (Some("a/b"), Some("{}")));
        assert_eq!((packet.qos, packet.note.as_deref(), packet.cut), (Some(0), Some("retain"), None));
        let mut long = with_length("a/b");
        long.extend("é".repeat(2000).as_bytes());
        let packet = Packet::read(Direction::In, 0x30, long.len() + 3, &long[..2000]);
        assert_eq!((packet.cut, packet.body.unwrap().chars().count()), (Some(4000), 512));
        let packet = read(0x30, &[0, 1, b'a', 0xFF, 0xFE]);
        assert_eq!((packet.binary, packet.body.as_deref()), (true, Some("//4=")));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for first in 0..=u8::MAX {
            for rest in
                [&[][..], &[0], &[0xFF, 0xFF, 1], &[0, 0, 0, 0, 0], &[0, 4, 1, 2, 3, 4, 4, 0xFF, 0, 0]]
            {
                let _ = read(first, rest);
            }
        }
    }
}
