//! Commands for many devices, against a hub whose pages and refusals are written down beforehand.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::Stdio;

use serde_json::{Value, json};
use support::{Hub, Ran, Scripted, ok};
use tokio::io::AsyncWriteExt as _;

/// A page of a query, and how to ask for the next one.
fn page(rows: Value, next: Option<&'static str>) -> Scripted {
    (200, next.map(|next| ("x-ms-continuation", next)).into_iter().collect(), rows.to_string())
}

#[tokio::test]
async fn a_query_goes_through_all_pages() {
    let hub = Hub::start().await;
    let first = json!([{"deviceId": "a", "version": 2, "tags": {"x": 1}}, {"deviceId": "b", "version": 10}]);
    let pages = [page(first, Some("more")), page(json!([{"deviceId": "c", "late": true}]), None)];
    hub.script("POST /devices/query", pages.clone());
    let ran = hub.run(&["query", "SELECT * FROM devices"]).await;
    assert_eq!(ran.stdout, "deviceId  version  late\na         2\nb         10\nc                  true\n");
    assert_eq!(ran.stderr, "note: not shown: tags; --json has them\n");
    let seen = hub.seen();
    assert_eq!(seen[0].json(), json!({"query": "SELECT * FROM devices"}));
    assert_eq!(seen[0].headers["x-ms-max-item-count"], "1000");
    assert!(!seen[0].headers.contains_key("x-ms-continuation"));
    assert_eq!(seen[1].headers["x-ms-continuation"], "more");

    hub.script("POST /devices/query", pages.clone());
    let ran = hub.run(&["query", "SELECT * FROM devices", "--jsonl"]).await;
    assert_eq!(ran.stdout.lines().count(), 3);
    assert_eq!(ran.stdout.lines().nth(2), Some("{\"deviceId\":\"c\",\"late\":true}"));

    hub.script("POST /devices/query", pages);
    let ran = hub.run(&["query", "SELECT * FROM devices", "--json", "--limit", "2"]).await;
    assert_eq!(ran.json().as_array().unwrap().len(), 2);
    let seen = hub.seen();
    assert_eq!(seen.len(), 5, "what is not printed is not asked for");
    assert_eq!(seen[4].headers["x-ms-max-item-count"], "2");
}

#[tokio::test]
async fn devices_are_imported_a_hundred_at_a_time() {
    let hub = Hub::start().await;
    let refused = json!({"isSuccessful": false, "warnings": [],
        "errors": [{"deviceId": "d7", "errorCode": "DeviceAlreadyExists", "errorStatus": "it is there"}]});
    let busy = (429, vec![], "{\"Message\":\"ErrorCode:ThrottlingException;slowly\"}".to_owned());
    let done = ok(json!({"isSuccessful": true, "errors": [], "warnings": []}));
    hub.script("POST /devices", [(400, vec![], refused.to_string()), busy, done]);
    let mut command = hub.command(&["device", "import", "-"]);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let lines: String = (0..150).map(|number| format!("{{\"id\": \"d{number}\"}}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).await.unwrap();
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!(ran.exit, 65, "{ran:?}");
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [
            "149 of 150 devices done",
            "REFUSED  CODE                 WHY",
            "d7       DeviceAlreadyExists  it is there"
        ]
    );
    let seen = hub.seen();
    let sizes: Vec<usize> = seen.iter().map(|seen| seen.json().as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 50, 50], "what was refused for the moment is sent again");
    assert_eq!(seen[0].json()[7]["importMode"], "create");
}

#[tokio::test]
async fn a_wrong_line_is_found_before_anything_is_sent() {
    let hub = Hub::start().await;
    let file = hub.file("devices.jsonl");
    std::fs::write(&file, "{\"id\": \"a\"}\n\n{\"name\": \"b\"}\n").unwrap();
    let ran = hub.run(&["device", "import", file.to_str().unwrap()]).await;
    assert_eq!(ran.exit, 65);
    assert!(ran.stderr.contains("devices.jsonl, line 3: it has no `id`"), "{ran:?}");
    assert!(hub.seen().is_empty());
}

#[tokio::test]
async fn an_export_is_what_an_import_reads() {
    let hub = Hub::start().await;
    let twin = |id: &str| {
        json!({"deviceId": id, "status": "enabled", "authenticationType": "sas", "tags": {"plant": 1},
            "properties": {"desired": {"a": 1, "$version": 2}, "reported": {}}})
    };
    hub.script(
        "POST /devices/query",
        [page(json!([twin("a")]), Some("more")), page(json!([twin("b")]), None)],
    );
    let keys = json!({"type": "sas", "symmetricKey": {"primaryKey": "AAAA", "secondaryKey": "BBBB"}});
    for id in ["a", "b"] {
        hub.script(&format!("GET /devices/{id}"), [ok(json!({"deviceId": id, "authentication": keys}))]);
    }
    let ran = hub.run(&["device", "export", "--keys", "--where", "tags.plant = 1"]).await;
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines[1],
        json!({"id": "b", "status": "enabled", "tags": {"plant": 1}, "properties": {"desired": {"a": 1}}, "authentication": keys})
    );
    assert_eq!(hub.seen()[0].json()["query"], "SELECT * FROM devices WHERE tags.plant = 1");
    let file = hub.file("export.jsonl");
    std::fs::write(&file, &ran.stdout).unwrap();
    hub.script("POST /devices", [ok(json!({"isSuccessful": true, "errors": []}))]);
    let ran = hub.run(&["device", "import", file.to_str().unwrap(), "--mode", "update"]).await;
    assert_eq!(ran.stdout, "2 of 2 devices done\n");
}

#[tokio::test]
async fn an_identity_that_was_changed_meanwhile_is_not_overwritten() {
    let hub = Hub::start().await;
    let identity = json!({"deviceId": "d", "etag": "MQ==", "status": "enabled", "generationId": "7",
        "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "AAAA"}}});
    hub.script("GET /devices/d", [ok(identity)]);
    let conflict = json!({"Message": "ErrorCode:PreconditionFailed;it has another"});
    hub.script("PUT /devices/d", [(412, vec![], conflict.to_string())]);
    let ran = hub.run(&["device", "disable", "d", "--reason", "sold"]).await;
    assert_eq!(ran.exit, 75);
    assert!(ran.stderr.contains("somebody changed d at the same moment; nothing was written"), "{ran:?}");
    let seen = hub.seen();
    assert_eq!(seen[1].headers["if-match"], "\"MQ==\"");
    let sent = seen[1].json();
    assert_eq!((&sent["status"], &sent["statusReason"]), (&json!("disabled"), &json!("sold")));
    assert_eq!(sent["authentication"]["symmetricKey"]["primaryKey"], "AAAA", "the rest is as it was");
}

#[tokio::test]
async fn azure_tells_no_events_and_another_tool_is_named() {
    let owner = "HostName=acme.azure-devices.net;SharedAccessKeyName=service;SharedAccessKey=AAAA";
    let told = support::bare(&["hub", "monitor", "--connection-string", owner]).output().await.unwrap();
    let told = Ran::from(told);
    assert_eq!(told.exit, 69);
    assert!(told.stderr.contains("over AMQP"), "{told:?}");
    assert!(told.stderr.contains("az iot hub monitor-events --hub-name acme"), "{told:?}");
}

#[tokio::test]
async fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let told = Ran::from(support::bare(&["completions", shell]).output().await.unwrap());
        assert!(told.exit == 0 && told.stdout.contains("connection-string"), "{shell}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("man1");
    let told = Ran::from(support::bare(&["man", path.to_str().unwrap()]).output().await.unwrap());
    assert_eq!(told.exit, 0, "{told:?}");
    let page = std::fs::read_to_string(path.join("hotshoe-device-import.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("importMode"), "{page}");
}
