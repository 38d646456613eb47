//! A firmware update from end to end, with the real plugin: from the method over the restart to the new image.

use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use hotshoed::flash::{Content, boot};
use hotshoed::job::RunEnd;
use hotshoed::plugin::Reply;
use serde_json::json;

use super::jobs::Running;
use super::server::{Server, honest};
use super::stage::{Stage, guest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_ends_on_the_new_image() {
    let image: Vec<u8> = (0..3000_u32).map(|number| (number % 251) as u8).collect();
    let served = Arc::new(image.clone());
    let server = Server::start(move |request, _| honest(request, &served, "\"1\"")).await;
    let digest = format!("sha256:{}", hex(ring::digest::digest(&ring::digest::SHA256, &image).as_ref()));

    let stage = Stage::trusting(&server.roots);
    let plugin = stage.load(&guest("firmware-update")).await.unwrap();
    let mut running = Running::new(&stage, plugin, "boot-1");
    let url = format!("https://localhost:{}/images/pump.img", server.port);
    let payload = json!({"fwPackageUri": url, "digest": digest, "version": "2.0.0"});
    let Reply::Accepted { response, job } =
        running.plugin.call("firmwareUpdate", payload, "call-1").await.unwrap()
    else {
        panic!("no job")
    };
    assert_eq!(response.payload, json!({"Response": "Firmware update started"}));
    let manifest = running.plugin.manifest();
    running.jobs.accept(&manifest.name, &manifest.version, job).await.unwrap().start();

    assert_eq!(running.ends.recv().await, Some(RunEnd::Restart));
    let slots = stage.services.flash.slots().unwrap();
    let spare = &slots[1];
    assert_eq!((spare.content, spare.trial, spare.good), (Content::Sealed, true, false));
    assert_eq!(spare.version.as_deref(), Some("2.0.0"));
    assert_eq!(stage.services.outbox.reported()["firmwareStatus"], json!("applying"));
    running.jobs.drain(std::time::Duration::from_secs(10)).await;
    drop(running);

    let flash = stage.directory.path().join("flash");
    let booted = boot::boot(Arc::new(Dir::open_ambient_dir(&flash, ambient_authority()).unwrap())).unwrap();
    assert_eq!(booted.slot.as_deref(), Some("b"));
    let stage = stage.restarted(|_| {});
    let plugin = stage.load(&guest("firmware-update")).await.unwrap();
    let mut running = Running::new(&stage, plugin, "boot-2");
    running.jobs.resume().await.unwrap();
    let end = running.ends.recv().await;
    assert!(matches!(end, Some(RunEnd::Done(_))), "{end:?}");

    let slots = stage.services.flash.slots().unwrap();
    assert!(slots[1].running && slots[1].good, "{slots:?}");
    assert_eq!(stage.services.outbox.reported()["firmwareStatus"], json!("completed"));
    assert_eq!(std::fs::read(flash.join("b.img")).unwrap()[..image.len()], image);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
