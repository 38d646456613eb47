//! Telemetry: in order, at least once while the process lives.

use std::time::Duration;

use hotshoed::hub::{MESSAGE_LIMIT, TelemetryError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::broker::{Act, Broker, Moment, PATIENCE};
use crate::device::{Device, Disk, reply};
use crate::localhub::{hub, settings};

#[tokio::test]
async fn messages_arrive_in_order_over_a_cut_link() {
    let pick = |moment: &Moment<'_>| matches!(moment, Moment::Telemetry);
    let acts = [Act::Serve, Act::Cut, Act::Serve, Act::Cut];
    let (broker, disk) = (Broker::once(pick, acts).await, Disk::new());
    let device = Device::start(&broker, &disk);
    for number in 0..5 {
        device.hub.telemetry.send(json!({"n": number}), vec![("kind".into(), "a b/c".into())]).unwrap();
    }
    broker.until("five messages", |model| (model.telemetry.len() == 5).then_some(())).await;
    let (topics, bodies): (Vec<String>, Vec<Value>) =
        broker.model(|model| model.telemetry.iter().cloned().unzip());
    assert_eq!(bodies, (0..5).map(|number| json!({"n": number})).collect::<Vec<_>>());
    assert_eq!(
        topics[0],
        "devices/dev-1/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8&kind=a%20b%2Fc"
    );
    assert_eq!(broker.model(|model| model.connects.len()), 3);
    device.stop().await;
}

#[tokio::test]
async fn what_the_hub_never_takes_is_dropped_and_the_next_one_arrives() {
    let pick = |moment: &Moment<'_>| matches!(moment, Moment::Telemetry);
    let (broker, disk) = (Broker::once(pick, (0..5).map(|_| Act::Cut)).await, Disk::new());
    let mut device = Device::start(&broker, &disk);
    device.hub.telemetry.send(json!("never taken"), Vec::new()).unwrap();
    device.hub.telemetry.send(json!("taken"), Vec::new()).unwrap();
    broker.until("the second message", |model| (!model.telemetry.is_empty()).then_some(())).await;
    assert_eq!(broker.model(|model| model.telemetry[0].1.clone()), json!("taken"));
    assert_eq!(broker.model(|model| model.connects.len()), 6, "the connection stays from now on");
    assert!(device.log().contains("telemetry message dropped"), "{}", device.log());
    let (answer, ()) = tokio::join!(broker.call("m", "1", "1"), async { reply(device.call().await, 200) });
    assert_eq!(answer.0, 200);
    device.stop().await;
}

#[tokio::test]
async fn the_largest_message_passes_the_local_hub_and_a_larger_one_is_not_sent() {
    let (data, disk) = (TempDir::new().unwrap(), Disk::new());
    let hub = hub(data.path(), |_| {}).await;
    let connection = hub.create_device("dev").await.unwrap();
    let device = Device::from_settings(settings(&hub, &connection), &disk);
    let losses = device.hub.metrics.losses.clone();
    let body = |length: usize| Value::String("x".repeat(length - 2));
    let refused = device.hub.telemetry.send(body(MESSAGE_LIMIT), Vec::new());
    let Err(TelemetryError::TooLarge { size, limit }) = refused else { panic!("{refused:?}") };
    let largest = MESSAGE_LIMIT - (size - limit);
    device.hub.telemetry.send(body(largest), Vec::new()).unwrap();
    device.hub.telemetry.send(json!("last"), Vec::new()).unwrap();
    let arrived = async {
        while hub.hub.telemetry("dev").len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.expect("both messages");
    device.stop().await;
    assert_eq!(losses.get(), 0, "the hub cut the link");
    hub.stop().await;
}
