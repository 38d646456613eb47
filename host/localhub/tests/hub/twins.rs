//! Twins from both ends.

use reqwest::Method;
use rumqttc::QoS;
use serde_json::{Value, json};

use crate::client::{DESIRED, Place, TWIN};

#[tokio::test]
async fn a_device_reads_and_reports_and_is_told_of_what_is_desired() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(TWIN, QoS::AtLeastOnce), (DESIRED, QoS::AtLeastOnce)]).await.unwrap();

    let (status, query, body) = device.twin("$iothub/twin/GET/?$rid=abc-1", " ").await;
    assert_eq!((status, query.as_str()), (200, "$rid=abc-1"));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, json!({"desired": {"$version": 1}, "reported": {"$version": 1}}));

    let reported = "$iothub/twin/PATCH/properties/reported/?$rid=";
    let (status, query, body) =
        device.twin(&format!("{reported}2"), r#"{"firmware":{"v":1,"old":true}}"#).await;
    assert_eq!((status, query.as_str(), body.as_str()), (204, "$rid=2&$version=2", ""));
    device.twin(&format!("{reported}3&$version=2"), r#"{"firmware":{"old":null}}"#).await;

    let patch = json!({"tags": {"site": "x"}, "properties": {"desired": {"interval": 5}}});
    let (status, twin) = place.rest(Method::PATCH, "/twins/d", Some(patch)).await;
    assert_eq!(status, 200);
    assert_eq!(device.message().await.1, r#"{"$version":2,"interval":5}"#);
    assert_eq!(twin["properties"]["desired"]["$version"], 2);
    assert_eq!(twin["properties"]["desired"]["$metadata"]["interval"]["$lastUpdatedVersion"], 2);
    assert_eq!(twin["properties"]["reported"]["firmware"], json!({"v": 1}));
    assert_eq!(twin["properties"]["reported"]["$version"], 3);
    assert!(twin["properties"]["reported"]["$metadata"]["firmware"]["v"]["$lastUpdated"].is_string());
    assert_eq!((&twin["tags"]["site"], &twin["connectionState"]), (&json!("x"), &json!("Connected")));
}

#[tokio::test]
async fn a_refused_report_says_why_in_its_body_and_changes_nothing() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(TWIN, QoS::AtMostOnce)]).await.unwrap();
    let large = json!({"a": "x".repeat(4096), "b": "x".repeat(4096), "c": "x".repeat(4096), "d": "x".repeat(4096),
        "e": "x".repeat(4096), "f": "x".repeat(4096), "g": "x".repeat(4096), "h": "x".repeat(4096)});
    for (query, body, wanted) in [
        ("$rid=1", "{".to_owned(), 400),
        ("$rid=1", "[]".to_owned(), 400),
        ("$rid=1", r#"{"$version":1}"#.to_owned(), 400),
        ("$rid=1", r#"{"a.b":1}"#.to_owned(), 400),
        ("$rid=1", format!(r#"{{"a":"{}"}}"#, "x".repeat(4097)), 400),
        ("$rid=1", large.to_string(), 400),
        ("$rid=1&$version=9", r#"{"a":1}"#.to_owned(), 412),
    ] {
        let topic = format!("$iothub/twin/PATCH/properties/reported/?{query}");
        let (status, rid, answer) = device.twin(&topic, &body).await;
        assert_eq!((status, rid.as_str()), (wanted, "$rid=1"), "{query} {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["errorCode"].as_u64().unwrap() / 1000, u64::from(wanted));
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(place.hub.twin("d").await.unwrap()["reported"], json!({"$version": 1}));
}

#[tokio::test]
async fn without_an_api_version_a_device_may_read_but_not_report() {
    let place = Place::new().await;
    let password = crate::client::token("localhost/devices/d", &place.key("d").await, None, 60);
    let mut device = place.dial().await;
    device.connect("d", "localhost/d", &password, true).await.unwrap();
    device.subscribe(&[(TWIN, QoS::AtMostOnce)]).await.unwrap();
    assert_eq!(device.twin("$iothub/twin/GET/?$rid=1", "").await.0, 200);
    assert_eq!(device.twin("$iothub/twin/PATCH/properties/reported/?$rid=2", "{}").await.0, 400);
}

#[tokio::test]
async fn of_two_writers_with_one_entity_tag_one_wins() {
    let place = Place::new().await;
    place.key("d").await;
    let (_, twin) = place.rest(Method::GET, "/twins/d", None).await;
    let tag = twin["etag"].as_str().unwrap();
    let quoted = format!("\"{tag}\"");
    let write = |value: u32, tag: String| {
        let body = json!({"properties": {"desired": {"a": value}}});
        let place = &place;
        async move { place.send(Method::PATCH, "/twins/d", Some(body), &[("if-match", &tag)]).await }
    };
    let (one, two) = tokio::join!(write(1, quoted.clone()), write(2, tag.to_owned()));
    let mut statuses = [one.status().as_u16(), two.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let loser = if one.status() == 412 { one } else { two };
    assert_eq!(loser.headers()["iothub-errorcode"], "PreconditionFailed");
}

#[tokio::test]
async fn the_twin_is_compact_and_a_replacement_forgets_the_rest() {
    let place = Place::new().await;
    place.key("d").await;
    place.hub.patch_desired("d", json!({"firmwareStatus": "standBy", "other": 1})).await.unwrap();
    let text = place.send(Method::GET, "/twins/d", None, &[]).await.text().await.unwrap();
    assert!(text.contains(r#""firmwareStatus":"standBy""#), "{text}");
    let mut whole: Value = serde_json::from_str(&text).unwrap();
    whole["properties"]["desired"] = json!({"kept": true});
    let (status, twin) = place.rest(Method::PUT, "/twins/d", Some(whole)).await;
    assert_eq!(status, 200);
    assert_eq!(place.hub.twin("d").await.unwrap()["desired"], json!({"kept": true, "$version": 3}));
    assert_eq!(twin["properties"]["reported"]["$version"], 1);
}
