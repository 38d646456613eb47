//! A mistake in any function that a guest calls costs that call, and nothing else (B2).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hotshoe_core::method::Refusal;
use hotshoed::capability::Probe;
use hotshoed::plugin::Plugin;
use serde_json::{Value, json};

use super::abuses::DIGEST;
use super::cage::{Cage, POLICY};
use super::runs;
use super::served::{self, addressed, file_digest};
use super::stage::{Stage, guest};

/// What a method calls, and what a job.
const OF_METHODS: [&str; 28] = [
    "storage.get",
    "storage.set",
    "storage.delete",
    "storage.keys",
    "report.patch",
    "report.flush",
    "telemetry.send",
    "log.write",
    "desired.current",
    "device.facts",
    "device.uptime",
    "device.clock-is-set",
    "device.timestamp",
    "device.settings",
    "download.fetch",
    "download.resolve",
    "download.source.digest",
    "download.source.size",
    "download.source.version",
    "download.source.drop",
    "download.artifact.digest",
    "download.artifact.size",
    "download.artifact.origin",
    "download.artifact.read",
    "download.artifact.drop",
    "flash.slots",
    "flash.groups",
    "flash.confirm",
];
const OF_JOBS: [&str; 20] = [
    "flash.revert",
    "flash.activate",
    "flash.activate-if-allowed",
    "flash.staging.open",
    "flash.staging.written",
    "flash.staging.append",
    "flash.staging.append-artifact",
    "flash.staging.receive",
    "flash.staging.seal",
    "flash.staging.drop",
    "job.id",
    "job.kind",
    "job.input",
    "job.wake",
    "job.attempt",
    "job.checkpoint",
    "job.save",
    "job.progress",
    "job.should-suspend",
    "job.cancelled",
];
/// The handle is lent and goes back by itself.
const NEVER_CALLED: [&str; 1] = ["job.drop"];

fn call(function: &str) -> Value {
    let function = if function == "flash.staging.drop" { "flash.staging.written" } else { function };
    let mut call = json!({ "call": function, "key": "k", "text": "{}", "slot": "b", "digest": DIGEST, "url": "https://images.example.com/x" });
    // On what comes from a server.
    if ["download.source.", "download.artifact.", "flash.staging.append-artifact", "flash.staging.receive"]
        .iter()
        .any(|start| function.starts_with(start))
    {
        call["url"] = json!("https://localhost:{port}/images/x");
        call["digest"] = json!(file_digest());
        call["firmware"] = json!(true);
    }
    json!([call])
}

async fn make(stage: &Stage, plugin: &Plugin, function: &str, port: u16) -> Result<(), Refusal> {
    let call = addressed(&call(function), port);
    let made = if OF_JOBS.contains(&function) {
        runs::run(stage, plugin, call).await
    } else {
        plugin.call("try", call, "call-1").await
    };
    made.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_any_function_of_the_host_costs_one_call() {
    let armed: Arc<Mutex<Option<&'static str>>> = Arc::default();
    let probed = Arc::clone(&armed);
    let server = served::start().await;
    let port = server.port;
    let stage = Stage::trusting(&server.roots).restarted(|settings| {
        settings.probe = Some(Probe::new(move |function| {
            let is_armed = *probed.lock().unwrap() == Some(function);
            assert!(!is_armed, "a mistake in {function}");
        }));
    });
    let policy = POLICY.replace("\"https://images", "\"https://localhost:*/images/\", \"https://images");
    let plugin = stage.load_with(&guest("zoo"), &policy).await.unwrap();
    let cage = Cage::between(stage, server).await;
    for function in OF_METHODS.into_iter().chain(OF_JOBS) {
        *armed.lock().unwrap() = Some(function);
        let ended = make(&cage.stage, &plugin, function, port).await;
        *armed.lock().unwrap() = None;
        let Err(Refusal::PluginFailed { text }) = ended else { panic!("{function}: {ended:?}") };
        assert!(text.contains("the host failed under the plugin"), "{function}: {text}");
        make(&cage.stage, &plugin, function, port).await.unwrap();
        cage.neighbour_answers().await;
    }
    assert!(cage.log_of(&plugin).contains("the host failed under the plugin"));
}

#[test]
fn every_function_of_the_host_is_entered_and_named_here() {
    let mut entered = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/capability")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let names = text.split("self.entered(\"").skip(1).filter_map(|rest| rest.split('"').next());
        entered.extend(names.map(str::to_owned));
    }
    let named: BTreeSet<String> =
        [&OF_METHODS[..], &OF_JOBS, &NEVER_CALLED].concat().into_iter().map(str::to_owned).collect();
    assert_eq!(entered, named);

    // And none was forgotten: each function of the contract is one of these.
    let mut functions = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        if text.contains("interface methods")
            || text.contains("interface jobs")
            || text.contains("interface settings")
        {
            continue;
        }
        functions +=
            text.lines().filter(|line| line.contains(": func(") || line.contains(": static func(")).count();
    }
    let drops = entered.iter().filter(|name| name.ends_with(".drop")).count();
    assert_eq!(functions, entered.len() - drops, "{entered:#?}");
}
