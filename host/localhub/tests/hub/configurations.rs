//! Automatic configurations: whom they target, what wins, what goes away again, and what a kill leaves.

use std::time::Duration;

use reqwest::Method;
use rumqttc::QoS;
use serde_json::{Value, json};

use crate::client::{DESIRED, Place, TWIN};
use crate::durable::Program;

const REPORT: &str = "$iothub/twin/PATCH/properties/reported/?$rid=1";

fn wanted(content: Value, condition: &str, priority: u32) -> Value {
    json!({"content": {"deviceContent": content}, "targetCondition": condition, "priority": priority})
}

async fn make(place: &Place, id: &str, configuration: Value) -> Value {
    let (status, made) = place
        .rest(Method::PUT, &format!("/configurations/{id}?api-version=2021-04-12"), Some(configuration))
        .await;
    assert_eq!(status, 200, "{made}");
    made
}

async fn change(place: &Place, id: &str, configuration: Value) -> (u16, Value) {
    let response = place
        .send(Method::PUT, &format!("/configurations/{id}"), Some(configuration), &[("if-match", "\"*\"")])
        .await;
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

async fn twin(place: &Place, id: &str) -> Value {
    place.rest(Method::GET, &format!("/twins/{id}"), None).await.1
}

async fn tag(place: &Place, id: &str, tags: Value) -> Value {
    place.key(id).await;
    place.rest(Method::PATCH, &format!("/twins/{id}"), Some(json!({"tags": tags}))).await.1
}

/// Desired properties without the hub's own members.
fn desired(twin: &Value) -> Value {
    let mut desired = twin["properties"]["desired"].clone();
    desired.as_object_mut().unwrap().retain(|key, _| !key.starts_with('$'));
    desired
}

/// Asks until it holds.
async fn until(place: &Place, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    loop {
        let (status, found) = place.rest(Method::GET, path, None).await;
        if status == 200 && holds(&found) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn results(targeted: u32, applied: u32) -> impl Fn(&Value) -> bool {
    move |one| one["systemMetrics"]["results"] == json!({"targetedCount": targeted, "appliedCount": applied})
}

#[tokio::test]
async fn devices_get_settings_while_the_condition_holds_and_no_longer() {
    let place = Place::new().await;
    tag(&place, "riga", json!({"site": "riga"})).await;
    tag(&place, "porto", json!({"site": "porto"})).await;
    let mut device = place.device("riga").await;
    device.subscribe(&[(DESIRED, QoS::AtMostOnce), (TWIN, QoS::AtMostOnce)]).await.unwrap();
    let firmware =
        json!({"properties.desired.firmware": {"version": "2"}, "properties.desired.mode": "slow"});
    let made = make(&place, "fw-2", wanted(firmware, "tags.site = 'riga'", 10)).await;
    assert_eq!((&made["schemaVersion"], &made["priority"]), (&json!("1.0"), &json!(10)));
    assert_eq!(device.message().await.1, r#"{"$version":2,"firmware":{"version":"2"},"mode":"slow"}"#);
    until(&place, "/configurations/fw-2", results(1, 1)).await;
    let riga = twin(&place, "riga").await;
    assert_eq!(riga["configurations"], json!({"fw-2": {"status": "Applied"}}));
    assert!(twin(&place, "porto").await.get("configurations").is_none());
    let query = "SELECT deviceId FROM devices WHERE configurations.[[fw-2]].status = 'Applied'";
    let (_, rows) = place.rest(Method::POST, "/devices/query", Some(json!({"query": query}))).await;
    assert_eq!(rows, json!([{"deviceId": "riga"}]));

    // One that comes to match gets it in the same step, a new one too, and one that stops to match loses it.
    let moved = tag(&place, "porto", json!({"site": "riga"})).await;
    assert_eq!(desired(&moved), json!({"firmware": {"version": "2"}, "mode": "slow"}));
    assert_eq!(moved["configurations"]["fw-2"]["status"], "Applied");
    let born = json!([{"id": "born", "importMode": "create", "tags": {"site": "riga"}}]);
    assert_eq!(place.rest(Method::POST, "/devices", Some(born)).await.0, 200);
    assert_eq!(desired(&twin(&place, "born").await)["mode"], "slow");
    until(&place, "/configurations/fw-2", results(3, 3)).await;
    let left = tag(&place, "riga", json!({"site": null})).await;
    assert_eq!((desired(&left), left.get("configurations")), (json!({}), None));
    assert_eq!(device.message().await.1, r#"{"$version":3,"firmware":null,"mode":null}"#);

    // What an operator writes into its places has no effect while it holds; beside them it has.
    let patch = json!({"properties": {"desired": {"mode": "fast", "firmware": {"note": 1}}}});
    let (_, porto) = place.rest(Method::PATCH, "/twins/porto", Some(patch)).await;
    assert_eq!(desired(&porto), json!({"firmware": {"version": "2", "note": 1}, "mode": "slow"}));
    let (_, porto) = place.rest(Method::PUT, "/twins/porto", Some(json!({"tags": {"site": "riga"}}))).await;
    assert_eq!(desired(&porto), json!({"firmware": {"version": "2"}, "mode": "slow"}));

    let (status, _) = place.rest(Method::DELETE, "/configurations/fw-2", None).await;
    assert_eq!(status, 204);
    until(&place, "/twins/porto", |twin| desired(twin) == json!({})).await;
    assert_eq!(place.rest(Method::GET, "/configurations/fw-2", None).await.0, 404);
}

#[tokio::test]
async fn what_a_device_reports_decides_too_and_metrics_count_it() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.subscribe(&[(DESIRED, QoS::AtMostOnce), (TWIN, QoS::AtMostOnce)]).await.unwrap();
    let mut chiller = wanted(
        json!({"properties.desired.chiller.temperature": 66}),
        "properties.reported.model = '4000x'",
        20,
    );
    chiller["metrics"] = json!({"queries": {
        "pending": "SELECT deviceId FROM devices WHERE configurations.[[chiller]].status = 'Applied' AND properties.reported.state = 'pending'",
        "all": "SELECT deviceId FROM devices",
    }});
    make(&place, "chiller", chiller).await;
    until(&place, "/configurations/chiller", |one| {
        one["metrics"]["results"] == json!({"pending": 0, "all": 1})
    })
    .await;
    device.publish(REPORT, QoS::AtMostOnce, r#"{"model":"4000x","state":"pending"}"#).await;
    let (one, other) = (device.message().await, device.message().await); // in either order
    let (answer, patch) = if one.1.is_empty() { (one, other) } else { (other, one) };
    assert!(answer.0.starts_with("$iothub/twin/res/204/"), "{answer:?}");
    assert_eq!(patch.1, r#"{"$version":2,"chiller":{"temperature":66}}"#);
    let all = until(&place, "/configurations", |all| all[0]["metrics"]["results"]["pending"] == 1).await;
    assert_eq!(all.as_array().unwrap().len(), 1);
    let query = all[0]["systemMetrics"]["queries"]["appliedCount"].as_str().unwrap().to_owned();
    let (_, rows) = place.rest(Method::POST, "/devices/query", Some(json!({"query": query}))).await;
    assert_eq!(rows, json!([{"deviceId": "d"}]));
    device.twin(REPORT, r#"{"state":"done"}"#).await;
    until(&place, "/configurations/chiller", |one| one["metrics"]["results"]["pending"] == 0).await;
}

#[tokio::test]
async fn the_highest_priority_has_a_place_for_itself_and_the_newest_on_a_tie() {
    let place = Place::new().await;
    place.key("d").await;
    let firmware = |version: u32| json!({"properties.desired.firmware": {"version": version}});
    make(&place, "old", wanted(firmware(1), "*", 10)).await;
    make(&place, "new", wanted(firmware(2), "deviceId IN ['d', 'e']", 10)).await;
    make(&place, "beside", wanted(json!({"properties.desired.mode": "slow"}), "*", 1)).await;
    let applied = |id: &'static str| move |twin: &Value| twin["configurations"][id]["status"] == "Applied";
    until(&place, "/twins/d", applied("beside")).await;
    let found = twin(&place, "d").await;
    assert_eq!(desired(&found), json!({"firmware": {"version": 2}, "mode": "slow"}));
    assert_eq!(found["configurations"]["old"]["status"], "Targeted");
    until(&place, "/configurations/old", results(1, 0)).await;

    let (status, changed) = change(&place, "old", wanted(firmware(1), "*", 11)).await;
    assert_eq!((status, &changed["priority"]), (200, &json!(11)));
    until(&place, "/twins/d", applied("old")).await;
    let found = twin(&place, "d").await;
    assert_eq!(
        (desired(&found)["firmware"]["version"].clone(), &found["configurations"]["new"]["status"]),
        (json!(1), &json!("Targeted"))
    );
    place.rest(Method::DELETE, "/configurations/old", None).await;
    until(&place, "/twins/d", |twin| desired(twin)["firmware"]["version"] == 2).await;

    // An empty condition is for nobody.
    assert_eq!(change(&place, "new", wanted(firmware(2), "", 10)).await.0, 200);
    until(&place, "/twins/d", |twin| desired(twin) == json!({"mode": "slow"})).await;
    until(&place, "/configurations/new", results(0, 0)).await;
}

#[tokio::test]
async fn module_content_is_for_module_twins_and_modules_content_is_put_on_one_device() {
    let place = Place::new().await;
    place.key("d").await;
    for module in ["vision", "other"] {
        place.rest(Method::PUT, &format!("/devices/d/modules/{module}"), Some(json!({}))).await;
    }
    let configuration = json!({
        "content": {"moduleContent": {"properties.desired.fps": 5}},
        "targetCondition": "from devices.modules where moduleId = 'vision'",
    });
    make(&place, "vision", configuration).await;
    until(&place, "/twins/d/modules/vision", |twin| desired(twin) == json!({"fps": 5})).await;
    until(&place, "/configurations/vision", results(1, 1)).await;
    assert_eq!(desired(&twin(&place, "d/modules/other").await), json!({}));

    let content = json!({"modulesContent": {
        "$edgeHub": {"properties.desired": {"routes": {"all": "FROM /*"}}},
        "other": {"properties.desired.deep.value": 1},
    }});
    let path = "/devices/d/applyConfigurationContent";
    assert_eq!(place.rest(Method::POST, path, Some(content.clone())).await.0, 204);
    assert_eq!(place.rest(Method::POST, path, Some(content.clone())).await.0, 204);
    assert_eq!(desired(&twin(&place, "d/modules/$edgeHub").await), json!({"routes": {"all": "FROM /*"}}));
    assert_eq!(desired(&twin(&place, "d/modules/other").await), json!({"deep": {"value": 1}}));
    let away = place.rest(Method::POST, "/devices/nobody/applyConfigurationContent", Some(content)).await;
    assert_eq!(away.0, 404);
    assert_eq!(place.rest(Method::POST, path, Some(json!({}))).await.0, 400);
}

#[tokio::test]
async fn entity_tags_limits_and_what_cannot_be_are_told_in_iot_hubs_words() {
    let place = Place::new().await;
    let content = json!({"properties.desired.a": 1});
    let made = make(&place, "one", wanted(content.clone(), "*", 1)).await;
    let put = |id: &'static str, body: Value, tag: Option<String>| {
        let place = &place;
        async move {
            let headers: Vec<(&str, &str)> = tag.iter().map(|tag| ("if-match", tag.as_str())).collect();
            let response =
                place.send(Method::PUT, &format!("/configurations/{id}"), Some(body), &headers).await;
            let name =
                response.headers().get("iothub-errorcode").map(|name| name.to_str().unwrap().to_owned());
            (response.status().as_u16(), name.unwrap_or_default())
        }
    };
    let good = || wanted(content.clone(), "*", 1);
    let five =
        ["a", "b", "c", "d", "e", "f"].map(|name| (name.to_owned(), json!("SELECT deviceId FROM devices")));
    for (id, body, tag, status, name) in [
        ("one", good(), None, 409, "ConfigurationAlreadyExists"),
        ("one", good(), Some("\"c3RhbGU=\""), 412, "PreconditionFailed"),
        ("none", good(), Some("*"), 404, "ConfigurationNotFound"),
        (
            "one",
            wanted(json!({"properties.desired.b": 1}), "*", 1),
            Some("*"),
            400,
            "CannotModifyImmutableConfigurationContent",
        ),
        ("UPPER", good(), None, 400, "ArgumentInvalid"),
        ("two", json!({"id": "other"}), None, 400, "ArgumentInvalid"),
        ("two", json!({}), None, 400, "InvalidConfigurationContent"),
        (
            "two",
            json!({"content": {"deviceContent": {}, "moduleContent": {}}}),
            None,
            400,
            "InvalidConfigurationContent",
        ),
        ("two", wanted(json!({"tags.a": 1}), "*", 1), None, 400, "InvalidConfigurationContent"),
        (
            "two",
            wanted(json!({"properties.desired.a": "x".repeat(40_000)}), "*", 1),
            None,
            400,
            "InvalidConfigurationContent",
        ),
        (
            "two",
            wanted(content.clone(), "connectionState = 'Connected'", 1),
            None,
            400,
            "InvalidConfigurationTargetCondition",
        ),
        ("two", wanted(content.clone(), "tags.a ==", 1), None, 400, "InvalidConfigurationTargetCondition"),
        ("two", json!({"priority": -1}), None, 400, "ArgumentInvalid"),
        (
            "two",
            json!({"content": {"deviceContent": {}}, "metrics": {"queries": {"n": "SELECT COUNT() FROM devices"}}}),
            None,
            400,
            "InvalidConfigurationCustomMetricsQuery",
        ),
        (
            "two",
            json!({"content": {"deviceContent": {}}, "metrics": {"queries": five.into_iter().collect::<serde_json::Map<_, _>>()}}),
            None,
            400,
            "InvalidConfigurationCustomMetricsQuery",
        ),
    ] {
        let found = put(id, body.clone(), tag.map(str::to_owned)).await;
        assert_eq!(found, (status, name.to_owned()), "{id} {body:.200}");
    }
    let tag = format!("\"{}\"", made["etag"].as_str().unwrap());
    assert_eq!(put("one", good(), Some(tag.clone())).await.0, 200);
    let stale = place.send(Method::DELETE, "/configurations/one", None, &[("if-match", &tag)]).await;
    assert_eq!(stale.status(), 412);
    for number in 1..100 {
        make(&place, &format!("c{number}"), wanted(content.clone(), "", 1)).await;
    }
    assert_eq!(put("two", good(), None).await, (413, "ConfigurationCountLimitExceeded".to_owned()));

    let test = json!({"targetCondition": "tags.a =", "customMetricQueries": {"good": "SELECT * FROM devices", "bad": "SELECT"}});
    let (status, tested) = place.rest(Method::POST, "/configurations/testQueries", Some(test)).await;
    assert_eq!(status, 200);
    assert!(tested["targetConditionError"].as_str().unwrap().contains("character 9"), "{tested}");
    assert_eq!(tested["customMetricQueryErrors"].as_object().unwrap().keys().collect::<Vec<_>>(), ["bad"]);
}

#[tokio::test]
async fn settings_that_do_not_fit_leave_the_twin_alone_and_say_so() {
    let place = Place::new().await;
    place.key("full").await;
    let filling: serde_json::Map<_, _> =
        (0..8).map(|n| (format!("k{n}"), "x".repeat(4_000).into())).collect();
    place.rest(Method::PATCH, "/twins/full", Some(json!({"properties": {"desired": filling}}))).await;
    make(&place, "large", wanted(json!({"properties.desired.more": "y".repeat(3_000)}), "*", 1)).await;
    until(&place, "/configurations/large", results(1, 0)).await;
    assert!(desired(&twin(&place, "full").await).get("more").is_none());
    let room = json!({"properties": {"desired": {"k0": null}}});
    let (_, found) = place.rest(Method::PATCH, "/twins/full", Some(room)).await;
    assert_eq!(found["configurations"]["large"]["status"], "Applied");
    assert!(desired(&found).get("more").is_some());
}

#[tokio::test]
async fn listeners_hear_of_configurations_and_of_their_figures() {
    use hotshoe_localhub::{Heard, Kind, Kinds};
    let place = Place::new().await;
    let mut listener = place.hub.hub.events().listen(Kinds::only(Kind::Configuration), None);
    let mut heard = async || {
        let next = tokio::time::timeout(crate::client::PATIENCE, listener.next()).await;
        match next.expect("an event").unwrap() {
            Heard::Event(event) => serde_json::from_str::<Value>(&event.json).unwrap()["id"].clone(),
            Heard::Missed(_) => panic!("none is missed"),
        }
    };
    make(&place, "one", wanted(json!({"properties.desired.a": 1}), "tags.a = 1", 1)).await;
    assert_eq!(heard().await, "one");
    tag(&place, "d", json!({"a": 1})).await;
    assert_eq!(heard().await, "one");
    until(&place, "/configurations/one", results(1, 1)).await;
    place.rest(Method::DELETE, "/devices/d", None).await;
    assert_eq!(heard().await, "one");
    until(&place, "/configurations/one", results(0, 0)).await;
}

#[tokio::test]
async fn a_hub_that_is_killed_in_the_middle_goes_on() {
    const DEVICES: u32 = 400;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut program = Program::start(&data);
    for chunk in 0..DEVICES / 100 {
        let operations: Vec<Value> = (0..100)
            .map(|n| json!({"id": format!("d{}", chunk * 100 + n), "importMode": "create"}))
            .collect();
        let (status, body) = program.rest(Method::POST, "/devices", Value::Array(operations)).await;
        assert_eq!(status, 200, "{body}");
    }
    for round in 0..4_u32 {
        let content = json!({"properties.desired.round": round});
        let (status, body) = program
            .rest(Method::PUT, &format!("/configurations/round-{round}"), wanted(content, "*", round))
            .await;
        assert_eq!(status, 200, "{body}");
        drop(program); // SIGKILL, somewhere in the walk
        program = Program::start(&data);
    }
    loop {
        let (_, one) = program.rest(Method::GET, "/configurations/round-3", json!(null)).await;
        if results(DEVICES, DEVICES)(&one) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let query = json!({"query": "SELECT COUNT() AS n FROM devices WHERE properties.desired.round = 3"});
    assert_eq!(program.rest(Method::POST, "/devices/query", query).await.1, json!([{"n": DEVICES}]));
    let (_, beaten) = program.rest(Method::GET, "/configurations/round-0", json!(null)).await;
    assert!(results(DEVICES, 0)(&beaten), "{beaten}");
}
