//! The whole way: this tool, the local hub, and a device on MQTT.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use support::{
    Ran,
    local::{Device, Place},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    time::timeout,
};

#[tokio::test]
async fn a_device_is_disabled_and_gets_new_keys_and_modules() {
    let place = Place::new().await;
    assert_eq!(place.run(&["device", "create", "d"]).await.exit, 0);
    let before = place.run(&["device", "connection-string", "d"]).await.stdout;
    let device = Device::connect(&place, &before).await;
    assert_eq!(place.run(&["device", "disable", "d", "--reason", "sold"]).await.stdout, "disabled d\n");
    let shown = place.run(&["device", "show", "d", "--json"]).await.json();
    assert_eq!((&shown["status"], &shown["statusReason"]), (&json!("disabled"), &json!("sold")));
    assert_eq!(shown["connectionState"], "Disconnected", "its connection was ended");
    drop(device);
    assert_eq!(place.run(&["device", "enable", "d"]).await.exit, 0);

    let keys = place.run(&["device", "keys", "d", "--json"]).await.json();
    let renewed = place.run(&["device", "keys", "d", "--regenerate", "primary", "--json"]).await.json();
    assert_ne!(keys["primaryKey"], renewed["primaryKey"]);
    assert_eq!(keys["secondaryKey"], renewed["secondaryKey"]);
    let swapped = place.run(&["device", "keys", "d", "--regenerate", "swap", "--json"]).await.json();
    assert_eq!(
        (&swapped["primaryKey"], &swapped["secondaryKey"]),
        (&renewed["secondaryKey"], &renewed["primaryKey"])
    );
    let after = place.run(&["device", "connection-string", "d"]).await.stdout;
    drop(Device::connect(&place, &after).await);

    assert_eq!(place.run(&["device", "update", "d", "--keys"]).await.stdout, "updated d\n");
    let fresh = place.run(&["device", "keys", "d", "--json"]).await.json();
    for old in [&swapped["primaryKey"], &swapped["secondaryKey"]] {
        assert!(*old != fresh["primaryKey"] && *old != fresh["secondaryKey"], "an old key still opens");
    }
    let connection = place.run(&["device", "connection-string", "d"]).await.stdout;
    drop(Device::connect(&place, &connection).await);

    assert_eq!(place.run(&["device", "create", "d", "--module", "m"]).await.stdout, "created d/m\n");
    let modules = place.run(&["device", "modules", "d", "--json"]).await.json();
    assert_eq!((&modules[0]["moduleId"], modules.as_array().unwrap().len()), (&json!("m"), 1));
    let module = place.run(&["device", "connection-string", "d", "--module", "m"]).await.stdout;
    assert!(module.contains(";ModuleId=m;"), "{module}");
    assert_eq!(place.run(&["twin", "set", "d", "--module", "m", "desired.a.b=1"]).await.exit, 0);
    let twin = place.run(&["twin", "show", "d", "--module", "m", "--json"]).await.json();
    assert_eq!(twin["properties"]["desired"]["a"]["b"], 1);
    assert_eq!(place.run(&["device", "delete", "d", "--module", "m"]).await.stdout, "deleted d/m\n");
    assert_eq!(place.run(&["hub", "show", "--json"]).await.json()["enabled"], 1);
}

#[tokio::test]
async fn a_twin_is_set_replaced_and_its_conflicts_explained() {
    let place = Place::new().await;
    place.hub.create_device("d").await.unwrap();
    let twin = async || place.run(&["twin", "show", "d", "--json"]).await.json();
    assert_eq!(place.run(&["twin", "tags", "d", "location.plant=Redmond43", "floor=2"]).await.exit, 0);
    assert_eq!(
        place.run(&["twin", "tags", "d"]).await.stdout,
        "floor           2\nlocation.plant  \"Redmond43\"\n"
    );
    let stale = twin().await["etag"].as_str().unwrap().to_owned();
    assert_eq!(
        place.run(&["twin", "set", "d", "desired.a=1", "desired.b=x", "tags.floor=null"]).await.exit,
        0
    );
    assert_eq!(twin().await["tags"], json!({"location": {"plant": "Redmond43"}}));

    let told = place.run(&["twin", "replace", "d", "--desired", "{\"c\": 3}", "--if-match", &stale]).await;
    assert_eq!(told.exit, 75, "{told:?}");
    let present = twin().await["etag"].as_str().unwrap().to_owned();
    assert!(
        told.stderr.contains(&format!("has the etag {present}")) && told.stderr.contains(&stale),
        "{told:?}"
    );
    assert_eq!(place.run(&["twin", "replace", "d", "--desired", "{\"c\": 3}"]).await.exit, 0);
    let replaced = twin().await;
    assert_eq!(
        (&replaced["properties"]["desired"]["a"], &replaced["properties"]["desired"]["c"]),
        (&json!(null), &json!(3))
    );
    assert_eq!(replaced["tags"], json!({"location": {"plant": "Redmond43"}}), "the other part stays");
}

#[tokio::test]
async fn the_hub_is_monitored() {
    let place = Place::new().await;
    let connection = place.hub.create_device("d").await.unwrap();
    let mut device = Device::connect(&place, &connection).await;
    let arguments = ["hub", "monitor", "--device", "d", "--kinds", "telemetry,twin", "--limit", "2"];
    let mut child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(notes.next_line().await.unwrap().as_deref(), Some("note: listening"));
    device.send("d", json!({"temperature": 21}));
    device.report(json!({"answer": 42})).await;
    let told = Ran::from(child.wait_with_output().await.unwrap());
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert_eq!((told.exit, lines.len()), (0, 2), "{told:?}");
    assert!(lines[0].ends_with("  telemetry     d  {\"temperature\":21}"), "{told:?}");
    assert!(
        lines[1].contains("  twin          d  reported (version ") && lines[1].ends_with(") {\"answer\":42}"),
        "{told:?}"
    );
}

#[tokio::test]
async fn devices_come_and_go() {
    let place = Place::new().await;
    assert_eq!(place.run(&["device", "create", "pump#7"]).await.stdout, "created pump#7\n");
    let again = place.run(&["device", "create", "pump#7"]).await;
    assert_eq!(again.exit, 65);
    assert!(again.stderr.contains("HTTP 409, DeviceAlreadyExists"), "{again:?}");

    let offline = place.run(&["method", "invoke", "pump#7", "ping"]).await;
    assert_eq!(offline.exit, 69);
    assert!(offline.stderr.contains("HTTP 404, 404103 DeviceNotOnline"), "{offline:?}");
    let unknown = place.run(&["twin", "show", "pump-8"]).await;
    assert_eq!(unknown.exit, 66);
    assert!(unknown.stderr.contains("DeviceNotFound"), "{unknown:?}");

    let connection = place.run(&["device", "connection-string", "pump#7"]).await.stdout;
    let device = Device::connect(&place, &connection).await;
    let listed = place.run(&["device", "list", "--json"]).await.json();
    assert_eq!(
        (&listed[0]["deviceId"], &listed[0]["connectionState"]),
        (&json!("pump#7"), &json!("Connected"))
    );
    drop(device);

    assert_eq!(place.run(&["device", "delete", "pump#7"]).await.exit, 0);
    assert_eq!(place.run(&["device", "list", "--json"]).await.json(), json!([]));
    assert_eq!(place.run(&["device", "delete", "pump#7"]).await.exit, 66);
}

#[tokio::test]
async fn a_twin_is_patched_and_watched() {
    let place = Place::new().await;
    let connection = place.hub.create_device("d").await.unwrap();
    let mut device = Device::connect(&place, &connection).await;
    let (mut child, mut lines) = place.follow(&["twin", "watch", "d", "--until", "reported.answer=42"]);
    // The watching has begun when it tells a change.
    let mut interval = 0;
    let patched = loop {
        interval += 1;
        let patch = json!({ "interval": interval }).to_string();
        let patched = place.run(&["twin", "patch", "d", "--desired", &patch, "--json"]).await.json();
        assert_eq!(patched["properties"]["desired"]["interval"], interval);
        if let Ok(line) = timeout(Duration::from_secs(1), lines.next_line()).await {
            assert!(line.unwrap().unwrap().contains("  desired.interval  "));
            break patched;
        }
    };
    let etag = patched["etag"].as_str().unwrap();
    let arguments = ["twin", "patch", "d", "--tags", "{\"plant\": \"Redmond43\"}", "--if-match", etag];
    assert_eq!(place.run(&arguments).await.exit, 0);
    let stale = place.run(&arguments).await;
    assert_eq!(stale.exit, 75, "{stale:?}");
    assert!(stale.stderr.contains("HTTP 412"), "{stale:?}");
    device.report(json!({"answer": 42})).await;
    let mut told = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        told.push(line);
    }
    assert!(told.iter().any(|line| line.ends_with("  reported.answer  (none) → 42")), "{told:?}");
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn an_update_is_followed_phase_by_phase() {
    let place = Place::new().await;
    let connection = place.hub.create_device("d").await.unwrap();
    let mut device = Device::connect(&place, &connection).await;
    device.report(json!({"firmwareStatus": "completed", "lastFirmwareUpdate": "long ago"})).await;
    let uri = "https://images.example.com/a.img";
    let (mut child, mut lines) = place.follow(&["firmware", "update", "d", uri, "--version", "2.1"]);
    let call = device.calls.recv().await.unwrap();
    assert_eq!(call, ("firmwareUpdate".to_owned(), json!({"fwPackageUri": uri, "version": "2.1"})));
    let answered = lines.next_line().await.unwrap().unwrap();
    assert_eq!(answered, "d answered 200: {\"Response\":\"Firmware update started\"}");
    for phase in ["standBy", "downloading", "applying"] {
        device.report(json!({"firmwareStatus": phase})).await;
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some(phase));
    }
    device.report(json!({"firmwareStatus": "completed", "lastFirmwareUpdate": "now"})).await;
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("d completed"));
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_fleet_is_imported_asked_for_by_pages_and_exported() {
    let place = Place::new().await;
    let names: Vec<String> = (0..150).map(|number| format!("pump-{number:03}")).collect();
    let line = |id: &String| json!({"id": id, "tags": {"plant": "Redmond43"}}).to_string() + "\n";
    let file = place.directory.path().join("fleet.jsonl");
    std::fs::write(&file, names.iter().map(line).collect::<String>()).unwrap();
    let ran = place.run(&["device", "import", file.to_str().unwrap()]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "150 of 150 devices done\n"), "{ran:?}");

    let query = "SELECT deviceId FROM devices WHERE tags.plant = 'Redmond43'";
    let ran = place.run(&["query", query, "--page", "40", "--jsonl"]).await;
    let rows: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut found: Vec<&str> = rows.iter().map(|row| row["deviceId"].as_str().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, names, "each once, over four pages");

    let ran = place.run(&["device", "export", "--keys"]).await;
    assert_eq!(ran.stdout.lines().count(), 150, "{ran:?}");
    std::fs::write(&file, &ran.stdout).unwrap();
    let path = file.to_str().unwrap();
    let ran = place.run(&["device", "import", path, "--mode", "delete"]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "150 of 150 devices done\n"), "{ran:?}");
    let lines = std::fs::read_to_string(&file).unwrap();
    let ran = place.run(&["device", "import", path]).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    let ran = place.run(&["device", "export", "--keys"]).await;
    assert_eq!(ran.stdout, lines, "as it was, with the same keys");
}
