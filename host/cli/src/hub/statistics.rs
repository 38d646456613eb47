//! Statistics (iothub.md §6.2).

use reqwest::Method;
use serde_json::Value;

use super::{Hub, HubError, Request};

impl Hub {
    /// How many devices there are: `totalDeviceCount`, `enabledDeviceCount`, `disabledDeviceCount`.
    pub(crate) async fn device_statistics(&self) -> Result<Value, HubError> {
        self.send(Request::new("count the devices", Method::GET, ["statistics", "devices"])).await
    }

    /// How many are connected: `connectedDeviceCount`.
    pub(crate) async fn service_statistics(&self) -> Result<Value, HubError> {
        self.send(Request::new("count the connections", Method::GET, ["statistics", "service"])).await
    }
}
