//! Direct methods: each is answered once, whatever comes with it.

use hotshoe_core::method::PAYLOAD_LIMIT;
use serde_json::{Value, json};

use crate::broker::{Act, Broker, Moment, call, certain, message};
use crate::device::{Device, Disk, reply};

const TOPIC: &str = "$iothub/methods/POST/firmwareUpdate/?$rid=";

async fn up(broker: &Broker) -> (Device, Disk) {
    let disk = Disk::new();
    let device = Device::start(broker, &disk);
    broker.until_up().await;
    (device, disk)
}

#[tokio::test]
async fn a_call_is_handed_on_and_answered_under_its_request_id() {
    let broker = Broker::truthful().await;
    let (mut device, _disk) = up(&broker).await;
    for request_id in ["1", "5b9c-A", "a&b=c?d", "ä"] {
        broker.push(vec![call("firmwareUpdate", request_id, "{\"fwPackageUri\": 1}")]);
        let call = device.call().await;
        assert_eq!(
            (call.name.as_str(), &call.payload[..]),
            ("firmwareUpdate", &b"{\"fwPackageUri\": 1}"[..])
        );
        reply(call, 202);
        assert_eq!(broker.answer(request_id).await, (202, json!({"method": "firmwareUpdate"})));
    }
    device.stop().await;
}

#[tokio::test]
async fn payload_may_have_128_kib_and_not_one_byte_more() {
    let broker = Broker::truthful().await;
    let (mut device, _disk) = up(&broker).await;
    let text = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    broker.push(vec![call("big", "fits", text(PAYLOAD_LIMIT))]);
    let taken = device.call().await;
    assert_eq!(taken.payload.len(), PAYLOAD_LIMIT);
    reply(taken, 200);
    assert_eq!(broker.answer("fits").await.0, 200);

    for (request_id, length) in [("one-more", PAYLOAD_LIMIT + 1), ("a-mebibyte", 1 << 20)] {
        let (status, body) = broker.call("big", request_id, text(length)).await;
        assert_eq!(status, 400);
        assert_eq!(body["error"]["code"], json!("tooLarge"), "{body}");
    }
    assert_eq!(broker.model(|model| model.connects.len()), 1, "the link was dropped over a large payload");
    device.stop().await;
}

#[tokio::test]
async fn payload_that_is_not_json_is_refused_and_an_empty_one_is_not() {
    let broker = Broker::truthful().await;
    let (mut device, _disk) = up(&broker).await;
    let deep = "[".repeat(100_000);
    for (number, payload) in
        [&b"{"[..], b"\xff\xfe", b"{} {}", b"NaN", deep.as_bytes()].into_iter().enumerate()
    {
        let (status, body) = broker.call("m", &format!("bad-{number}"), payload).await;
        assert_eq!(status, 400, "{body}");
    }
    broker.push(vec![call("m", "empty", "")]);
    reply(device.call().await, 200);
    assert_eq!(broker.answer("empty").await.0, 200);
    device.stop().await;
}

#[tokio::test]
async fn calls_beyond_the_queue_are_answered_429_and_the_others_live() {
    let broker = Broker::truthful().await;
    let (mut device, _disk) = up(&broker).await;
    let calls: Vec<_> = (0..100).map(|number| call("m", &format!("c{number}"), "null")).collect();
    broker.push(calls);
    let refused = broker
        .until("the refusals", |model| {
            let refused = model.answers.iter().filter(|(_, status, _)| *status == 429).count();
            (refused == 68).then_some(refused)
        })
        .await;
    for _ in refused..100 {
        reply(device.call().await, 200);
    }
    broker.until("all answers", |model| (model.answers.len() == 100).then_some(())).await;
    assert_eq!(device.hub.metrics.calls_refused.get(), 68);
    assert_eq!(broker.model(|model| model.connects.len()), 1);
    device.stop().await;
}

#[tokio::test]
async fn a_call_that_nobody_answers_gets_500_and_so_does_an_answer_that_is_too_large() {
    let broker = Broker::truthful().await;
    let (mut device, _disk) = up(&broker).await;
    broker.push(vec![call("m", "dropped", "null")]);
    drop(device.call().await);
    assert_eq!(broker.answer("dropped").await.0, 500);

    broker.push(vec![call("m", "huge", "null")]);
    let payload = Value::String("x".repeat(PAYLOAD_LIMIT));
    device.call().await.reply.send(hotshoe_core::method::MethodResponse { status: 200, payload }).unwrap();
    assert_eq!(broker.answer("huge").await.0, 500);
    device.stop().await;
}

#[tokio::test]
async fn a_call_delivered_twice_is_run_and_answered_once() {
    let broker = Broker::truthful().await;
    let (mut device, _disk) = up(&broker).await;
    let delivery = |pkid, dup| certain(&format!("{TOPIC}7"), "null", pkid, dup);
    broker.push(vec![delivery(1, false), delivery(1, true), delivery(2, false)]);
    reply(device.call().await, 200);
    broker.answer("7").await;
    broker.push(vec![delivery(3, true), call("m", "marker", "null")]);
    assert_eq!(device.call().await.name, "m", "the same call was handed on again");
    broker.answer("marker").await;
    assert_eq!(broker.model(|model| model.answers.iter().filter(|(id, ..)| id == "7").count()), 1);
    device.stop().await;
}

#[tokio::test]
async fn a_redelivery_on_the_next_connection_gets_the_first_answer_without_a_second_run() {
    for answered_before_the_cut in [true, false] {
        let cut = |moment: &Moment<'_>| matches!(moment, Moment::MethodAnswer);
        let acts = if answered_before_the_cut { vec![Act::Cut] } else { Vec::new() };
        let broker = Broker::once(cut, acts).await;
        let (mut device, _disk) = up(&broker).await;
        broker.push(vec![certain(&format!("{TOPIC}7"), "null", 1, false)]);
        let first = device.call().await;
        let mut first = Some(first);
        if answered_before_the_cut {
            reply(first.take().unwrap(), 207);
        } else {
            broker.cut();
        }
        broker
            .until("a second connection", |model| {
                (model.connects.len() == 2 && model.subscribed).then_some(())
            })
            .await;
        broker.push(vec![certain(&format!("{TOPIC}7"), "null", 1, true), call("m", "marker", "null")]);
        assert_eq!(device.call().await.name, "m", "the same call was handed on again");
        if let Some(first) = first {
            reply(first, 207);
        }
        assert_eq!(broker.answer("7").await, (207, json!({"method": "firmwareUpdate"})));
        device.stop().await;
    }
}

#[tokio::test]
async fn an_answer_never_goes_out_under_a_request_id_of_another_connection() {
    let broker = Broker::truthful().await;
    let (mut device, _disk) = up(&broker).await;
    broker.push(vec![call("old", "1", "null")]);
    let old = device.call().await;
    broker.cut();
    broker
        .until("a second connection", |model| (model.connects.len() == 2 && model.subscribed).then_some(()))
        .await;
    broker.push(vec![call("new", "1", "null")]);
    let new = device.call().await;
    assert_eq!(new.name, "new");
    reply(old, 200);
    reply(new, 201);
    assert_eq!(broker.answer("1").await, (201, json!({"method": "new"})));
    device.stop().await;
}

#[tokio::test]
async fn odd_messages_are_ignored_and_the_link_stays() {
    let broker = Broker::truthful().await;
    let (mut device, _disk) = up(&broker).await;
    broker.push(vec![
        message("$iothub/methods/POST/", "null"),
        message("$iothub/methods/POST/m", "null"),
        message("$iothub/methods/GET/m/?$rid=1", "null"),
        message("$iothub/twin/res/204/?$rid=never-asked&$version=9", ""),
        message("$iothub/twin/res/abc/?$rid=1", ""),
        message("$iothub/twin/res/200/?$rid=", "{}"),
        message("devices/dev-1/messages/devicebound/%24.to=x", "hello"),
        message("something/else", vec![0xff; 70_000]),
        certain("something/at/qos1", "x", 9, true),
        call("m", "marker", "null"),
    ]);
    reply(device.call().await, 200);
    assert_eq!(broker.answer("marker").await.0, 200);
    device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
    device.flushed().await;
    assert_eq!(broker.model(|model| model.connects.len()), 1);
    device.stop().await;
}

#[tokio::test]
async fn a_packet_too_large_to_take_costs_one_connection_and_is_not_asked_for_again() {
    let broker = Broker::truthful().await;
    let (mut device, _disk) = up(&broker).await;
    broker.push(vec![certain(&format!("{TOPIC}big"), vec![b' '; 3 << 20], 1, false)]);
    broker
        .until("a second connection", |model| (model.connects.len() == 2 && model.subscribed).then_some(()))
        .await;
    let clean: Vec<bool> =
        broker.model(|model| model.connects.iter().map(|connect| connect.clean_session).collect());
    assert_eq!(clean, [false, true]);
    broker.push(vec![call("m", "after", "null")]);
    reply(device.call().await, 200);
    assert_eq!(broker.answer("after").await.0, 200);
    device.stop().await;
}

#[tokio::test]
async fn a_call_that_is_on_its_way_when_the_device_leaves_is_answered_before_it_leaves() {
    let on_its_way = vec![Act::After(vec![call("m", "late", "null")])];
    let broker = Broker::once(|moment| matches!(moment, Moment::Unsubscribe), on_its_way).await;
    let (device, _disk) = up(&broker).await;
    device.stop().await;
    assert_eq!(broker.answer("late").await.0, 503);
    broker.model(|model| assert_eq!((model.connects.len(), model.farewells), (1, 1)));
}
