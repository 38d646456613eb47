//! Direct methods: what goes in, what comes out, and the one wording of every refusal.
//!
//! A refusal is an answer. Each one has a status in the manner of HTTP, a code for programs and a sentence for
//! people, as `{"error": {"code": …, "message": …}}`. The limit counts the bytes on the wire, before parsing.

use serde_json::{Value, json};

use crate::job::JobId;

/// The most bytes of a payload or an answer: 128 KiB (iothub.md §1.9).
pub const PAYLOAD_LIMIT: usize = 128 * 1024;

/// The answer to a direct method.
#[derive(Clone, PartialEq, Debug)]
pub struct MethodResponse {
    /// A status in the manner of HTTP; any number is passed on as it is.
    pub status: i32,
    /// The answer.
    pub payload: Value,
}

impl MethodResponse {
    /// The status and body to publish. An answer over [`PAYLOAD_LIMIT`] becomes a 500 that says so.
    pub fn encode(&self) -> (i32, Vec<u8>) {
        let body = self.payload.to_string().into_bytes();
        if body.len() <= PAYLOAD_LIMIT {
            return (self.status, body);
        }
        let text = format!("the answer has {} bytes, the limit is {PAYLOAD_LIMIT}", body.len());
        let refusal = Refusal::PluginFailed { text }.response();
        (refusal.status, refusal.payload.to_string().into_bytes())
    }
}

/// Why a call was not carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The payload is over the limit.
    #[error("the payload has {size} bytes, the limit is {PAYLOAD_LIMIT}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// The payload is not JSON, or nested too deeply.
    #[error("the payload is not JSON: {0}")]
    NotJson(String),
    /// Nothing on this device answers the method.
    #[error("no plugin on this device answers the method `{0}`")]
    UnknownMethod(String),
    /// As many calls wait as may.
    #[error("too many calls are waiting on this device; call again later")]
    Busy,
    /// Another job holds the lane that the call's job needs.
    #[error("job {holder} is running in the lane `{lane}`; wait until it has ended")]
    LaneTaken {
        /// The lane.
        lane: String,
        /// The job in it.
        holder: JobId,
    },
    /// The plugin did not answer within its time.
    #[error("the plugin did not answer in time")]
    TimedOut,
    /// The plugin trapped or answered something that is not an answer.
    #[error("the plugin failed: {text}")]
    PluginFailed {
        /// What happened.
        text: String,
    },
    /// The plugin failed too often and rests; it was not entered.
    #[error("the plugin is quarantined: {0}")]
    Quarantined(String),
    /// The plugin refused the call.
    #[error("{0}")]
    Rejected(Rejection),
    /// The device shuts down.
    #[error("the device is shutting down; call again later")]
    ShuttingDown,
}

/// How a plugin refuses a call; the cases of the contract's `methods.rejection`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejection {
    /// The plugin does not know the method, although its manifest lists it.
    #[error("the plugin does not know the method")]
    UnknownMethod,
    /// The payload is not what the method takes.
    #[error("{0}")]
    InvalidPayload(String),
    /// The state of the device forbids it now.
    #[error("{0}")]
    Conflict(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Refusal {
    /// The status that goes to the caller.
    pub fn status(&self) -> i32 {
        match self {
            Refusal::TooLarge { .. }
            | Refusal::NotJson(_)
            | Refusal::Rejected(Rejection::InvalidPayload(_)) => 400,
            Refusal::UnknownMethod(_) | Refusal::Rejected(Rejection::UnknownMethod) => 404,
            Refusal::LaneTaken { .. } | Refusal::Rejected(Rejection::Conflict(_)) => 409,
            Refusal::Busy => 429,
            Refusal::PluginFailed { .. } | Refusal::Rejected(Rejection::Other(_)) => 500,
            Refusal::ShuttingDown | Refusal::Quarantined(_) => 503,
            Refusal::TimedOut => 504,
        }
    }

    /// The name for programs. Stays as it is over versions.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::TooLarge { .. } => "tooLarge",
            Refusal::NotJson(_) => "notJson",
            Refusal::UnknownMethod(_) | Refusal::Rejected(Rejection::UnknownMethod) => "unknownMethod",
            Refusal::Busy => "busy",
            Refusal::LaneTaken { .. } => "laneTaken",
            Refusal::TimedOut => "timedOut",
            Refusal::Quarantined(_) => "quarantined",
            Refusal::PluginFailed { .. } => "pluginFailed",
            Refusal::Rejected(Rejection::InvalidPayload(_)) => "invalidPayload",
            Refusal::Rejected(Rejection::Conflict(_)) => "conflict",
            Refusal::Rejected(Rejection::Other(_)) => "rejected",
            Refusal::ShuttingDown => "shuttingDown",
        }
    }

    /// The answer to the caller: `{"error": {"code": "laneTaken", "message": "…"}}`, and for a taken lane its `lane`
    /// and `holder` too.
    pub fn response(&self) -> MethodResponse {
        let mut error = json!({ "code": self.code(), "message": bounded(self.to_string()) });
        if let (Refusal::LaneTaken { lane, holder }, Some(members)) = (self, error.as_object_mut()) {
            members.insert("lane".to_owned(), json!(lane));
            members.insert("holder".to_owned(), json!(holder.to_string()));
        }
        MethodResponse { status: self.status(), payload: json!({ "error": error }) }
    }
}

/// The longest message in bytes: whatever a plugin says, the answer stays well under [`PAYLOAD_LIMIT`].
const MESSAGE_LIMIT: usize = 4096;

fn bounded(mut text: String) -> String {
    if text.len() > MESSAGE_LIMIT {
        let end = (0..=MESSAGE_LIMIT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Reads the payload of a call. An empty one is `null`; nesting over 127 levels is refused.
pub fn parse_payload(bytes: &[u8]) -> Result<Value, Refusal> {
    if bytes.len() > PAYLOAD_LIMIT {
        return Err(Refusal::TooLarge { size: bytes.len() });
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(bytes).map_err(|error| Refusal::NotJson(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(size: usize) -> Vec<u8> {
        let mut bytes = vec![b'a'; size];
        bytes[0] = b'"';
        bytes[size - 1] = b'"';
        bytes
    }

    #[test]
    fn exactly_the_limit_is_taken_and_one_byte_more_is_not() {
        assert!(parse_payload(&text_of(PAYLOAD_LIMIT)).is_ok());
        let refusal = parse_payload(&text_of(PAYLOAD_LIMIT + 1)).unwrap_err();
        assert_eq!(refusal, Refusal::TooLarge { size: PAYLOAD_LIMIT + 1 });
        assert_eq!(refusal.response().status, 400);
    }

    #[test]
    fn the_limit_counts_what_was_sent_not_what_it_means() {
        let mut bytes = b"1".to_vec();
        bytes.resize(PAYLOAD_LIMIT + 1, b' ');
        assert!(matches!(parse_payload(&bytes), Err(Refusal::TooLarge { .. })));
    }

    #[test]
    fn an_empty_payload_is_null() {
        assert_eq!(parse_payload(b"").unwrap(), Value::Null);
        assert_eq!(parse_payload(b"null").unwrap(), Value::Null);
    }

    #[test]
    fn what_is_not_json_is_refused_with_the_place() {
        for bytes in [&b"{"[..], b"firmware", b"{'a': 1}", b"\xff\xfe", b" ", b"1 2"] {
            let refusal = parse_payload(bytes).unwrap_err();
            assert_eq!(refusal.status(), 400);
            assert!(refusal.to_string().contains("line 1"), "{refusal}");
        }
    }

    #[test]
    fn nesting_ends_at_127_levels() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        assert!(parse_payload(&nested(127)).is_ok());
        let refusal = parse_payload(&nested(128)).unwrap_err();
        assert!(refusal.to_string().contains("recursion limit"), "{refusal}");
        assert!(parse_payload(&nested(60_000)).is_err());
    }

    #[test]
    fn a_taken_lane_names_its_holder() {
        let refusal = Refusal::LaneTaken { lane: "firmware".into(), holder: "j1".parse().unwrap() };
        let answer = refusal.response();
        assert_eq!(answer.status, 409);
        let message = "job j1 is running in the lane `firmware`; wait until it has ended";
        assert_eq!(
            answer.payload,
            json!({"error": {"code": "laneTaken", "message": message, "lane": "firmware", "holder": "j1"}})
        );
    }

    #[test]
    fn whatever_a_plugin_says_the_answer_stays_small() {
        let refusal = Refusal::Rejected(Rejection::Other("é".repeat(PAYLOAD_LIMIT)));
        let (status, body) = refusal.response().encode();
        assert_eq!(status, 500);
        assert!(body.len() < 8192);
        let (status, body) =
            MethodResponse { status: 200, payload: json!("a".repeat(PAYLOAD_LIMIT)) }.encode();
        assert_eq!(status, 500);
        assert!(String::from_utf8(body).unwrap().contains("the limit is 131072"));
    }
}
