//! MQTT in a WebSocket on the HTTPS port, with a client library that is not ours.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS, TlsConfiguration};
use serde_json::json;
use tokio::time::timeout;

use crate::client::{METHODS, PATIENCE, Place, token};

async fn next(events: &mut EventLoop) -> Packet {
    loop {
        if let Event::Incoming(packet) = timeout(PATIENCE, events.poll()).await.unwrap().unwrap() {
            return packet;
        }
    }
}

#[tokio::test]
async fn a_device_behind_a_web_proxy_is_a_device_like_any_other() {
    let place = Place::new().await;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(place.roots())
        .with_no_client_auth();
    // A client library adds a query of its own; the path alone counts.
    let url =
        format!("wss://localhost:{}/$iothub/websocket?iothub-no-client-cert=true", place.hub.https_port);
    let mut options =
        MqttOptions::websocket_with_tls_config("d", url, TlsConfiguration::Rustls(Arc::new(tls))).unwrap();
    let password = token("localhost/devices/d", &place.key("d").await, None, 60);
    options.set_credentials("localhost/d/?api-version=2021-04-12", password);
    options.set_max_packet_size(512 * 1024, 512 * 1024);
    let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
    assert!(matches!(next(&mut events).await, Packet::ConnAck(_)));
    client.subscribe(METHODS, QoS::AtMostOnce).await.unwrap();
    assert!(matches!(next(&mut events).await, Packet::SubAck(_)));

    // Larger than a WebSocket frame or a TLS record.
    let payload = json!("x".repeat(100_000));
    let caller = place.hub.invoke("d", "echo", &payload, Duration::from_secs(20));
    let answerer = async {
        let Packet::Publish(request) = next(&mut events).await else { panic!("no method request") };
        let topic = String::from_utf8(request.topic.to_vec()).unwrap();
        let (_, id) = topic.split_once("?$rid=").unwrap();
        let answer = format!("$iothub/methods/res/200/?$rid={id}");
        client.publish(answer, request.payload.to_vec(), PublishOptions::at_least_once()).await.unwrap();
        assert!(matches!(next(&mut events).await, Packet::PubAck(_)));
    };
    let (answer, ()) = tokio::join!(caller, answerer);
    assert_eq!(answer.unwrap(), (200, payload));
}
