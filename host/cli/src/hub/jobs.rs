//! Jobs of the hub: one call or one twin's change for many devices (iothub.md §6.7).

use reqwest::Method;
use serde_json::{Value, json};

use super::{Hub, HubError, Request};

impl Hub {
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
