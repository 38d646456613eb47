//! Policy before work, end to end: what the owner forbids, puts off and cancels, with the real tool, hub and device.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::{Phase, Setting, World, within};

/// A window that is closed now and for hours to come.
fn closed() -> String {
    window(10 * 60, 11 * 60)
}

/// A window from so many minutes from now to so many, in UTC.
fn window(from: u64, to: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
    let clock = |minutes: u64| format!("{:02}:{:02}", (now + minutes) / 60 % 24, (now + minutes) % 60);
    format!("daily {}-{}", clock(from), clock(to))
}

/// The jobs as the operator's tool lists them.
async fn jobs(world: &World) -> Vec<Value> {
    within("the device lists its jobs", async {
        loop {
            let (listed, text) = world.device.try_hotshoe(&["job", "list", "--json"]).await;
            if listed && let Ok(Value::Array(jobs)) = serde_json::from_str(&text) {
                return jobs;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

/// The only job, once it looks so.
async fn job_when(world: &World, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    within(what, async {
        loop {
            if let Some(job) = jobs(world).await.into_iter().find(&wanted) {
                return job;
            }
        }
    })
    .await
}

/// Cancels the only job through the operator's tool, again while the device is down.
async fn cancel(world: &World) -> String {
    let id = jobs(world).await[0]["id"].as_str().unwrap().to_owned();
    within("the job is cancelled", async {
        loop {
            let (exit, _, stderr) = world.device.exit_of_hotshoe(&["job", "cancel", &id]).await;
            match exit {
                0 => return,
                69 | 75 => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                _ => panic!("{exit}: {stderr}"),
            }
        }
    })
    .await;
    id
}

/// Everything says that the job was cancelled, and the device runs what it ran and holds nothing armed.
async fn assert_cancelled(world: &World, id: &str) {
    world.until_status("cancelled").await;
    let told = world.until("the end is told", |it| it["hotshoe"]["lastCancelled"]["job"] == id).await;
    assert!(told["hotshoe"]["lastFailure"].is_null(), "{told:#}");
    world
        .until("no job is shown", |it| it["hotshoe"]["jobs"].as_object().is_none_or(|jobs| jobs.is_empty()))
        .await;
    assert!(told["firmwarePostponed"].is_null(), "{told:#}");
    let job = job_when(world, "the list says so", |job| job["id"] == id && job["state"] == "cancelled").await;
    assert_eq!(job["plugin"], "hotshoe.firmware-update");
    let status = world.status_when(|status| status["slots"].is_array()).await;
    let slots = status["slots"].as_array().unwrap();
    assert!(slots.iter().all(|slot| slot["trial"] == false), "{status:#}");
    assert!(slots.iter().any(|slot| slot["running"] == true && slot["good"] == true), "{status:#}");
    let (exit, _, stderr) = world.device.exit_of_hotshoe(&["job", "cancel", id]).await;
    assert_eq!((exit, stderr.contains("is cancelled already")), (65, true), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_under_way_is_cancelled_and_the_next_order_is_carried_out() {
    let world = World::start(Setting::default()).await;
    world.files.hold_after(2 * 1024 * 1024);
    world.order_update().await;
    world.device.until_phase(Phase::Receiving).await;
    support::until("some of the image has come", || world.files.passed() > 1024 * 1024).await;
    let id = cancel(&world).await;
    assert_cancelled(&world, &id).await;
    world.files.release();
    world.order_update().await;
    world.assert_updated().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_on_its_way_into_the_slot_is_cancelled() {
    let setting = Setting { image: 96 * 1024 * 1024, unsigned: "allow", ..Setting::default() };
    let world = World::start(setting).await;
    world.update_by(world.order_unknown()).await;
    world.device.until_phase(Phase::Staging).await;
    let id = cancel(&world).await;
    assert_cancelled(&world, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_waits_for_its_window_says_so_and_can_be_cancelled_by_a_method() {
    let policy = format!("[update]\nwindows = [\"{}\"]\n", closed());
    let world = World::start(Setting { policy, ..Setting::default() }).await;
    world.order_update().await;
    let told = world.until("it is put off", |it| it["firmwarePostponed"]["reason"].is_string()).await;
    assert_eq!(told["firmwareStatus"], "applying");
    assert!(told["firmwarePostponed"]["reason"].as_str().unwrap().contains("maintenance window"), "{told:#}");
    let job = job_when(&world, "it waits", |job| job["state"] == "waiting").await;
    let (status, answer) = world.call("hotshoe.jobs.cancel", json!({ "id": job["id"] })).await;
    assert_eq!((status, &answer["job"]["state"]), (202, &json!("cancelling")), "{answer}");
    assert_cancelled(&world, job["id"].as_str().unwrap()).await;
    let (status, answer) = world.call("hotshoe.jobs.cancel", json!({ "id": "nosuchjob" })).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("unknownJob")));
    assert_eq!(world.call("hotshoe.jobs.cancel", json!({ "job": 1 })).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_window_lets_an_update_through() {
    let policy = format!("[update]\nwindows = [\"{}\", \"{}\"]\n", closed(), window(0, 60));
    let world = World::start(Setting { policy, ..Setting::default() }).await;
    world.order_update().await;
    world.assert_updated().await;
    assert!(world.reported().await["firmwarePostponed"].is_null());
    let id = jobs(&world).await[0]["id"].as_str().unwrap().to_owned();
    let (exit, _, stderr) = world.device.exit_of_hotshoe(&["job", "cancel", &id]).await;
    assert_eq!((exit, stderr.contains("is done already")), (65, true), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_armed_trial_is_given_up_when_its_restart_is_cancelled() {
    // Nothing comes of the restart, so that the job stays where it is.
    let world = World::start(Setting { restart: "true".into(), ..Setting::default() }).await;
    world.order_update().await;
    job_when(&world, "it restarts the device", |job| job["state"] == "restarting").await;
    let status = world.status_when(|status| status["slots"][1]["trial"] == true).await;
    assert_eq!(status["slots"][1]["content"], "sealed");
    let id = cancel(&world).await;
    assert_cancelled(&world, &id).await;
    world.device.power_cut();
    let status = world.status_when(|status| status["slots"].is_array()).await;
    assert_eq!(status["slots"][0]["running"], true, "the good slot boots: {status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_runs_is_given_up_and_the_device_restarted_before_the_job_ends() {
    let mut world = World::start(Setting { plugins: vec!["diagnostics"], ..Setting::default() }).await;
    // A plugin of the device's own, which is gone when the trial boots: nobody confirms.
    let own = world.device.version_of("firmware-update", "own.wasm", |manifest| manifest);
    world.device.power_off();
    let config = world.device.path("device.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[[plugins]]\nfile = \"own.wasm\"\n")).unwrap();
    world.device.power_on();
    world.order_update().await;
    let (aside, shelf) = (world.device.path("aside"), world.device.path("state/shelf"));
    let copies: Vec<_> = std::fs::read_dir(&shelf).unwrap().map(|entry| entry.unwrap().path()).collect();
    std::fs::create_dir(&aside).unwrap();
    for file in copies.iter().chain([&own]) {
        std::fs::rename(file, aside.join(file.file_name().unwrap())).unwrap();
    }
    world
        .status_when(|status| status["slots"][1]["running"] == true && status["slots"][1]["good"] == false)
        .await;
    job_when(&world, "it waits for its plugin", |job| job["state"] == "ready").await;
    for file in copies.iter().chain([&own]) {
        std::fs::rename(aside.join(file.file_name().unwrap()), file).unwrap();
    }
    let id = cancel(&world).await;
    let told = world.until_status("cancelled").await;
    assert!(told["lastFirmwareUpdate"].is_null(), "{told:#}");
    let status = world.status_when(|status| status["slots"].is_array()).await;
    assert_eq!(status["slots"][0]["running"], true, "restarted before it was told: {status:#}");
    assert_cancelled(&world, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_says_no_puts_an_update_off_until_it_says_yes() {
    let policy =
        "[update]\ncheck = { plugin = \"test.misbehaving\", method = \"mayRestart\", pause = \"1s\" }\n"
            .to_owned();
    let plugins = vec!["firmware-update", "test-guest"];
    let world = World::start(Setting { policy, plugins, ..Setting::default() }).await;
    world.call("hold", json!(2)).await;
    world.order_update().await;
    let told = world.until("it is put off", |it| it["firmwarePostponed"]["reason"].is_string()).await;
    let reason = told["firmwarePostponed"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("mayRestart of test.misbehaving") && reason.contains("battery is at 12 %"),
        "{reason}"
    );
    world.assert_updated().await;
    let (_, asked) = world.call("asked", Value::Null).await;
    let wanted =
        json!({ "slot": "b", "version": "2.0.0", "image": world.digest(), "size": world.image.len() });
    assert_eq!(asked, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_not_there_puts_an_update_off() {
    let policy = "[update]\ncheck = { plugin = \"acme.battery\", method = \"mayUpdate\" }\n".to_owned();
    let world = World::start(Setting { policy, ..Setting::default() }).await;
    world.order_update().await;
    let told = world.until("it is put off", |it| it["firmwarePostponed"]["reason"].is_string()).await;
    assert!(told["firmwarePostponed"]["reason"].as_str().unwrap().contains("not mounted"), "{told:#}");
    let id = cancel(&world).await;
    assert_cancelled(&world, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_waits_is_refused_once_the_owner_wants_signed_ones_alone() {
    let policy = "[update]\ncheck = { plugin = \"acme.battery\", method = \"mayUpdate\", pause = \"1s\" }\n"
        .to_owned();
    let mut world = World::start(Setting { policy: policy.clone(), ..Setting::default() }).await;
    world.order_update().await;
    world.until("it is put off", |it| it["firmwarePostponed"]["reason"].is_string()).await;
    world.device.power_off();
    let file = world.device.path("policy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replacen(&policy, "", 1).replacen("unsigned = \"digest\"", "unsigned = \"deny\"", 1);
    std::fs::write(&file, text).unwrap();
    world.device.power_on();
    let told = world.until("it is refused", |it| it["firmwareError"]["code"] == "untrusted").await;
    let reason = told["firmwareError"]["message"].as_str().unwrap();
    assert!(reason.contains("slot \"b\"") && reason.contains("firmware.unsigned is \"deny\""), "{reason}");
    let status = world.status_when(|status| status["slots"].is_array()).await;
    assert_eq!((&status["slots"][0]["running"], &status["slots"][1]["trial"]), (&json!(true), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_stops_at_the_cap_and_waits() {
    let policy = "[download]\ncap = \"3MiB/day\"\n".to_owned();
    let image = 32 * 1024 * 1024;
    let world = World::start(Setting { policy, image, ..Setting::default() }).await;
    world.order_update().await;
    let job = job_when(&world, "it waits", |job| job["state"] == "waiting").await;
    assert!(job["trouble"].as_str().unwrap().contains("download cap of 3MiB/day"), "{job}");
    assert_eq!(
        (&job["attempt"], world.reported().await["firmwareStatus"].as_str()),
        (&json!(0), Some("downloading"))
    );
    // What was on its way when the cap was reached is in the buffers of two sockets and a proxy.
    assert!(world.files.passed() < 16 * 1024 * 1024, "{} bytes", world.files.passed());
    let id = cancel(&world).await;
    assert_cancelled(&world, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_over_what_may_be_written_in_a_day_waits() {
    // In the table of all plugins, which stands before it.
    let policy = "flash_per_day = \"3MiB\"\n".to_owned();
    let world = World::start(Setting { policy, ..Setting::default() }).await;
    world.order_update().await;
    let job = job_when(&world, "it waits", |job| job["state"] == "waiting").await;
    assert!(job["trouble"].as_str().unwrap().contains("3MiB"), "{job}");
    assert_eq!(job["attempt"], 0, "waiting is no attempt");
    let id = cancel(&world).await;
    assert_cancelled(&world, &id).await;
}

/// A device that takes signed images alone, and the repository.
struct Signed {
    world: World,
}

impl Signed {
    /// `change` is made to `device.toml`.
    async fn start(change: impl Fn(String) -> String) -> Signed {
        let setting = Setting { unsigned: "deny", ..Setting::default() };
        let mut world = World::start(setting).await;
        let repository = world.path("images/repo");
        repo(&repository, &["init"]).await;
        repo(&repository, &["publish"]).await;
        world.device.power_off();
        let file = world.device.path("device.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let base = world.url("repo");
        let repositories = format!(
            "[[repositories]]\nname = \"main\"\nroot_file = \"{}/metadata/1.root.json\"\n\
             metadata = \"{base}/metadata/\"\ntargets = \"{base}/targets/\"\n\n[[plugins]]",
            repository.display()
        );
        let text = text.replacen("[[plugins]]", &repositories, 1);
        std::fs::write(&file, change(text)).unwrap();
        world.device.power_on();
        Signed { world }
    }

    /// Signs and publishes an image of a version; returns its URL.
    async fn publish(&self, name: &str, image: &[u8], words: &[&str]) -> String {
        let repository = self.world.path("images/repo");
        let file = self.world.path(name);
        std::fs::write(&file, image).unwrap();
        let words = [&["add", file.to_str().unwrap()], words].concat();
        repo(&repository, &words).await;
        repo(&repository, &["publish"]).await;
        format!("{}/targets/images/{name}", self.world.url("repo"))
    }

    async fn order(&self, url: &str) {
        let (status, answer) = self.world.call("firmwareUpdate", json!({ "fwPackageUri": url })).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// How many bytes were sent of a file.
    async fn sent(&self, name: &str) -> u64 {
        let images = self.world.hub.images().await;
        let of = |image: &&Value| image["path"].as_str().is_some_and(|path| path.ends_with(name));
        images.iter().filter(of).map(|image| image["sent"].as_u64().unwrap()).sum()
    }

    /// The reason of the last failure, once one is told that is not this.
    async fn refused(&self, code: &str) -> String {
        let told = self.world.until("it is refused", |it| it["firmwareError"]["code"] == code).await;
        self.world.until("the job has ended", |it| it["hotshoe"]["lastFailure"].is_object()).await;
        told["firmwareError"]["message"].as_str().unwrap().to_owned()
    }
}

async fn repo(repository: &Path, words: &[&str]) {
    let hotshoe = Path::new(env!("CARGO_BIN_EXE_hotshoed")).with_file_name("hotshoe");
    let mut command = tokio::process::Command::new(hotshoe);
    command.arg("repo").args(words).arg("--repo").arg(repository).stdin(Stdio::null());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_image_is_refused_once_a_newer_one_was_confirmed() {
    let mut signed = Signed::start(|text| text).await;
    let image = signed.world.image.clone();
    let newer = signed.publish("new.img", &image, &["--name", "gateway", "--version", "2.0.0"]).await;
    let older =
        signed.publish("old.img", &image[..1 << 20], &["--name", "gateway", "--version", "1.9.0"]).await;
    signed.order(&newer).await;
    signed.world.assert_updated().await;

    signed.order(&older).await;
    let reason = signed.refused("untrusted").await;
    for word in ["gateway 1.9.0", "below 2.0.0", "downgrade = true"] {
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(signed.sent("old.img").await, 0, "refused before a byte is fetched");

    let policy = signed.world.device.path("policy.toml");
    let text = std::fs::read_to_string(&policy).unwrap();
    signed.world.device.power_off();
    std::fs::write(&policy, text.replacen("[firmware]", "[firmware]\ndowngrade = true", 1)).unwrap();
    signed.world.device.power_on();
    signed.order(&older).await;
    signed.world.status_when(|status| status["slots"][0]["good"] == true).await;
    signed.world.until_status("completed").await;
    assert!(signed.world.device.slot("a").starts_with(&image[..1 << 20]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_other_hardware_or_has_no_room_is_refused_before_a_byte_is_fetched() {
    let signed = Signed::start(|text| format!("hardware = [\"gateway-1\"]\n{text}")).await;
    let image = signed.world.image.clone();
    let other = signed.publish("other.img", &image, &["--hardware", "gateway-9", "--version", "2.0.0"]).await;
    // The slots have 8 MiB.
    let large = signed.publish("large.img", &vec![7; 9 << 20], &["--version", "2.1.0"]).await;
    signed.order(&other).await;
    let reason = signed.refused("untrusted").await;
    assert!(reason.contains("gateway-9") && reason.contains("gateway-1"), "{reason}");
    assert_eq!(signed.sent("other.img").await, 0);

    signed.order(&large).await;
    let reason = signed.refused("denied").await;
    assert!(reason.contains("9437184") && reason.contains("8388608"), "{reason}");
    assert_eq!(signed.sent("large.img").await, 0);
}
