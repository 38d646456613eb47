//! A small fleet to look at: devices that are connected or away, in all states of a firmware update.

use reqwest::Method;
use rumqttc::QoS;
use serde_json::{Value, json};

use crate::client::{DESIRED, Device, METHODS, Place, TWIN};

/// What devices of this fleet report.
fn reported(number: usize) -> Value {
    let (status, version) = match number % 8 {
        0..=3 => ("current", "2.4.1"),
        4 => ("downloading", "2.3.0"),
        5 => ("applying", "2.3.0"),
        6 => ("error", "2.3.0"),
        _ => ("rolledback", "2.3.0"),
    };
    let plugin = if number.is_multiple_of(3) { "1.2.0" } else { "1.3.0" };
    let jobs = match status {
        "downloading" => {
            json!({"01J8": {"plugin": "hotshoe.firmware-update", "kind": "update", "phase": "downloading",
            "done": 3_400_000 + 700_000 * number, "total": 16_000_000}})
        }
        _ => json!({}),
    };
    json!({
        "firmware": {"fwUpdateStatus": status, "currentFwVersion": version},
        "hotshoe": {
            "version": "0.1.0",
            "plugins": {
                "hotshoe/firmware-update": {"version": plugin, "state": "live"},
                "acme/pump": {"version": "0.9.4", "state": if number % 5 == 4 { "held" } else { "live" }},
            },
            "jobs": jobs,
        },
    })
}

/// Registers devices with tags and reports; those whose number is even stay connected.
pub(crate) async fn settle(place: &Place, count: usize) -> Vec<Device> {
    let mut connected = Vec::new();
    for number in 0..count {
        let id = format!("press-{number:02}");
        let mut device = place.device(&id).await;
        device
            .subscribe(&[(METHODS, QoS::AtMostOnce), (TWIN, QoS::AtMostOnce), (DESIRED, QoS::AtMostOnce)])
            .await;
        let report = reported(number).to_string();
        device.twin("$iothub/twin/PATCH/properties/reported/?$rid=1", &report).await;
        let site = ["hamburg", "riga", "porto"][number % 3];
        let tags = json!({"tags": {"site": site, "line": number / 4 + 1}});
        place.rest(Method::PATCH, &format!("/twins/{id}"), Some(tags)).await;
        if number.is_multiple_of(2) {
            connected.push(device);
        }
    }
    connected
}
