//! The registry over REST, and who may use it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Place, token};

#[tokio::test]
async fn identities_are_created_listed_updated_and_deleted() {
    let place = Place::new().await;
    let create = Some(
        json!({"deviceId": "d", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "", "secondaryKey": null}}}),
    );
    let (status, made) = place.rest(Method::PUT, "/devices/d?api-version=2021-04-12", create.clone()).await;
    assert_eq!(status, 200);
    let keys = &made["authentication"]["symmetricKey"];
    assert!(keys["primaryKey"].as_str().unwrap().len() >= 40 && keys["primaryKey"] != keys["secondaryKey"]);
    assert_eq!((&made["status"], &made["connectionState"]), (&json!("enabled"), &json!("Disconnected")));

    let again = place.send(Method::PUT, "/devices/d", create, &[]).await;
    assert_eq!(
        (again.status().as_u16(), &again.headers()["iothub-errorcode"]),
        (409, &"DeviceAlreadyExists".parse().unwrap())
    );

    let edge = json!({"capabilities": {"iotEdge": true}});
    let (_, made_edge) = place.rest(Method::PUT, "/devices/e%3A1", Some(edge.clone())).await;
    let (_, twin) = place.rest(Method::GET, "/twins/e%3A1", None).await;
    assert_eq!(
        (&made_edge["capabilities"], &twin["capabilities"]),
        (&edge["capabilities"], &edge["capabilities"])
    );
    assert_eq!(made["capabilities"], json!({"iotEdge": false}));
    for path in ["/devices?top=10", "/devices/?api-version=2021-04-12"] {
        let (_, list) = place.rest(Method::GET, path, None).await;
        let ids: Vec<&str> =
            list.as_array().unwrap().iter().map(|one| one["deviceId"].as_str().unwrap()).collect();
        assert_eq!(ids, ["d", "e:1"], "{path}");
    }
    let key = json!({"primaryKey": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="});
    let update = Some(json!({"deviceId": "d", "statusReason": "r", "authentication": {"symmetricKey": key}}));
    let stale = place.send(Method::PUT, "/devices/d", update.clone(), &[("if-match", "\"AAAA\"")]).await;
    assert_eq!(stale.status(), 412);
    let tag = made["etag"].as_str().unwrap();
    let updated = place.send(Method::PUT, "/devices/d", update, &[("if-match", tag)]).await;
    assert_eq!(updated.status(), 200);
    let updated: Value = serde_json::from_str(&updated.text().await.unwrap()).unwrap();
    assert_eq!(updated["authentication"]["symmetricKey"]["primaryKey"], key["primaryKey"]);
    assert_eq!(updated["authentication"]["symmetricKey"]["secondaryKey"], keys["secondaryKey"]);

    let (_, statistics) = place.rest(Method::GET, "/statistics/devices", None).await;
    assert_eq!(statistics["totalDeviceCount"], 2);
    let gone = place.send(Method::DELETE, "/devices/d", None, &[("if-match", "\"*\"")]).await;
    assert_eq!(gone.status(), 204);
    for (method, path) in
        [(Method::GET, "/devices/d"), (Method::DELETE, "/devices/d"), (Method::GET, "/twins/d")]
    {
        let (status, body) = place.rest(method, path, None).await;
        assert_eq!(status, 404);
        assert!(body["Message"].as_str().unwrap().starts_with("ErrorCode:DeviceNotFound;"), "{body}");
    }
}

#[tokio::test]
async fn modules_are_identities_below_a_device() {
    let place = Place::new().await;
    assert_eq!(place.rest(Method::PUT, "/devices/d/modules/m", Some(json!({}))).await.0, 404);
    place.key("d").await;
    let managed = Some(json!({"managedBy": "IotEdge"}));
    let (status, made) = place.rest(Method::PUT, "/devices/d/modules/m", managed).await;
    assert_eq!(
        (status.as_u16(), &made["moduleId"], &made["managedBy"]),
        (200, &json!("m"), &json!("IotEdge"))
    );
    let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let mut module = place.dial().await;
    let password = token("localhost/devices/d/modules/m", key, None, 60);
    let user = "localhost/d/m/?api-version=2021-04-12";
    assert_eq!(
        module.connect("d/m", user, &password, true).await.unwrap().code,
        rumqttc::ConnectReturnCode::Success
    );
    let (_, twin) = place.rest(Method::GET, "/twins/d/modules/m", None).await;
    assert_eq!((&twin["moduleId"], &twin["connectionState"]), (&json!("m"), &json!("Connected")));
    assert_eq!(place.rest(Method::DELETE, "/devices/d", None).await.0, 204);
    assert!(module.is_closed().await);
}

#[tokio::test]
async fn tokens_open_what_their_policy_allows() {
    let place = Place::new().await;
    place.key("d").await;
    let owner = place.hub.owner.rsplit_once("SharedAccessKey=").unwrap().1.to_owned();
    let send = |authorization: Option<String>| {
        let mut request = place.https().get(place.url("/devices/d"));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        async move { request.send().await.unwrap() }
    };
    for (what, authorization) in [
        ("nothing", None),
        ("a bearer token", Some("Bearer abc".to_owned())),
        ("another policy's key", Some(token("localhost", &owner, Some("registryRead"), 60))),
        ("an unknown policy", Some(token("localhost", &owner, Some("nobody"), 60))),
        ("no policy", Some(token("localhost", &owner, None, 60))),
        ("an old token", Some(token("localhost", &owner, Some("iothubowner"), -60))),
        ("another host", Some(token("elsewhere", &owner, Some("iothubowner"), 60))),
        ("another device", Some(token("localhost/devices/e", &owner, Some("iothubowner"), 60))),
    ] {
        let response = send(authorization).await;
        assert_eq!(response.status(), 401, "{what}");
        assert_eq!(response.headers()["iothub-errorcode"], "IotHubUnauthorizedAccess");
        let body = response.text().await.unwrap();
        assert!(body.contains("ErrorCode:IotHubUnauthorizedAccess;Unauthorized"), "{body}");
    }
    let narrow = token("localhost/devices/d", &owner, Some("iothubowner"), 60);
    assert_eq!(send(Some(narrow)).await.status(), 200);
}

#[tokio::test]
async fn wrong_paths_verbs_and_bodies_get_json_errors() {
    let place = Place::new().await;
    for (method, path, body, status) in [
        (Method::GET, "/nowhere", None, 404),
        (Method::POST, "/devices/d", None, 405),
        (Method::PUT, "/devices/d", Some(json!([])), 400),
        (Method::PUT, "/devices/a%20b", Some(json!({})), 400),
        (Method::PUT, "/devices/d", Some(json!({"deviceId": "e"})), 400),
        (Method::PUT, "/devices/d", Some(json!({"status": "asleep"})), 400),
        (Method::GET, "/devices?top=0", None, 400),
        (Method::POST, "/localhub/devices/d/refuse", None, 400),
        (Method::GET, "/$iothub/websocket", None, 400),
    ] {
        let response = place.send(method, path, body, &[]).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8", "{path}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!(body["Message"].as_str().unwrap().starts_with("ErrorCode:"), "{body}");
    }
}
