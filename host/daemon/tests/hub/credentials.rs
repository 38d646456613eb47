//! Who the device says it is, and what it does when the hub does not believe it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hotshoe_core::sas;
use rumqttc::{ConnectAuth, ConnectReturnCode};
use serde_json::json;

use crate::broker::{Act, Broker, Moment, PATIENCE, call};
use crate::device::{Device, Disk, KEY, NAME, NOW, reply};

/// Expiry of the token in CONNECT number `index`, once its signature was found good.
fn expiry(broker: &Broker, index: usize) -> u64 {
    broker.model(|model| {
        let ConnectAuth::UsernamePassword { username, password } = &model.connects[index].auth else {
            panic!("no password")
        };
        assert!(username.starts_with("localhost/dev-1/?api-version=2021-04-12&DeviceClientType=hotshoed%2F"));
        let text = String::from_utf8(password.to_vec()).unwrap();
        let token = sas::Token::parse(&text).unwrap();
        assert!(token.covers("localhost/devices/dev-1"));
        token.verify(KEY, 0, 0).unwrap();
        token.expiry
    })
}

#[tokio::test]
async fn connect_says_what_the_hub_wants_to_hear() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start(&broker, &disk);
    broker.until_up().await;
    assert_eq!(expiry(&broker, 0), NOW + 3600);
    broker.model(|model| {
        let connect = &model.connects[0];
        assert_eq!(
            (connect.client_id.as_str(), connect.clean_session, connect.keep_alive),
            (NAME, false, 60)
        );
    });
    device.stop().await;
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_a_busy_hub_asked_again() {
    let refusals = [
        ConnectReturnCode::NotAuthorized,
        ConnectReturnCode::NotAuthorized,
        ConnectReturnCode::ServiceUnavailable,
        ConnectReturnCode::BadUserNamePassword,
    ];
    let (broker, disk) = (
        Broker::once(|moment| matches!(moment, Moment::Connect(_)), refusals.map(Act::Refuse)).await,
        Disk::new(),
    );
    let device = Device::start(&broker, &disk);
    device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
    device.flushed().await;
    assert_eq!(broker.model(|model| model.connects.len()), 5);
    device.stop().await;
}

#[tokio::test]
async fn a_device_that_wakes_in_the_past_comes_in_once_its_clock_is_set() {
    // A hub at the present: it knows the time, the device does not.
    let broker = Broker::start(|_| Act::Serve).await;
    let disk = Disk::new();
    let present = broker.clone();
    broker.script(move |moment| match moment {
        Moment::Connect(number) if expiry(&present, number - 1) < NOW => {
            Act::Refuse(ConnectReturnCode::NotAuthorized)
        }
        _ => Act::Serve,
    });
    let past = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let ticking = past.clone();
    let device = Device::start_with(&broker, &disk, |settings| {
        settings.clock = std::sync::Arc::new(move || ticking.load(Ordering::SeqCst));
    });
    broker.until("three refusals", |model| (model.connects.len() == 3).then_some(())).await;
    past.store(NOW, Ordering::SeqCst);
    broker.until_up().await;
    device.stop().await;
}

#[tokio::test]
async fn the_token_is_renewed_before_it_ends_and_nothing_is_lost() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let mut device = Device::start_with(&broker, &disk, |settings| {
        settings.token_lifetime = Duration::from_secs(1);
    });
    let answering = {
        let mut calls = std::mem::replace(&mut device.hub.calls, tokio::sync::mpsc::channel(1).1);
        tokio::spawn(async move {
            while let Some(call) = calls.recv().await {
                reply(call, 200);
            }
        })
    };
    let mut number = 0;
    while broker.model(|model| model.connects.len()) < 4 {
        number += 1;
        device.clock.fetch_add(1, Ordering::SeqCst);
        device
            .hub
            .outbox
            .patch(json!({"number": number, format!("k{}", number % 100): number}))
            .await
            .unwrap();
        assert!(device.hub.outbox.flush(PATIENCE).await);
        // A call may meet a connection that is closing; then the service sees "not online" and calls again.
        if broker.model(|model| model.subscribed) {
            broker.push(vec![call("m", &number.to_string(), "null")]);
        }
    }
    broker.until_reported(device.hub.outbox.reported()).await;
    assert_eq!(device.hub.outbox.reported()["number"], json!(number));
    // A connection that is still being made ends without DISCONNECT.
    broker.until("the last connection", |model| model.subscribed.then_some(())).await;
    let expiries: Vec<u64> = (0..4).map(|index| expiry(&broker, index)).collect();
    assert!(expiries.is_sorted() && expiries[0] < expiries[3], "{expiries:?}");
    device.stop().await;
    answering.await.unwrap();
    broker.until("every farewell", |model| (model.farewells >= 4).then_some(())).await;
    broker.model(|model| {
        assert_eq!(model.farewells, model.connects.len(), "a connection ended without DISCONNECT");
        assert!(!model.answers.is_empty());
    });
}

#[tokio::test]
async fn a_hub_that_cannot_prove_itself_never_sees_a_token() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let other = Broker::truthful().await;
    let device = Device::start_with(&broker, &disk, |settings| settings.roots = other.roots.clone());
    broker.until("two failed handshakes", |model| (model.failed_handshakes >= 2).then_some(())).await;
    assert!(broker.model(|model| model.connects.is_empty()));
    device.stop().await;
}

#[tokio::test]
async fn a_client_certificate_takes_the_place_of_the_token() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start_with(&broker, &disk, |settings| {
        settings.connection = format!("HostName=localhost;DeviceId={NAME};x509=true").parse().unwrap();
        let (certificate, key) = (broker.device.0.clone(), broker.device.1.clone_key());
        settings.client_certificate = Some((vec![certificate], key));
    });
    device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
    device.flushed().await;
    broker.model(|model| {
        assert_eq!(model.certified, 1);
        let ConnectAuth::Username { username } = &model.connects[0].auth else {
            panic!("{:?}", model.connects)
        };
        assert!(username.starts_with("localhost/dev-1/?api-version="));
    });
    device.stop().await;
}
