//! The desired properties end up as the service set them.

use hotshoe_core::topic;
use hotshoed::hub::Document;
use rumqttc::Packet;
use serde_json::{Value, json};

use crate::broker::{Act, Broker, Moment, PATIENCE, message};
use crate::device::{Device, Disk};

async fn until(device: &Device, wanted: (u64, Value)) {
    let mut changes = device.hub.desired.subscribe();
    let seen =
        tokio::time::timeout(PATIENCE, changes.wait_for(|document| *document == Some(wanted.clone()))).await;
    if seen.is_err() {
        panic!("waited in vain for {wanted:?}; the device has {:?}", device.hub.desired.current());
    }
}

/// The service changes the desired properties; `announced` is what the device is told of it.
fn set(broker: &Broker, version: u64, desired: Value, announced: Option<Value>) -> Vec<Packet> {
    broker.model(|model| (model.desired, model.desired_version) = (desired, version));
    announced
        .map(|mut patch| {
            patch["$version"] = json!(version);
            message(&topic::desired_patch(version), patch.to_string())
        })
        .into_iter()
        .collect()
}

#[tokio::test]
async fn the_first_connection_reads_them_and_a_later_run_has_them_offline() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    set(&broker, 4, json!({"firmware": {"fwVersion": "2"}}), None);
    let device = Device::start(&broker, &disk);
    assert_eq!(device.hub.desired.current(), Document::None);
    until(&device, (4, json!({"firmware": {"fwVersion": "2"}}))).await;
    device.kill().await;

    let device = Device::start_with(&broker, &disk, |settings| settings.port = Some(9));
    assert_eq!(device.hub.desired.current(), Some((4, json!({"firmware": {"fwVersion": "2"}}))));
    device.stop().await;
}

#[tokio::test]
async fn a_change_is_applied_and_a_replacement_takes_keys_away() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start(&broker, &disk);
    until(&device, (1, json!({}))).await;
    broker.push(set(&broker, 2, json!({"a": 1, "b": 2}), Some(json!({"a": 1, "b": 2}))));
    until(&device, (2, json!({"a": 1, "b": 2}))).await;
    broker.push(set(&broker, 3, json!({"b": 2}), Some(json!({"a": null}))));
    until(&device, (3, json!({"b": 2}))).await;
    // A replacement is announced by the new document alone.
    broker.push(set(&broker, 4, json!({"c": 3}), Some(json!({"c": 3}))));
    until(&device, (4, json!({"c": 3}))).await;
    device.stop().await;
}

#[tokio::test]
async fn gaps_are_filled_repetitions_dropped_and_junk_made_up_for() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start(&broker, &disk);
    until(&device, (1, json!({}))).await;
    set(&broker, 2, json!({"a": 1}), None);
    broker.push(set(&broker, 3, json!({"a": 1, "b": 2}), Some(json!({"b": 2}))));
    until(&device, (3, json!({"a": 1, "b": 2}))).await;

    broker.push(vec![
        message(&topic::desired_patch(2), json!({"a": 9, "$version": 2}).to_string()),
        message(&topic::desired_patch(3), json!({"b": 9, "$version": 3}).to_string()),
    ]);
    set(&broker, 5, json!({"z": 1}), None);
    broker.push(vec![message(&topic::desired_patch(4), "{ not JSON")]);
    until(&device, (5, json!({"z": 1}))).await;
    assert_eq!(broker.model(|model| model.connects.len()), 1);
    device.stop().await;
}

#[tokio::test]
async fn changes_made_while_offline_are_seen_and_a_device_created_anew_begins_again() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    set(&broker, 57, json!({"a": 1}), None);
    let device = Device::start(&broker, &disk);
    until(&device, (57, json!({"a": 1}))).await;
    set(&broker, 58, json!({"a": 2}), None);
    broker.cut();
    until(&device, (58, json!({"a": 2}))).await;
    set(&broker, 1, json!({}), None);
    broker.cut();
    until(&device, (1, json!({}))).await;
    device.stop().await;
}

#[tokio::test]
async fn a_refused_or_unreadable_twin_is_asked_for_again() {
    let pick = |moment: &Moment<'_>| matches!(moment, Moment::TwinGet);
    let nonsense = message("$iothub/twin/res/200/?$rid=0-0", "[]");
    let acts = [Act::Status(429), Act::Status(500), Act::After(vec![nonsense])];
    let (broker, disk) = (Broker::once(pick, acts).await, Disk::new());
    set(&broker, 3, json!({"a": 1}), None);
    let device = Device::start(&broker, &disk);
    until(&device, (3, json!({"a": 1}))).await;
    assert_eq!(broker.model(|model| model.connects.len()), 1);
    device.stop().await;
}
