//! Reported state arrives, exactly as composed, whatever happens on the way.

use std::time::Duration;

use hotshoe_core::twin::{self, REPORTED_LIMIT};
use hotshoed::hub::{OutboxError, REJECTED};
use serde_json::{Value, json};

use crate::broker::{Act, Broker, Moment};
use crate::device::{Device, Disk};

/// Reports that overwrite, delete and refill one another, and what must come out.
fn reports() -> (Vec<Value>, Value) {
    let reports = vec![
        json!({"firmwareStatus": "downloading", "iothubDM": {"firmwareUpdate": {"status": "waiting", "error": "x"}}}),
        json!({"iothubDM": {"firmwareUpdate": {"status": "downloading", "error": null}}, "gone": 1}),
        json!({"gone": null, "list": [1, {"a": 2}]}),
        json!({"iothubDM": null}),
        json!({"iothubDM": {"reboot": {"at": "now"}}, "firmwareStatus": "applying"}),
        json!({"list": [3], "deep": {"er": {"and": "deeper"}}}),
        json!({"deep": {"er": 1}}),
    ];
    let mut document = json!({});
    for report in &reports {
        twin::merge(&mut document, report);
    }
    (reports, document)
}

#[tokio::test]
async fn patches_arrive_as_composed() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start(&broker, &disk);
    let (reports, wanted) = reports();
    for report in reports {
        device.hub.outbox.patch(report).await.unwrap();
    }
    device.flushed().await;
    assert_eq!(broker.model(|model| model.reported.clone()), wanted);
    assert_eq!(device.hub.outbox.reported(), wanted);
    device.stop().await;
}

#[tokio::test]
async fn concurrent_patches_share_writes_and_all_arrive() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start(&broker, &disk);
    let patches = (0..200).map(|number| {
        let outbox = device.hub.outbox.clone();
        tokio::spawn(async move { outbox.patch(json!({format!("key{number}"): number})).await })
    });
    for patch in patches.collect::<Vec<_>>() {
        patch.await.unwrap().unwrap();
    }
    device.flushed().await;
    let reported = broker.model(|model| model.reported.clone());
    assert_eq!(reported.as_object().unwrap().len(), 200);
    assert_eq!(reported["key123"], json!(123));
    device.stop().await;
}

/// The link is cut once at each step of each phase, before and after the hub has acted.
#[tokio::test]
async fn nothing_is_lost_when_the_link_is_cut_in_any_phase() {
    type Pick = fn(&Moment<'_>) -> bool;
    let phases: [(&str, Pick); 4] = [
        ("CONNECT", |moment| matches!(moment, Moment::Connect(_))),
        ("SUBSCRIBE", |moment| matches!(moment, Moment::Subscribe)),
        ("GET", |moment| matches!(moment, Moment::TwinGet)),
        ("PATCH", |moment| matches!(moment, Moment::TwinPatch(_))),
    ];
    for (phase, pick) in phases {
        for acts in [vec![Act::Cut, Act::Cut], vec![Act::ServeThenCut, Act::Cut, Act::ServeThenCut]] {
            let expected = acts.len() + 1;
            let (broker, disk) = (Broker::once(pick, acts).await, Disk::new());
            let device = Device::start(&broker, &disk);
            let (reports, wanted) = reports();
            for report in reports {
                device.hub.outbox.patch(report).await.unwrap();
            }
            device.flushed().await;
            assert_eq!(broker.model(|model| model.reported.clone()), wanted, "{phase}");
            assert_eq!(broker.model(|model| model.connects.len()), expected, "{phase}");
            device.stop().await;
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_hub_forgets_its_session() {
    let pick = |moment: &Moment<'_>| matches!(moment, Moment::TwinPatch(_));
    let (broker, disk) = (Broker::once(pick, [Act::Cut, Act::Cut]).await, Disk::new());
    broker.model(|model| model.session_present = false);
    let device = Device::start(&broker, &disk);
    device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
    device.flushed().await;
    assert_eq!(broker.model(|model| model.reported.clone()), json!({"a": 1}));
    device.stop().await;
}

#[tokio::test]
async fn what_was_taken_survives_a_kill_before_during_and_after_sending() {
    for (case, acts) in [
        ("never connected", Vec::new()),
        ("on its way", vec![Act::Silence]),
        ("arrived, not acknowledged", vec![Act::ServeThenCut]),
    ] {
        let connected = !acts.is_empty();
        let broker = if connected {
            Broker::once(|moment| matches!(moment, Moment::TwinPatch(_)), acts).await
        } else {
            Broker::truthful().await
        };
        let disk = Disk::new();
        // Port 9 is nobody's: the first run of the first case has no hub.
        let device = Device::start_with(&broker, &disk, |settings| {
            if !connected {
                settings.port = Some(9);
            }
        });
        let (reports, wanted) = reports();
        let (first, rest) = reports.split_at(2);
        for report in first {
            device.hub.outbox.patch(report.clone()).await.unwrap();
        }
        if connected {
            broker.until_up().await;
        }
        for report in rest {
            device.hub.outbox.patch(report.clone()).await.unwrap();
        }
        device.kill().await;

        let device = Device::start(&broker, &disk);
        device.flushed().await;
        assert_eq!(broker.model(|model| model.reported.clone()), wanted, "{case}");
        assert_eq!(device.hub.outbox.reported(), wanted, "{case}");
        device.stop().await;
    }
}

#[tokio::test]
async fn a_hub_that_puts_off_is_asked_again() {
    for status in [429, 500, 503, 412, 403, 408] {
        let pick = |moment: &Moment<'_>| matches!(moment, Moment::TwinPatch(_));
        let acts = [Act::Status(status), Act::Status(status)];
        let (broker, disk) = (Broker::once(pick, acts).await, Disk::new());
        let device = Device::start(&broker, &disk);
        device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
        device.flushed().await;
        assert_eq!(broker.model(|model| model.reported.clone()), json!({"a": 1}), "{status}");
        assert_eq!(broker.model(|model| model.connects.len()), 1, "{status}");
        device.stop().await;
    }
}

#[tokio::test]
async fn an_unanswered_patch_is_repeated_on_the_same_link() {
    let pick = |moment: &Moment<'_>| matches!(moment, Moment::TwinPatch(_));
    let (broker, disk) = (Broker::once(pick, [Act::Silence, Act::Silence]).await, Disk::new());
    let device =
        Device::start_with(&broker, &disk, |settings| settings.pace.answer = Duration::from_millis(300));
    device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
    device.flushed().await;
    assert_eq!(broker.model(|model| model.connects.len()), 1);
    device.stop().await;
}

#[tokio::test]
async fn a_value_that_the_hub_refuses_is_set_aside_and_holds_up_nothing() {
    let broker = Broker::start(|moment| match moment {
        Moment::TwinPatch(patch) if patch.pointer("/acme/bad").is_some() => Act::Status(400),
        _ => Act::Serve,
    })
    .await;
    let disk = Disk::new();
    let device = Device::start(&broker, &disk);
    let patch = json!({"a": 1, "acme": {"good": 2, "bad": "x", "fine": 3}, "z": 4});
    device.hub.outbox.patch(patch).await.unwrap();
    device.hub.outbox.patch(json!({"after": true})).await.unwrap();
    device.flushed().await;
    let wanted = json!({"a": 1, "acme": {"good": 2, "fine": 3}, "z": 4, "after": true});
    assert_eq!(broker.model(|model| model.reported.clone()), wanted);
    let aside: Value = disk.state().read(REJECTED).unwrap().unwrap();
    assert_eq!(aside, json!([{"status": 400, "message": "scripted", "patch": {"acme": {"bad": "x"}}}]));
    assert!(device.hub.metrics.patches_refused.get() > 0);
    device.stop().await;
}

#[tokio::test]
async fn limits_are_told_at_once_and_nothing_of_the_patch_is_merged() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let chunk = "x".repeat(4000);
    // The hub knows eight chunks already: 32,000 bytes and their keys.
    let known: Value = (0..8).map(|number| (format!("k{number}"), json!(chunk))).collect();
    broker.model(|model| model.reported = known.clone());
    let device = Device::start(&broker, &disk);
    broker.until_up().await;
    device.hub.outbox.patch(json!({"small": 1})).await.unwrap();
    device.flushed().await;

    let error = device.hub.outbox.patch(json!({"k9": chunk, "tiny": 1})).await.unwrap_err();
    assert!(matches!(error, OutboxError::TooLarge { size, limit: REPORTED_LIMIT } if size > REPORTED_LIMIT));
    for invalid in [json!([1]), json!({"$version": 1}), json!({"a": "x".repeat(4097)}), json!({"a b": 1})] {
        let error = device.hub.outbox.patch(invalid).await.unwrap_err();
        assert!(matches!(error, OutboxError::Invalid(_)), "{error}");
    }
    // Room is made, and then it fits.
    device.hub.outbox.patch(json!({"k0": null})).await.unwrap();
    device.hub.outbox.patch(json!({"k9": chunk})).await.unwrap();
    device.flushed().await;
    let reported = broker.model(|model| model.reported.clone());
    assert_eq!((reported.get("tiny"), reported.get("k0")), (None, None));
    assert_eq!(reported["k9"], json!(chunk));
    device.stop().await;
}

#[tokio::test]
async fn a_patch_that_cannot_be_stored_is_an_error_and_is_not_sent() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start(&broker, &disk);
    broker.until_up().await;
    std::fs::remove_dir_all(disk.0.path()).unwrap();
    let error = device.hub.outbox.patch(json!({"a": 1})).await.unwrap_err();
    assert!(matches!(error, OutboxError::State(_)), "{error}");
    assert!(device.hub.outbox.flush(Duration::ZERO).await);
    assert_eq!(device.hub.outbox.reported(), json!({}));
    assert!(broker.model(|model| model.patches.is_empty()));
}

#[tokio::test]
async fn a_torn_outbox_file_does_not_keep_the_device_from_reporting() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    std::fs::write(disk.0.path().join("outbox"), b"{\"infl").unwrap();
    let device = Device::start(&broker, &disk);
    device.hub.outbox.patch(json!({"a": 1})).await.unwrap();
    device.flushed().await;
    assert_eq!(broker.model(|model| model.reported.clone()), json!({"a": 1}));
    device.stop().await;
}

#[tokio::test]
async fn progress_is_shown_but_never_outlives_what_is_durable() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start(&broker, &disk);
    broker.until_up().await;
    for done in 0..=100 {
        device.hub.outbox.progress(json!({"jobs": {"a": {"done": done}}}));
    }
    broker.until_reported(json!({"jobs": {"a": {"done": 100}}})).await;
    let shown = broker.model(|model| model.patches.len());
    assert!(shown < 100, "{shown} patches for 101 steps");
    assert!(!disk.0.path().join("outbox").exists(), "progress was written to the disk");

    device.hub.outbox.progress(json!({"jobs": {"a": {"done": 7}}}));
    device.hub.outbox.patch(json!({"jobs": {"a": null}})).await.unwrap();
    device.flushed().await;
    device.hub.outbox.patch(json!({"last": true})).await.unwrap();
    device.flushed().await;
    assert_eq!(broker.model(|model| model.reported.clone()), json!({"jobs": {}, "last": true}));
    device.stop().await;
}

#[tokio::test]
async fn progress_without_a_link_is_dropped() {
    let (broker, disk) = (Broker::truthful().await, Disk::new());
    let device = Device::start_with(&broker, &disk, |settings| settings.port = Some(9));
    device.hub.outbox.progress(json!({"jobs": {"a": {"done": 1}}}));
    device.hub.outbox.progress(json!("not an object"));
    assert_eq!(device.hub.outbox.reported(), json!({}));
    device.stop().await;
}
