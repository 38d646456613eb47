//! What happens at a hub, as it happens: server-sent events of the local hub.
//!
//! Azure has this over AMQP only, which this tool does not speak; whoever asks says so before it comes here.

use std::time::Duration;

use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use serde_json::Value;

use super::{Hub, HubError, Request, SEGMENT};

/// The longest event that is read; a message has 256 KiB at most, and its text may be escaped.
const LONGEST: usize = 4 * 1024 * 1024;
/// A day: longer than any watching goes without a reconnection, and no overflow.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// What to be told.
#[derive(Default)]
pub(crate) struct Watched<'a> {
    /// Of this device alone.
    pub(crate) device: Option<&'a str>,
    /// Of these kinds alone.
    pub(crate) kinds: &'a [String],
}

/// Events that come in.
pub(crate) struct EventLines {
    response: reqwest::Response,
    address: String,
    buffer: Vec<u8>,
}

impl Hub {
    /// Begins to listen. The hub tells what happens from now on.
    pub(crate) async fn events(&self, watched: Watched<'_>) -> Result<EventLines, HubError> {
        let encoded = |text: &str| utf8_percent_encode(text, SEGMENT).to_string();
        let device = watched.device.map(|device| format!("&device={}", encoded(device))).unwrap_or_default();
        let kinds = match watched.kinds {
            [] => String::new(),
            kinds => format!("&kinds={}", kinds.join(",")),
        };
        let query = format!("{device}{kinds}");
        let tried = "listen to the hub";
        let request = Request::new(tried, Method::GET, ["localhub", "events"]).query(&query);
        let response = self.begin(request.timeout(PATIENCE)).await?;
        let status = response.status();
        if !status.is_success() {
            let told = response.bytes().await.unwrap_or_default();
            return Err(HubError::refused(tried, status.as_u16(), None, &told));
        }
        Ok(EventLines { response, address: self.address(), buffer: Vec::new() })
    }
}

impl EventLines {
    /// The next event; none when the hub has ended the telling.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, HubError> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if let Some(event) = event(&line) {
                    return Ok(Some(event));
                }
            }
            if self.buffer.len() > LONGEST {
                let reason = format!("an event is longer than {LONGEST} bytes");
                return Err(HubError::Answer { tried: "listen to the hub".to_owned(), reason });
            }
            let more = self.response.chunk().await;
            match more.map_err(|error| HubError::unreachable("listen to the hub", &self.address, &error))? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// The event that a line holds. The hub writes each as one `data:` line of JSON.
fn event(line: &[u8]) -> Option<Value> {
    serde_json::from_slice(line.strip_prefix(b"data:")?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_a_line_of_data_and_everything_else_is_passed_over() {
        assert_eq!(event(b"data: {\"kind\":\"created\"}\n"), Some(json!({"kind": "created"})));
        assert_eq!(event(b"data:7\r\n"), Some(json!(7)));
        for line in [&b": ping\n"[..], b"\n", b"event: x\n", b"id: 7\n", b"data: {\n"] {
            assert_eq!(event(line), None);
        }
    }
}
