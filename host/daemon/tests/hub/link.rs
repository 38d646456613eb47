//! The connection comes back by itself, and ends as it should.

use rumqttc::{ConnAck, ConnectReturnCode, Packet, PubAck, SubAck, SubscribeReasonCode};
use serde_json::json;

use crate::broker::{Act, Broker, Moment, call};
use crate::device::{Device, Disk, reply};

#[tokio::test]
async fn packets_against_the_protocol_cost_a_connection_and_nothing_else() {
    for junk in [
        Packet::PubAck(PubAck::new(4711)),
        Packet::SubAck(SubAck::new(4711, vec![SubscribeReasonCode::Failure])),
        Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false)),
        Packet::PingReq,
        Packet::Disconnect,
    ] {
        let (broker, disk) = (Broker::truthful().await, Disk::new());
        let mut device = Device::start(&broker, &disk);
        broker.until_up().await;
        let text = format!("{junk:?}");
        broker.push(vec![junk]);
        device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
        broker.until(&text, |model| (model.connects.len() == 2 && model.subscribed).then_some(())).await;
        device.flushed().await;
        broker.push(vec![call("m", "1", "null")]);
        reply(device.call().await, 200);
        assert_eq!(broker.answer("1").await.0, 200, "{text}");
        device.stop().await;
    }
}

#[tokio::test]
async fn refused_filters_and_a_silent_hub_are_tried_again() {
    let pick = |moment: &Moment<'_>| matches!(moment, Moment::Subscribe);
    let acts = [Act::RefuseFilters, Act::Silence, Act::RefuseFilters];
    let (broker, disk) = (Broker::once(pick, acts).await, Disk::new());
    let device = Device::start_with(&broker, &disk, |settings| {
        settings.pace.answer = std::time::Duration::from_millis(300);
    });
    device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
    device.flushed().await;
    assert_eq!(broker.model(|model| model.connects.len()), 4);
    device.stop().await;
}

#[tokio::test]
async fn connected_tells_the_truth() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start(&broker, &disk);
    let mut connected = device.hub.connected.clone();
    connected.wait_for(|connected| *connected).await.unwrap();
    broker.cut();
    connected.wait_for(|connected| !*connected).await.unwrap();
    connected.wait_for(|connected| *connected).await.unwrap();
    assert_eq!(device.hub.metrics.connects.get(), 2);
    device.stop().await;
    assert!(!*connected.borrow());
}

#[tokio::test]
async fn the_end_finishes_what_runs_refuses_what_comes_and_says_farewell() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let mut device = Device::start(&broker, &disk);
    broker.until_up().await;
    broker.push(vec![call("m", "running", "null")]);
    let running = device.call().await;
    device.shutdown.cancel();
    // The device notices the end at some moment; calls that come after it are answered 503.
    for number in 0.. {
        let request_id = format!("late-{number}");
        broker.push(vec![call("m", &request_id, "null")]);
        let status = tokio::select! {
            (status, _) = broker.answer(&request_id) => status,
            late = device.call() => {
                reply(late, 200);
                broker.answer(&request_id).await.0
            }
        };
        if status == 503 {
            break;
        }
    }
    device.hub.outbox.patch(json!({"ending": true})).await.unwrap();
    reply(running, 200);
    device.stop().await;
    assert_eq!(broker.answer("running").await.0, 200);
    broker.until("DISCONNECT", |model| (model.farewells == 1).then_some(())).await;
    assert_eq!(broker.model(|model| model.reported.clone()), json!({"ending": true}));
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_hub_that_is_not_there() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start_with(&broker, &disk, |settings| settings.port = Some(9));
    device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
    device.stop().await;

    let device = Device::start(&broker, &disk);
    device.flushed().await;
    assert_eq!(broker.model(|model| model.reported.clone()), json!({"a": 1}));
    device.stop().await;
}
