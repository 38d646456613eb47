//! The fake device keeps the rules of the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use hotshoe_guest::testing::{Device, End};
use hotshoe_guest::{
    Checkpoint, Decision, Document, Failure, Job, JobSpec, Outcome, Plugin, Rejection, Reply, Request,
    SaveError, Wake, download, flash, report, storage, telemetry,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const MANIFEST: &str = r#"
    reported = ["mine", "shared.part"]
    desired = "mine"
    [[methods]]
    name = "work"
    [grants]
    download = ["https://*.example.com:*/files/"]
    storage = "1KiB"
"#;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Count {
    runs: u32,
    ballast: String,
}

impl Checkpoint for Count {
    const SCHEMA: u32 = 2;
    fn phase(&self) -> &str {
        "counting"
    }
}

/// Announces what the payload says; its jobs count their runs.
struct Worker;

impl Plugin for Worker {
    fn handle(request: Request) -> Result<Reply, Rejection> {
        let input: Value = request.parse()?;
        match input["kind"].as_str() {
            Some(kind) => {
                Ok(Reply::ok("started").with_job(JobSpec::new(kind).input(input.clone()).lane("work")))
            }
            None => Err(Rejection::Conflict("not now".to_owned())),
        }
    }

    fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let runs = job.load::<Count>()?.map_or(0, |count| count.runs) + 1;
        job.store(&Count { runs, ballast: String::new() })?;
        match (job.kind().as_str(), runs) {
            ("restarting", 1) => Ok(Outcome::Restart),
            ("transient", 1..=2) => Err(Failure::Transient("again".to_owned())),
            _ => {
                let wake = format!("{:?}", job.wake());
                Ok(Outcome::Done(json!({ "runs": runs, "wake": wake, "attempt": job.attempt() })))
            }
        }
    }

    fn apply(document: Document) -> Decision {
        match document.parse::<bool>() {
            Ok(_) => Decision::Applied,
            Err(text) => Decision::Refused(text),
        }
    }
}

fn started(device: &Device, kind: &str) -> String {
    device.call::<Worker>("work", json!({ "kind": kind })).job.unwrap()
}

#[test]
fn the_manifest_decides_about_methods_and_reported_paths() {
    let device = Device::new().with_manifest(MANIFEST);
    assert_eq!(device.call::<Worker>("other", json!(null)).status, 404);
    device.within(|| {
        report::patch(&json!({ "mine": 1, "shared": { "part": { "a": null } } })).unwrap();
        for foreign in [
            json!({ "theirs": 1 }),
            json!({ "shared": { "other": 1 } }),
            json!({ "shared": null }),
            json!({ "mine": 2, "x": 1 }),
        ] {
            assert!(matches!(report::patch(&foreign), Err(report::Error::Denied(_))), "{foreign}");
        }
    });
    let reported = json!({ "mine": 1, "shared": { "part": {} } });
    assert_eq!(device.reported(), reported, "a refused patch leaves no trace");
}

#[test]
fn what_the_twin_does_not_take_is_refused() {
    let deep = (0..12).fold(json!(1), |inner, _| json!({ "a": inner }));
    let long = json!({ "a": "x".repeat(4097) });
    Device::new().within(|| {
        for patch in [json!([]), json!({ "a.b": 1 }), json!({ "$a": 1 }), json!({ "a": [null] }), long, deep]
        {
            assert!(matches!(report::patch(&patch), Err(report::Error::Invalid(_))), "{patch}");
        }
        let full: Vec<String> = (0..9).map(|_| "x".repeat(4096)).collect();
        assert!(matches!(report::patch(&json!({ "a": full })), Err(report::Error::TooLarge(_))));
    });
}

#[test]
fn a_lane_holds_one_job_until_it_has_ended() {
    let device = Device::new();
    let job = started(&device, "plain");
    let second = device.call::<Worker>("work", json!({ "kind": "plain" }));
    assert_eq!((second.status, second.job), (409, None));
    assert!(device.run_job::<Worker>(&job).is_final());
    started(&device, "plain");
}

#[test]
fn refusals_become_the_statuses_that_the_host_gives() {
    let device = Device::new();
    assert_eq!(device.call::<Worker>("work", json!({})).status, 409);
    assert_eq!(device.call::<Worker>("work", json!("x".repeat(128 * 1024))).status, 400);
    let no_kind = device.call::<Worker>("work", json!({ "kind": "No Kind" }));
    assert_eq!((no_kind.status, no_kind.job), (500, None));
}

#[test]
fn wakes_and_attempts_are_the_hosts() {
    let device = Device::new();
    let end = device.finish::<Worker>(&started(&device, "transient"));
    assert_eq!(end, End::Done(json!({ "runs": 3, "wake": "Due", "attempt": 3 })));

    let job = started(&device, "plain");
    device.kill_at_call(3);
    assert_eq!(device.run_job::<Worker>(&job), End::Interrupted);
    let End::Done(done) = device.run_job::<Worker>(&job) else { panic!("the job is done") };
    assert_eq!((&done["wake"], &done["attempt"]), (&json!("Interrupted"), &json!(2)));

    let device = Device::new().with_slots(&[("a", 1)]);
    let job = started(&device, "restarting");
    assert_eq!(device.run_job::<Worker>(&job), End::Restart);
    device.restart();
    let End::Done(done) = device.run_job::<Worker>(&job) else { panic!("the job is done") };
    assert_eq!(done["wake"], format!("{:?}", Wake::Restarted { slot: "a".to_owned(), expected: true }));
}

#[test]
fn a_restart_that_the_manifest_does_not_ask_for_is_refused() {
    let device = Device::new().with_manifest(MANIFEST);
    let job = started(&device, "restarting");
    assert!(matches!(device.run_job::<Worker>(&job), End::Permanent(text) if text.contains("manifest")));
}

/// Writes a checkpoint that is too large, and one of another schema.
struct Forgetful;

#[derive(Serialize, Deserialize)]
struct Newer;

impl Checkpoint for Newer {
    const SCHEMA: u32 = 3;
    fn phase(&self) -> &str {
        "newer"
    }
}

impl Plugin for Forgetful {
    fn handle(_: Request) -> Result<Reply, Rejection> {
        Ok(Reply::ok("started").with_job(JobSpec::new("forget")))
    }

    fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let large = Count { runs: 1, ballast: "x".repeat(16 * 1024) };
        assert_eq!(job.store(&large), Err(SaveError::TooLarge(16 * 1024)));
        assert!(job.load::<Count>()?.is_none(), "what was refused is not stored");
        job.store(&Newer)?;
        job.load::<Count>()?;
        Ok(Outcome::Done(json!(null)))
    }
}

#[test]
fn a_checkpoint_of_an_unknown_schema_is_an_error_that_names_both() {
    let device = Device::new();
    let job = device.call::<Forgetful>("any", json!(null)).job.unwrap();
    let End::Permanent(text) = device.run_job::<Forgetful>(&job) else { panic!("the schema is unknown") };
    assert!(text.contains("schema 3") && text.contains("reads schema 2"), "{text}");
}

#[test]
fn downloads_keep_to_the_grant_and_the_digest() {
    let url = "https://cdn.example.com:8443/files/a";
    let device = Device::new().with_manifest(MANIFEST).with_file(url, b"bytes");
    device.within(|| {
        let file = download::file(url).fetch().unwrap();
        assert_eq!((file.size(), file.read(1, 3).unwrap()), (5, b"yte".to_vec()));
        assert_eq!(file.read(9, 1).unwrap(), b"");
        assert!(download::file(url).digest(file.digest()).fetch().is_ok());

        let wrong = format!("sha256:{}", "0".repeat(64));
        assert!(matches!(download::file(url).digest(wrong).fetch(), Err(download::Error::Digest { .. })));
        let size = download::file(url).size(4).fetch().unwrap_err();
        assert_eq!(size, download::Error::Size { expected: 4, actual: 5 });
        for denied in ["https://example.org/files/a", "https://cdn.example.com/other/a"] {
            assert!(matches!(download::file(denied).fetch(), Err(download::Error::Denied(_))), "{denied}");
        }
        let plain = download::file("http://cdn.example.com/files/a").fetch();
        assert!(matches!(plain, Err(download::Error::InvalidUrl(_))));
    });
    assert_eq!(device.fetched(url), 15, "the second fetch came from the store");
}

#[test]
fn a_slot_is_sealed_by_what_is_in_it_and_boots_on_trial() {
    let url = "https://example.com/a";
    let device = Device::new().with_file(url, b"image").with_slots(&[("a", 16), ("b", 16), ("c", 4)]);
    device.within(|| {
        let image = download::firmware(url).fetch().unwrap();
        assert_eq!(flash::spare().unwrap().name, "b");
        let small = flash::Staging::open("c", &image.digest()).unwrap();
        let full = flash::Error::InsufficientSpace { needed: 5, available: 4 };
        assert_eq!(small.append_artifact(&image), Err(full));

        let staging = flash::Staging::open("b", &image.digest()).unwrap();
        assert!(matches!(flash::activate("b"), Err(flash::Error::NotSealed(_))));
        staging.append(b"im").unwrap();
        assert_eq!(staging.append_artifact(&image), Ok(5));
        staging.seal("1").unwrap();
        flash::activate("b").unwrap();
        assert!(matches!(flash::Staging::open("a", &image.digest()), Err(flash::Error::Busy(_))));
    });
    device.restart();
    assert!(device.slot("b").running && device.slot("b").trial && !device.slot("b").good);
    device.restart();
    assert!(device.slot("a").running, "nobody confirmed");
    device.within(|| flash::activate("b").unwrap());
    device.restart();
    device.within(|| {
        flash::revert().unwrap();
        assert!(matches!(flash::confirm(), Err(flash::Error::Busy(_))), "what was given up stays so");
    });
    device.restart();
    assert!(device.slot("a").running);
    device.within(|| flash::activate("b").unwrap());
    device.restart();
    device.within(|| flash::confirm().unwrap());
    device.restart();
    assert!(device.slot("b").running && device.slot("b").good && !device.slot("b").trial);
    assert!(!device.slot("a").good, "one slot is good");
}

#[test]
fn what_is_known_before_it_is_fetched_goes_straight_into_its_slot() {
    let (signed, other) = ("https://a.example.com/files/signed.img", "https://a.example.com/files/other.img");
    let parts: &[(&str, u64)] = &[("kernel", 4), ("root", 64)];
    let device = Device::new()
        .with_signed_file(signed, b"image", Some("2.0.0"))
        .with_file(other, b"some")
        .with_groups(&[("a", parts), ("b", parts)]);
    device.within(|| {
        assert!(download::firmware(other).resolve().unwrap().is_none(), "nobody says what it is");
        let group = flash::spare_group().unwrap();
        assert_eq!((group.name.as_str(), group.parts.join(" ").as_str()), ("b", "b/kernel b/root"));
        let root = download::firmware(signed).resolve().unwrap().expect("it is signed");
        assert_eq!((root.size(), root.version().as_deref()), (Some(5), Some("2.0.0")));
        let early = flash::Staging::open("b/root", &root.digest()).unwrap_err();
        assert!(matches!(early, flash::Error::Busy(text) if text.contains("b/kernel comes before")));

        let kernel = download::firmware(other).fetch().unwrap();
        let kernel =
            download::firmware(other).digest(kernel.digest()).resolve().unwrap().expect("by its digest");
        let staging = flash::Staging::open("b/kernel", &kernel.digest()).unwrap();
        let wrong = staging.receive(&root).unwrap_err();
        assert_eq!((wrong.code(), wrong.is_transient()), ("digestMismatch", true));
        assert_eq!(staging.receive(&kernel), Ok(4));
        staging.seal("2.0.0").unwrap();
        assert!(matches!(flash::activate("b"), Err(flash::Error::NotSealed(part)) if part == "b/root"));

        let staging = flash::Staging::open("b/root", &root.digest()).unwrap();
        assert_eq!((staging.receive(&root), staging.receive(&root)), (Ok(5), Ok(5)));
        staging.seal("2.0.0").unwrap();
        flash::activate("b").unwrap();
    });
    assert_eq!(device.fetched(signed), 5, "what is there is not fetched again");
    device.restart();
    assert!(
        device.slot("b/kernel").running && device.slot("b/root").running && !device.slot("a/root").running
    );
}

#[test]
fn what_was_written_wrong_is_not_sealed() {
    let device = Device::new().with_slots(&[("a", 16), ("b", 16)]);
    device.within(|| {
        let staging = flash::Staging::open("b", &format!("sha256:{}", "0".repeat(64))).unwrap();
        staging.append(b"bytes").unwrap();
        assert!(matches!(staging.seal("1"), Err(flash::Error::DigestMismatch(_))));
        assert_eq!(staging.written(), 0);
    });
}

#[test]
fn the_store_keeps_to_its_size_and_keys() {
    let device = Device::new().with_manifest(MANIFEST);
    device.within(|| {
        storage::set("key", b"value").unwrap();
        assert_eq!(storage::get("key"), Ok(Some(b"value".to_vec())));
        assert_eq!(storage::set("large", &[0; 1024]), Err(storage::Error::Full(1024)));
        assert!(matches!(storage::set("no key", b""), Err(storage::Error::InvalidKey(_))));
        assert_eq!(storage::keys(), Ok(vec!["key".to_owned()]));
        storage::delete("key").unwrap();
        storage::delete("key").unwrap();
        assert!(matches!(telemetry::send(&json!({}), &[]), Err(telemetry::Error::Denied(_))));
    });
    assert_eq!(device.stored("key"), None);
}

#[test]
fn a_section_is_acknowledged_under_its_key() {
    let device = Device::new().with_manifest(MANIFEST);
    assert_eq!(device.apply::<Worker>(json!(true)).status, 200);
    assert_eq!(device.reported()["mine"], json!({ "value": true, "ac": 200, "av": 1 }));
    let refused = device.apply::<Worker>(json!("text"));
    assert_eq!(refused.status, 400);
    assert_eq!(device.reported()["mine"]["ad"], json!(refused.description));
}

#[test]
fn a_plugin_that_writes_nothing_refuses_everything() {
    struct Nothing;
    impl Plugin for Nothing {}
    let device = Device::new();
    assert_eq!(device.call::<Nothing>("any", json!(null)).status, 404);
    assert_eq!(device.apply::<Nothing>(json!({})).status, 400);
    assert_eq!(Nothing::adopt("0.1.0", None), Ok(None));
}
