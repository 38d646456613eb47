//! What a connection tells of its device and what holds for it while it lasts: models, modules, sizes, flags, times.

use reqwest::Method;
use rumqttc::{ConnectReturnCode, Packet, Publish, QoS};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{METHODS, Place, TWIN, now, token};

const EVENTS: &str = "devices/d/messages/events/";

#[tokio::test]
async fn another_level_of_mqtt_is_refused_with_code_one() {
    let place = Place::new().await;
    for level in [3, 5, 99] {
        let mut device = place.dial().await;
        let mut packet = vec![0x10, 0, 0, 4];
        packet.extend(b"MQTT");
        packet.extend([level, 0x02, 0, 60]);
        if level == 5 {
            packet.push(0); // no properties
        }
        packet.extend([0, 1, b'd']);
        packet[1] = u8::try_from(packet.len() - 2).unwrap();
        device.framed.get_mut().write_all(&packet).await.unwrap();
        device.framed.get_mut().flush().await.unwrap();
        let mut answer = Vec::new();
        device.framed.get_mut().read_to_end(&mut answer).await.ok();
        assert_eq!(answer, [0x20, 2, 0, 1], "level {level}");
    }
}

#[tokio::test]
async fn the_announced_model_is_in_the_twin() {
    let place = Place::new().await;
    let password = token("localhost/devices/d", &place.key("d").await, None, 60);
    for (properties, wanted) in [
        (
            "api-version=2020-09-30&model-id=dtmi%3Acom%3Aexample%3BThermostat%3B1",
            "dtmi:com:example;Thermostat;1",
        ),
        ("model-id=dtmi:a;1&model-id=dtmi:b;1&api-version=2020-09-30", "dtmi:a;1"),
        ("api-version=2020-09-30", ""),
    ] {
        let mut device = place.dial().await;
        let user = format!("localhost/d/?{properties}");
        let answer = device.connect("d", &user, &password, true).await.unwrap();
        assert_eq!(answer.code, ConnectReturnCode::Success);
        let (_, twin) = place.rest(Method::GET, "/twins/d", None).await;
        assert_eq!(twin["modelId"], wanted, "{properties}");
    }
}

#[tokio::test]
async fn a_message_of_256_kib_with_its_properties_is_taken_and_one_byte_more_ends_the_connection() {
    let place = Place::new().await;
    let topic = format!("{EVENTS}a%20b=c"); // four bytes when decoded
    let mut device = place.device("d").await;
    device.publish(&topic, QoS::AtLeastOnce, vec![b'x'; 256 * 1024 - 4]).await;
    assert!(matches!(device.next().await, Some(Packet::PubAck(_))));
    device.publish(&topic, QoS::AtLeastOnce, vec![b'x'; 256 * 1024 - 3]).await;
    assert!(device.is_closed().await);
    assert_eq!(place.hub.hub.telemetry("d").len(), 1);
}

#[tokio::test]
async fn retain_and_duplicate_are_told_as_properties() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    for (topic, retain, dup, wanted) in [
        (EVENTS.to_owned(), true, false, "mqtt-retain=true"),
        (format!("{EVENTS}a=b"), true, true, "a=b&mqtt-retain=true&mqtt-dup=true"),
        (EVENTS.to_owned(), false, true, "mqtt-dup=true"),
    ] {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, "x");
        (publish.pkid, publish.retain, publish.dup) = (9, retain, dup);
        device.send(Packet::Publish(publish)).await;
        assert!(matches!(device.next().await, Some(Packet::PubAck(_))));
        assert_eq!(place.hub.hub.telemetry("d").pop().unwrap().properties, wanted);
    }
}

#[tokio::test]
async fn a_module_has_keys_and_topics_of_its_own_and_goes_with_its_device() {
    let place = Place::new().await;
    let device_key = place.key("d").await;
    let body = Some(json!({"deviceId": "d", "moduleId": "m"}));
    let (status, module) = place.rest(Method::PUT, "/devices/d/modules/m", body).await;
    assert_eq!(status, 200);
    let key = module["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let resource = "localhost/devices/d/modules/m";
    let (good, bad) = (token(resource, key, None, 60), token(resource, &device_key, None, 60));
    let user = "localhost/d/m/?api-version=2021-04-12";
    let refused = place.dial().await.connect("d/m", user, &bad, true).await.unwrap();
    assert_eq!(refused.code, ConnectReturnCode::NotAuthorized, "the device's key is not the module's");

    let mut module = place.dial().await;
    assert_eq!(module.connect("d/m", user, &good, true).await.unwrap().code, ConnectReturnCode::Success);
    let inputs = [
        ("devices/d/modules/m/inputs/#", QoS::AtLeastOnce),
        (TWIN, QoS::AtMostOnce),
        (METHODS, QoS::AtMostOnce),
    ];
    assert_eq!(module.subscribe(&inputs).await.unwrap().len(), 3);
    let (status, _, body) = module.twin("$iothub/twin/PATCH/properties/reported/?$rid=1", r#"{"a":1}"#).await;
    assert_eq!(status, 204, "{body}");
    let caller = place.rest(
        Method::POST,
        "/twins/d/modules/m/methods",
        Some(json!({"methodName": "a", "responseTimeoutInSeconds": 20})),
    );
    let answerer = async {
        let (_, id, _) = module.request().await;
        module.answer(&id, 200, "1").await;
    };
    assert_eq!(tokio::join!(caller, answerer).0.1, json!({"status": 200, "payload": 1}));
    module.publish("devices/d/modules/m/messages/events/", QoS::AtMostOnce, "x").await;
    module.ping().await;
    assert_eq!(place.hub.hub.telemetry("d")[0].from, "d/m");
    let (_, shown) = place.rest(Method::GET, "/twins/d/modules/m", None).await;
    assert_eq!(
        (&shown["properties"]["reported"]["a"], &shown["connectionState"]),
        (&json!(1), &json!("Connected"))
    );

    let disabled = Some(json!({"status": "disabled"}));
    place.send(Method::PUT, "/devices/d", disabled, &[("if-match", "*")]).await;
    assert!(module.is_closed().await, "the module of a disabled device");
    let refused = place.dial().await.connect("d/m", user, &good, true).await.unwrap();
    assert_eq!(refused.code, ConnectReturnCode::ServiceUnavailable);
}

#[tokio::test]
async fn a_device_has_fifty_modules_at_most() {
    let place = Place::new().await;
    place.key("d").await;
    for number in 0..50 {
        let (status, _) =
            place.rest(Method::PUT, &format!("/devices/d/modules/m{number}"), Some(json!({}))).await;
        assert_eq!(status, 200);
    }
    assert_eq!(place.rest(Method::PUT, "/devices/d/modules/m50", Some(json!({}))).await.0, 403);
    let update =
        place.send(Method::PUT, "/devices/d/modules/m1", Some(json!({})), &[("if-match", "*")]).await;
    assert_eq!(update.status(), 200);
}

#[tokio::test]
async fn when_a_device_came_and_went_is_told_and_kept() {
    let place = Place::new().await;
    place.key("d").await;
    let started = i64::try_from(now()).unwrap();
    let times = async |place: &Place| {
        let (_, shown) = place.rest(Method::GET, "/devices/d", None).await;
        let read = |name: &str| shown[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        (read("connectionStateUpdatedTime"), read("lastActivityTime"), shown["connectionState"].clone())
    };
    assert_eq!(times(&place).await.1.to_string(), "0001-01-01T00:00:00Z");
    let mut device = place.device("d").await;
    let (came, active, state) = times(&place).await;
    assert!(came.as_second() >= started && active >= came && state == "Connected");
    device.send(Packet::Disconnect).await;
    assert!(device.is_closed().await);
    let (went, ..) = times(&place).await;
    assert!(went > came);
    let place = place.restart().await;
    assert_eq!(times(&place).await, (went, active, json!("Disconnected")));
}
