//! IoT Hub's throttles, when they are asked for.

use hotshoe_localhub::Tier;
use reqwest::Method;
use rumqttc::QoS;
use serde_json::{Value, json};

use crate::client::{METHODS, Place};
use crate::events::Stream;

#[tokio::test]
async fn what_comes_too_fast_is_refused_in_the_form_of_its_endpoint() {
    let place = Place::with(|settings| settings.throttle = Tier::S1).await;
    place.key("d").await;
    let query = || Some(json!({"query": "SELECT * FROM devices"}));
    let calls = (0..30).map(|_| place.send(Method::POST, "/devices/query", query(), &[]));
    let answers = futures_util::future::join_all(calls).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status() == 429).collect();
    // Twenty at once, one more that waits for its time, and the rest.
    assert!((5..=9).contains(&refused.len()), "{} of 30 were refused", refused.len());
    assert_eq!(refused[0].headers()["iothub-errorcode"], "ThrottlingException");

    let mut device = place.device("d").await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await.unwrap();
    // Each costs 32 steps of 4 KB; a second has 40, and five seconds more may be waited for.
    let body = || {
        Some(
            json!({"methodName": "a", "payload": "x".repeat(128 * 1024 - 100), "responseTimeoutInSeconds": 5}),
        )
    };
    let calls = (0..12).map(|_| place.rest(Method::POST, "/twins/d/methods", body()));
    let answers = futures_util::future::join_all(calls).await;
    let refused = answers.iter().find(|(status, _)| *status == 429).expect("one is refused");
    let inner: Value = serde_json::from_str(refused.1["Message"].as_str().unwrap()).unwrap();
    assert_eq!(inner["errorCode"], 429_001);
}

#[tokio::test]
async fn a_jobs_devices_wait_for_their_turn_and_none_is_refused() {
    let place = Place::with(|settings| settings.throttle = Tier::S1).await;
    for number in 0..12 {
        place.hub.create_device(&format!("d{number}")).await.unwrap();
    }
    // As direct methods of their own most of these would be refused: see above.
    let call = json!({"methodName": "a", "payload": "x".repeat(128 * 1024 - 100)});
    let job = json!({"type": "scheduleDeviceMethod", "cloudToDeviceMethod": call, "queryCondition": "*"});
    let mut events = Stream::open(&place, "/localhub/events?kinds=job").await;
    assert_eq!(place.rest(Method::PUT, "/jobs/v2/j", Some(job)).await.0, 200);
    while events.next().await.1["status"] != "completed" {}

    let query = json!({"query": "SELECT * FROM devices.jobs"});
    let (_, rows) = place.rest(Method::POST, "/devices/query", Some(query)).await;
    let codes: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["error"]["code"]).collect();
    assert_eq!(codes, [&json!("DeviceNotOnline"); 12]);
}

#[tokio::test]
async fn nothing_is_throttled_unless_asked() {
    let place = Place::new().await;
    let query = || Some(json!({"query": "SELECT * FROM devices"}));
    let calls = (0..60).map(|_| place.rest(Method::POST, "/devices/query", query()));
    assert!(futures_util::future::join_all(calls).await.iter().all(|(status, _)| *status == 200));
}
