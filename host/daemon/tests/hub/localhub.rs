//! The session against the local hub, which speaks IoT Hub's contract to the official SDKs as well.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hotshoe_localhub::{Fault, Invocation, LocalHub, Name, Running, Settings};
use hotshoed::hub::{HubSettings, Transport};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::broker::PATIENCE;
use crate::device::{Device, Disk, reply};

pub(crate) async fn hub(data: &Path, change: impl FnOnce(&mut Settings)) -> Running {
    let mut settings = Settings::new(data);
    change(&mut settings);
    LocalHub::start(settings).await.unwrap()
}

pub(crate) fn settings(hub: &Running, connection: &str) -> HubSettings {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(hub.ca_pem.as_bytes()).unwrap()).unwrap();
    let epoch = SystemTime::UNIX_EPOCH;
    let clock = Arc::new(move || epoch.elapsed().unwrap().as_secs());
    let mut settings = HubSettings::new(connection.parse().unwrap(), Arc::new(roots), clock);
    settings.port = Some(hub.mqtt_port);
    settings.pace = crate::device::pace();
    settings
}

async fn reported(hub: &Running, device: &str) -> Value {
    let mut reported = hub.twin(device).await.unwrap()["reported"].take();
    reported.as_object_mut().unwrap().retain(|key, _| !key.starts_with('$'));
    reported
}

#[tokio::test]
async fn everything_passes_over_mqtt_and_over_websocket() {
    for transport in [Transport::Mqtt, Transport::WebSocket] {
        let (data, disk) = (TempDir::new().unwrap(), Disk::new());
        let hub = hub(data.path(), |_| {}).await;
        let connection = hub.create_device("dev").await.unwrap();
        hub.patch_desired("dev", json!({"firmware": {"fwVersion": "2"}})).await.unwrap();
        let mut settings = settings(&hub, &connection);
        settings.transport = transport;
        if transport == Transport::WebSocket {
            settings.port = Some(hub.https_port);
        }
        let mut device = Device::from_settings(settings, &disk);

        device.hub.outbox.patch(json!({"firmwareStatus": "standBy", "old": 1})).await.unwrap();
        device.hub.outbox.patch(json!({"old": null, "text": "x".repeat(4096)})).await.unwrap();
        device.flushed().await;
        assert_eq!(
            reported(&hub, "dev").await,
            json!({"firmwareStatus": "standBy", "text": "x".repeat(4096)})
        );

        let mut desired = device.hub.desired.subscribe();
        let version = hub.patch_desired("dev", json!({"firmware": {"fwVersion": "3"}})).await.unwrap();
        let wanted = Some((version, json!({"firmware": {"fwVersion": "3"}})));
        tokio::time::timeout(PATIENCE, desired.wait_for(|seen| *seen == wanted)).await.unwrap().unwrap();

        let payload = json!({"fwPackageUri": "x".repeat(100_000)});
        let (answer, ()) = tokio::join!(hub.invoke("dev", "firmwareUpdate", &payload, PATIENCE), async {
            let call = device.call().await;
            assert_eq!(serde_json::from_slice::<Value>(&call.payload).unwrap(), payload);
            reply(call, 202);
        });
        assert_eq!(answer.unwrap(), (202, json!({"method": "firmwareUpdate"})));

        device.hub.telemetry.send(json!({"t": 21}), vec![("kind".into(), "a b".into())]).unwrap();
        device.stop().await;
        assert_eq!(hub.hub.telemetry("dev").len(), 1, "{transport:?}");
        hub.stop().await;
    }
}

#[tokio::test]
async fn reports_and_calls_pass_a_link_that_flaps() {
    let (data, disk) = (TempDir::new().unwrap(), Disk::new());
    let hub = hub(data.path(), |_| {}).await;
    let connection = hub.create_device("dev").await.unwrap();
    let device = Device::from_settings(settings(&hub, &connection), &disk);
    let name = Name::device("dev").unwrap();
    for number in 0..100 {
        device
            .hub
            .outbox
            .patch(json!({"number": number, format!("k{}", number % 10): {"n": number}}))
            .await
            .unwrap();
        if number % 7 == 0 {
            device.hub.outbox.patch(json!({format!("k{}", number % 10): null})).await.unwrap();
        }
        hub.hub.disconnect(&name);
    }
    device.flushed().await;
    assert_eq!(reported(&hub, "dev").await, device.hub.outbox.reported());
    assert_eq!(reported(&hub, "dev").await["number"], json!(99));
    device.stop().await;
    hub.stop().await;
}

#[tokio::test]
async fn a_hub_that_goes_and_comes_back_finds_everything() {
    let (data, disk) = (TempDir::new().unwrap(), Disk::new());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let first = hub(data.path(), |settings| settings.mqtt_port = port).await;
    let connection = first.create_device("dev").await.unwrap();
    let device = Device::from_settings(settings(&first, &connection), &disk);
    device.hub.outbox.patch(json!({"before": 1})).await.unwrap();
    device.flushed().await;
    first.stop().await;
    device.hub.outbox.patch(json!({"meanwhile": 2})).await.unwrap();
    let second = hub(data.path(), |settings| settings.mqtt_port = port).await;
    device.flushed().await;
    assert_eq!(reported(&second, "dev").await, json!({"before": 1, "meanwhile": 2}));
    device.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn tokens_are_renewed_before_a_hub_without_patience_cuts_the_link() {
    let (data, disk) = (TempDir::new().unwrap(), Disk::new());
    let hub = hub(data.path(), |settings| settings.clock_slack = Duration::ZERO).await;
    let connection = hub.create_device("dev").await.unwrap();
    let mut settings = settings(&hub, &connection);
    settings.token_lifetime = Duration::from_secs(10);
    let device = Device::from_settings(settings, &disk);
    let mut number = 0;
    while device.hub.metrics.connects.get() < 2 {
        number += 1;
        device.hub.outbox.patch(json!({"number": number})).await.unwrap();
        device.flushed().await;
    }
    assert_eq!(device.hub.metrics.losses.get(), 0, "the hub cut the link");
    assert_eq!(reported(&hub, "dev").await, json!({"number": number}));
    device.stop().await;
    hub.stop().await;
}

#[tokio::test]
async fn no_call_is_lost_while_tokens_are_renewed() {
    let (data, disk) = (TempDir::new().unwrap(), Disk::new());
    let hub = hub(data.path(), |_| {}).await;
    let connection = hub.create_device("dev").await.unwrap();
    let mut settings = settings(&hub, &connection);
    settings.token_lifetime = Duration::from_secs(1);
    let mut device = Device::from_settings(settings, &disk);
    let mut calls = std::mem::replace(&mut device.hub.calls, tokio::sync::mpsc::channel(1).1);
    let answering = tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            reply(call, 200);
        }
    });
    let connects = device.hub.metrics.connects.clone();
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (hub, connects) = (Arc::clone(&hub.hub), connects.clone());
        callers.spawn(async move {
            let (name, mut answered, mut waits) = (Name::device("dev").unwrap(), 0, true);
            while connects.get() < 11 {
                let connect_timeout = if waits { PATIENCE } else { Duration::ZERO };
                let call = Invocation {
                    method: "m".into(),
                    payload: None,
                    response_timeout: PATIENCE,
                    connect_timeout,
                };
                match hub.invoke(&name, call).await {
                    Ok(answer) => assert_eq!(answer.status, 200),
                    // Never delivered, which the caller is told at once.
                    Err(Fault::DeviceNotOnline(_)) if !waits => {}
                    Err(fault) => panic!("{fault:?}"),
                }
                answered += 1;
                waits = !waits;
            }
            answered
        });
    }
    let answered: usize = callers.join_all().await.into_iter().sum();
    assert!(answered > 100, "{answered} calls in ten renewals");
    assert_eq!(device.hub.metrics.losses.get(), 0);
    device.stop().await;
    answering.await.unwrap();
    hub.stop().await;
}
