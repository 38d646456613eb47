//! One client's haste is not the others' delay: what is too fast waits, what offends comes back later.

use std::time::{Duration, Instant};

use reqwest::Method;
use rumqttc::{Packet, QoS};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Device, METHODS, Place, token};

const EVENTS: &str = "devices/d/messages/events/";

/// Sends so many messages without waiting for anything, then waits for all acknowledgements.
async fn burst(device: &mut Device, messages: usize) {
    for _ in 0..messages {
        device.publish(EVENTS, QoS::AtLeastOnce, "x").await;
    }
    for number in 0..messages {
        assert!(matches!(device.next().await, Some(Packet::PubAck(_))), "acknowledgement {number}");
    }
}

#[tokio::test]
async fn a_thousand_messages_at_once_are_all_acknowledged() {
    let place = Place::new().await;
    let mut device = place.device("d").await;
    burst(&mut device, 1000).await;
    assert_eq!(place.hub.hub.telemetry("d").len(), 1000);
}

#[tokio::test]
async fn what_comes_too_fast_waits_unread_and_none_of_it_is_lost() {
    let place = Place::with(|settings| settings.limits.packets = 20).await;
    let mut device = place.device("d").await;
    let began = Instant::now();
    burst(&mut device, 70).await;
    burst(&mut device, 1).await;
    // Forty at once, and twenty a second after that. The last cannot have come earlier, whatever the machine.
    assert!(began.elapsed() >= Duration::from_millis(1400), "{:?}", began.elapsed());
    assert_eq!(place.hub.hub.telemetry("d").len(), 71);
}

#[tokio::test]
async fn what_the_hub_asked_for_does_not_count() {
    // What the device may send of its own accord would last for minutes.
    let place = Place::with(|settings| settings.limits.packets = 1).await;
    let mut device = place.device("d").await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await.unwrap();
    let calls = async {
        for _ in 0..200 {
            let call = Some(json!({"methodName": "a", "responseTimeoutInSeconds": 30}));
            assert_eq!(place.rest(Method::POST, "/twins/d/methods", call).await.0, 200);
        }
    };
    let answers = async {
        for _ in 0..200 {
            let (_, id, _) = device.request().await;
            device.answer(&id, 200, "1").await;
        }
    };
    tokio::join!(calls, answers);
}

#[tokio::test]
async fn bytes_are_paced_too_and_a_device_that_is_paced_is_not_taken_for_a_silent_one() {
    let place = Place::with(|settings| settings.limits.rate = 10_000).await;
    let password = token("localhost/devices/d", &place.key("d").await, None, 3600);
    let mut device = place.dial().await;
    let mut connect = rumqttc::Connect::new("d");
    connect.set_credentials("localhost/d/?api-version=2021-04-12", password);
    connect.keep_alive = 1;
    device.send(Packet::Connect(connect)).await;
    assert!(matches!(device.next().await, Some(Packet::ConnAck(_))));
    let began = Instant::now();
    // Six seconds' worth in one message: longer than the keep-alive allows for.
    device.publish(EVENTS, QoS::AtLeastOnce, vec![b'x'; 60_000]).await;
    device.publish(EVENTS, QoS::AtLeastOnce, "y").await;
    for _ in 0..2 {
        assert!(matches!(device.next().await, Some(Packet::PubAck(_))));
    }
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_device_that_offends_again_and_again_waits_before_it_is_let_in() {
    let place = Place::with(|settings| settings.limits.offences = 2).await;
    for _ in 0..4 {
        let mut device = place.device("d").await;
        device.publish("devices/e/messages/events/", QoS::AtMostOnce, "x").await;
        assert!(device.is_closed().await);
    }
    // Two were free, the third cost 0.2 s, the fourth twice that.
    let began = Instant::now();
    let mut device = place.device("d").await;
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    burst(&mut device, 1).await;
}

#[tokio::test]
async fn who_cannot_say_connect_has_failed_to_log_in() {
    let place = Place::with(|settings| settings.limits.failed_logins = 2).await;
    for _ in 0..5 {
        // Who looks whether the port is open has not failed.
        TcpStream::connect(("127.0.0.1", place.hub.mqtt_port)).await.unwrap();
    }
    for junk in [Packet::PingReq, Packet::Disconnect] {
        let mut device = place.dial().await;
        device.send(junk).await;
        assert!(device.is_closed().await);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", place.hub.mqtt_port)).await.unwrap();
    drop(stream.write_all(&[0x16, 3, 1]).await);
    let end = stream.read(&mut [0; 16]).await;
    assert!(!end.is_ok_and(|read| read > 0), "closed as it came");
}
