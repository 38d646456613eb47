//! Direct methods: answers, payloads as they are, and every way not to get one.

use std::time::Duration;

use reqwest::Method;
use rumqttc::QoS;
use serde_json::{Value, json};

use crate::client::{METHODS, Place};

fn call(name: &str) -> Option<Value> {
    Some(json!({"methodName": name, "payload": {"a": 1}, "responseTimeoutInSeconds": 5}))
}

async fn inner(response: reqwest::Response) -> (u16, String, Value) {
    let status = response.status().as_u16();
    let name = response.headers()["iothub-errorcode"].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    (status, name, serde_json::from_str(body["Message"].as_str().unwrap()).unwrap())
}

#[tokio::test]
async fn a_call_reaches_the_device_and_its_answer_the_caller() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(METHODS, QoS::AtLeastOnce)]).await.unwrap();
    let caller = place.rest(Method::POST, "/twins/d/methods?api-version=2021-04-12", call("reboot"));
    let answerer = async {
        let (name, id, body) = device.request().await;
        assert_eq!((name.as_str(), body.as_str()), ("reboot", r#"{"a":1}"#));
        assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{id}");
        device.answer("nobody-asked", 200, "{}").await;
        device.answer(&id, 404, r#"{"Response":"what?"}"#).await;
    };
    let ((status, body), ()) = tokio::join!(caller, answerer);
    assert_eq!(status, 200, "a device's own status is not the request's");
    assert_eq!(body, json!({"status": 404, "payload": {"Response": "what?"}}));
}

#[tokio::test]
async fn no_payload_is_null_and_answers_are_read_leniently() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await.unwrap();
    for (answer, wanted) in [("", json!(null)), ("'Started.'", json!("'Started.'")), ("[1]", json!([1]))] {
        let body = Some(json!({"methodName": "a*b", "responseTimeoutInSeconds": "30"}));
        let caller = place.rest(Method::POST, "/twins/d/methods", body);
        let answerer = async {
            let (name, id, body) = device.request().await;
            assert_eq!((name.as_str(), body.as_str()), ("a*b", "null"));
            device.answer(&id, 200, answer).await;
        };
        let ((_, body), ()) = tokio::join!(caller, answerer);
        assert_eq!(body["payload"], wanted);
    }
}

#[tokio::test]
async fn a_device_that_is_away_or_deaf_is_not_online() {
    let place = Place::new().await;
    let _deaf = place.device("deaf").await;
    place.key("away").await;
    for id in ["deaf", "away"] {
        let response = place.send(Method::POST, &format!("/twins/{id}/methods"), call("a"), &[]).await;
        let (status, name, error) = inner(response).await;
        assert_eq!(
            (status, name.as_str(), &error["errorCode"]),
            (404, "DeviceNotOnline", &json!(404_103)),
            "{id}"
        );
        assert_eq!(error["info"]["timeout"], "00:00:00");
    }
    let response = place.send(Method::POST, "/twins/unknown/methods", call("a"), &[]).await;
    assert_eq!(response.headers()["iothub-errorcode"], "DeviceNotFound");
}

#[tokio::test]
async fn a_call_waits_for_the_device_to_come_and_to_subscribe() {
    let place = Place::new().await;
    place.key("d").await;
    let body = json!({"methodName": "a", "connectTimeoutInSeconds": 20, "responseTimeoutInSeconds": 20});
    let caller = place.rest(Method::POST, "/twins/d/methods", Some(body));
    let answerer = async {
        let mut device = place.device("d").await;
        device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await.unwrap();
        let (_, id, _) = device.request().await;
        device.answer(&id, 200, "1").await;
    };
    let ((status, body), ()) = tokio::join!(caller, answerer);
    assert_eq!((status.as_u16(), &body["payload"]), (200, &json!(1)));
}

#[tokio::test]
async fn no_answer_is_a_gateway_time_out() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await.unwrap();
    let response = place.send(Method::POST, "/twins/d/methods", call("a"), &[]).await;
    let (status, name, error) = inner(response).await;
    assert_eq!((status, name.as_str(), &error["errorCode"]), (504, "GatewayTimeout", &json!(504_101)));
    assert_eq!(error["message"], "Timed out waiting for the response from device.");
}

#[tokio::test]
async fn a_call_on_a_connection_that_is_replaced_fails_at_once() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await.unwrap();
    let caller = place.send(Method::POST, "/twins/d/methods", call("a"), &[]);
    let replacer = async {
        device.request().await;
        place.device("d").await
    };
    let (response, _newer) = tokio::join!(caller, replacer);
    let (status, name, error) = inner(response).await;
    assert_eq!(
        (status, name.as_str(), &error["errorCode"]),
        (400, "ConnectionForcefullyClosedOnNewConnection", &json!(400_027))
    );
}

#[tokio::test]
async fn arguments_out_of_range_are_named() {
    let place = Place::new().await;
    place.key("d").await;
    for (body, status, words) in [
        (json!({"methodName": "a", "responseTimeoutInSeconds": 4}), 400, "must be within [5; 300]"),
        (json!({"methodName": "a", "connectTimeoutInSeconds": 301}), 400, "must be within [0; 300]"),
        (json!({"methodName": "a/b"}), 400, "method name"),
        (json!({"payload": 1}), 400, "methodName"),
        (json!({"methodName": "a", "payload": "x".repeat(128 * 1024)}), 413, "bytes"),
        (json!({"methodName": "a", "payload": "x".repeat(600 * 1024)}), 413, "bytes"),
    ] {
        let (got, answer) = place.rest(Method::POST, "/twins/d/methods", Some(body)).await;
        assert_eq!(got, status, "{answer}");
        assert!(answer["Message"].as_str().unwrap().contains(words), "{answer}");
    }
}

#[tokio::test]
async fn calls_at_the_same_time_do_not_mix() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await.unwrap();
    let callers = (0..50).map(|number| {
        let hub = &place.hub;
        async move {
            let answer = hub.invoke("d", "echo", &json!(number), Duration::from_secs(20)).await.unwrap();
            assert_eq!(answer, (200, json!(number)));
        }
    });
    let answerer = async {
        let mut requests = Vec::new();
        for _ in 0..50 {
            requests.push(device.request().await);
        }
        for (_, id, body) in requests.into_iter().rev() {
            device.answer(&id, 200, &body).await;
        }
    };
    tokio::join!(futures_util::future::join_all(callers), answerer);
}
