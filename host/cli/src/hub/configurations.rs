//! Automatic configurations (iothub.md §6.9).

use reqwest::Method;
use serde_json::Value;

use super::{Hub, HubError, Request, devices::array};

impl Hub {
    /// All configurations, at most a hundred: a hub has no more.
    pub(crate) async fn configurations(&self) -> Result<Vec<Value>, HubError> {
        let tried = "list the configurations";
        let request = Request::new(tried, Method::GET, ["configurations"]).query("&top=100");
        array(tried, self.send(request).await?)
    }

    /// One configuration, with its metrics.
    pub(crate) async fn configuration(&self, id: &str) -> Result<Value, HubError> {
        self.send(Request::new(format!("show configuration {id}"), Method::GET, ["configurations", id])).await
    }

    /// Makes a configuration, or with an etag writes over the one that has it; `*` is whichever.
    pub(crate) async fn put_configuration(
        &self,
        id: &str,
        configuration: Value,
        etag: Option<&str>,
    ) -> Result<Value, HubError> {
        let tried = format!("{} configuration {id}", if etag.is_some() { "update" } else { "create" });
        let request = Request::new(tried, Method::PUT, ["configurations", id]);
        self.send(request.body(configuration).if_match(etag)).await
    }

    /// Deletes a configuration; devices lose what it had set.
    pub(crate) async fn delete_configuration(&self, id: &str) -> Result<(), HubError> {
        let tried = format!("delete configuration {id}");
        let request = Request::new(tried, Method::DELETE, ["configurations", id]);
        self.send(request.if_match(Some("*"))).await.map(drop)
    }
}
