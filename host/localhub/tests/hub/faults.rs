//! Faults on request, as a device and an operator meet them.

use reqwest::Method;
use rumqttc::{ConnectReturnCode, Packet, QoS};
use serde_json::{Value, json};

use crate::client::{DESIRED, METHODS, Place, TWIN, token};

async fn ask(place: &Place, fault: &str) {
    let (status, answer) = place.rest(Method::POST, "/localhub/faults", Some(json!({"fault": fault}))).await;
    assert_eq!((status.as_u16(), &answer["fault"]), (200, &json!(fault)), "{answer}");
}

async fn clear(place: &Place) {
    assert_eq!(place.rest(Method::DELETE, "/localhub/faults", None).await.0, 200);
}

fn call() -> Option<Value> {
    Some(json!({"methodName": "echo", "payload": 1, "responseTimeoutInSeconds": 5}))
}

#[tokio::test]
async fn a_lost_method_is_a_time_out_and_a_doubled_one_comes_twice() {
    let place = Place::with(|settings| {
        settings.faults = vec!["drop:what=methods,times=1".parse().unwrap()];
    })
    .await;
    let mut device = place.device("d").await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await.unwrap();
    assert_eq!(place.rest(Method::POST, "/twins/d/methods", call()).await.0, 504);

    ask(&place, "duplicate:what=methods").await;
    let answerer = async {
        let (first, again) = (device.request().await, device.request().await);
        assert_eq!(first, again);
        device.answer(&first.1, 200, "1").await;
    };
    let (answer, ()) = tokio::join!(place.rest(Method::POST, "/twins/d/methods", call()), answerer);
    assert_eq!(answer.0, 200);
    let (_, listed) = place.rest(Method::GET, "/localhub/faults", None).await;
    assert_eq!(listed[0], json!({"id": 1, "fault": "drop:what=methods,times=1", "asked": 2, "struck": 1}));
    assert_eq!(place.rest(Method::DELETE, "/localhub/faults/2", None).await.0, 200);
    assert_eq!(place.rest(Method::DELETE, "/localhub/faults/2", None).await.0, 404);
}

#[tokio::test]
async fn tokens_and_connections_are_refused_as_often_as_asked_and_sessions_are_lost() {
    let place = Place::new().await;
    let password = token("localhost/devices/d", &place.key("d").await, None, 60);
    place.device("d").await.subscribe(&[(TWIN, QoS::AtMostOnce)]).await.unwrap();
    for (fault, code) in [
        ("refuse-token:device=d,times=1", ConnectReturnCode::NotAuthorized),
        ("refuse-connect:device=d,times=1", ConnectReturnCode::ServiceUnavailable),
    ] {
        ask(&place, fault).await;
        assert_eq!(place.dial().await.log_in("d", &password, false).await.unwrap().code, code);
        let answer = place.dial().await.log_in("d", &password, false).await.unwrap();
        assert_eq!((answer.code, answer.session_present), (ConnectReturnCode::Success, true));
    }
    ask(&place, "lose-session:times=1").await;
    assert!(!place.dial().await.log_in("d", &password, false).await.unwrap().session_present);
    assert!(place.dial().await.log_in("d", &password, false).await.unwrap().session_present);
}

#[tokio::test]
async fn twins_are_rejected_with_a_body_and_unchanged() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(TWIN, QoS::AtMostOnce)]).await.unwrap();
    ask(&place, "reject-twin:status=429,times=1").await;
    let patch = "$iothub/twin/PATCH/properties/reported/?$rid=1";
    let (status, _, body) = device.twin(patch, r#"{"a":1}"#).await;
    assert_eq!(status, 429);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["errorCode"], 429_001);
    assert_eq!(device.twin(patch, r#"{"a":2}"#).await.1, "$rid=1&$version=2");
    assert_eq!(place.hub.twin("d").await.unwrap()["reported"], json!({"a": 2, "$version": 2}));
}

#[tokio::test]
async fn lost_telemetry_is_not_acknowledged_and_delayed_notifications_keep_their_order() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(DESIRED, QoS::AtMostOnce)]).await.unwrap();
    ask(&place, "drop:what=telemetry,times=1").await;
    ask(&place, "delay:by=200ms,what=desired").await;
    device.publish("devices/d/messages/events/", QoS::AtLeastOnce, "lost").await;
    device.publish("devices/d/messages/events/", QoS::AtLeastOnce, "kept").await;
    match device.next().await {
        Some(Packet::PubAck(answer)) => assert_eq!(answer.pkid, 3, "the second publish's"),
        other => panic!("{other:?}"),
    }
    assert_eq!(place.hub.hub.telemetry("d").len(), 1);
    for value in 1..=3 {
        place.hub.patch_desired("d", json!({"a": value})).await.unwrap();
    }
    for value in 1..=3 {
        let (_, body) = device.message().await;
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["a"], value);
    }
}

#[tokio::test]
async fn an_answer_that_comes_late_is_lost_to_its_caller() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await.unwrap();
    ask(&place, "late-method:by=30s").await;
    let answerer = async {
        let (_, id, _) = device.request().await;
        device.answer(&id, 200, "1").await;
    };
    let (answer, ()) = tokio::join!(place.rest(Method::POST, "/twins/d/methods", call()), answerer);
    assert_eq!(answer.0, 504);
}

#[tokio::test]
async fn connections_end_or_fall_silent_with_a_packet() {
    let place = Place::new().await;
    ask(&place, "close-after:packets=2").await;
    let mut device = place.device("d").await;
    device.send(Packet::PingReq).await;
    assert_eq!(device.next().await, Some(Packet::PingResp));
    device.send(Packet::PingReq).await;
    assert_eq!(device.next().await, None);

    clear(&place).await;
    ask(&place, "mute-after:packets=1").await;
    let mut device = place.device("d").await;
    device.subscribe_unanswered(METHODS).await;
    device.send(Packet::PingReq).await;
    let mut newer = place.device("d").await;
    assert!(device.is_closed().await, "nothing came before the newer connection took over");
    clear(&place).await;
    newer.send(Packet::PingReq).await;
}

#[tokio::test]
async fn a_message_waits_for_a_connection_that_is_not_silent() {
    let place = Place::new().await;
    let mut silent = place.device("d").await;
    silent.subscribe(&[("devices/d/messages/devicebound/#", QoS::AtMostOnce)]).await.unwrap();
    ask(&place, "mute-after:packets=2").await;
    silent.send(Packet::PingReq).await;
    while place.rest(Method::GET, "/localhub/faults", None).await.1[0]["struck"] == 0 {}

    assert_eq!(place.post("", "news").await.0, 200);
    clear(&place).await;
    let mut newer = place.device("d").await;
    assert!(silent.is_closed().await, "nothing came before the newer connection took over");
    assert_eq!(newer.published().await.payload.as_ref(), b"news");
}

#[tokio::test]
async fn rest_fails_as_asked_but_never_the_faults_own_endpoint() {
    let place = Place::new().await;
    place.key("d").await;
    ask(&place, "fail-rest:status=503,device=d,times=1").await;
    let answer = place.send(Method::GET, "/devices/d", None, &[]).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["iothub-errorcode"]),
        (503, &"ServiceUnavailable".parse().unwrap())
    );
    assert_eq!(place.rest(Method::GET, "/devices/d", None).await.0, 200);
    ask(&place, "fail-rest:status=500").await;
    clear(&place).await;
    let (status, error) =
        place.rest(Method::POST, "/localhub/faults", Some(json!({"fault": "explode"}))).await;
    assert_eq!(status, 400);
    assert!(error["Message"].as_str().unwrap().contains("there is no fault"), "{error}");
    let service = place.hub.policy_key("service").unwrap();
    let service = token("localhost", service, Some("service"), 60);
    let request = place.https().get(place.url("/localhub/faults")).header("authorization", service);
    assert_eq!(request.send().await.unwrap().status(), 401, "the owner's alone");
}
