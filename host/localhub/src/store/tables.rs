//! The shapes of what is stored, as JSON under the identity's name.

use serde::{Deserialize, Serialize};

use crate::configurations::Configured;
use crate::identity::{Identity, Status};
use crate::twin::Twin;

/// An identity and its twin: made together, removed together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The registry's entry.
    pub identity: Identity,
    /// Its twin.
    pub twin: Twin,
    /// The digital twin model that the device announced when it connected last; empty if none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_id: String,
    /// How it stands to the configurations that target it.
    #[serde(default, skip_serializing_if = "Configured::is_empty")]
    pub(crate) configured: Configured,
}

impl Record {
    pub(crate) fn is_enabled(&self) -> bool {
        self.identity.status == Status::Enabled
    }

    #[cfg(test)]
    pub(crate) fn for_tests(name: &crate::identity::Name) -> Self {
        use crate::identity::{Authentication, AuthenticationKind, SymmetricKey, Thumbprints};
        Self {
            identity: Identity {
                device_id: name.device_id().into(),
                module_id: name.module_id().map(Into::into),
                managed_by: None,
                is_edge: false,
                generation_id: "1".into(),
                etag: "e".into(),
                status: Status::Enabled,
                status_reason: None,
                status_updated_time: None,
                authentication: Authentication {
                    kind: AuthenticationKind::Sas,
                    symmetric_key: SymmetricKey::default(),
                    x509_thumbprint: Thumbprints::default(),
                },
            },
            twin: Twin::new("now"),
            model_id: String::new(),
            configured: Configured::default(),
        }
    }
}

/// A session kept for a client that connected with clean session 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Its subscriptions, in the order in which they were made.
    pub filters: Vec<Filter>,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// The MQTT topic filter.
    pub filter: String,
    /// The granted quality of service, 0 or 1.
    pub qos: u8,
}
