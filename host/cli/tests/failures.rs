//! What goes wrong is told: what was tried, what the hub said, what to do, and one exit code for each kind.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::Stdio;

use serde_json::{Value, json};
use support::{Hub, KEY, Ran, bare, ok};

async fn ran(arguments: &[&str]) -> Ran {
    Ran::from(bare(arguments).output().await.unwrap())
}

#[tokio::test]
async fn both_forms_of_a_hubs_no() {
    let hub = Hub::start().await;
    let older = json!({"Message": "ErrorCode:DeviceNotFound;device d is not registered", "ExceptionMessage": "Tracking ID:1"});
    hub.script("GET /devices/d", [(404, vec![("iothub-errorcode", "DeviceNotFound")], older.to_string())]);
    let told = hub.run(&["device", "show", "d"]).await;
    assert_eq!((told.exit, told.stdout.as_str()), (66, ""));
    assert_eq!(
        told.stderr,
        "error: could not show device d: HTTP 404, DeviceNotFound: device d is not registered\n hint: `hotshoe device list` shows the devices there are\n"
    );
    let inner = json!({"errorCode": 404103, "trackingId": "x", "message": "Timed out waiting for device to connect.",
        "info": {"timeout": "00:00:00"}, "timestampUtc": "t"});
    let newer = json!({"Message": inner.to_string(), "ExceptionMessage": ""});
    hub.script(
        "POST /twins/d/methods",
        [(404, vec![("iothub-errorcode", "DeviceNotOnline")], newer.to_string())],
    );
    let told = hub.run(&["method", "invoke", "d", "ping"]).await;
    assert_eq!(told.exit, 69);
    assert!(told.stderr.starts_with(
        "error: could not call ping on d: HTTP 404, 404103 DeviceNotOnline: Timed out waiting for device to connect.\n hint: it is not connected"
    ), "{told:?}");
    let told = hub.run(&["method", "invoke", "d", "ping", "--json"]).await;
    let error: Value = serde_json::from_str(&told.stderr).unwrap();
    assert_eq!(
        (&error["error"]["status"], &error["error"]["code"], &error["error"]["exit"]),
        (&json!(404), &json!("404103"), &json!(69))
    );
}

#[tokio::test]
async fn statuses_and_exit_codes() {
    let hub = Hub::start().await;
    for (status, name, exit) in [
        (400, "ArgumentInvalid", 65),
        (401, "IotHubUnauthorizedAccess", 77),
        (403, "IotHubQuotaExceeded", 77),
        (409, "DeviceAlreadyExists", 65),
        (412, "PreconditionFailed", 75),
        (429, "ThrottlingException", 75),
        (500, "ServerError", 75),
    ] {
        let body = json!({"Message": format!("ErrorCode:{name};because"), "ExceptionMessage": ""});
        hub.script("PUT /devices/d", [(status, vec![], body.to_string())]);
        let told = hub.run(&["device", "create", "d"]).await;
        assert_eq!(told.exit, exit, "{told:?}");
        assert!(
            told.stderr.contains(&format!("could not create device d: HTTP {status}, {name}: because")),
            "{told:?}"
        );
        assert!(told.stderr.contains(" hint: "), "{told:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_and_a_redirect() {
    let hub = Hub::start().await;
    hub.script("GET /twins/d", [(200, vec![], "<html>".to_owned())]);
    let told = hub.run(&["twin", "show", "d"]).await;
    assert_eq!(told.exit, 70);
    assert!(told.stderr.contains("the hub's answer does not read"), "{told:?}");
    hub.script("GET /twins/d", [(307, vec![("location", "https://localhost/elsewhere")], String::new())]);
    let before = hub.seen().len();
    let told = hub.run(&["twin", "show", "d"]).await;
    assert_eq!((told.exit, hub.seen().len()), (65, before + 1), "the token goes nowhere else: {told:?}");
}

#[tokio::test]
async fn a_hub_that_is_not_trusted_or_not_there() {
    let hub = Hub::start().await;
    let owner =
        format!("HostName=localhost:{};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}", hub.port);
    let told =
        Ran::from(bare(&["device", "list"]).env("HOTSHOE_CONNECTION_STRING", &owner).output().await.unwrap());
    assert_eq!(told.exit, 78, "{told:?}");
    assert!(told.stderr.contains("certificate") && told.stderr.contains("--ca FILE"), "{told:?}");
    assert!(hub.seen().is_empty());

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let owner = format!("HostName=localhost:{port};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}");
    let told = ran(&["device", "list", "--connection-string", &owner]).await;
    assert_eq!(told.exit, 69, "{told:?}");
    assert!(told.stderr.contains(&format!("no answer from localhost:{port}")), "{told:?}");
    assert!(!told.stderr.contains(KEY));
}

#[tokio::test]
async fn a_wrong_key_is_the_hubs_to_refuse() {
    let hub = Hub::start().await;
    let owner =
        format!("HostName=localhost:{};SharedAccessKeyName=iothubowner;SharedAccessKey=AAAA", hub.port);
    std::fs::write(hub.file("owner"), owner).unwrap();
    hub.script("GET /devices", [ok(json!([]))]);
    let told = hub.run(&["device", "list"]).await;
    assert!(told.stderr.contains("HTTP 418"), "the test hub checks signatures: {told:?}");
}

#[tokio::test]
async fn connection_strings_that_do_not_do() {
    let told = ran(&["device", "list"]).await;
    assert_eq!(told.exit, 78);
    assert!(
        told.stderr.contains("no connection string is given")
            && told.stderr.contains("HOTSHOE_CONNECTION_STRING")
    );
    let device = format!("HostName=h;DeviceId=d;SharedAccessKey={KEY}");
    let told = ran(&["device", "list", "--connection-string", &device]).await;
    assert_eq!(told.exit, 78);
    assert!(told.stderr.contains("of a device, not of an operator"), "{told:?}");
    let told = ran(&["device", "list", "--connection-string", "HostName=h;SharedAccessKeyNam=x"]).await;
    assert_eq!(told.exit, 78);
    assert!(told.stderr.contains("`SharedAccessKeyNam`; did you mean `SharedAccessKeyName`?"), "{told:?}");
    let told = ran(&["device", "list", "--connection-string-file", "/no/such/file"]).await;
    assert_eq!(told.exit, 66);
    let owner = format!("HostName=h;SharedAccessKeyName=o;SharedAccessKey={KEY}");
    for (file, exit) in [("/no/such/file", 66), ("/dev/null", 78)] {
        let told = ran(&["device", "list", "--connection-string", &owner, "--ca", file]).await;
        assert_eq!(told.exit, exit, "{told:?}");
        assert!(told.stderr.contains(file));
    }
}

#[tokio::test]
async fn a_result_that_cannot_be_printed_is_told() {
    let hub = Hub::start().await;
    hub.script("GET /devices", [ok(json!([{"deviceId": "d"}]))]);
    for mut command in [hub.command(&["device", "list"]), bare(&["completions", "bash"])] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let told = Ran::from(child.wait_with_output().await.unwrap());
        assert_eq!(told.exit, 74, "{told:?}");
        assert!(told.stderr.contains("No space left"), "{told:?}");
    }
}

#[tokio::test]
async fn a_device_that_is_away_and_a_method_that_fails_on_a_real_hub() {
    let place = support::local::Place::new().await;
    place.hub.create_device("d").await.unwrap();
    let told = place.run(&["method", "invoke", "d", "ping"]).await;
    assert_eq!(told.exit, 69, "{told:?}");
    assert!(told.stderr.contains("--connect-timeout"), "{told:?}");
    assert_eq!(place.run(&["method", "invoke", "nobody", "ping"]).await.exit, 66);
    let told = place.run(&["query", "SELECT FROM WHERE"]).await;
    assert_eq!(told.exit, 65, "{told:?}");
}

#[tokio::test]
async fn the_command_line() {
    for arguments in [
        &["device"][..],
        &["device", "shwo", "d"],
        &["device", "show", "a/b"],
        &["device", "list", "--top", "0"],
        &["method", "invoke", "d", "m", "--timeout", "4s"],
        &["twin", "patch", "d"],
        &["firmware", "update", "d", "https://h/a", "--digest", "md5:0"],
        &["device", "list", "--connection-string", "a", "--connection-string-file", "b"],
    ] {
        let told = ran(arguments).await;
        assert_eq!((told.exit, told.stdout.as_str()), (64, ""), "{arguments:?}: {told:?}");
    }
    let told = ran(&["--help"]).await;
    assert_eq!(told.exit, 0);
    assert!(told.stdout.contains("hotshoe firmware update pump-7"));
    assert_eq!(ran(&["--version"]).await.exit, 0);
    let told = ran(&["firmware", "update", "--help"]).await;
    assert!(told.stdout.contains("71 rolled back"), "{told:?}");
}
