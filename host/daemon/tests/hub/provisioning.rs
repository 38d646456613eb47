//! A device that asks the provisioning service for its hub.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hotshoe_core::connection_string::Secret;
use hotshoe_core::sas;
use hotshoed::hub::{Assignment, Backoff, Provisioner, ProvisioningKey, ProvisioningSettings};
use rumqttc::{ConnectAuth, ConnectReturnCode, Packet};
use serde_json::{Value, json};

use crate::broker::{Act, Broker, Moment, PATIENCE, message};
use crate::device::{Device, Disk, KEY, NOW};

const SCOPE: &str = "0neTEST";
const REGISTRATION: &str = "camera-1";

fn settings(service: &Broker, key: ProvisioningKey) -> ProvisioningSettings {
    let (roots, clock) = (Arc::clone(&service.roots), Arc::new(|| NOW));
    let mut settings = ProvisioningSettings::new(SCOPE.into(), REGISTRATION.into(), key, roots, clock);
    settings.host = "localhost".into();
    settings.port = Some(service.port);
    settings
}

fn provisioner(service: &Broker, disk: &Disk) -> Provisioner {
    let key = ProvisioningKey::Symmetric(Secret::new(KEY));
    Provisioner::new(settings(service, key), disk.state()).unwrap()
}

fn answer(status: u16, topic: &str, more: &str, body: &Value) -> Packet {
    let (_, request) = topic.split_once("$rid=").unwrap();
    let request = request.split('&').next().unwrap();
    message(&format!("$dps/registrations/res/{status}/?$rid={request}{more}"), body.to_string())
}

fn assigned(topic: &str, hub: &str) -> Packet {
    let state = json!({ "registrationId": REGISTRATION, "assignedHub": hub, "deviceId": "cam", "status": "assigned" });
    answer(200, topic, "", &json!({ "operationId": "op", "status": "assigned", "registrationState": state }))
}

#[tokio::test]
async fn a_registered_device_knows_its_hub_for_ever() {
    let (asked, disk) = (Arc::new(Mutex::new(Vec::new())), Disk::new());
    let seen = Arc::clone(&asked);
    let service = Broker::start(move |moment| {
        let Moment::Provisioning(topic, body) = moment else { return Act::Serve };
        let mut asked = seen.lock().unwrap();
        asked.push((topic.to_owned(), body.clone()));
        let said = match asked.len() {
            1 | 2 => {
                let body = json!({ "operationId": "op.1", "status": "assigning" });
                answer(202, topic, "&retry-after=0", &body)
            }
            _ => assigned(topic, "hub.example"),
        };
        Act::After(vec![said])
    })
    .await;

    let first = provisioner(&service, &disk);
    assert_eq!(first.kept().unwrap(), None);
    let wanted = Assignment { hub: "hub.example".into(), device: "cam".into() };
    let registered = tokio::time::timeout(PATIENCE, first.register()).await.expect("an assignment");
    assert_eq!(registered, wanted);
    {
        let asked = asked.lock().unwrap();
        assert!(asked[0].0.starts_with("$dps/registrations/PUT/iotdps-register/?$rid="), "{asked:?}");
        assert_eq!(asked[0].1, json!({ "registrationId": REGISTRATION }));
        let poll = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=";
        assert!(asked[1].0.starts_with(poll) && asked[1].0.ends_with("&operationId=op.1"), "{asked:?}");
        assert_eq!(asked.len(), 3);
    }
    service.model(|model| {
        let connect = &model.connects[0];
        assert!(connect.clean_session && connect.client_id == REGISTRATION);
        let ConnectAuth::UsernamePassword { username, password } = &connect.auth else {
            panic!("no password")
        };
        let resource = format!("{SCOPE}/registrations/{REGISTRATION}");
        assert!(
            username.starts_with(&format!("{resource}/api-version=2019-03-31&ClientVersion=")),
            "{username}"
        );
        let text = String::from_utf8(password.to_vec()).unwrap();
        let token = sas::Token::parse(&text).unwrap();
        assert_eq!((token.policy.as_deref(), token.expiry), (Some("registration"), NOW + 3600));
        assert!(token.covers(&resource));
        token.verify(KEY, NOW, 0).unwrap();
    });

    let later = provisioner(&service, &disk);
    assert_eq!(later.kept().unwrap(), Some(wanted.clone()), "a restart asks nobody");
    let connection = later.connection(&wanted);
    assert_eq!((connection.host.as_str(), connection.device.as_deref()), ("hub.example", Some("cam")));
    let mut other = settings(&service, ProvisioningKey::Symmetric(Secret::new(KEY)));
    other.registration_id = "camera-2".into();
    let other = Provisioner::new(other, disk.state()).unwrap();
    assert_eq!(other.kept().unwrap(), None, "it was assigned to another registration");
}

#[tokio::test]
async fn a_certificate_registers_without_a_password() {
    let service = Broker::start(|moment| match moment {
        Moment::Provisioning(topic, _) => Act::After(vec![assigned(topic, "hub.example")]),
        _ => Act::Serve,
    })
    .await;
    let disk = Disk::new();
    let mut settings = settings(&service, ProvisioningKey::Certificate);
    assert!(Provisioner::new(settings_without(&service), disk.state()).is_err(), "there is no certificate");
    let (certificate, key) = &*service.device;
    settings.client_certificate = Some((vec![certificate.clone()], key.clone_key()));
    let provisioner = Provisioner::new(settings, disk.state()).unwrap();
    tokio::time::timeout(PATIENCE, provisioner.register()).await.expect("an assignment");
    service.model(|model| {
        assert_eq!(model.certified, 1);
        assert!(
            matches!(&model.connects[0].auth, ConnectAuth::Username { .. }),
            "{:?}",
            model.connects[0].auth
        );
    });
}

fn settings_without(service: &Broker) -> ProvisioningSettings {
    settings(service, ProvisioningKey::Certificate)
}

#[tokio::test]
async fn what_the_service_refuses_is_tried_again_and_kept_from_nobody() {
    let service = Broker::once(
        |moment| matches!(moment, Moment::Connect(_)),
        [Act::Refuse(ConnectReturnCode::NotAuthorized)],
    )
    .await;
    let disk = Disk::new();
    let provisioner = provisioner(&service, &disk);
    assert_eq!(provisioner.register_once().await, Err(None), "CONNACK 5");
    for (status, more, body, after) in [
        (401, "", json!({ "errorCode": 401002, "message": "Unauthorized" }), None),
        (429, "&retry-after=7", json!({}), Some(Duration::from_secs(7))),
        (200, "", json!({ "status": "disabled", "registrationState": {} }), None),
        (200, "", json!("nonsense"), None),
    ] {
        service.script(move |moment| match moment {
            Moment::Provisioning(topic, _) => Act::After(vec![answer(status, topic, more, &body)]),
            _ => Act::Serve,
        });
        assert_eq!(provisioner.register_once().await, Err(after), "{status}");
    }
    assert_eq!(provisioner.kept().unwrap(), None);
    service.script(|moment| match moment {
        Moment::Provisioning(topic, _) => Act::After(vec![assigned(topic, "hub.example")]),
        _ => Act::Serve,
    });
    assert!(provisioner.register_once().await.is_ok());
}

#[tokio::test]
async fn a_session_that_is_refused_says_so_and_tries_again_when_told() {
    let (broker, disk) =
        (Broker::start(|_| Act::Refuse(ConnectReturnCode::NotAuthorized)).await, Disk::new());
    let device = Device::start_with(&broker, &disk, |settings| {
        let short = Duration::from_millis(1);
        let hour = Duration::from_secs(3600);
        settings.pace.refused = Backoff { floor: short, base: short, cap: hour };
    });
    let mut setbacks = device.hub.setbacks.clone();
    let refused = setbacks.wait_for(|setbacks| setbacks.refusals >= 3);
    tokio::time::timeout(PATIENCE, refused).await.expect("three refusals").unwrap();
    broker.script(|_| Act::Serve);
    device.hub.retry.notify_one();
    broker.until_up().await;
    device.stop().await;
}
