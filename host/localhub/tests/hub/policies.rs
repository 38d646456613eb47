//! Every route of the hub under every policy: what IoT Hub's documents allow (`iothub.md` §6.1), and nothing else.
//!
//! The table is complete by force: the routes are read from the router's own source.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Place, token};

/// Who asks. The last two are a device with its own key, and nobody.
const WHO: [&str; 7] =
    ["iothubowner", "service", "device", "registryRead", "registryReadWrite", "d's own key", "no token"];

const OWNER: &[&str] = &["iothubowner"];
const SERVICE: &[&str] = &["iothubowner", "service"];
const READ: &[&str] = &["iothubowner", "registryRead", "registryReadWrite"];
const WRITE: &[&str] = &["iothubowner", "registryReadWrite"];

/// Open to everybody: files for devices, the page's files, its sign-in, and MQTT with a proof of its own.
const OPEN: [&str; 5] =
    ["/", "/ui/{name}", "/localhub/page/session", "/images/{*path}", "/$iothub/websocket"];

/// Verb, path (`{n}` is another number each time), who may, and the status that those get who may.
const TABLE: &[(&str, &str, &[&str], u16)] = &[
    ("GET", "/devices", READ, 200),
    ("GET", "/devices/", READ, 200),
    ("POST", "/devices", WRITE, 200),
    ("POST", "/devices/", WRITE, 200),
    ("POST", "/devices/query", SERVICE, 200),
    ("GET", "/devices/d", READ, 200),
    ("PUT", "/devices/new-{n}", WRITE, 200),
    ("DELETE", "/devices/gone-{n}", WRITE, 204),
    ("DELETE", "/devices/d/commands", SERVICE, 200),
    ("POST", "/devices/d/applyConfigurationContent", WRITE, 204),
    ("GET", "/devices/d/modules", READ, 200),
    ("GET", "/devices/d/modules/m", READ, 200),
    ("PUT", "/devices/d/modules/new-{n}", WRITE, 200),
    ("DELETE", "/devices/d/modules/gone-{n}", WRITE, 204),
    ("GET", "/twins/d", SERVICE, 200),
    ("PATCH", "/twins/d", SERVICE, 200),
    ("PUT", "/twins/d", SERVICE, 200),
    ("GET", "/twins/d/modules/m", SERVICE, 200),
    ("PATCH", "/twins/d/modules/m", SERVICE, 200),
    ("PUT", "/twins/d/modules/m", SERVICE, 200),
    // The device is away, which only those hear who may call it.
    ("POST", "/twins/d/methods", SERVICE, 404),
    ("POST", "/twins/d/modules/m/methods", SERVICE, 404),
    ("PUT", "/jobs/v2/new-{n}", SERVICE, 200),
    ("GET", "/jobs/v2/job", SERVICE, 200),
    ("GET", "/jobs/v2/query", SERVICE, 200),
    ("POST", "/jobs/v2/later-{n}/cancel", SERVICE, 200),
    ("GET", "/configurations", READ, 200),
    ("GET", "/configurations/", READ, 200),
    ("POST", "/configurations/testQueries", READ, 200),
    ("GET", "/configurations/c", READ, 200),
    ("PUT", "/configurations/new-{n}", WRITE, 200),
    ("DELETE", "/configurations/gone-{n}", WRITE, 204),
    ("GET", "/statistics/devices", READ, 200),
    ("GET", "/statistics/service", SERVICE, 200),
    ("GET", "/messages/serviceBound/feedback", SERVICE, 204),
    ("DELETE", "/messages/serviceBound/feedback/lock", SERVICE, 412),
    ("POST", "/messages/serviceBound/feedback/lock/abandon", SERVICE, 412),
    // What the hub has not, it says to those who might have had it.
    ("GET", "/jobs", WRITE, 200),
    ("POST", "/jobs/create", WRITE, 404),
    ("GET", "/jobs/1", WRITE, 404),
    ("DELETE", "/jobs/1", WRITE, 404),
    ("GET", "/digitaltwins/d", SERVICE, 404),
    ("PATCH", "/digitaltwins/d", SERVICE, 404),
    ("POST", "/digitaltwins/d/commands/c", SERVICE, 404),
    ("POST", "/digitaltwins/d/components/c/commands/c", SERVICE, 404),
    // The hub's own.
    ("POST", "/localhub/devices/d/disconnect", OWNER, 200),
    ("POST", "/localhub/devices/d/refuse?seconds=0", OWNER, 200),
    ("GET", "/localhub/devices/d/telemetry", OWNER, 200),
    ("POST", "/localhub/devices/d/messages", OWNER, 200),
    ("GET", "/localhub/wire/d", OWNER, 200),
    ("GET", "/localhub/events", SERVICE, 200),
    ("GET", "/localhub/telemetry", SERVICE, 200),
    ("GET", "/localhub/images", OWNER, 200),
    ("GET", "/localhub/hub", OWNER, 200),
    ("GET", "/localhub/enrollments", OWNER, 200),
    ("GET", "/localhub/enrollments/e", OWNER, 200),
    ("PUT", "/localhub/enrollments/new-{n}", OWNER, 200),
    ("DELETE", "/localhub/enrollments/e", OWNER, 204),
    ("GET", "/localhub/enrollmentGroups", OWNER, 200),
    ("GET", "/localhub/enrollmentGroups/e", OWNER, 200),
    ("PUT", "/localhub/enrollmentGroups/new-{n}", OWNER, 200),
    ("DELETE", "/localhub/enrollmentGroups/e", OWNER, 204),
    ("GET", "/localhub/registrations/r", OWNER, 404),
    ("DELETE", "/localhub/registrations/r", OWNER, 204),
    ("GET", "/localhub/authorities", OWNER, 200),
    ("PUT", "/localhub/authorities/a", OWNER, 400),
    ("DELETE", "/localhub/authorities/a", OWNER, 204),
    ("POST", "/localhub/page/link", OWNER, 200),
    ("GET", "/localhub/faults", OWNER, 200),
    ("POST", "/localhub/faults", OWNER, 400),
    ("DELETE", "/localhub/faults", OWNER, 200),
    ("DELETE", "/localhub/faults/1", OWNER, 404),
];

fn body(verb: &str, path: &str, number: usize) -> Value {
    let configuration = json!({"content": {"deviceContent": {}}});
    let job = json!({"type": "scheduleUpdateTwin", "updateTwin": {"etag": "*"}, "queryCondition": "deviceId = 'nobody'"});
    match (verb, path.trim_start_matches('/').split('/').next().unwrap_or_default()) {
        ("POST", "devices") if path.ends_with("/query") => json!({"query": "SELECT * FROM devices"}),
        ("POST", "devices") if path.ends_with("Content") => json!({"deviceContent": {}}),
        ("POST", "devices") => json!([{"id": format!("bulk-{number}")}]),
        ("POST", "twins") => json!({"methodName": "m", "connectTimeoutInSeconds": 0}),
        ("PUT", "jobs") => job,
        ("PUT", "configurations") => configuration,
        ("POST", "localhub") if path.ends_with("/faults") => json!({"fault": "no such fault"}),
        ("PUT", "localhub") if path.contains("/enrollment") => {
            json!({"attestation": {"type": "symmetricKey"}})
        }
        _ => json!({}),
    }
}

async fn prepare(place: &Place, numbers: std::ops::Range<usize>) {
    place.key("d").await;
    let rest = |method: Method, path: String, body: Value| async move {
        let (status, answer) = place.rest(method, &path, Some(body)).await;
        assert!(status.is_success(), "{path}: {answer}");
    };
    let one = numbers.start;
    rest(Method::PUT, "/devices/d/modules/m".into(), json!({})).await;
    rest(Method::PUT, "/jobs/v2/job".into(), body("PUT", "/jobs", one)).await;
    rest(Method::PUT, "/configurations/c".into(), body("PUT", "/configurations", one)).await;
    for group in ["enrollments", "enrollmentGroups"] {
        let path = format!("/localhub/{group}/e");
        rest(Method::PUT, path.clone(), body("PUT", &path, one)).await;
    }
    for number in numbers {
        let gone = format!("gone-{number}");
        rest(Method::PUT, format!("/devices/{gone}"), json!({})).await;
        rest(Method::PUT, format!("/devices/d/modules/{gone}"), json!({})).await;
        rest(Method::PUT, format!("/configurations/{gone}"), body("PUT", "/configurations", one)).await;
        let mut later = body("PUT", "/jobs", one);
        later["startTime"] = json!("2099-01-01T00:00:00Z");
        rest(Method::PUT, format!("/jobs/v2/later-{number}"), later).await;
    }
}

#[tokio::test]
async fn each_policy_opens_what_iot_hub_documents_and_nothing_else() {
    let place = Place::new().await;
    prepare(&place, 0..WHO.len()).await;
    let device_key = place.key("d").await;
    let https = place.https();
    let mut wrong = Vec::new();
    for (verb, path, may, expected) in TABLE {
        for (number, who) in WHO.iter().enumerate() {
            let method = Method::from_bytes(verb.as_bytes()).unwrap();
            let url = place.url(&path.replace("{n}", &number.to_string()));
            let request = https.request(method, url).body(body(verb, path, number).to_string());
            let request = match *who {
                "no token" => request,
                "d's own key" => {
                    request.header("authorization", token("localhost/devices/d", &device_key, None, 60))
                }
                policy => {
                    let key = place.hub.policy_key(policy).unwrap();
                    request.header("authorization", token("localhost", key, Some(policy), 60))
                }
            };
            let found = request.send().await.unwrap().status().as_u16();
            let expected = if may.contains(who) { *expected } else { 401 };
            if found != expected {
                wrong.push(format!("{verb} {path} as {who}: {found} and not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The routes of a router's source, as `VERB path`.
fn routes(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap();
        if OPEN.contains(&path) {
            continue;
        }
        for verb in ["get", "put", "post", "patch", "delete"] {
            let is_call =
                |at: usize| !route[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if route.match_indices(&format!("{verb}(")).any(|(at, _)| is_call(at)) {
                found.insert(format!("{} {path}", verb.to_uppercase()));
            }
        }
    }
    found
}

#[test]
fn no_route_is_missing_in_the_table() {
    let sources = [include_str!("../../src/rest/mod.rs"), include_str!("../../src/page/mod.rs")];
    let routes: BTreeSet<String> = sources.into_iter().flat_map(routes).collect();
    assert!(routes.len() > 60, "{routes:?}");
    let is_at = |route: &str, verb: &str, path: &str| {
        let (route_verb, template) = route.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        let (template, path): (Vec<&str>, Vec<&str>) =
            (template.split('/').collect(), path.split('/').collect());
        let same = |(template, segment): (&&str, &&str)| template.starts_with('{') || template == segment;
        route_verb == verb && template.len() == path.len() && template.iter().zip(&path).all(same)
    };
    let missing: Vec<&String> = routes
        .iter()
        .filter(|route| !TABLE.iter().any(|(verb, path, _, _)| is_at(route, verb, path)))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
