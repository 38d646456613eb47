//! Queries and statistics. Of the query language only the two forms that this hub's tools use are read; any other
//! is answered by a 400 that says so.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Service;
use super::json::{Json, answer};
use super::twins::shown;
use crate::fault::Fault;
use crate::identity::Name;
use crate::policies::Right;

const ITEM_TYPE: HeaderName = HeaderName::from_static("x-ms-item-type");
/// The largest page of IoT Hub; larger fleets wait for paging.
const MOST: usize = 1000;

#[derive(Deserialize)]
pub(super) struct Query {
    query: String,
}

pub(super) async fn query(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(query): Json<Query>,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, "/devices/query")?;
    let records = match parse(&query.query)? {
        Selection::All => service.hub.blocking(|hub| Ok(hub.store.devices(MOST + 1)?)).await?,
        Selection::One(id) => match Name::device(&id) {
            Err(_impossible) => Vec::new(),
            Ok(name) => {
                service.hub.blocking(move |hub| Ok(hub.store.record(&name)?)).await?.into_iter().collect()
            }
        },
    };
    if records.len() > MOST {
        return Err(Fault::ArgumentInvalid(format!(
            "more than {MOST} devices match and paging is not offered"
        )));
    }
    let found: Vec<Value> = records.iter().map(|record| shown(&service.hub, record)).collect();
    let mut response = answer(Value::Array(found).to_string());
    response.headers_mut().insert(ITEM_TYPE, HeaderValue::from_static("Twin"));
    Ok(response)
}

#[derive(Debug, PartialEq, Eq)]
enum Selection {
    All,
    One(String),
}

/// `SELECT * FROM devices [WHERE deviceId = 'x']`; keywords in any case.
fn parse(text: &str) -> Result<Selection, Fault> {
    let refuse = || {
        let text = format!(
            "the query {text:?} is not SELECT * FROM devices, with or without WHERE deviceId = '…': \
             this hub reads no other yet"
        );
        Fault::ArgumentInvalid(text)
    };
    let spaced = text.replace('=', " = ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    match words.as_slice() {
        [select, "*", from, devices]
            if is(select, "select") && is(from, "from") && is(devices, "devices") =>
        {
            Ok(Selection::All)
        }
        [select, "*", from, devices, filter, field, "=", _, ..]
            if is(select, "select")
                && is(from, "from")
                && is(devices, "devices")
                && is(filter, "where")
                && is(field, "deviceId") =>
        {
            let value = text.split_once('=').map_or("", |(_, value)| value.trim());
            let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
            let id = quoted('\'').or_else(|| quoted('"')).ok_or_else(refuse)?;
            if id.is_empty() || id.contains(['\'', '"']) {
                Err(refuse())
            } else {
                Ok(Selection::One(id.into()))
            }
        }
        _ => Err(refuse()),
    }
}

pub(super) async fn device_statistics(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryRead, "/statistics/devices")?;
    let (total, enabled) = service.hub.blocking(|hub| Ok(hub.store.count()?)).await?;
    let text = json!({
        "totalDeviceCount": total,
        "enabledDeviceCount": enabled,
        "disabledDeviceCount": total - enabled,
    });
    Ok(answer(text.to_string()))
}

pub(super) async fn service_statistics(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, "/statistics/service")?;
    Ok(answer(json!({"connectedDeviceCount": service.hub.links.count()}).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_forms_are_read_and_others_refused_in_words() {
        assert_eq!(parse("select * from Devices").unwrap(), Selection::All);
        let one = Selection::One("a=b".into());
        assert_eq!(parse("SELECT * FROM devices WHERE deviceId='a=b'").unwrap(), one);
        assert_eq!(parse("SELECT * FROM devices WHERE deviceId = \"a=b\"").unwrap(), one);
        for other in [
            "",
            "SELECT * FROM devices.jobs",
            "SELECT * FROM devices WHERE tags.a = 'b'",
            "SELECT * FROM devices WHERE deviceId = 'a' OR deviceId = 'b'",
        ] {
            assert_eq!(parse(other).unwrap_err().status(), 400, "{other}");
        }
    }
}
