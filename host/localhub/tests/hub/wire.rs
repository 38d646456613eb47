//! The log of the wire: what a developer sees of what a device and the hub said to each other.

use reqwest::Method;
use rumqttc::{Packet, QoS};
use serde_json::{Value, json};

use crate::client::{Place, TWIN, token};
use crate::events::Stream;

#[tokio::test]
async fn the_log_shows_both_directions_and_no_secret() {
    let place = Place::new().await;
    let key = place.key("d").await;
    let mut live = Stream::open(&place, "/localhub/events?device=d&kinds=packet").await;
    let mut device = place.dial().await;
    let password = token("localhost/devices/d", &key, None, 3600);
    device.log_in("d", &password, true).await;
    device.subscribe(&[(TWIN, QoS::AtMostOnce)]).await;
    let body = r#"{"uri":"https://s/x?sig=SECRET&se=1","note":"é"}"#;
    device.publish("devices/d/messages/events/", QoS::AtLeastOnce, body).await;
    device.next().await;
    device.send(Packet::PingReq).await;
    device.next().await;

    let (status, log) = place.rest(Method::GET, "/localhub/wire/d", None).await;
    assert_eq!(status, 200);
    let packets = log["packets"].as_array().unwrap();
    let line = |packet: &Value| {
        format!("{} {}", packet["direction"].as_str().unwrap(), packet["packet"].as_str().unwrap())
    };
    let lines: Vec<String> = packets.iter().map(line).collect();
    let wanted = ["in connect", "out connack", "in subscribe", "out suback", "in publish", "out puback"];
    assert_eq!(lines[..6], wanted);
    assert_eq!(lines[6..], ["in pingreq", "out pingresp"]);
    assert_eq!(packets[4]["topic"], "devices/d/messages/events/");
    assert_eq!(packets[4]["body"], r#"{"uri":"https://s/x?sig=[redacted]&se=1","note":"é"}"#);
    for wanted in packets {
        let (name, heard) = live.next().await;
        assert_eq!((name.as_str(), line(&heard)), ("packet", line(wanted)));
        assert_eq!(heard["device"], "d");
    }
    let (signature, text) =
        (password.split("sig=").nth(1).unwrap().split('&').next().unwrap(), log.to_string());
    assert!(!text.contains("SECRET") && !text.contains(signature), "{text}");
}

#[tokio::test]
async fn a_stranger_writes_into_nobodys_log() {
    let place = Place::new().await;
    place.key("d").await;
    let mut stranger = place.dial().await;
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    stranger.log_in("d", &token("localhost/devices/d", key, None, 60), true).await;
    assert!(stranger.is_closed().await);
    let (_, log) = place.rest(Method::GET, "/localhub/wire/d", None).await;
    assert_eq!(log["packets"], json!([]));
    assert_eq!(place.rest(Method::GET, "/localhub/wire/unknown", None).await.0, 404);
    assert_eq!(place.https().get(place.url("/localhub/wire/d")).send().await.unwrap().status(), 401);
}
