//! Messages from the cloud: each reaches its device, at least once at quality of service 1, over reconnects and
//! restarts, until it is acknowledged, too old or purged.

use reqwest::Method;
use rumqttc::{Packet, QoS};
use serde_json::{Value, json};

use crate::client::{Device, Place};

const DEVICE_BOUND: &str = "devices/d/messages/devicebound/#";

impl Place {
    pub(crate) async fn post(&self, query: &str, body: &str) -> (u16, Value) {
        let url = self.url(&format!("/localhub/devices/d/messages{query}"));
        let request = self.https().post(url).header("authorization", self.owner_token());
        let response = request.body(body.to_owned()).send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    async fn waiting(&self) -> [Value; 2] {
        let (_, identity) = self.rest(Method::GET, "/devices/d", None).await;
        let (_, twin) = self.rest(Method::GET, "/twins/d", None).await;
        [identity, twin].map(|shown| shown["cloudToDeviceMessageCount"].clone())
    }
}

async fn listen(device: &mut Device, qos: QoS) {
    device.subscribe(&[(DEVICE_BOUND, qos)]).await.unwrap();
}

#[tokio::test]
async fn a_message_reaches_a_connected_device_with_its_properties() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    listen(&mut device, QoS::AtLeastOnce).await;
    let query =
        "?messageId=m%201&correlationId=c&contentType=application%2Fjson&ack=full&colour=a%2Fb%3Dc&empty=";
    let (status, posted) = place.post(query, r#"{"a":1}"#).await;
    assert_eq!((status, posted), (200, json!({"messageId": "m 1", "sequenceNumber": 1})));
    let message = device.published().await;
    assert_eq!(
        (message.qos, message.dup, message.payload.as_ref()),
        (QoS::AtLeastOnce, false, &br#"{"a":1}"#[..])
    );
    assert_eq!(
        std::str::from_utf8(&message.topic).unwrap(),
        "devices/d/messages/devicebound/%24.to=%2Fdevices%2Fd%2Fmessages%2FdeviceBound&%24.mid=m%201&%24.cid=c\
         &%24.ct=application%2Fjson&iothub-ack=full&colour=a%2Fb%3Dc&empty="
    );
    assert_eq!(place.waiting().await, [json!(1), json!(1)], "until it is acknowledged");
    device.acknowledge(&message).await;
    device.ping().await;
    assert_eq!(place.waiting().await, [json!(0), json!(0)]);
}

#[tokio::test]
async fn unacknowledged_messages_come_again_as_duplicates_even_after_a_restart() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    listen(&mut device, QoS::AtLeastOnce).await;
    for body in ["1", "2", "3"] {
        place.post("", body).await;
    }
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(device.published().await);
    }
    device.acknowledge(&sent[1]).await;
    device.ping().await;
    drop(device);

    let place = place.restart().await;
    place.post("", "4").await;
    let mut device = place.device("d").await;
    for (body, dup) in [("1", true), ("3", true), ("4", false)] {
        let message = device.published().await;
        assert_eq!((message.payload.as_ref(), message.dup), (body.as_bytes(), dup));
        if let Some(before) = sent.iter().find(|before| before.payload == message.payload) {
            assert_eq!(message.pkid, before.pkid, "the identifier stays");
        }
        device.acknowledge(&message).await;
    }
    device.ping().await;
    assert_eq!(place.waiting().await[0], 0);
    let mut device = place.device("d").await;
    device.ping().await; // and nothing comes before the answer
}

#[tokio::test]
async fn a_message_waits_for_a_device_that_subscribes_later_and_in_a_clean_session_it_is_no_duplicate() {
    let place = Place::new().await;
    place.key("d").await;
    place.post("", "early").await;
    let mut device = place.clean_device("d").await;
    device.ping().await;
    listen(&mut device, QoS::AtLeastOnce).await;
    assert_eq!(device.published().await.payload.as_ref(), b"early");
    let mut device = place.clean_device("d").await;
    listen(&mut device, QoS::AtLeastOnce).await;
    let again = device.published().await;
    assert_eq!((again.payload.as_ref(), again.dup), (&b"early"[..], false));
}

#[tokio::test]
async fn at_quality_zero_a_message_is_complete_when_it_is_sent() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    listen(&mut device, QoS::AtMostOnce).await;
    for number in 0..25 {
        place.post("", &number.to_string()).await;
    }
    for number in 0..25 {
        let message = device.published().await;
        assert_eq!((message.qos, message.payload.as_ref()), (QoS::AtMostOnce, number.to_string().as_bytes()));
    }
    device.ping().await;
    assert_eq!(place.waiting().await[0], 0);
}

#[tokio::test]
async fn a_window_of_messages_is_on_its_way_and_no_more() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    for number in 0..12 {
        place.post("", &number.to_string()).await;
    }
    listen(&mut device, QoS::AtLeastOnce).await;
    let mut sent = Vec::new();
    for _ in 0..10 {
        sent.push(device.published().await);
    }
    device.ping().await; // the eleventh would come before this answer
    device.acknowledge(&sent[0]).await;
    assert_eq!(device.published().await.payload.as_ref(), b"10");
    device.unsubscribe(DEVICE_BOUND).await;
    device.acknowledge(&sent[1]).await;
    device.ping().await;
    assert_eq!(place.waiting().await[0], 10);
}

#[tokio::test]
async fn fifty_wait_and_not_one_more_until_they_are_purged() {
    let place = Place::new().await;
    place.key("d").await;
    for _ in 0..50 {
        assert_eq!(place.post("?ack=negative", "x").await.0, 200);
    }
    let (status, body) = place.post("", "x").await;
    assert_eq!(status, 403);
    assert!(body["Message"].as_str().unwrap().starts_with("ErrorCode:DeviceMaximumQueueDepthExceeded;"));
    assert_eq!(place.waiting().await, [json!(50), json!(50)]);
    let (_, purged) = place.rest(Method::DELETE, "/devices/d/commands?api-version=2021-04-12", None).await;
    assert_eq!(purged, json!({"totalMessagesPurged": 50, "deviceId": "d", "moduleId": null}));
    assert_eq!(place.post("", "x").await.0, 200);
}

#[tokio::test]
async fn senders_who_asked_hear_what_became_of_their_messages() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    listen(&mut device, QoS::AtLeastOnce).await;
    let path = "/messages/serviceBound/feedback";
    assert_eq!(place.rest(Method::GET, path, None).await.0, 204);
    for query in ["?messageId=a&ack=positive", "?messageId=b&ack=negative", "?messageId=c"] {
        place.post(query, "x").await;
        let message = device.published().await;
        device.acknowledge(&message).await;
    }
    device.ping().await;
    let read = async || {
        let response = place.send(Method::GET, path, None, &[]).await;
        let token = response.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned();
        let records: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (token, records)
    };
    let (token, records) = read().await;
    assert_eq!(records.as_array().unwrap().len(), 1);
    assert_eq!(
        (&records[0]["originalMessageId"], &records[0]["statusCode"]),
        (&json!("a"), &json!("Success"))
    );
    assert_eq!(place.rest(Method::GET, path, None).await.0, 204, "somebody reads it");
    assert_eq!(place.rest(Method::POST, &format!("{path}/{token}/abandon"), None).await.0, 204);
    let (again, _) = read().await;
    assert_eq!(
        place.rest(Method::DELETE, &format!("{path}/{token}"), None).await.0,
        412,
        "the lock is another's"
    );
    assert_eq!(place.rest(Method::DELETE, &format!("{path}/{again}"), None).await.0, 204);
    assert_eq!(place.rest(Method::GET, path, None).await.0, 204);
}

#[tokio::test]
async fn what_cannot_be_sent_is_named() {
    let place = Place::new().await;
    place.key("d").await;
    for (query, status, words) in [
        ("?ttlSeconds=59", 400, "time to live"),
        ("?ttlSeconds=x", 400, "number of seconds"),
        ("?ack=maybe", 400, "ack is"),
        ("?%24.to=x", 400, "the hub's"),
    ] {
        let (got, body) = place.post(query, "x").await;
        assert_eq!(got, status, "{query}");
        assert!(body["Message"].as_str().unwrap().contains(words), "{body}");
    }
    assert_eq!(place.post("", &"x".repeat(64 * 1024)).await.0, 413);
    let response = place.send(Method::POST, "/localhub/devices/nobody/messages", None, &[]).await;
    assert_eq!(response.headers()["iothub-errorcode"], "DeviceNotFound");
}

#[tokio::test]
async fn an_acknowledgement_of_nothing_ends_the_connection() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.send(Packet::PubAck(rumqttc::PubAck::new(7))).await;
    assert!(device.is_closed().await);
}
