//! Plugins out of a signed repository, with a policy that denies all others: through the twin, by a direct method, and
//! from a directory.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::{Setting, World, repo};

const NAME: &str = "test.misbehaving";
const KEY: &str = "test/misbehaving";

fn version(number: &'static str) -> impl FnOnce(String) -> String {
    move |manifest| manifest.replace("version = \"0.1.0\"", &format!("version = \"{number}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_goes_live_whichever_way_it_comes() {
    let setting = Setting { unsigned_plugins: "deny", plugins: vec!["test-guest"], ..Setting::default() };
    let mut world = World::start(setting).await;
    let repository = world.path("images/repo");
    repo(&repository, &["init"]).await;
    for number in ["0.2.0", "0.3.0", "0.4.0", "0.5.0"] {
        let file = world.device.version_of("test-guest", &format!("{number}.wasm"), version(number));
        repo(&repository, &["add", file.to_str().unwrap()]).await;
    }
    repo(&repository, &["publish"]).await;

    world.device.power_off();
    let config = world.device.path("device.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let base = world.url("repo");
    let repositories = format!(
        "[[repositories]]\nname = \"main\"\nroot_file = \"{}/metadata/1.root.json\"\n\
         metadata = \"{base}/metadata/\"\ntargets = \"{base}/targets/\"\n\n[[plugins]]",
        repository.display()
    );
    std::fs::write(&config, text.replacen("[[plugins]]", &repositories, 1)).unwrap();
    world.device.power_on();

    // The twin, and the same again after a restart: live, acknowledged, nothing done twice.
    let wish = json!({ "hotshoe": { "plugins": { KEY: { "version": "0.2.0", "repository": "main" } } } });
    let desired = world.hub.desire("device-1", wish).await;
    let entry = |told: &Value| told["hotshoe"]["plugins"][KEY].clone();
    let told = world.until("it is live and acknowledged", |it| entry(it)["ac"] == 200).await;
    assert_eq!((&entry(&told)["version"], &entry(&told)["av"]), (&json!("0.2.0"), &desired["$version"]));

    // A method.
    let order = json!({ "name": NAME, "version": "0.3.0" });
    let (status, answer) = world.call("hotshoe.plugins.install", order).await;
    assert!(matches!(status, 200 | 202), "{answer}");
    world.until("the twin tells it", |it| entry(it)["version"] == "0.3.0").await;
    let told = world.until("the wish is told as overtaken", |it| entry(it)["ac"] == 409).await;
    assert!(entry(&told)["ad"].as_str().unwrap().contains("0.3.0"), "{told:#}");

    // A method that takes longer than its caller waits: under way, then its end, and gone after one that does not.
    world.files.hold_after(0);
    let (status, answer) =
        world.call("hotshoe.plugins.install", json!({ "name": NAME, "version": "0.5.0" })).await;
    assert_eq!(status, 202, "{answer}");
    world.until("the order is under way", |it| entry(it)["order"]["status"] == 202).await;
    world.files.release();
    let told = world.until("the order's end is told", |it| entry(it)["order"]["status"] == 200).await;
    assert_eq!(entry(&told)["version"], "0.5.0", "{told:#}");
    let (status, answer) = world.call("hotshoe.plugins.rollback", json!({ "name": NAME })).await;
    assert_eq!(status, 200, "{answer}");
    let told = world.until("the twin tells it", |it| entry(it)["version"] == "0.1.0").await;
    assert!(entry(&told)["order"].is_null(), "{told:#}");

    // From a directory, with the server gone; and a file that the repository knows.
    world.files.open(false);
    world.files.cut();
    let from = repository.to_str().unwrap();
    let install = ["plugin", "install", "test.misbehaving@0.4.0", "--from", from];
    let (exit, stdout, stderr) = world.device.exit_of_hotshoe(&install).await;
    assert_eq!(exit, 0, "{stdout}{stderr}");
    let list: Value =
        serde_json::from_str(&world.device.hotshoe(&["plugin", "list", "--json"]).await).unwrap();
    assert_eq!(list[0]["version"], "0.4.0", "{list}");
    assert_eq!(list[0]["origin"]["signed"]["repository"], "main", "{list}");
}
