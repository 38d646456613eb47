//! Twins of devices and modules (iothub.md §6.4).

use reqwest::Method;
use serde_json::Value;

use super::{Hub, HubError, Of, Request};

impl Hub {
    /// The whole twin, with metadata and versions.
    pub(crate) async fn twin(&self, of: Of<'_>) -> Result<Value, HubError> {
        self.send(Request::new(format!("show the twin of {of}"), Method::GET, of.path("twins", None))).await
    }

    /// Merges into tags and desired properties; the answer is the whole twin.
    pub(crate) async fn patch_twin(
        &self,
        of: Of<'_>,
        patch: Value,
        if_match: Option<&str>,
    ) -> Result<Value, HubError> {
        let request = Request::new(format!("patch the twin of {of}"), Method::PATCH, of.path("twins", None));
        self.send(request.body(patch).if_match(if_match)).await
    }

    /// Puts tags and desired properties in place of those there are; the answer is the whole twin.
    pub(crate) async fn replace_twin(
        &self,
        of: Of<'_>,
        twin: Value,
        if_match: Option<&str>,
    ) -> Result<Value, HubError> {
        let request = Request::new(format!("replace the twin of {of}"), Method::PUT, of.path("twins", None));
        self.send(request.body(twin).if_match(if_match)).await
    }
}
