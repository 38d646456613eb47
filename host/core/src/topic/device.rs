//! The device's end: reads what the hub publishes, writes what the device publishes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{method_request_id, twin_query};

/// The filter for direct methods.
pub const METHODS: &str = "$iothub/methods/POST/#";
/// The filter for answers to twin requests.
pub const TWIN_RESPONSES: &str = "$iothub/twin/res/#";
/// The filter for changes of desired properties.
pub const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";

/// What a publish from the hub is, by its topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Incoming<'a> {
    /// A direct method is called.
    Method {
        /// The method's name as it stands in the topic.
        name: &'a str,
        /// Opaque; goes back verbatim.
        request_id: &'a str,
    },
    /// An answer to a twin request of ours.
    TwinResponse {
        /// 200, 204, or an error as in HTTP.
        status: u16,
        /// The id that the request had.
        request_id: &'a str,
        /// The new version of the reported properties, where the hub tells it.
        version: Option<u64>,
    },
    /// Desired properties have changed.
    Desired {
        /// Their new version, where the topic tells it; the body tells it too.
        version: Option<u64>,
    },
    /// A message from the cloud.
    CloudToDevice {
        /// The property bag, still encoded.
        properties: &'a str,
    },
    /// Anything else.
    Unknown,
}

/// Reads the topic of a publish from the hub.
pub fn parse_incoming(topic: &str) -> Incoming<'_> {
    parse(topic).unwrap_or(Incoming::Unknown)
}

fn parse(topic: &str) -> Option<Incoming<'_>> {
    if let Some(rest) = topic.strip_prefix("$iothub/methods/POST/") {
        let (name, tail) = rest.split_once('/')?;
        let request_id = method_request_id(tail)?;
        return (!name.is_empty()).then_some(Incoming::Method { name, request_id });
    }
    if let Some(rest) = topic.strip_prefix("$iothub/twin/res/") {
        let (status, tail) = rest.split_once('/')?;
        let (request_id, version) = twin_query(tail)?;
        return Some(Incoming::TwinResponse { status: status.parse().ok()?, request_id, version });
    }
    if let Some(rest) = topic.strip_prefix("$iothub/twin/PATCH/properties/desired/") {
        let version = rest.strip_prefix('?').and_then(|query| {
            query
                .split('&')
                .find_map(|part| part.strip_prefix("$version="))
                .and_then(|text| text.parse().ok())
        });
        return Some(Incoming::Desired { version });
    }
    let (_device, rest) = topic.strip_prefix("devices/")?.split_once('/')?;
    let properties = rest.strip_prefix("messages/devicebound/")?;
    Some(Incoming::CloudToDevice { properties })
}

/// The topic for the answer to a direct method.
pub fn method_response(status: i32, request_id: &str) -> String {
    format!("$iothub/methods/res/{status}/?$rid={request_id}")
}

/// The topic that asks for the whole twin.
pub fn twin_get(request_id: &str) -> String {
    format!("$iothub/twin/GET/?$rid={request_id}")
}

/// The topic that merges into the reported properties.
pub fn twin_patch(request_id: &str) -> String {
    format!("$iothub/twin/PATCH/properties/reported/?$rid={request_id}")
}

/// What stays as it is in a property bag: letters, digits and `-._~`. A space is `%20`.
const BAG: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The topic for a device-to-cloud message. System properties are those whose names begin with `$.`.
pub fn telemetry(device: &str, module: Option<&str>, properties: &[(String, String)]) -> String {
    let bag: Vec<String> = properties
        .iter()
        .map(|(name, value)| {
            format!("{}={}", utf8_percent_encode(name, BAG), utf8_percent_encode(value, BAG))
        })
        .collect();
    let bag = bag.join("&");
    match module {
        Some(module) => format!("devices/{device}/modules/{module}/messages/events/{bag}"),
        None => format!("devices/{device}/messages/events/{bag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_are_not_quite_right_are_unknown() {
        for topic in [
            "",
            "$iothub/methods/POST/",
            "$iothub/methods/POST//?$rid=1",
            "$iothub/methods/POST/ping",
            "$iothub/methods/POST/ping/",
            "$iothub/methods/post/ping/?$rid=1",
            "$iothub/twin/res/abc/?$rid=1",
            "$iothub/twin/res/200/",
            "$iothub/twin/res/99999999/?$rid=1",
            "devices/d/messages/events/",
            "devices/",
        ] {
            assert_eq!(parse_incoming(topic), Incoming::Unknown, "{topic}");
        }
    }

    #[test]
    fn the_version_is_optional() {
        assert_eq!(
            parse_incoming("$iothub/twin/res/200/?$rid=abc"),
            Incoming::TwinResponse { status: 200, request_id: "abc", version: None }
        );
        assert_eq!(
            parse_incoming("$iothub/twin/PATCH/properties/desired/"),
            Incoming::Desired { version: None }
        );
    }

    #[test]
    fn a_message_from_the_cloud_keeps_its_bag_encoded() {
        assert_eq!(
            parse_incoming("devices/d/messages/devicebound/%24.to=%2Fdevices&x=1"),
            Incoming::CloudToDevice { properties: "%24.to=%2Fdevices&x=1" }
        );
    }
}
