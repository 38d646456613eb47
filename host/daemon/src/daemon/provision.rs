//! Which hub the device belongs to, at the start and later.
//!
//! A device that was assigned before starts with that and asks nobody. One that never was waits here, before anything
//! else begins: without an id there are no jobs to go on with and nobody to call it. Where a hub refuses the device, or
//! cannot be had at all, the service is asked again while the session goes on trying; another answer means another
//! start of the host, since half of it knows its id.

use std::sync::Arc;

use hotshoe_core::connection_string::ConnectionString;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::error::DaemonError;
use super::facts;
use crate::config::{HubConfig, HubSource};
use crate::hub::{Assignment, Provisioner, ProvisioningSettings, Setbacks, Transport};
use crate::state::StateDir;

/// After how many refusals in a row the service is asked, and after how many others. The second refusal is that of a
/// token just made; what else fails is the network, most of the time.
const REFUSALS: u32 = 2;
const CONNECTIONS: u32 = 10;

/// Who tells the device its hub.
pub(super) enum Source {
    /// Its configuration.
    Told(ConnectionString),
    /// The provisioning service.
    Asked(Provisioner),
}

impl Source {
    /// Takes the source out of the configuration. Nothing is asked yet.
    pub(super) fn open(config: &mut HubConfig, state: StateDir) -> Result<Source, DaemonError> {
        let provisioning = match &config.source {
            HubSource::Connection(connection) => return Ok(Source::Told(connection.clone())),
            HubSource::Provisioning(provisioning) => provisioning,
        };
        let clock = Arc::new(|| facts::now().as_secs());
        let mut settings = ProvisioningSettings::new(
            provisioning.id_scope.clone(),
            provisioning.registration_id.clone(),
            provisioning.key.clone(),
            Arc::clone(&provisioning.roots),
            clock,
        );
        if let Some(host) = &provisioning.host {
            settings.host.clone_from(host);
        }
        settings.port = provisioning.port;
        settings.transport = if config.web_socket { Transport::WebSocket } else { Transport::Mqtt };
        settings.client_certificate =
            config.certificate.as_ref().map(|(chain, key)| (chain.clone(), key.clone_key()));
        Ok(Source::Asked(Provisioner::new(settings, state)?))
    }

    /// The hub, as far as it is known without asking anybody.
    pub(super) fn known(&self) -> Result<Option<ConnectionString>, DaemonError> {
        match self {
            Source::Told(connection) => Ok(Some(connection.clone())),
            Source::Asked(provisioner) => {
                Ok(provisioner.kept()?.map(|assignment| provisioner.connection(&assignment)))
            }
        }
    }

    /// Asks until there is an answer.
    pub(super) async fn ask(&self) -> ConnectionString {
        match self {
            Source::Told(connection) => connection.clone(),
            Source::Asked(provisioner) => {
                tracing::info!("the device has no hub yet; asking the provisioning service");
                provisioner.connection(&provisioner.register().await)
            }
        }
    }

    /// Asks again whenever the hub does not take the device, which believes to be `here`. Cancels `again` where the
    /// answer has become another one, and is kept.
    pub(super) async fn follow(
        self,
        here: Assignment,
        mut setbacks: watch::Receiver<Setbacks>,
        retry: Arc<Notify>,
        again: CancellationToken,
    ) {
        let Source::Asked(provisioner) = self else { return };
        while setbacks.changed().await.is_ok() {
            let now = *setbacks.borrow_and_update();
            if !is_due(now) {
                continue;
            }
            tracing::warn!(?now, "the hub does not take the device; asking the provisioning service");
            match provisioner.register_once().await {
                Ok(assignment) if assignment == here => retry.notify_one(),
                // Another start would come back to the old one.
                Ok(assignment) if provisioner.kept().ok().flatten().as_ref() != Some(&assignment) => {}
                Ok(assignment) => {
                    tracing::warn!(hub = %assignment.hub, device = %assignment.device, "another hub; the host starts anew");
                    again.cancel();
                    return;
                }
                // It has been logged, and comes again with the next setback.
                Err(_) => {}
            }
        }
    }
}

fn is_due(now: Setbacks) -> bool {
    let refused = now.refusals >= REFUSALS && now.refusals.is_multiple_of(REFUSALS);
    refused || (now.connections > 0 && now.connections.is_multiple_of(CONNECTIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_asked_sooner_where_the_hub_refuses() {
        let due = |connections, refusals| is_due(Setbacks { connections, refusals });
        assert!(!due(0, 0) && !due(1, 1) && !due(9, 0));
        assert!(due(1, 2) && due(10, 0) && due(20, 1) && due(3, 4));
        assert!(!due(2, 3) && !due(11, 0));
    }
}
