//! The hub's end: reads what a device publishes, writes what the hub publishes.
//!
//! A device may only speak for itself: [`parse_from_device`] is told who is connected, and a telemetry topic of
//! another identity is `Unknown`. The `$iothub/…` topics name no device; they belong to the connection.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{method_request_id, twin_query};

/// What stays as it is in the bag of a message from the cloud: letters, digits and `-._~`. Nothing else may stand
/// raw, for one SDK splits the topic at every `/` and each pair at every `=` (iothub.md §4.2).
const BAG: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a publish from a device is, by its topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FromDevice<'a> {
    /// The answer to a direct method.
    MethodResponse {
        /// Whatever number the device chose.
        status: i32,
        /// The id that the call had.
        request_id: &'a str,
    },
    /// It asks for its twin.
    TwinGet {
        /// Goes back verbatim.
        request_id: &'a str,
    },
    /// It merges into its reported properties.
    TwinPatch {
        /// Goes back verbatim.
        request_id: &'a str,
        /// The reported version it expects to change; another one is refused with 412.
        version: Option<u64>,
    },
    /// A device-to-cloud message.
    Telemetry {
        /// The property bag, still encoded.
        properties: &'a str,
    },
    /// Anything else, and telemetry in the name of another identity.
    Unknown,
}

/// Reads the topic of a publish by this device or module.
pub fn parse_from_device<'a>(topic: &'a str, device: &str, module: Option<&str>) -> FromDevice<'a> {
    parse(topic, device, module).unwrap_or(FromDevice::Unknown)
}

fn parse<'a>(topic: &'a str, device: &str, module: Option<&str>) -> Option<FromDevice<'a>> {
    if let Some(rest) = topic.strip_prefix("$iothub/methods/res/") {
        let (status, tail) = rest.split_once('/')?;
        let request_id = method_request_id(tail)?;
        return Some(FromDevice::MethodResponse { status: status.parse().ok()?, request_id });
    }
    if let Some(tail) = topic.strip_prefix("$iothub/twin/GET/") {
        let (request_id, _) = twin_query(tail)?;
        return Some(FromDevice::TwinGet { request_id });
    }
    if let Some(tail) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/") {
        let (request_id, version) = twin_query(tail)?;
        return Some(FromDevice::TwinPatch { request_id, version });
    }
    let mut rest = topic.strip_prefix("devices/")?.strip_prefix(device)?;
    if let Some(module) = module {
        rest = rest.strip_prefix("/modules/")?.strip_prefix(module)?;
    }
    let bag = rest.strip_prefix("/messages/events")?;
    if bag.is_empty() {
        return Some(FromDevice::Telemetry { properties: "" });
    }
    let bag = bag.strip_prefix('/')?;
    let bag = bag.strip_prefix('?').unwrap_or(bag);
    Some(FromDevice::Telemetry { properties: bag.strip_suffix('/').unwrap_or(bag) })
}

/// The topic that calls a direct method. The id must be made of `0-9`, `a-z` and `-` alone, for some SDKs decode it.
pub fn method_request(name: &str, request_id: &str) -> String {
    format!("$iothub/methods/POST/{name}/?$rid={request_id}")
}

/// The topic for the answer to a twin request. The version of the reported properties goes with 204.
pub fn twin_response(status: u16, request_id: &str, version: Option<u64>) -> String {
    match version {
        Some(version) => format!("$iothub/twin/res/{status:03}/?$rid={request_id}&$version={version}"),
        None => format!("$iothub/twin/res/{status:03}/?$rid={request_id}"),
    }
}

/// The topic that tells a change of the desired properties.
pub fn desired_patch(version: u64) -> String {
    format!("$iothub/twin/PATCH/properties/desired/?$version={version}")
}

/// Below this, and only here, a device may hear of messages from the cloud.
pub fn device_bound(device: &str) -> String {
    format!("devices/{device}/messages/devicebound/")
}

/// The property bag of a message from the cloud, encoded. A value that is `None` leaves a bare name; the empty text
/// leaves `name=`.
pub fn device_bound_bag<'a>(properties: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let pairs: Vec<String> = properties
        .into_iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{}={}", utf8_percent_encode(name, BAG), utf8_percent_encode(value, BAG)),
            None => utf8_percent_encode(name, BAG).to_string(),
        })
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_speaks_for_another() {
        let telemetry = |topic| parse_from_device(topic, "dev-1", None);
        assert_eq!(telemetry("devices/dev-1/messages/events/"), FromDevice::Telemetry { properties: "" });
        assert_eq!(telemetry("devices/dev-2/messages/events/"), FromDevice::Unknown);
        assert_eq!(telemetry("devices/dev-10/messages/events/"), FromDevice::Unknown);
        assert_eq!(telemetry("devices/dev-1/modules/m/messages/events/"), FromDevice::Unknown);
        let topic = "devices/dev-1/modules/m/messages/events/a=b";
        assert_eq!(parse_from_device(topic, "dev-1", Some("m")), FromDevice::Telemetry { properties: "a=b" });
        assert_eq!(parse_from_device(topic, "dev-1", Some("n")), FromDevice::Unknown);
        assert_eq!(
            parse_from_device("devices/dev-1/messages/events/", "dev-1", Some("m")),
            FromDevice::Unknown
        );
    }

    #[test]
    fn the_ways_of_writing_a_bag() {
        for topic in ["", "/", "/a=b", "/a=b/", "/?a=b", "/?a=b/"] {
            let topic = format!("devices/d/messages/events{topic}");
            let expected = if topic.contains("a=b") { "a=b" } else { "" };
            assert_eq!(
                parse_from_device(&topic, "d", None),
                FromDevice::Telemetry { properties: expected },
                "{topic}"
            );
        }
        assert_eq!(parse_from_device("devices/d/messages/eventsX", "d", None), FromDevice::Unknown);
    }

    #[test]
    fn the_bag_of_a_message_from_the_cloud_leaves_nothing_raw() {
        let bag = device_bound_bag([
            ("$.to", Some("/devices/d/messages/deviceBound")),
            ("a=b", Some("c=d&e f/+#?")),
            ("empty", Some("")),
            ("none", None),
        ]);
        assert_eq!(
            bag,
            "%24.to=%2Fdevices%2Fd%2Fmessages%2FdeviceBound&a%3Db=c%3Dd%26e%20f%2F%2B%23%3F&empty=&none"
        );
    }

    #[test]
    fn a_patch_may_name_the_version_it_expects() {
        assert_eq!(
            parse_from_device("$iothub/twin/PATCH/properties/reported/?$rid=5&$version=4", "d", None),
            FromDevice::TwinPatch { request_id: "5", version: Some(4) }
        );
    }
}
