//! Connecting, subscribing, publishing: who gets in, and what ends a connection.

use reqwest::Method;
use rumqttc::{Connect, ConnectReturnCode, LastWill, Packet, Publish, QoS, SubscribeReasonCode};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::client::{DESIRED, METHODS, Place, TWIN, token};

#[tokio::test]
async fn keys_and_policies_open_their_own_devices_only() {
    let place = Place::new().await;
    let (key, other) = (place.key("d").await, place.key("e").await);
    let (_, identity) = place.rest(Method::GET, "/devices/d", None).await;
    let secondary = identity["authentication"]["symmetricKey"]["secondaryKey"].as_str().unwrap();
    let owner = place.hub.owner.rsplit_once("SharedAccessKey=").unwrap().1.to_owned();
    let (good, bad) = (ConnectReturnCode::Success, ConnectReturnCode::NotAuthorized);
    for (resource, key, policy, lifetime, wanted) in [
        ("localhost/devices/d", key.as_str(), None, 60, good),
        ("localhost/devices/d", secondary, None, 60, good),
        ("localhost", owner.as_str(), Some("iothubowner"), 60, good),
        ("localhost/devices", owner.as_str(), Some("iothubowner"), 60, good),
        ("localhost/devices/d", key.as_str(), Some("iothubowner"), 60, bad),
        ("localhost", owner.as_str(), Some("service"), 60, bad),
        ("localhost/devices/d", other.as_str(), None, 60, bad),
        ("localhost/devices/e", key.as_str(), None, 60, bad),
        ("localhost/devices/d", key.as_str(), None, -60, bad),
    ] {
        let mut device = place.dial().await;
        let answer = device.log_in("d", &token(resource, key, policy, lifetime), true).await.unwrap();
        assert_eq!(answer.code, wanted, "{resource} {policy:?} {lifetime}");
        if wanted == bad {
            assert!(device.is_closed().await);
        }
    }
}

#[tokio::test]
async fn user_names_old_and_new_are_taken_and_foreign_ones_are_not() {
    let place = Place::new().await;
    let password = token("localhost/devices/d", &place.key("d").await, None, 60);
    let (good, bad) = (ConnectReturnCode::Success, ConnectReturnCode::NotAuthorized);
    for (id, user, wanted) in [
        ("d", "localhost/d/?api-version=2019-10-01&DeviceClientType=py", good),
        ("d", "localhost/d/DeviceClientType=node&api-version=2018-01-16", good),
        ("d", "localhost:8883/d/?api-version=2021-04-12", good),
        ("d", "localhost/unknown/?api-version=2021-04-12", bad),
        ("e", "localhost/d/?api-version=2021-04-12", bad),
        ("d", "elsewhere/d/?api-version=2021-04-12", bad),
        ("d", "d", ConnectReturnCode::ServiceUnavailable),
    ] {
        let mut device = place.dial().await;
        assert_eq!(device.connect(id, user, &password, true).await.unwrap().code, wanted, "{id} {user}");
    }
}

#[tokio::test]
async fn a_session_keeps_its_subscriptions_over_connections_unless_it_is_clean() {
    let place = Place::new().await;
    let password = token("localhost/devices/d", &place.key("d").await, None, 60);
    let mut first = place.dial().await;
    assert!(!first.log_in("d", &password, false).await.unwrap().session_present);
    let granted =
        first.subscribe(&[(METHODS, QoS::AtMostOnce), (TWIN, QoS::ExactlyOnce), (DESIRED, QoS::AtLeastOnce)]);
    let (zero, one) =
        (SubscribeReasonCode::Success(QoS::AtMostOnce), SubscribeReasonCode::Success(QoS::AtLeastOnce));
    assert_eq!(granted.await.unwrap(), [zero, one, one]);
    first.send(Packet::Disconnect).await;
    assert!(first.is_closed().await);

    let place = place.restart().await;
    let mut second = place.dial().await;
    assert!(second.log_in("d", &password, false).await.unwrap().session_present);
    place.hub.patch_desired("d", json!({"a": 1})).await.unwrap();
    assert_eq!(
        second.message().await,
        ("$iothub/twin/PATCH/properties/desired/?$version=2".into(), r#"{"$version":2,"a":1}"#.into())
    );

    let mut clean = place.dial().await;
    assert!(!clean.log_in("d", &password, true).await.unwrap().session_present);
    let mut third = place.dial().await;
    assert!(!third.log_in("d", &password, false).await.unwrap().session_present);
}

#[tokio::test]
async fn a_newer_connection_ends_the_older_one() {
    let place = Place::new().await;
    let mut older = place.device("d").await;
    let mut newer = place.device("d").await;
    assert!(older.is_closed().await);
    newer.send(Packet::PingReq).await;
    assert_eq!(newer.next().await, Some(Packet::PingResp));
}

#[tokio::test]
async fn offences_end_the_connection_without_a_packet() {
    let place = Place::new().await;
    let publish = |topic: &str, qos| {
        let mut publish = Publish::new(topic, qos, "{}");
        publish.pkid = if qos == QoS::AtMostOnce { 0 } else { 1 };
        Packet::Publish(publish)
    };
    for (what, packet) in [
        ("an unknown topic", publish("sensors/temperature", QoS::AtMostOnce)),
        ("another device's telemetry", publish("devices/e/messages/events/", QoS::AtLeastOnce)),
        ("quality of service 2", publish("devices/d/messages/events/", QoS::ExactlyOnce)),
        ("a second CONNECT", Packet::Connect(Connect::new("d"))),
        ("a server's packet", Packet::PingResp),
    ] {
        let mut device = place.device("d").await;
        device.send(packet).await;
        assert!(device.is_closed().await, "{what}");
    }
    let mut device = place.device("d").await;
    assert_eq!(device.subscribe(&[("#", QoS::AtMostOnce)]).await, None);
    let mut early = place.dial().await;
    early.send(publish("devices/d/messages/events/", QoS::AtMostOnce)).await;
    assert!(early.is_closed().await, "a publish before CONNECT");
}

#[tokio::test]
async fn malformed_and_oversize_packets_end_the_connection_and_nothing_else() {
    let place = Place::new().await;
    let mut neighbour = place.device("neighbour").await;
    for bytes in [
        &[0x10, 0xff, 0xff, 0xff, 0xff, 0xff][..], // a length without an end
        &[0x30, 0xff, 0xff, 0xff, 0x7f],           // 256 MiB
        &[0x00, 0x00],
        &[0xf0, 0x00],
        &[0x82, 0x01, 0x00], // a SUBSCRIBE without filters
    ] {
        for connected in [false, true] {
            let mut device = if connected { place.device("d").await } else { place.dial().await };
            device.framed.get_mut().write_all(bytes).await.unwrap();
            device.framed.get_mut().flush().await.unwrap();
            assert!(device.is_closed().await, "{bytes:x?}");
        }
    }
    neighbour.send(Packet::PingReq).await;
    assert_eq!(neighbour.next().await, Some(Packet::PingResp));
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let place = Place::new().await;
    let key = place.key("d").await;
    let mut device = place.dial().await;
    let answer = device.log_in("d", &token("localhost/devices/d", &key, None, 2), false).await.unwrap();
    assert_eq!(answer.code, ConnectReturnCode::Success);
    assert!(device.is_closed().await);
}

#[tokio::test]
async fn a_silent_client_is_let_go_after_one_and_a_half_keep_alives() {
    let place = Place::new().await;
    let password = token("localhost/devices/d", &place.key("d").await, None, 60);
    let mut device = place.dial().await;
    let mut connect = Connect::new("d");
    connect.set_credentials("localhost/d/?api-version=2021-04-12", password);
    connect.keep_alive = 1;
    connect.last_will = Some(LastWill::new("devices/d/messages/events/a=b", "gone", QoS::AtLeastOnce, false));
    device.send(Packet::Connect(connect)).await;
    assert!(matches!(device.next().await, Some(Packet::ConnAck(_))));
    assert!(device.is_closed().await);
    let kept = place.hub.hub.telemetry("d");
    assert_eq!((kept[0].body.as_str(), kept[0].properties.as_str()), ("gone", "a=b&iothub-MessageType=Will"));
}

#[tokio::test]
async fn telemetry_is_acknowledged_and_kept() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    device.publish("devices/d/messages/events/%24.ct=a&k=v", QoS::AtLeastOnce, r#"{"t":1}"#).await;
    assert!(matches!(device.next().await, Some(Packet::PubAck(_))));
    let (_, kept) = place.rest(Method::GET, "/localhub/devices/d/telemetry", None).await;
    assert_eq!((&kept[0]["body"], &kept[0]["properties"]), (&json!(r#"{"t":1}"#), &json!("%24.ct=a&k=v")));
}

#[tokio::test]
async fn operators_cut_and_refuse_and_disable_and_delete_devices() {
    let place = Place::new().await;
    let password = token("localhost/devices/d", &place.key("d").await, None, 60);
    for (method, path, body) in [
        (Method::POST, "/localhub/devices/d/disconnect", None),
        (Method::POST, "/localhub/devices/d/refuse?seconds=60", None),
    ] {
        let mut device = place.device("d").await;
        assert!(place.rest(method, path, body).await.0.is_success());
        assert!(device.is_closed().await, "{path}");
    }
    let mut device = place.dial().await;
    assert_eq!(
        device.log_in("d", &password, true).await.unwrap().code,
        ConnectReturnCode::ServiceUnavailable
    );
    place.rest(Method::POST, "/localhub/devices/d/refuse?seconds=0", None).await;

    let mut device = place.device("d").await;
    let disable = Some(json!({"deviceId": "d", "status": "disabled"}));
    let answer = place.send(Method::PUT, "/devices/d", disable, &[("if-match", "\"*\"")]).await;
    assert!(answer.status().is_success());
    assert!(device.is_closed().await);
    let mut device = place.dial().await;
    assert_eq!(
        device.log_in("d", &password, true).await.unwrap().code,
        ConnectReturnCode::ServiceUnavailable
    );

    let mut device = place.device("e").await;
    assert_eq!(place.rest(Method::DELETE, "/devices/e", None).await.0, 204);
    assert!(device.is_closed().await);
}
