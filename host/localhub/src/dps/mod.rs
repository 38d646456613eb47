//! Provisioning: a device that knows an id scope and a secret learns its hub and its name (`iothub.md` §7).
//!
//! It is served on the hub's own MQTT port and WebSocket path: a client whose user name is
//! `{idScope}/registrations/{registrationId}/api-version=…` gets a session of [`crate::mqtt`]'s `registration`, which
//! can register and ask how that went, and nothing else. The SDKs' provisioning clients work with the hub's host as
//! their provisioning host. Devices are assigned to this hub; `iotHubHostName` sends them to another one, where their
//! identity must have been made.
//!
//! How to use it:
//!
//! 1. Read the id scope from the ready line (`idScope`), from `GET /localhub/hub`, or from `Running::id_scope`.
//! 2. Make an enrollment, as the owner, in the shape of the provisioning service's own REST:
//!    - `PUT /localhub/enrollments/{registrationId}` for one device,
//!      `{"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": …, "secondaryKey": …}}}` (keys left out
//!      are made and answered) or
//!      `{"attestation": {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": PEM}}}}}`;
//!    - `PUT /localhub/enrollmentGroups/{groupId}` for many: with `symmetricKey` a device's key is
//!      base64(HMAC-SHA256(group key, registration id)); with `x509` and `signingCertificates` its certificate is
//!      signed by that authority and its common name is the registration id.
//!    - More members: `deviceId` (individual only; otherwise the registration id), `provisioningStatus` (`enabled` or
//!      `disabled`), `initialTwin` (`{"tags", "properties": {"desired"}}`), `iotHubHostName`, `payload` (ours: any
//!      JSON for the device).
//! 3. The device publishes `$dps/registrations/PUT/iotdps-register/?$rid=1` with `{"registrationId", "payload"?}`, hears
//!    202 with `operationId` and `retry-after`, asks, and hears 200 with `registrationState.assignedHub` and `deviceId`.
//!    It then connects to the hub with the key or certificate that it registered with: the identity has the same.
//! 4. `GET /localhub/registrations/{registrationId}` shows how it went, `DELETE` forgets it.
//!
//! From Rust: `Running::enroll(id, json)` and `Running::enroll_group(id, json)` take the same JSON and give the
//! enrollment back with its keys; [`device_key`] derives a key of a group.
//!
//! A device that registers again keeps its twin; only its proof is brought up to date. The identity is durable before
//! the registration is, so a hub that is killed between the two does the same again. What the service has and this has
//! not: allocation policies and webhooks, TPM, identities made in other hubs, certificates issued by it.

mod attest;
mod enrollment;
mod register;
mod topics;

/// The key of one device of an enrollment group.
pub use hotshoe_core::sas::derived_key as device_key;

pub(crate) use self::attest::{Claim, Proven};
pub(crate) use self::enrollment::{Enrollment, Kind, WantedEnrollment};
pub(crate) use self::register::Registration;
pub(crate) use self::topics::{RESPONSES, Request, UserName, response};
use crate::store::{Store, StoreError};

/// The hub's id scope, in the form of the service's: made once.
pub(crate) fn load_or_make_id_scope(store: &Store) -> Result<String, StoreError> {
    if let Some(id_scope) = store.setting("id-scope")? {
        return Ok(id_scope);
    }
    let id_scope = format!("0ne{:08X}", rand::random::<u32>());
    store.keep_setting("id-scope", &id_scope)?;
    Ok(id_scope)
}
