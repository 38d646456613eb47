//! Provisioning: a device with an id scope and a secret learns its hub and its name, and gets in with the same secret.

use hotshoe_localhub::device_key;
use reqwest::Method;
use rumqttc::{ConnectReturnCode, Packet, QoS};
use serde_json::{Value, json};

use crate::certificates::{Authority, thumbprint};
use crate::client::{Device, Place, token};
use crate::events::Stream;

const RESPONSES: &str = "$dps/registrations/res/#";

struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: Value,
}

impl Place {
    async fn enroll(&self, path: &str, body: Value) -> Value {
        let (status, enrollment) = self.rest(Method::PUT, &format!("/localhub/{path}"), Some(body)).await;
        assert_eq!(status, 200, "{enrollment}");
        enrollment
    }

    fn provisioning_user(&self, id: &str) -> String {
        format!("{}/registrations/{id}/api-version=2019-03-31&ClientVersion=test%2F1", self.hub.id_scope)
    }

    fn provisioning_token(&self, id: &str, key: &str) -> String {
        token(&format!("{}/registrations/{id}", self.hub.id_scope), key, Some("registration"), 60)
    }

    /// Connects, and is listening if the hub lets it in.
    async fn knock(&self, mut device: Device, id: &str, password: &str) -> Result<Device, ConnectReturnCode> {
        let answer = device.connect(id, &self.provisioning_user(id), password, true).await.unwrap();
        if answer.code != ConnectReturnCode::Success {
            return Err(answer.code);
        }
        assert!(!answer.session_present);
        device.subscribe(&[(RESPONSES, QoS::AtLeastOnce)]).await.unwrap();
        Ok(device)
    }
}

async fn ask(device: &mut Device, topic: &str, body: &str) -> Answer {
    device.publish(topic, QoS::AtLeastOnce, body).await;
    let (topic, body) = device.message().await;
    let rest = topic.strip_prefix("$dps/registrations/res/").expect("an answer");
    assert_eq!(topic.matches('$').count(), 2, "one SDK wants exactly two");
    let (status, query) = rest.split_once("/?").unwrap();
    let retry_after = query.split_once("&retry-after=").map(|(_, seconds)| seconds.parse().unwrap());
    Answer { status: status.parse().unwrap(), retry_after, body: serde_json::from_str(&body).unwrap() }
}

/// Registers and asks until the hub has said how it went.
async fn register(device: &mut Device, id: &str) -> Value {
    let body = json!({"registrationId": id, "payload": {"serial": 7}}).to_string();
    let taken = ask(device, "$dps/registrations/PUT/iotdps-register/?$rid=a-1", &body).await;
    assert_eq!((taken.status, &taken.body["status"]), (202, &json!("assigning")), "{}", taken.body);
    assert!(taken.retry_after.is_some());
    let operation = taken.body["operationId"].as_str().unwrap();
    let topic = format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId={operation}");
    let done = ask(device, &topic, " ").await;
    assert_eq!((done.status, &done.body["operationId"]), (200, &json!(operation)));
    done.body
}

#[tokio::test]
async fn one_device_with_a_key_is_assigned_and_connects_with_it() {
    let place = Place::new().await;
    let enrollment = place
        .enroll(
            "enrollments/reg-1",
            json!({
                "deviceId": "pump-1",
                "initialTwin": {"tags": {"site": "x"}, "properties": {"desired": {"interval": 5}}},
                "payload": {"welcome": true},
            }),
        )
        .await;
    let key = enrollment["attestation"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let password = place.provisioning_token("reg-1", key);
    let mut device = place.knock(place.dial().await, "reg-1", &password).await.unwrap();
    let done = register(&mut device, "reg-1").await;
    let state = &done["registrationState"];
    assert_eq!((&done["status"], &state["status"]), (&json!("assigned"), &json!("assigned")));
    assert_eq!((&state["assignedHub"], &state["deviceId"]), (&json!("localhost"), &json!("pump-1")));
    assert_eq!(
        (&state["substatus"], &state["payload"]),
        (&json!("initialAssignment"), &json!({"welcome": true}))
    );

    let mut in_the_hub = place.dial().await;
    let own = token("localhost/devices/pump-1", key, None, 60);
    assert_eq!(in_the_hub.log_in("pump-1", &own, true).await.unwrap().code, ConnectReturnCode::Success);
    let (_, twin) = place.rest(Method::GET, "/twins/pump-1", None).await;
    assert_eq!((&twin["tags"]["site"], &twin["properties"]["desired"]["interval"]), (&json!("x"), &json!(5)));

    // Again, after the twin changed: the device's data stay.
    place.hub.patch_desired("pump-1", json!({"interval": 6})).await.unwrap();
    let again = register(&mut device, "reg-1").await;
    assert_eq!(again["registrationState"]["substatus"], "deviceDataMigrated");
    assert_eq!(place.hub.twin("pump-1").await.unwrap()["desired"]["interval"], 6);
    let (_, shown) = place.rest(Method::GET, "/localhub/registrations/reg-1", None).await;
    assert_eq!((&shown["status"], &shown["devicePayload"]), (&json!("assigned"), &json!({"serial": 7})));
}

#[tokio::test]
async fn a_group_key_opens_for_each_device_its_own_name_and_survives_a_restart() {
    let place = Place::new().await;
    let group =
        place.enroll("enrollmentGroups/pumps", json!({"attestation": {"type": "symmetricKey"}})).await;
    let keys = &group["attestation"]["symmetricKey"];
    let scope = place.hub.id_scope.clone();
    let place = place.restart().await;
    assert_eq!(place.hub.id_scope, scope);
    for (id, which) in [("pump-1", "primaryKey"), ("pump-2", "secondaryKey")] {
        let key = device_key(keys[which].as_str().unwrap(), id).unwrap();
        let password = place.provisioning_token(id, &key);
        let mut device = place.knock(place.dial().await, id, &password).await.unwrap();
        let done = register(&mut device, id).await;
        assert_eq!(done["registrationState"]["deviceId"], id);
        assert_eq!(done["registrationState"]["symmetricKey"]["enrollmentGroupId"], "pumps");
        let mut in_the_hub = place.dial().await;
        let own = token(&format!("localhost/devices/{id}"), &key, None, 60);
        assert_eq!(in_the_hub.log_in(id, &own, true).await.unwrap().code, ConnectReturnCode::Success);
        let other = place.knock(place.dial().await, "pump-3", &password).await;
        assert_eq!(other.err(), Some(ConnectReturnCode::NotAuthorized), "the key is one device's");
    }
}

#[tokio::test]
async fn certificates_enroll_one_device_by_thumbprint_and_many_by_their_authority() {
    let place = Place::new().await;
    let authority = Authority::new("Maker");
    let (own, signed) = (Authority::self_signed("lamp-1"), authority.issue("lamp-2"));
    let x509 = |which: &str, pem: &str| json!({"attestation": {"type": "x509", "x509": {which: {"primary": {"certificate": pem}}}}});
    let enrolled = place.enroll("enrollments/lamp-1", x509("clientCertificates", &own.pem)).await;
    assert_eq!(
        enrolled["attestation"]["x509"]["clientCertificates"]["primary"]["info"]["sha256Thumbprint"],
        thumbprint(&own.chain[0])
    );
    place.enroll("enrollmentGroups/lamps", x509("signingCertificates", &authority.pem)).await;
    for (id, leaf) in [("lamp-1", &own), ("lamp-2", &signed)] {
        let mut device = place.knock(place.dial_with(leaf.config(&place)).await, id, "").await.unwrap();
        let done = register(&mut device, id).await;
        assert_eq!(
            (&done["status"], &done["registrationState"]["deviceId"]),
            (&json!("assigned"), &json!(id))
        );
        let mut in_the_hub = place.dial_with(leaf.config(&place)).await;
        assert_eq!(in_the_hub.log_in(id, "", true).await.unwrap().code, ConnectReturnCode::Success);
    }
    let stranger = Authority::new("Maker").issue("lamp-3");
    for (id, leaf) in [("lamp-1", &signed), ("lamp-3", &signed), ("lamp-3", &stranger)] {
        let refused = place.knock(place.dial_with(leaf.config(&place)).await, id, "").await;
        assert_eq!(refused.err(), Some(ConnectReturnCode::NotAuthorized), "{id}");
    }
}

#[tokio::test]
async fn a_disabled_device_that_registers_again_stays_disabled_and_is_told_as_such() {
    let place = Place::new().await;
    let enrollment = place.enroll("enrollments/reg-1", json!({})).await;
    let key = enrollment["attestation"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let password = place.provisioning_token("reg-1", key);
    let mut device = place.knock(place.dial().await, "reg-1", &password).await.unwrap();
    register(&mut device, "reg-1").await;
    let disabled = json!({"deviceId": "reg-1", "status": "disabled"});
    let answer = place.send(Method::PUT, "/devices/reg-1", Some(disabled), &[("if-match", "\"*\"")]).await;
    assert_eq!(answer.status(), 200);

    let mut stream = Stream::open(&place, "/localhub/events?device=reg-1&kinds=updated").await;
    assert_eq!(register(&mut device, "reg-1").await["status"], "assigned");
    assert_eq!(stream.next().await.1["status"], "disabled");
    let (_, shown) = place.rest(Method::GET, "/devices/reg-1", None).await;
    assert_eq!(shown["status"], "disabled");
}

#[tokio::test]
async fn a_disabled_enrollment_is_told_and_a_removed_one_refuses() {
    let place = Place::new().await;
    let enrollment = place.enroll("enrollments/off", json!({"provisioningStatus": "disabled"})).await;
    let key = enrollment["attestation"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let password = place.provisioning_token("off", key);
    let mut device = place.knock(place.dial().await, "off", &password).await.unwrap();
    let done = register(&mut device, "off").await;
    assert_eq!(
        (&done["status"], &done["registrationState"]["status"]),
        (&json!("disabled"), &json!("disabled"))
    );
    assert_eq!(place.rest(Method::GET, "/devices/off", None).await.0, 404);

    assert_eq!(place.rest(Method::DELETE, "/localhub/enrollments/off", None).await.0, 204);
    let gone = ask(&mut device, "$dps/registrations/PUT/iotdps-register/?$rid=3", "{}").await;
    assert_eq!((gone.status, &gone.body["errorCode"]), (401, &json!(401_002)));
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_wait_and_who_asks_nonsense_what_is_wrong() {
    let place = Place::new().await;
    let enrollment = place.enroll("enrollments/busy", json!({})).await;
    let key = enrollment["attestation"]["symmetricKey"]["secondaryKey"].as_str().unwrap();
    let password = place.provisioning_token("busy", key);
    let mut device = place.knock(place.dial().await, "busy", &password).await.unwrap();
    let put = "$dps/registrations/PUT/iotdps-register/?$rid=1";
    for (topic, body, status) in [
        (put, "[1]", 400),
        (put, r#"{"registrationId": "other"}"#, 400),
        ("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=4.nothing", " ", 404),
        (put, "", 202),
        (put, "{}", 202),
        (put, "{}", 429),
    ] {
        let answer = ask(&mut device, topic, body).await;
        assert_eq!(answer.status, status, "{topic} {body} {}", answer.body);
        assert_eq!(answer.retry_after.is_some(), [202, 429].contains(&status));
    }
    device.publish("devices/busy/messages/events/", QoS::AtMostOnce, "x").await;
    assert!(device.is_closed().await, "it is no device's connection");
}

#[tokio::test]
async fn strangers_do_not_get_in() {
    let place = Place::new().await;
    let enrollment = place.enroll("enrollments/reg-1", json!({})).await;
    let key = enrollment["attestation"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let good = place.provisioning_token("reg-1", key);
    let expired =
        token(&format!("{}/registrations/reg-1", place.hub.id_scope), key, Some("registration"), -60);
    let foreign = "0ne00000000/registrations/reg-1/api-version=2019-03-31".to_owned();
    let own = place.provisioning_user("reg-1");
    for (client, user, password) in [
        ("reg-1", &own, expired.as_str()),
        ("reg-1", &own, "nonsense"),
        ("reg-1", &own, ""),
        ("reg-2", &own, good.as_str()),
        ("reg-1", &foreign, good.as_str()),
        ("reg-2", &place.provisioning_user("reg-2"), good.as_str()),
    ] {
        let answer = place.dial().await.connect(client, user, password, true).await.unwrap();
        assert_eq!(answer.code, ConnectReturnCode::NotAuthorized, "{client} {user}");
    }
    let mut device = place.knock(place.dial().await, "reg-1", &good).await.unwrap();
    assert_eq!(device.subscribe(&[("$iothub/methods/POST/#", QoS::AtMostOnce)]).await, None);
    for path in ["enrollments/a%2Fb", "enrollments/a%20b"] {
        assert_eq!(
            place.rest(Method::PUT, &format!("/localhub/{path}"), Some(json!({}))).await.0,
            400,
            "{path}"
        );
    }
    for body in [
        json!({"registrationId": "other"}),
        json!({"attestation": {"type": "tpm"}}),
        json!({"attestation": {"type": "x509", "x509": {}}}),
        json!({"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "*"}}}),
        json!({"initialTwin": {"properties": {"desired": {"a.b": 1}}}}),
    ] {
        let (status, answer) = place.rest(Method::PUT, "/localhub/enrollments/x", Some(body.clone())).await;
        assert_eq!(status, 400, "{body} {answer}");
    }
    device = place.knock(place.dial().await, "reg-1", &good).await.unwrap();
    device.send(Packet::Disconnect).await;
    assert!(device.is_closed().await);
    let (_, hub) = place.rest(Method::GET, "/localhub/hub", None).await;
    assert_eq!(hub["idScope"], place.hub.id_scope);
}
