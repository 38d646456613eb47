//! The topics of IoT Hub over MQTT, as texts in and out (iothub.md §2 to §5).
//!
//! Both ends stand here side by side: [`device`](parse_incoming) reads what a hub sends, [`hub`](parse_from_device)
//! reads what a device sends, and each writes what the other reads. Topics are compared byte for byte, request ids
//! are opaque and echoed as they came, and what is not understood is `Unknown`, never an error: a topic alone is no
//! reason to drop a connection, that is the caller's decision.

mod device;
mod hub;

pub use device::*;
pub use hub::*;

/// Splits `?$rid={rid}[&$version={n}]`, the tail of twin topics. Parts that are not known are ignored.
fn twin_query(tail: &str) -> Option<(&str, Option<u64>)> {
    let mut parts = tail.strip_prefix('?')?.split('&');
    let request_id = parts.next()?.strip_prefix("$rid=")?;
    let version = parts.find_map(|part| part.strip_prefix("$version=")).and_then(|text| text.parse().ok());
    Some((request_id, version))
}

/// The id of a method call: everything behind `?$rid=`, for that is what the SDKs of the field echo.
fn method_request_id(tail: &str) -> Option<&str> {
    tail.strip_prefix("?$rid=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_reads_what_the_other_writes() {
        assert_eq!(
            parse_incoming(&method_request("firmwareUpdate", "a-1")),
            Incoming::Method { name: "firmwareUpdate", request_id: "a-1" }
        );
        assert_eq!(
            parse_incoming(&twin_response(204, "7", Some(3))),
            Incoming::TwinResponse { status: 204, request_id: "7", version: Some(3) }
        );
        assert_eq!(parse_incoming(&desired_patch(9)), Incoming::Desired { version: Some(9) });
        assert_eq!(
            parse_from_device(&method_response(-3, "x&y=z"), "d", None),
            FromDevice::MethodResponse { status: -3, request_id: "x&y=z" }
        );
        assert_eq!(parse_from_device(&twin_get("7"), "d", None), FromDevice::TwinGet { request_id: "7" });
        assert_eq!(
            parse_from_device(&twin_patch("8"), "d", None),
            FromDevice::TwinPatch { request_id: "8", version: None }
        );
        let properties =
            [("$.ct".to_owned(), "application/json".to_owned()), ("a b".to_owned(), "c=d&e".to_owned())];
        assert_eq!(
            parse_from_device(&telemetry("d", Some("m"), &properties), "d", Some("m")),
            FromDevice::Telemetry { properties: "%24.ct=application%2Fjson&a%20b=c%3Dd%26e" }
        );
    }

    #[test]
    fn the_rid_of_a_method_is_everything_behind_it() {
        assert_eq!(
            parse_incoming("$iothub/methods/POST/ping/?$rid=1&more=2?3"),
            Incoming::Method { name: "ping", request_id: "1&more=2?3" }
        );
    }
}
