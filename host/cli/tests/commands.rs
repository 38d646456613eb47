//! Each command against a hub on a real socket: what is sent, what is printed, how it exits.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::json;
use support::{Hub, KEY, ok};

#[tokio::test]
async fn devices_are_listed_in_a_table_or_as_json_without_keys() {
    let hub = Hub::start().await;
    let device = |id: &str, state: &str| {
        json!({"deviceId": id, "status": "enabled", "connectionState": state, "lastActivityTime": "0001-01-01T00:00:00Z",
            "authentication": {"type": "sas", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}})
    };
    hub.script(
        "GET /devices",
        [ok(json!([device("pump-7", "Connected"), device("pump-10", "Disconnected")]))],
    );
    let ran = hub.run(&["device", "list"]).await;
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [
            "DEVICE   STATUS   CONNECTION    AUTHENTICATION  LAST ACTIVITY",
            "pump-10  enabled  Disconnected  sas             never",
            "pump-7   enabled  Connected     sas             never",
        ]
    );
    let ran = hub.run(&["device", "list", "--json", "--top", "7"]).await;
    assert_eq!(ran.json()[1]["deviceId"], "pump-7");
    assert!(!ran.stdout.contains(KEY));
    assert_eq!(hub.seen()[1].query, "api-version=2021-04-12&top=7");
}

#[tokio::test]
async fn a_device_is_created_shown_and_deleted() {
    let hub = Hub::start().await;
    let device = json!({"deviceId": "pump#7", "status": "enabled", "connectionState": "Disconnected",
        "etag": "AAAA", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": KEY}}});
    hub.script("PUT /devices/pump%237", [ok(device.clone())]);
    hub.script("GET /devices/pump%237", [ok(device)]);
    hub.script("DELETE /devices/pump%237", [(204, vec![], String::new())]);
    let ran = hub.run(&["device", "create", "pump#7"]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "created pump#7\n"));
    let ran = hub.run(&["device", "show", "pump#7"]).await;
    assert!(ran.stdout.contains("connection      Disconnected\n") && !ran.stdout.contains(KEY), "{ran:?}");
    let ran = hub.run(&["device", "delete", "pump#7"]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "deleted pump#7\n"));
    let seen = hub.seen();
    assert_eq!(
        seen[0].json(),
        json!({"deviceId": "pump#7", "status": "enabled",
            "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "", "secondaryKey": ""}}})
    );
    assert!(!seen[0].headers.contains_key("if-match"));
    assert_eq!(seen[2].headers["if-match"], "\"*\"");
}

#[tokio::test]
async fn a_connection_string_is_printed_alone_and_without_a_port() {
    let hub = Hub::start().await;
    hub.script(
        "GET /devices/d",
        [ok(json!({"authentication": {"type": "sas", "symmetricKey": {"primaryKey": KEY}}}))],
    );
    let ran = hub.run(&["device", "connection-string", "d"]).await;
    assert_eq!(ran.stdout, format!("HostName=localhost;DeviceId=d;SharedAccessKey={KEY}\n"));
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn a_method_is_called_and_its_answer_printed() {
    let hub = Hub::start().await;
    let path = "POST /twins/d/methods";
    hub.script(path, [ok(json!({"status": 200, "payload": {"Response": "pong"}}))]);
    let ran = hub
        .run(&["method", "invoke", "d", "ping", "{\"a\": [1]}", "--timeout", "60s", "--connect-timeout", "7"])
        .await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "status 200\n{\n  \"Response\": \"pong\"\n}\n"));
    assert_eq!(
        hub.seen()[0].json(),
        json!({"methodName": "ping", "payload": {"a": [1]}, "responseTimeoutInSeconds": 60, "connectTimeoutInSeconds": 7})
    );
    let ran = hub.run(&["method", "invoke", "d", "ping", "--json"]).await;
    assert_eq!(ran.json(), json!({"status": 200, "payload": {"Response": "pong"}}));
    assert_eq!(hub.seen()[1].json()["payload"], json!(null));

    std::fs::write(hub.file("payload.json"), "\"https://h/a.img\"\n").unwrap();
    let file = format!("@{}", hub.file("payload.json").display());
    hub.run(&["method", "invoke", "d", "ping", &file]).await;
    assert_eq!(hub.seen()[2].json()["payload"], json!("https://h/a.img"));

    let busy = json!({"error": {"code": "laneTaken", "message": "job j1 is running"}});
    hub.script(path, [ok(json!({"status": 409, "payload": busy}))]);
    let ran = hub.run(&["method", "invoke", "d", "firmwareUpdate", "--json"]).await;
    assert_eq!(ran.exit, 75);
    assert_eq!(ran.json()["payload"], busy, "the answer is printed all the same");
    assert!(ran.stderr.contains("d answered firmwareUpdate with status 409: job j1 is running"));
}

#[tokio::test]
async fn a_payload_that_is_not_json_is_refused_before_anything_is_sent() {
    let hub = Hub::start().await;
    let ran = hub.run(&["method", "invoke", "d", "firmwareUpdate", "https://h/a.img"]).await;
    assert_eq!(ran.exit, 65);
    assert!(ran.stderr.contains("error: the payload is not JSON: "), "{ran:?}");
    assert!(ran.stderr.contains("'\"https://h/a.img\"'"), "{ran:?}");
    let large = format!("@{}", hub.file("large").display());
    std::fs::write(hub.file("large"), format!("\"{}\"", "x".repeat(128 * 1024 - 1))).unwrap();
    let ran = hub.run(&["method", "invoke", "d", "m", &large]).await;
    assert_eq!(ran.exit, 65);
    assert!(ran.stderr.contains("131073 bytes, the limit is 131072"), "{ran:?}");
    let ran = hub.run(&["twin", "patch", "d", "--desired", "{\"a\": [null]}"]).await;
    assert_eq!(ran.exit, 65);
    assert!(
        ran.stderr.contains("the patch of the desired properties: $.a[0]: an array may not hold null"),
        "{ran:?}"
    );
    assert!(hub.seen().is_empty());
}

#[tokio::test]
async fn a_twin_is_shown_and_patched() {
    let hub = Hub::start().await;
    let twin = json!({"deviceId": "d", "etag": "AAAAAAAAAAE=", "version": 5, "connectionState": "Connected",
    "tags": {"location": {"plant": "Redmond43"}},
    "properties": {"desired": {"interval": 30, "$version": 2}, "reported": {"firmwareStatus": "completed", "$version": 9,
        "$metadata": {"firmwareStatus": {"$lastUpdated": "2026-11-22T00:00:00Z"}}}}});
    hub.script("GET /twins/d", [ok(twin.clone())]);
    hub.script("PATCH /twins/d", [ok(twin.clone())]);
    let ran = hub.run(&["twin", "show", "d"]).await;
    assert!(ran.stdout.contains("\ntags\n  location.plant  \"Redmond43\"\n"), "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("\nreported (version 9)\n  firmwareStatus  \"completed\"  2026-11-22T00:00:00Z\n")
    );
    assert_eq!(hub.run(&["twin", "show", "d", "--json"]).await.json(), twin);
    let arguments = ["twin", "patch", "d", "--desired", "{\"interval\": 60}", "--tags", "{\"old\": null}"];
    let ran = hub.run(&[&arguments[..], &["--if-match", "AAAAAAAAAAE="]].concat()).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    let patch = &hub.seen()[2];
    assert_eq!(patch.json(), json!({"tags": {"old": null}, "properties": {"desired": {"interval": 60}}}));
    assert_eq!(patch.headers["if-match"], "\"AAAAAAAAAAE=\"");
}

#[tokio::test]
async fn watching_prints_changes_only_and_outlasts_a_hub_that_is_away() {
    let hub = Hub::start().await;
    let twin = |status: &str, version: u64| {
        ok(
            json!({"connectionState": "Connected", "properties": {"desired": {}, "reported": {"firmwareStatus": status, "$version": version}}}),
        )
    };
    let away = (503, vec![], "{\"Message\":\"ErrorCode:ServiceUnavailable;busy\"}".to_owned());
    hub.script(
        "GET /twins/d",
        [
            twin("standBy", 1),
            twin("standBy", 2),
            away.clone(),
            away,
            twin("downloading", 3),
            twin("completed", 4),
        ],
    );
    let ran =
        hub.run(&["twin", "watch", "d", "--json", "--until", "reported.firmwareStatus=\"completed\""]).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert_eq!(lines[0]["path"], "reported.firmwareStatus");
    assert_eq!((&lines[0]["before"], &lines[0]["after"]), (&json!("standBy"), &json!("downloading")));
    assert_eq!(lines[1]["after"], "completed");
    assert_eq!(ran.stderr.matches("still trying").count(), 1, "{ran:?}");
}
