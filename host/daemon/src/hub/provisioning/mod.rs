//! How a device finds its hub: it asks the provisioning service (DPS), and keeps the answer.
//!
//! Promise: a device that has been assigned once comes up without asking again, over restarts and power cuts: the
//! assignment is durable before it is used. (Where it cannot be stored, the log says so, the device comes up all the
//! same, and the next start asks.) It is asked for anew where the hub does not know the device any more, and where
//! another service, scope or registration is configured. Registering never gives up; what is wrong is logged each time
//! with what to do about it. (iothub.md §7, §8.2)
//!
//! The credential is the same for the service and the hub: the device's key, or its certificate. A group's key is never
//! kept: the configuration derives the device's own from it.
//!
//! What it does not do: TPMs, payloads for custom allocation, moving the twin from one hub to the next.

mod exchange;
mod settings;
mod wire;

use std::time::Duration;

use hotshoe_core::connection_string::{ConnectionString, Credential};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

pub use self::settings::{ProvisioningKey, ProvisioningSettings};
use self::wire::Failed;
use super::HubError;
use super::backoff::Backoff;
use crate::state::{StateDir, StateError};

/// The file of the assignment.
const ASSIGNMENT: &str = "assignment";
/// Between two tries to register. The service takes some hundred a minute from a whole fleet.
const PAUSE: Backoff = Backoff {
    floor: Duration::from_secs(2),
    base: Duration::from_secs(10),
    cap: Duration::from_secs(15 * 60),
};

/// Which hub a device belongs to, and as whom.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The host name of the hub.
    pub hub: String,
    /// The device's id there.
    pub device: String,
}

/// What is kept: the answer, and to which question.
#[derive(Serialize, Deserialize)]
struct Kept {
    service: String,
    id_scope: String,
    registration_id: String,
    assignment: Assignment,
}

/// Asks the provisioning service, and keeps what it says.
pub struct Provisioner {
    settings: ProvisioningSettings,
    state: StateDir,
}

impl Provisioner {
    /// Takes over a directory of its own. Nothing is asked yet.
    ///
    /// # Errors
    /// Where no token can be made from the key, or the certificate is none.
    pub fn new(settings: ProvisioningSettings, state: StateDir) -> Result<Provisioner, HubError> {
        exchange::check(&settings)?;
        Ok(Provisioner { settings, state })
    }

    /// What was assigned before, to this registration at this service.
    pub fn kept(&self) -> Result<Option<Assignment>, StateError> {
        let ProvisioningSettings { host, id_scope, registration_id, .. } = &self.settings;
        let same = |kept: &Kept| {
            (&kept.service, &kept.id_scope, &kept.registration_id) == (host, id_scope, registration_id)
        };
        Ok(self.state.read::<Kept>(ASSIGNMENT)?.filter(same).map(|kept| kept.assignment))
    }

    /// The connection string of an assigned device.
    pub fn connection(&self, assignment: &Assignment) -> ConnectionString {
        let credential = match &self.settings.key {
            ProvisioningKey::Symmetric(key) => Credential::Key { key: key.clone(), policy: None },
            ProvisioningKey::Certificate => Credential::X509,
        };
        ConnectionString {
            host: assignment.hub.clone(),
            port: None,
            device: Some(assignment.device.clone()),
            module: None,
            gateway: None,
            credential,
        }
    }

    /// Registers until it goes well. Durable when it returns.
    pub async fn register(&self) -> Assignment {
        let mut tries = 0_u32;
        loop {
            match self.register_once().await {
                Ok(assignment) => return assignment,
                Err(wait) => {
                    let wait = wait.unwrap_or_else(|| PAUSE.delay(tries, rand::random()));
                    tries = tries.saturating_add(1);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Registers, once. What went wrong is logged; the error is how long the service wants to be left alone.
    pub async fn register_once(&self) -> Result<Assignment, Option<Duration>> {
        let ProvisioningSettings { host, registration_id, .. } = &self.settings;
        let assignment = match exchange::register(&self.settings).await {
            Ok(assignment) => assignment,
            Err(error) => {
                tracing::error!(service = %host, registration = %registration_id, %error, "not provisioned");
                return Err(match error {
                    Failed::Later { after, .. } => after,
                    _ => None,
                });
            }
        };
        if let Err(error) = self.keep(assignment.clone()).await {
            tracing::error!(%error, "the assignment could not be stored; the next start asks for it again");
        }
        tracing::info!(hub = %assignment.hub, device = %assignment.device, "provisioned");
        Ok(assignment)
    }

    async fn keep(&self, assignment: Assignment) -> Result<(), StateError> {
        let ProvisioningSettings { host, id_scope, registration_id, .. } = &self.settings;
        let kept = Kept {
            service: host.clone(),
            id_scope: id_scope.clone(),
            registration_id: registration_id.clone(),
            assignment,
        };
        let state = self.state.clone();
        match spawn_blocking(move || state.write(ASSIGNMENT, &kept)).await {
            Ok(stored) => stored,
            // The runtime ends, and with it whoever would use it.
            Err(_) => Ok(()),
        }
    }
}
