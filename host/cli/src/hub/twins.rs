//! Twins (iothub.md §6.4).

use reqwest::Method;
use serde_json::Value;

use super::{Hub, HubError, Request};

impl Hub {
    /// The whole twin, with metadata and versions.
    pub(crate) async fn twin(&self, device: &str) -> Result<Value, HubError> {
        self.send(Request::new(format!("show the twin of {device}"), Method::GET, &["twins", device])).await
    }

    /// Merges into tags and desired properties; the answer is the whole twin.
    pub(crate) async fn patch_twin(
        &self,
        device: &str,
        patch: Value,
        if_match: Option<&str>,
    ) -> Result<Value, HubError> {
        let path = ["twins", device];
        let request = Request::new(format!("patch the twin of {device}"), Method::PATCH, &path);
        self.send(request.body(patch).if_match(if_match)).await
    }
}
