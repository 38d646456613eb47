//! Topics of MQTT, from a hub and from a device: what is read is part of what came, and what is written is read again.

use hotshoe_core::topic::{self, FromDevice, Incoming};

use crate::pieces::text;

/// One topic, read by either end.
pub(super) fn run(data: &[u8]) {
    let Some(topic) = text(data) else { return };
    match topic::parse_incoming(topic) {
        Incoming::Method { name, request_id } => {
            let again = topic::method_request(name, request_id);
            assert_eq!(again, topic, "a method's topic has no other parts");
            assert!(!name.contains('/'), "a method's name is one level: {name:?}");
            // The answer goes to the one who asked, whatever the id is made of.
            let answer = topic::method_response(200, request_id);
            assert_eq!(
                topic::parse_from_device(&answer, "device", None),
                FromDevice::MethodResponse { status: 200, request_id }
            );
        }
        Incoming::TwinResponse { status, request_id, version } => {
            let again = topic::twin_response(status, request_id, version);
            assert_eq!(topic::parse_incoming(&again), Incoming::TwinResponse { status, request_id, version });
        }
        Incoming::Desired { version: Some(version) } => {
            let again = topic::desired_patch(version);
            assert_eq!(topic::parse_incoming(&again), Incoming::Desired { version: Some(version) });
        }
        Incoming::CloudToDevice { properties } => assert!(topic.ends_with(properties)),
        Incoming::Desired { version: None } | Incoming::Unknown => {}
    }
    for module in [None, Some("module")] {
        match topic::parse_from_device(topic, "device", module) {
            FromDevice::MethodResponse { request_id, .. }
            | FromDevice::TwinGet { request_id }
            | FromDevice::TwinPatch { request_id, .. } => assert!(topic.contains(request_id)),
            FromDevice::Telemetry { properties } => assert!(topic.contains(properties)),
            _ => {}
        }
    }
}
