//! What can go wrong for a caller, with IoT Hub's code, name and text (`iothub.md` §6.8).
//!
//! One list serves both doors: REST turns a [`Fault`] into a status, a header and one of the two body forms;
//! MQTT turns it into the status and error body of a twin answer. The code's first three digits are the HTTP
//! status, as IoT Hub has it.

use std::time::Duration;

use rand::Rng as _;
use serde_json::{Value, json};

use crate::clock;

/// A refusal or failure, as a caller sees it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// Something in the request has a value that cannot be.
    #[error("{0}")]
    ArgumentInvalid(String),
    /// The body is not what the endpoint reads.
    #[error("{0}")]
    Format(String),
    /// The device connected anew while it was to answer a direct method.
    #[error("the device connected anew; this call was on its former connection")]
    LinkReplaced,
    /// No token, a bad token, or one whose policy lacks the right.
    #[error("Unauthorized")]
    Unauthorized(String),
    /// As many messages as a device's inbox holds are waiting for it.
    #[error("{0}")]
    QueueFull(String),
    /// The device has as many modules as one may have.
    #[error("{0}")]
    TooManyModules(String),
    /// The lock under which something was read has run out or was never given.
    #[error("{0}")]
    LockLost(String),
    /// There is no such device.
    #[error("device {0} is not registered")]
    DeviceNotFound(String),
    /// There is no such module.
    #[error("module {0} is not registered")]
    ModuleNotFound(String),
    /// There is no such job.
    #[error("job {0} does not exist")]
    JobNotFound(String),
    /// A job of this name exists.
    #[error("job {0} exists already")]
    JobAlreadyExists(String),
    /// There is no such configuration.
    #[error("configuration {0} does not exist")]
    ConfigurationNotFound(String),
    /// A configuration of this name exists.
    #[error("configuration {0} exists already; to change it, send its entity tag or * as If-Match")]
    ConfigurationAlreadyExists(String),
    /// A configuration sets what it set at first.
    #[error("the content of configuration {0} cannot be changed; make another configuration")]
    ConfigurationContentFixed(String),
    /// What a configuration sets is no content.
    #[error("{0}")]
    ConfigurationContent(String),
    /// A configuration's target condition cannot be read.
    #[error("{0}")]
    ConfigurationTarget(String),
    /// One of a configuration's custom metrics cannot be counted.
    #[error("{0}")]
    ConfigurationMetric(String),
    /// There are as many configurations as there may be.
    #[error("there are {0} configurations, and more than that there cannot be; delete one")]
    TooManyConfigurations(usize),
    /// One device stands twice in one list of operations.
    #[error("{0} stands in the list more than once")]
    DefinedTwice(String),
    /// IoT Hub has this and the hub has not.
    #[error("{0}")]
    NotSupported(String),
    /// The hub keeps no more of these.
    #[error("{0}")]
    QuotaExceeded(String),
    /// The path leads nowhere.
    #[error("{0}")]
    NotFound(String),
    /// The device is not connected, or does not take direct methods.
    #[error("Timed out waiting for device to connect.")]
    DeviceNotOnline(Duration),
    /// The endpoint does not take this verb.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// The body did not arrive in time.
    #[error("{0}")]
    RequestTimeout(String),
    /// An identity of this name exists.
    #[error("device {0} is already registered")]
    DeviceAlreadyExists(String),
    /// `If-Match` or `$version` names another state than the present one.
    #[error("{0}")]
    PreconditionFailed(String),
    /// A body is larger than allowed.
    #[error("{0}")]
    TooLarge(String),
    /// Asked more often than allowed; to be asked again later.
    #[error("{text}")]
    Throttled {
        /// What there was too much of.
        text: String,
        /// Whether a direct method met it: those answer in the newer form.
        method: bool,
    },
    /// The hub is full.
    #[error("{0}")]
    Unavailable(String),
    /// The device did not answer in time.
    #[error("Timed out waiting for the response from device.")]
    GatewayTimeout(Duration),
    /// The hub's own trouble; the text says which.
    #[error("{0}")]
    Internal(String),
}

impl Fault {
    /// IoT Hub's number: HTTP status × 1000 + n.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.entry().0
    }

    /// IoT Hub's name, as in the header `iothub-errorcode`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.entry().1
    }

    /// The HTTP status, which is also the status of a twin answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        u16::try_from(self.code() / 1000).unwrap_or(500)
    }

    fn entry(&self) -> (u32, &'static str) {
        match self {
            Self::ArgumentInvalid(_) => (400_004, "ArgumentInvalid"),
            Self::Format(_) => (400_006, "IotHubFormatError"),
            Self::LinkReplaced => (400_027, "ConnectionForcefullyClosedOnNewConnection"),
            Self::DefinedTwice(_) => (400_011, "DeviceDefinedMultipleTimes"),
            // Of these IoT Hub publishes the names and not the numbers.
            Self::ConfigurationTarget(_) => (400_101, "InvalidConfigurationTargetCondition"),
            Self::ConfigurationContent(_) => (400_102, "InvalidConfigurationContent"),
            Self::ConfigurationContentFixed(_) => (400_103, "CannotModifyImmutableConfigurationContent"),
            Self::ConfigurationMetric(_) => (400_104, "InvalidConfigurationCustomMetricsQuery"),
            Self::ConfigurationNotFound(_) => (404_101, "ConfigurationNotFound"),
            Self::ConfigurationAlreadyExists(_) => (409_101, "ConfigurationAlreadyExists"),
            Self::TooManyConfigurations(_) => (413_101, "ConfigurationCountLimitExceeded"),
            Self::NotSupported(_) => (404_013, "FeatureNotSupported"),
            Self::Unauthorized(_) => (401_002, "IotHubUnauthorizedAccess"),
            Self::QueueFull(_) => (403_004, "DeviceMaximumQueueDepthExceeded"),
            Self::TooManyModules(_) => (403_005, "TooManyModulesOnDevice"),
            Self::DeviceNotFound(_) => (404_001, "DeviceNotFound"),
            Self::JobNotFound(_) => (404_002, "JobNotFound"),
            Self::JobAlreadyExists(_) => (409_000, "JobAlreadyExists"),
            Self::QuotaExceeded(_) => (403_002, "IotHubQuotaExceeded"),
            Self::ModuleNotFound(_) => (404_010, "ModuleNotFound"),
            Self::NotFound(_) => (404_000, "NotFound"),
            Self::DeviceNotOnline(_) => (404_103, "DeviceNotOnline"),
            Self::MethodNotAllowed(_) => (405_000, "MethodNotAllowed"),
            Self::RequestTimeout(_) => (408_000, "RequestTimeout"),
            Self::DeviceAlreadyExists(_) => (409_001, "DeviceAlreadyExists"),
            Self::PreconditionFailed(_) => (412_001, "PreconditionFailed"),
            Self::LockLost(_) => (412_002, "DeviceMessageLockLost"),
            Self::TooLarge(_) => (413_001, "MessageTooLarge"),
            Self::Throttled { .. } => (429_001, "ThrottlingException"),
            Self::Unavailable(_) => (503_001, "ServiceUnavailable"),
            Self::GatewayTimeout(_) => (504_101, "GatewayTimeout"),
            Self::Internal(_) => (500_001, "ServerError"),
        }
    }

    /// The body of a REST answer. Direct methods answer in the newer form, whose `Message` is JSON in a string;
    /// everything else in the older one, from which the Node SDK reads the name.
    #[must_use]
    pub fn rest_body(&self) -> Value {
        match self {
            Self::DeviceNotOnline(wait) | Self::GatewayTimeout(wait) => {
                self.newer_form(&json!({"timeout": hours(*wait)}))
            }
            Self::LinkReplaced | Self::Throttled { method: true, .. } => self.newer_form(&json!({})),
            _ => json!({
                "Message": format!("ErrorCode:{};{self}", self.name()),
                "ExceptionMessage": format!("Tracking ID:{}", tracking_id()),
            }),
        }
    }

    fn newer_form(&self, info: &Value) -> Value {
        let message = json!({
            "errorCode": self.code(),
            "trackingId": tracking_id(),
            "message": self.to_string(),
            "info": info,
            "timestampUtc": clock::now_text(),
        });
        json!({"Message": message.to_string(), "ExceptionMessage": ""})
    }

    /// The body of a failed twin answer over MQTT: some SDKs read the failure from here only.
    #[must_use]
    pub fn twin_body(&self) -> Value {
        json!({
            "errorCode": self.code(),
            "trackingId": tracking_id(),
            "message": self.to_string(),
            "timestampUtc": clock::now_text(),
        })
    }
}

/// `{32 hex}-G:{n}-TimeStamp:{time}`: nothing more than something to quote.
fn tracking_id() -> String {
    let number = rand::rng().random::<u128>();
    format!("{number:032x}-G:0-TimeStamp:{}", clock::now().strftime("%m/%d/%Y %H:%M:%S"))
}

fn hours(wait: Duration) -> String {
    let seconds = wait.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_body_forms_carry_code_and_name_where_sdks_look_for_them() {
        let registry = Fault::DeviceNotFound("d".into()).rest_body();
        assert!(registry["Message"].as_str().unwrap().starts_with("ErrorCode:DeviceNotFound;"));
        let method = Fault::DeviceNotOnline(Duration::from_secs(65)).rest_body();
        let inner: Value = serde_json::from_str(method["Message"].as_str().unwrap()).unwrap();
        assert_eq!(inner["errorCode"], 404_103);
        assert_eq!(inner["info"]["timeout"], "00:01:05");
        assert_eq!(method["ExceptionMessage"], "");
    }
}
