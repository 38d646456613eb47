//! Direct methods over REST (`iothub.md` §6.3).

use std::fmt;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Service;
use super::address::Path;
use super::json::{Json, answer};
use crate::fault::Fault;
use crate::identity::Name;
use crate::invoke::Invocation;
use crate::policies::Right;

/// The request's body; members that are not here are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Call {
    #[serde(default)]
    method_name: Option<String>,
    #[serde(default)]
    payload: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "seconds")]
    response_timeout_in_seconds: Option<u64>,
    #[serde(default, deserialize_with = "seconds")]
    connect_timeout_in_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Answer<'a> {
    status: i32,
    payload: &'a RawValue,
}

pub(super) async fn invoke(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(call): Json<Call>,
) -> Result<Response, Fault> {
    invoke_named(&service, &Name::device(&id)?, &headers, call).await
}

pub(super) async fn invoke_module(
    State(service): State<Service>,
    Path((id, module)): Path<(String, String)>,
    headers: HeaderMap,
    Json(call): Json<Call>,
) -> Result<Response, Fault> {
    invoke_named(&service, &Name::module(&id, &module)?, &headers, call).await
}

impl Call {
    /// Reads the body of a call.
    pub(crate) fn read(text: &str) -> Result<Self, Fault> {
        serde_json::from_str(text)
            .map_err(|error| Fault::Format(format!("this is no call of a method: {error}")))
    }

    /// The call, its time-outs checked.
    pub(crate) fn invocation(self) -> Result<Invocation, Fault> {
        let method =
            self.method_name.ok_or_else(|| Fault::ArgumentInvalid("methodName is missing".into()))?;
        let response = self.response_timeout_in_seconds.unwrap_or(30);
        let connect = self.connect_timeout_in_seconds.unwrap_or(0);
        within("responseTimeoutInSeconds", response, 5)?;
        within("connectTimeoutInSeconds", connect, 0)?;
        Ok(Invocation {
            method,
            payload: self.payload,
            response_timeout: Duration::from_secs(response),
            connect_timeout: Duration::from_secs(connect),
        })
    }
}

async fn invoke_named(
    service: &Service,
    name: &Name,
    headers: &HeaderMap,
    call: Call,
) -> Result<Response, Fault> {
    service.authorize(headers, Right::ServiceConnect, &name.resource())?;
    let answered = service.hub.invoke(name, call.invocation()?).await?;
    let body = Answer { status: answered.status, payload: &answered.payload };
    let text = serde_json::to_string(&body)
        .map_err(|error| Fault::Internal(format!("the device's answer cannot be passed on: {error}")))?;
    Ok(answer(text))
}

fn within(what: &str, seconds: u64, least: u64) -> Result<(), Fault> {
    if (least..=300).contains(&seconds) {
        return Ok(());
    }
    Err(Fault::ArgumentInvalid(format!("{what} is {seconds}; it must be within [{least}; 300]")))
}

/// Whole seconds as a number, as a numeric string (the Azure CLI sends `"30"`), or null.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Seconds;
    impl Visitor<'_> for Seconds {
        type Value = Option<u64>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("whole seconds")
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(value))
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
            self.visit_str(&value.to_string())
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
            value.trim().parse().map(Some).map_err(|_| E::custom(format!("{value:?} is not whole seconds")))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_come_as_numbers_numeric_strings_and_null() {
        let read =
            |text: &str| serde_json::from_str::<Call>(text).map(|call| call.response_timeout_in_seconds);
        assert_eq!(read(r#"{"responseTimeoutInSeconds":"30"}"#).unwrap(), Some(30));
        assert_eq!(read(r#"{"responseTimeoutInSeconds":30,"timeoutInSeconds":1}"#).unwrap(), Some(30));
        assert_eq!(read(r#"{"responseTimeoutInSeconds":null}"#).unwrap(), None);
        assert!(read(r#"{"responseTimeoutInSeconds":"soon"}"#).is_err());
        assert!(read(r#"{"responseTimeoutInSeconds":-1}"#).is_err());
    }

    #[test]
    fn an_explicit_null_payload_is_a_payload_as_good_as_none() {
        let call: Call = serde_json::from_str(r#"{"methodName":"a","payload":null}"#).unwrap();
        assert!(call.payload.is_none());
    }
}
