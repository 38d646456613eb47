//! Registering: the identity is made or brought up to date, and how that went is kept.

use std::sync::Arc;

use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::attest::MOST_GROUPS;
use super::{Enrollment, Kind, Proven, WantedEnrollment};
use crate::clock;
use crate::configurations::Configured;
use crate::events::What;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::{Identity, Name, Status, generate_etag, generate_generation};
use crate::store::Record;
use crate::twin::Twin;

/// How many individual enrollments there may be.
const MOST_INDIVIDUAL: usize = 100_000;

/// How a registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Assigned,
    Failed,
    Disabled,
}

/// A registration as it is kept: the service's `registrationState` and the operation that led to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registration {
    pub(crate) registration_id: String,
    pub(crate) operation_id: String,
    pub(crate) status: State,
    pub(crate) created_date_time_utc: String,
    pub(crate) last_updated_date_time_utc: String,
    pub(crate) etag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) enrollment_group_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) assigned_hub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) substatus: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_code: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_message: Option<String>,
    /// For the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<Value>,
    /// From the device; shown to operators alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device_payload: Option<Value>,
}

impl Registration {
    /// The body of the answer to a device that asks how it went.
    pub(crate) fn told(&self) -> Value {
        let mut state = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(members) = &mut state {
            members.remove("operationId");
            members.remove("devicePayload");
            if let Some(group) = members.remove("enrollmentGroupId") {
                members.insert("symmetricKey".into(), json!({"enrollmentGroupId": group}));
            }
        }
        json!({"operationId": self.operation_id, "status": self.status, "registrationState": state})
    }
}

impl Hub {
    /// Registers a client that proved itself; the result is durable. What the client did wrong, or the operator, is in
    /// the registration; an error is the hub's own trouble, or an enrollment that was removed meanwhile.
    pub(crate) async fn register(
        self: &Arc<Self>,
        proven: Proven,
        payload: Option<Value>,
    ) -> Result<Registration, Fault> {
        self.blocking(move |hub| {
            let id = &proven.registration_id;
            let gone = || Fault::Unauthorized(format!("the enrollment of {id} was removed"));
            let enrollment = hub.store.enrollment(proven.kind, &proven.enrollment_id)?.ok_or_else(gone)?;
            let before = hub.store.registration(id)?;
            let now = clock::now_text();
            let mut registration = Registration {
                registration_id: id.clone(),
                operation_id: make_operation_id(),
                status: State::Disabled,
                created_date_time_utc: before
                    .as_ref()
                    .map_or_else(|| now.clone(), |before| before.created_date_time_utc.clone()),
                last_updated_date_time_utc: now,
                etag: generate_etag(),
                enrollment_group_id: enrollment.enrollment_group_id.clone(),
                assigned_hub: None,
                device_id: None,
                substatus: None,
                error_code: None,
                error_message: None,
                payload: None,
                device_payload: payload,
            };
            if enrollment.provisioning_status == Status::Enabled {
                match hub.assign(&enrollment, &proven) {
                    Ok((name, is_new)) => {
                        let substatus = if is_new { "initialAssignment" } else { "deviceDataMigrated" };
                        let elsewhere = enrollment.iot_hub_host_name.clone();
                        registration.status = State::Assigned;
                        registration.assigned_hub = Some(elsewhere.unwrap_or_else(|| hub.host.clone()));
                        registration.device_id = Some(name.to_string());
                        registration.substatus = Some(substatus.into());
                        registration.payload = enrollment.payload;
                    }
                    Err(fault) => {
                        registration.status = State::Failed;
                        registration.error_code = Some(fault.code());
                        registration.error_message = Some(fault.to_string());
                    }
                }
            }
            hub.store.keep_registration(id, Some(&registration))?;
            Ok(registration)
        })
        .await
    }

    /// Makes the identity, or gives the present one the proof that the client has now; in another hub nothing is made.
    /// True if it is new.
    fn assign(&self, enrollment: &Enrollment, proven: &Proven) -> Result<(Name, bool), Fault> {
        let id = enrollment.device_id.as_ref().unwrap_or(&proven.registration_id);
        let name = Name::device(id)?;
        if enrollment.iot_hub_host_name.as_ref().is_some_and(|host| *host != self.host) {
            return Ok((name, false));
        }
        let change = |record: &mut Option<Record>| {
            if let Some(record) = record {
                record.identity.authentication = proven.authentication.clone();
                record.identity.etag = generate_etag();
                return Ok(What::Updated { status: record.identity.status });
            }
            let mut twin = Twin::new(&clock::now_text());
            if let Some(initial) = &enrollment.initial_twin {
                twin.change(initial, false, &clock::now_text())?;
            }
            let identity = Identity {
                device_id: id.clone(),
                module_id: None,
                managed_by: None,
                is_edge: false,
                generation_id: generate_generation(),
                etag: generate_etag(),
                status: Status::Enabled,
                status_reason: None,
                status_updated_time: None,
                authentication: proven.authentication.clone(),
            };
            let configured = Configured::default();
            *record = Some(Record { identity, twin, model_id: String::new(), configured });
            Ok(What::Created)
        };
        let what = self.change_record(&name, change, |what| self.events.tell(&name, what))?;
        Ok((name, matches!(what, What::Created)))
    }

    /// Makes an enrollment or replaces it; what is not said about keys stays. `tag` is an entity tag that it must have.
    pub(crate) async fn enroll(
        self: &Arc<Self>,
        kind: Kind,
        id: String,
        wanted: WantedEnrollment,
        tag: Option<String>,
    ) -> Result<Enrollment, Fault> {
        self.blocking(move |hub| {
            let present = hub.store.enrollment(kind, &id)?;
            let most = if kind == Kind::Group { MOST_GROUPS } else { MOST_INDIVIDUAL };
            match &present {
                Some(present) => crate::hub::check_tag(tag.as_deref(), &present.etag)?,
                None if hub.store.count_enrollments(kind)? >= most => {
                    return Err(Fault::ArgumentInvalid(format!("there are {most} enrollments; remove one")));
                }
                None => {}
            }
            let enrollment = wanted.complete(kind, &id, present.as_ref())?;
            hub.store.keep_enrollment(kind, &id, Some(&enrollment))?;
            Ok(enrollment)
        })
        .await
    }
}

fn make_operation_id() -> String {
    let mut random = rand::rng();
    format!("4.{:016x}.{:032x}", random.random::<u64>(), random.random::<u128>())
}
