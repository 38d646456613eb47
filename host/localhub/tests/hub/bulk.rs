//! Many identities at once, and what IoT Hub has and this hub has not.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Place;

#[tokio::test]
async fn a_list_of_operations_is_done_as_far_as_it_can_be_and_the_rest_is_named() {
    let place = Place::new().await;
    let key = json!({"primaryKey": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "secondaryKey": ""});
    // As the Node SDK and the Python SDK write them.
    let create = json!([
        {"id": "a", "importMode": "create", "status": "enabled", "authentication": {"type": "sas", "symmetricKey": key}},
        {"id": "b", "importMode": "Create", "status": "disabled", "tags": {"site": "riga"},
         "properties": {"desired": {"mode": 1}}},
        {"id": "c"},
    ]);
    let (status, result) = place.rest(Method::POST, "/devices?api-version=2021-04-12", Some(create)).await;
    assert_eq!((status.as_u16(), result), (200, json!({"isSuccessful": true, "errors": [], "warnings": []})));
    let (_, a) = place.rest(Method::GET, "/devices/a", None).await;
    assert_eq!(a["authentication"]["symmetricKey"]["primaryKey"], key["primaryKey"]);
    let (_, b) = place.rest(Method::GET, "/twins/b", None).await;
    assert_eq!(
        (&b["status"], &b["tags"]["site"], &b["properties"]["desired"]["mode"]),
        (&json!("disabled"), &json!("riga"), &json!(1))
    );

    let mixed = json!([
        {"id": "a", "importMode": "create"},
        {"id": "b", "importMode": "updateIfMatchETag", "eTag": "c3RhbGU="},
        {"id": "c", "importMode": "update", "status": "disabled", "statusReason": "r"},
        {"id": "new", "importMode": "createOrUpdate"},
        {"id": "gone", "importMode": "delete"},
        {"id": "c", "importMode": "delete"},
        {"id": "a b"},
        {"id": "x", "importMode": "explode"},
        {"id": "a", "moduleId": "m", "importMode": "create"},
        {"id": "nobody", "moduleId": "m", "importMode": "create"},
        {"id": "e", "importMode": "updateTwin"},
    ]);
    let (status, result) = place.rest(Method::POST, "/devices", Some(mixed)).await;
    assert_eq!((status.as_u16(), &result["isSuccessful"]), (400, &json!(false)));
    let errors: Vec<(&str, &str)> = result["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["deviceId"].as_str().unwrap(), error["errorCode"].as_str().unwrap()))
        .collect();
    assert_eq!(
        errors,
        [
            ("a", "DeviceAlreadyExists"),
            ("b", "PreconditionFailed"),
            ("gone", "DeviceNotFound"),
            ("c", "DeviceDefinedMultipleTimes"),
            ("a b", "ArgumentInvalid"),
            ("x", "ArgumentInvalid"),
            ("nobody", "DeviceNotFound"),
            ("e", "DeviceNotFound"),
        ]
    );
    assert_eq!(result["errors"][6]["moduleId"], "m");
    assert_eq!(place.rest(Method::GET, "/devices/c", None).await.1["statusReason"], "r");
    assert_eq!(place.rest(Method::GET, "/devices/a/modules/m", None).await.0, 200);

    let tag = a["etag"].as_str().unwrap();
    let last = json!([
        {"id": "a", "importMode": "deleteIfMatchETag", "eTag": tag},
        {"id": "b", "importMode": "updateTwin", "tags": {"site": null}, "properties": {"desired": {"more": 2}}},
        {"id": "new", "importMode": "UpdateIfMatchETag"},
    ]);
    let (_, result) = place.rest(Method::POST, "/devices", Some(last)).await;
    assert_eq!(
        (result["errors"].as_array().unwrap().len(), &result["errors"][0]["deviceId"]),
        (1, &json!("new"))
    );
    assert_eq!(place.rest(Method::GET, "/devices/a/modules/m", None).await.0, 404);
    let (_, b) = place.rest(Method::GET, "/twins/b", None).await;
    assert_eq!((b.get("tags"), &b["properties"]["desired"]["more"]), (None, &json!(2)));

    for count in [0, 101] {
        let many: Vec<Value> = (0..count).map(|n| json!({"id": format!("m{n}")})).collect();
        assert_eq!(place.rest(Method::POST, "/devices", Some(Value::Array(many))).await.0, 400, "{count}");
    }
    assert_eq!(place.rest(Method::GET, "/devices/m0", None).await.0, 404);
}

#[tokio::test]
async fn what_the_hub_has_not_it_says_and_what_to_use_instead() {
    let place = Place::new().await;
    for (method, path, instead) in [
        (Method::GET, "/digitaltwins/d", "/twins/ID"),
        (Method::PATCH, "/digitaltwins/d", "/twins/ID"),
        (Method::POST, "/digitaltwins/d/commands/reboot", "/twins/ID/methods"),
        (Method::POST, "/digitaltwins/d/components/c/commands/reboot", "/twins/ID/methods"),
        (Method::POST, "/jobs/create", "POST /devices"),
        (Method::GET, "/jobs/1", "/jobs/v2"),
        (Method::DELETE, "/jobs/1", "/jobs/v2"),
    ] {
        let response = place.send(method, path, Some(json!({})), &[]).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.headers()["iothub-errorcode"], "FeatureNotSupported");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let text = body["Message"].as_str().unwrap();
        assert!(
            text.starts_with("ErrorCode:FeatureNotSupported;this hub has no") && text.contains(instead),
            "{text}"
        );
    }
}

#[tokio::test]
async fn bodies_that_are_nearly_json_are_refused_with_the_reason() {
    let place = Place::new().await;
    place.key("d").await;
    for (body, says) in [
        ("\u{feff}{\"tags\":{}}", "byte order mark"),
        ("{\"tags\":{\"a\":1,}}", "trailing comma"),
        ("{'tags':{}}", "key must be a string"),
        ("{\"tags\":{}} x", "trailing characters"),
        ("", "EOF"),
    ] {
        let request = place.https().patch(place.url("/twins/d")).header("authorization", place.owner_token());
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{body}");
        assert_eq!(response.headers()["iothub-errorcode"], "IotHubFormatError");
        let text = response.text().await.unwrap();
        assert!(text.contains("ErrorCode:IotHubFormatError;the body") && text.contains(says), "{text}");
    }
}
