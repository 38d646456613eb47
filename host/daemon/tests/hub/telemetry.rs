//! Telemetry: in order, at least once while the process lives.

use serde_json::{Value, json};

use crate::broker::{Act, Broker, Moment};
use crate::device::{Device, Disk};

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
async fn a_message_of_256_kib_passes() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start(&broker, &disk);
    let body = Value::String("x".repeat(hotshoed::hub::MESSAGE_LIMIT - 2));
    device.hub.telemetry.send(body.clone(), Vec::new()).unwrap();
    broker.until("the message", |model| (model.telemetry.len() == 1).then_some(())).await;
    assert_eq!(broker.model(|model| model.telemetry[0].1.clone()), body);
    assert_eq!(broker.model(|model| model.connects.len()), 1);
    device.stop().await;
}
