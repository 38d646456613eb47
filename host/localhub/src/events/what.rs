//! What there is to tell, borrowed from whoever tells it.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::Kind;
use crate::identity::Status;
use crate::wirelog::Packet;

/// What happened. Its members become members of the event's JSON, beside `kind`.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum What<'a> {
    /// A device connected.
    Connected,
    /// Its connection ended.
    Disconnected {
        /// Why, for people.
        reason: &'a str,
    },
    /// It sent a message, or its will did.
    Telemetry {
        /// The property bag of the topic, undecoded.
        properties: &'a str,
        /// The body.
        body: Text<'a>,
    },
    /// A section of its twin changed.
    Twin {
        /// Which.
        section: Section,
        /// The section's `$version`; for tags that of the twin.
        version: u64,
        /// What was merged into it, or what it is now if it was replaced.
        patch: &'a Value,
        /// True when all that was there before is gone.
        replaced: bool,
    },
    /// A direct method came to its end.
    Method {
        /// Its name.
        name: &'a str,
        /// The device's status; `None` if it did not answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<i32>,
        /// The name of the fault, if it did not.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
        /// From the call to its end, waiting for the device included.
        milliseconds: u64,
    },
    /// An identity was made.
    Created,
    /// An identity was changed.
    Updated {
        /// Whether it may connect now.
        status: Status,
    },
    /// An identity was deleted.
    Deleted,
    /// A job changed its state.
    Job {
        /// Its id.
        id: &'a str,
        /// As jobs say it: `queued`, `running`, `completed`…
        status: &'a str,
    },
    /// A configuration was made, changed or deleted, or its figures changed.
    Configuration {
        /// Its id.
        id: &'a str,
    },
    /// A packet crossed the wire.
    Packet(&'a Packet),
}

impl What<'_> {
    /// The kind of event that this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Connected => Kind::Connected,
            Self::Disconnected { .. } => Kind::Disconnected,
            Self::Telemetry { .. } => Kind::Telemetry,
            Self::Twin { .. } => Kind::Twin,
            Self::Method { .. } => Kind::Method,
            Self::Created => Kind::Created,
            Self::Updated { .. } => Kind::Updated,
            Self::Deleted => Kind::Deleted,
            Self::Job { .. } => Kind::Job,
            Self::Configuration { .. } => Kind::Configuration,
            Self::Packet(_) => Kind::Packet,
        }
    }
}

/// A section of a twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// What operators wish.
    Desired,
    /// What the device says.
    Reported,
    /// What operators note.
    Tags,
}

/// Bytes that are shown as text; what is not UTF-8 in them becomes U+FFFD.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(pub &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0))
    }
}
