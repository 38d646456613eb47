//! What can go wrong between an operator and a hub: what was tried, what came back, what to do.
//!
//! A hub says no in one of two forms (iothub.md §6.8): `Message` is `ErrorCode:Name;text`, or a *string that holds
//! JSON* with a number and a text. Both are read; whatever else stands there is shown as it is.

use serde_json::Value;

use crate::failure::{Exit, Failure};

/// Why the hub did not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum HubError {
    /// It was not reached, or the connection broke.
    #[error("could not {tried}: no answer from {address}: {cause}")]
    Unreachable {
        /// What was tried.
        tried: String,
        /// Host and port.
        address: String,
        /// The innermost causes.
        cause: String,
        /// Whether the time was up.
        timed_out: bool,
    },
    /// It said no.
    #[error("could not {tried}: HTTP {status}{}: {message}", shown_code(.code, .name))]
    Refused {
        /// What was tried.
        tried: String,
        /// The HTTP status.
        status: u16,
        /// IoT Hub's number: the status × 1000 and some.
        code: Option<u64>,
        /// IoT Hub's name for it.
        name: Option<String>,
        /// What it says.
        message: String,
    },
    /// It answered something that is not an answer.
    #[error("could not {tried}: the hub's answer does not read: {reason}")]
    Answer {
        /// What was tried.
        tried: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No token could be made.
    #[error("could not {tried}: no token can be made from the connection string: {reason}")]
    Token {
        /// What was tried.
        tried: String,
        /// Why.
        reason: String,
    },
    /// An etag, or another value, that cannot stand in a header.
    #[error("could not {tried}: {value:?} cannot stand in a header")]
    Header {
        /// What was tried.
        tried: String,
        /// What was given.
        value: String,
    },
}

fn shown_code(code: &Option<u64>, name: &Option<String>) -> String {
    match (code, name) {
        (Some(code), Some(name)) => format!(", {code} {name}"),
        (Some(code), None) => format!(", {code}"),
        (None, Some(name)) => format!(", {name}"),
        (None, None) => String::new(),
    }
}

impl HubError {
    pub(super) fn unreachable(tried: &str, address: &str, error: &reqwest::Error) -> Self {
        let mut causes = Vec::new();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let text = cause.to_string();
            // Wrappers repeat what they wrap.
            causes.retain(|earlier: &String| !earlier.contains(&text) && !text.contains(earlier.as_str()));
            causes.push(text);
            source = cause.source();
        }
        let timed_out = error.is_timeout();
        let cause = match (causes.is_empty(), timed_out) {
            (_, true) => "the time was up".to_owned(),
            (true, false) => error.to_string(),
            (false, false) => causes.join(": "),
        };
        HubError::Unreachable { tried: tried.to_owned(), address: address.to_owned(), cause, timed_out }
    }

    pub(super) fn refused(tried: &str, status: u16, header: Option<String>, body: &[u8]) -> Self {
        let Told { code, name, message } = Told::read(body);
        let name = name.or(header);
        let message = message.unwrap_or_else(|| "the hub gives no reason".to_owned());
        HubError::Refused { tried: tried.to_owned(), status, code, name, message }
    }

    /// Whether the same request may well succeed later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            HubError::Unreachable { .. } => true,
            HubError::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }

    /// The HTTP status, where the hub answered.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            HubError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    fn is(&self, number: u64, text: &str) -> bool {
        matches!(self, HubError::Refused { code, name, .. }
            if *code == Some(number) || (code.is_none() && name.as_deref() == Some(text)))
    }

    fn advice(&self) -> Option<(Exit, &'static str)> {
        let known = [
            (404_001, "DeviceNotFound", Exit::NoInput, "`hotshoe device list` shows the devices there are"),
            (
                404_103,
                "DeviceNotOnline",
                Exit::Unavailable,
                "it is not connected; wait for it with --connect-timeout 60s",
            ),
            (
                504_101,
                "GatewayTimeout",
                Exit::TempFail,
                "give it longer with --timeout, at most 300s; look at the device's log",
            ),
            (
                409_001,
                "DeviceAlreadyExists",
                Exit::Data,
                "`hotshoe device show` shows it; choose another id or delete it first",
            ),
            (
                412_001,
                "PreconditionFailed",
                Exit::TempFail,
                "it was changed meanwhile; look at it again and repeat with the new etag",
            ),
            (
                400_027,
                "ConnectionForcefullyClosedOnNewConnection",
                Exit::TempFail,
                "the device connected anew during the call; try again",
            ),
        ];
        let found = known.into_iter().find(|(number, text, _, _)| self.is(*number, text));
        found.map(|(_, _, exit, advice)| (exit, advice))
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        let (exit, hint) = match &error {
            HubError::Unreachable { timed_out: true, .. } => {
                (Exit::TempFail, "is the hub running, and is this the right port?")
            }
            HubError::Unreachable { cause, .. } if cause.contains("certificate") => (
                Exit::Config,
                "trust the hub's own authority with --ca FILE, and connect by the name in its certificate",
            ),
            HubError::Unreachable { .. } => {
                (Exit::Unavailable, "is the hub running, and are HostName and port right?")
            }
            HubError::Refused { status, .. } => error.advice().unwrap_or(match status {
                401 | 403 => (
                    Exit::NoPermission,
                    "check the policy and key of the connection string, and this machine's clock",
                ),
                404 => (Exit::NoInput, "check the name, and that the connection string is of the right hub"),
                408 | 429 | 500.. => (Exit::TempFail, "wait a little and try again"),
                _ => (Exit::Data, "the hub does not take this; its message says why"),
            }),
            HubError::Answer { .. } => (Exit::Software, "is this an IoT Hub?"),
            HubError::Token { .. } => (Exit::Config, "copy the connection string again"),
            HubError::Header { .. } => (Exit::Usage, "is this an etag? `hotshoe twin show` shows it"),
        };
        let mut failure = Failure::new(exit, error.to_string()).hint(hint);
        if let HubError::Refused { status, code, name, .. } = error {
            failure.status = Some(status);
            failure.code = code.map(|code| code.to_string()).or(name);
        }
        failure
    }
}

/// What an error body tells.
#[derive(Default, Debug, PartialEq)]
struct Told {
    code: Option<u64>,
    name: Option<String>,
    message: Option<String>,
}

impl Told {
    fn read(body: &[u8]) -> Told {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(body).trim().chars().take(500).collect::<String>();
            return Told { message: (!text.is_empty()).then_some(text), ..Told::default() };
        };
        let member = |names: [&str; 2]| names.into_iter().find_map(|name| value.get(name)).cloned();
        match member(["Message", "message"]) {
            Some(Value::String(text)) => match serde_json::from_str::<Value>(&text) {
                Ok(inner @ Value::Object(_)) => Told::inner(&inner),
                _ => Told::prefixed(&text),
            },
            Some(inner @ Value::Object(_)) => Told::inner(&inner),
            _ => Told { message: Some(value.to_string().chars().take(500).collect()), ..Told::default() },
        }
    }

    /// `{"errorCode": 404103, "message": "…"}`
    fn inner(value: &Value) -> Told {
        let message = value.get("message").and_then(Value::as_str).map(str::to_owned);
        Told {
            code: value.get("errorCode").and_then(Value::as_u64),
            name: None,
            message: message.or_else(|| Some(value.to_string())),
        }
    }

    /// `ErrorCode:DeviceNotFound;…`
    fn prefixed(text: &str) -> Told {
        match text.strip_prefix("ErrorCode:").map(|rest| rest.split_once(';').unwrap_or((rest, ""))) {
            Some((name, rest)) => {
                let message = if rest.trim().is_empty() { name } else { rest.trim() };
                Told { code: None, name: Some(name.to_owned()), message: Some(message.to_owned()) }
            }
            None => Told { message: Some(text.to_owned()), ..Told::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, header: Option<&str>, body: &str) -> Failure {
        HubError::refused("show device d", status, header.map(str::to_owned), body.as_bytes()).into()
    }

    #[test]
    fn the_older_form() {
        let body = r#"{"Message":"ErrorCode:DeviceNotFound;device d is not registered","ExceptionMessage":"Tracking ID:0-G:1"}"#;
        let failure = told(404, Some("DeviceNotFound"), body);
        assert_eq!(
            failure.text,
            "could not show device d: HTTP 404, DeviceNotFound: device d is not registered"
        );
        assert_eq!(failure.exit, Exit::NoInput);
        assert!(failure.hint.unwrap().contains("device list"));
        let failure = told(401, None, r#"{"Message":"ErrorCode:IotHubUnauthorizedAccess;Unauthorized"}"#);
        assert_eq!(failure.exit, Exit::NoPermission);
        assert_eq!(failure.code.as_deref(), Some("IotHubUnauthorizedAccess"));
    }

    #[test]
    fn the_newer_form() {
        let inner = r#"{\"errorCode\":404103,\"trackingId\":\"x\",\"message\":\"Timed out waiting for device to connect.\",\"info\":{\"timeout\":\"00:00:00\"}}"#;
        let failure =
            told(404, Some("DeviceNotOnline"), &format!(r#"{{"Message":"{inner}","ExceptionMessage":""}}"#));
        assert_eq!(
            failure.text,
            "could not show device d: HTTP 404, 404103 DeviceNotOnline: Timed out waiting for device to connect."
        );
        assert_eq!(
            (failure.exit, failure.status, failure.code.as_deref()),
            (Exit::Unavailable, Some(404), Some("404103"))
        );
        assert!(failure.hint.unwrap().contains("--connect-timeout"));
    }

    #[test]
    fn anything_else_is_shown_as_it_is() {
        assert!(
            told(502, None, "<html>Bad Gateway</html>").text.ends_with("HTTP 502: <html>Bad Gateway</html>")
        );
        assert!(told(500, None, "").text.ends_with("HTTP 500: the hub gives no reason"));
        assert!(told(400, None, r#"{"Message":"plainly wrong"}"#).text.ends_with("HTTP 400: plainly wrong"));
        assert!(told(400, None, r#"[1]"#).text.ends_with("HTTP 400: [1]"));
        assert!(
            told(400, None, r#"{"Message":"ErrorCode:ArgumentInvalid"}"#)
                .text
                .ends_with("400, ArgumentInvalid: ArgumentInvalid")
        );
        assert_eq!(told(429, None, "").exit, Exit::TempFail);
    }
}
