//! Jobs of the hub: one call or one twin's change for many devices (iothub.md §6.7).

use reqwest::Method;
use serde_json::{Value, json};

use super::{Call, Hub, HubError, Request};

/// A job to be carried out by the hub, at once: it names no start, which would be a time of this machine's clock.
pub(crate) struct Job<'a> {
    /// Its id. The hub takes each only once.
    pub(crate) id: &'a str,
    /// For which devices: what stands after WHERE in a query, or `*`.
    pub(crate) condition: &'a str,
    /// What is done for each.
    pub(crate) work: Work<'a>,
    /// How long it may take, in seconds; what is not done by then is not done.
    pub(crate) limit: u64,
}

/// What a job does for each device.
pub(crate) enum Work<'a> {
    /// Calls a direct method; the call's device says nothing.
    Method(Call<'a>),
    /// Merges into tags and desired properties, whatever the etag.
    Twin(Value),
}

impl Hub {
    /// Hands a job to the hub. Fails when there is one of this id.
    pub(crate) async fn create_job(&self, job: Job<'_>) -> Result<Value, HubError> {
        let Job { id, condition, work, limit } = job;
        let mut body = json!({
            "jobId": id,
            "queryCondition": condition,
            "maxExecutionTimeInSeconds": limit,
        });
        let (kind, member, what) = match work {
            Work::Method(call) => ("scheduleDeviceMethod", "cloudToDeviceMethod", call.body()),
            Work::Twin(mut patch) => {
                if let Some(members) = patch.as_object_mut() {
                    members.insert("etag".to_owned(), json!("*"));
                }
                ("scheduleUpdateTwin", "updateTwin", patch)
            }
        };
        if let Some(members) = body.as_object_mut() {
            members.insert("type".to_owned(), json!(kind));
            members.insert(member.to_owned(), what);
        }
        let request = Request::new(format!("create job {id}"), Method::PUT, ["jobs", "v2", id]);
        self.send(request.body(body)).await
    }

    /// How a job stands.
    pub(crate) async fn job(&self, id: &str) -> Result<Value, HubError> {
        self.send(Request::new(format!("show job {id}"), Method::GET, ["jobs", "v2", id])).await
    }

    /// Cancels a job: devices that were not asked yet are not asked any more.
    pub(crate) async fn cancel_job(&self, id: &str) -> Result<Value, HubError> {
        let request = Request::new(format!("cancel job {id}"), Method::POST, ["jobs", "v2", id, "cancel"]);
        self.send(request.body(json!({}))).await
    }

    /// The jobs that the hub remembers, of a type and status where they are given.
    pub(crate) async fn jobs(
        &self,
        kind: Option<&str>,
        status: Option<&str>,
    ) -> Result<Vec<Value>, HubError> {
        let kind = kind.map(|kind| format!("&jobType={kind}")).unwrap_or_default();
        let status = status.map(|status| format!("&jobStatus={status}")).unwrap_or_default();
        self.pages("list the jobs", &["jobs", "v2", "query"], &format!("{kind}{status}")).await
    }

    /// What a job has come to, device by device.
    pub(crate) async fn job_devices(&self, id: &str) -> Result<Vec<Value>, HubError> {
        self.query(&format!("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{id}'")).await
    }
}
