//! Queries over REST: what is found among twins, and how pages follow each other.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::client::{Place, TWIN};

async fn ask(place: &Place, text: &str, headers: &[(&str, &str)]) -> Response {
    place.send(Method::POST, "/devices/query", Some(json!({"query": text})), headers).await
}

async fn rows(place: &Place, text: &str) -> Value {
    let response = ask(place, text, &[]).await;
    let status = response.status();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(status, 200, "{text}: {body}");
    body
}

#[tokio::test]
async fn twins_are_found_by_what_operators_and_devices_say() {
    let place = Place::new().await;
    for (id, plant) in [("a", "Redmond43"), ("b", "Redmond43"), ("c", "Essen1")] {
        place.key(id).await;
        let tags =
            json!({"tags": {"location": {"plant": plant}}, "properties": {"desired": {"interval": 60}}});
        place.rest(Method::PATCH, &format!("/twins/{id}"), Some(tags)).await;
    }
    place.rest(Method::PUT, "/devices/a/modules/m", Some(json!({}))).await;
    let mut device = place.device("b").await;
    device.subscribe(&[(TWIN, rumqttc::QoS::AtMostOnce)]).await.unwrap();
    let report = "$iothub/twin/PATCH/properties/reported/?$rid=1";
    assert_eq!(device.twin(report, r#"{"connectivity":{"type":"cellular"}}"#).await.0, 204);

    let text = "SELECT * FROM devices WHERE tags.location.plant = 'Redmond43' \
                AND properties.reported.connectivity.type = 'cellular'";
    let found = rows(&place, text).await;
    assert_eq!((found.as_array().unwrap().len(), &found[0]["deviceId"]), (1, &json!("b")));
    assert_eq!(
        found[0]["properties"]["reported"]["$metadata"]["connectivity"]["type"].as_object().unwrap().len(),
        1
    );
    for (text, found) in [
        ("SELECT deviceId FROM devices WHERE connectionState = 'Connected'", json!([{"deviceId": "b"}])),
        ("SELECT COUNT() AS numberOfDevices FROM devices", json!([{"numberOfDevices": 3}])),
        (
            "SELECT tags.location.plant AS plant, COUNT() AS n FROM devices GROUP BY tags.location.plant",
            json!([{"plant": "Essen1", "n": 1}, {"plant": "Redmond43", "n": 2}]),
        ),
        ("SELECT deviceId, moduleId FROM devices.modules", json!([{"deviceId": "a", "moduleId": "m"}])),
        (
            "SELECT deviceId FROM devices WHERE properties.desired.$version = 2 AND deviceId IN ['c', 'x/y', 'a']",
            json!([{"deviceId": "a"}, {"deviceId": "c"}]),
        ),
        ("SELECT deviceId FROM devices WHERE configurations.[[fw]].status = 'Applied'", json!([])),
    ] {
        assert_eq!(rows(&place, text).await, found, "{text}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_until_no_continuation_is_given() {
    let place = Place::new().await;
    for number in 0..7 {
        place.key(&format!("d{number}")).await;
    }
    let text = "SELECT * FROM devices";
    let whole = ask(&place, text, &[]).await;
    assert_eq!(whole.headers()["x-ms-item-type"], "Twin");
    assert!(whole.headers().get("x-ms-continuation").is_none());
    let (mut ids, mut continuation) = (Vec::new(), String::new());
    for page in 0.. {
        // The first page goes out with an empty continuation, as some SDKs write it.
        let headers = [("x-ms-max-item-count", "3"), ("x-ms-continuation", continuation.as_str())];
        let response = ask(&place, text, &headers).await;
        let next = response.headers().get("x-ms-continuation").map(|text| text.to_str().unwrap().to_owned());
        let twins: Vec<Value> = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(twins.len(), if page == 2 { 1 } else { 3 });
        ids.extend(twins.iter().map(|twin| twin["deviceId"].as_str().unwrap().to_owned()));
        match next {
            Some(next) => continuation = next,
            None => break,
        }
    }
    assert_eq!(ids, ["d0", "d1", "d2", "d3", "d4", "d5", "d6"]);
    let foreign = [("x-ms-continuation", continuation.as_str())];
    assert_eq!(ask(&place, "SELECT deviceId FROM devices", &foreign).await.status(), 400);
    assert_eq!(ask(&place, text, &[("x-ms-max-item-count", "0")]).await.status(), 400);
    let wrong = ask(&place, "SELECT * FROM devices WHERE", &[]).await;
    assert_eq!(
        (wrong.status().as_u16(), &wrong.headers()["iothub-errorcode"]),
        (400, &"ArgumentInvalid".parse().unwrap())
    );
    let text = wrong.text().await.unwrap();
    assert!(text.contains("ErrorCode:ArgumentInvalid;the query, at character 28: wanted a value"), "{text}");
}
