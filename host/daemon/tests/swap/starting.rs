//! What is live after a start, with the device's image and without.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::BoxFuture;
use hotshoed::plugin::{Compile, CompileError, Compiler};

use super::rig::{Made, OPEN, Rig, Setting, image_file, version};
use super::stage::aot;

fn components(rig: &Rig) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(rig.stage.directory.path().join("shelf")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_s_version_gives_way_to_an_installed_one_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let factory = vec![image_file(folder.path(), &version("1.0.0"))];
    let rig = Rig::with(Setting { factory, ..Setting::default() }).await;
    assert_eq!(rig.state(), "factory");
    let name = rig.summary().name;
    assert_eq!(rig.plugins.remove(&name).await.unwrap_err().code(), "factory");
    rig.install(&version("1.1.0")).await.unwrap();

    let rig = rig.restarted().await;
    rig.assert_live("1.1.0").await;
    rig.plugins.remove(&name).await.unwrap();
    rig.assert_live("1.0.0").await;
    let rig = rig.restarted().await;
    rig.assert_live("1.0.0").await;
    assert_eq!(rig.state(), "factory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_version_of_the_image_wins_and_has_to_prove_itself() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new().await;
    rig.install(&version("1.1.0")).await.unwrap();
    let mut setting = rig.setting();
    setting.factory = vec![image_file(folder.path(), &version("1.0.0"))];
    let rig = rig.restarted_with(setting.clone()).await;
    rig.assert_live("1.1.0").await;
    image_file(folder.path(), &Made { trap_at: 2, ..version("1.2.0") });
    let rig = rig.restarted().await;
    rig.assert_live("1.2.0").await;
    assert_eq!(rig.state(), "probation");
    assert_eq!(rig.ask().await.0, 500);
    rig.assert_live("1.1.0").await;
    let rig = rig.restarted().await;
    rig.assert_live("1.1.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_load_any_more_gives_way_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let factory = vec![image_file(folder.path(), &version("1.0.0"))];
    let rig = Rig::with(Setting { factory, ..Setting::default() }).await;
    rig.install(&version("1.1.0")).await.unwrap();
    let digest = rig.summary().digest.unwrap();
    let live =
        components(&rig).into_iter().find(|file| file.ends_with(format!("{}.wasm", digest.file_name())));
    std::fs::write(live.unwrap(), b"rotten").unwrap();
    let rig = rig.restarted().await;
    rig.assert_live("1.0.0").await;
    let trouble = rig.summary().trouble.unwrap();
    assert!(trouble.starts_with("version 1.1.0 does not load: the component sha256:"), "{trouble}");
    assert!(rig.broken.is_empty(), "{:?}", rig.broken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_of_the_day_limits_what_was_granted_once() {
    let rig = Rig::new().await;
    let name = "test.swapped".parse().unwrap();
    // As it is built it imports what it is granted here, but for restart, which is no import.
    rig.install(&version("1.0.0")).await.unwrap();
    assert!(rig.plugins.show(&name).unwrap().grants.contains(&"restart".to_owned()));
    let mut setting = rig.setting();
    setting.policy = OPEN.replace("restart = true", "restart = false");
    let rig = rig.restarted_with(setting).await;
    rig.assert_live("1.0.0").await;
    assert!(!rig.plugins.show(&name).unwrap().grants.contains(&"restart".to_owned()));

    let mut setting = rig.setting();
    setting.policy = OPEN.replace("flash = true", "flash = false");
    let rig = rig.restarted_with(setting).await;
    assert_eq!((rig.ask().await.0, rig.state().as_str()), (404, "absent"));
    assert!(rig.broken[0].reason.contains("asks for flash"), "{:?}", rig.broken);
    let mut setting = rig.setting();
    setting.policy = OPEN.to_owned();
    let rig = rig.restarted_with(setting).await;
    rig.assert_live("1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_image_holds_no_more_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let factory = vec![image_file(folder.path(), &version("1.0.0"))];
    let rig = Rig::with(Setting { factory, ..Setting::default() }).await;
    let rig = rig.restarted_with(Setting::default()).await;
    assert!(rig.plugins.list().is_empty());
    assert_eq!(rig.ask().await.0, 404);
}

/// The compiler, which cannot be talked to for so many times: too many processes, no memory; or for good.
#[derive(Debug)]
pub(crate) struct Moody {
    compiler: Compiler,
    pub(crate) refusals: AtomicU32,
    is_gone: bool,
}

impl Moody {
    pub(crate) fn new(refusals: u32) -> Moody {
        Moody { compiler: Compiler::new(aot()), refusals: AtomicU32::new(refusals), is_gone: false }
    }
}

impl Compile for Moody {
    fn compile(&self, component: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, CompileError>> {
        let left =
            self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_err() {
            return self.compiler.compile(component);
        }
        let error = match self.is_gone {
            true => CompileError::Unreachable("the line broke".to_owned()),
            false => CompileError::Pipe(io::ErrorKind::OutOfMemory.into()),
        };
        Box::pin(async { Err(error) })
    }
}

/// The setting of a device that has compiled nothing, and whose compiler refuses so often.
fn refusing(setting: Setting, cache: &std::path::Path, moody: Moody) -> Setting {
    Setting { cache: cache.to_owned(), compiler: Some(Arc::new(moody)), ..setting }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_passes_costs_no_version() {
    let folder = tempfile::tempdir().unwrap();
    let factory = vec![image_file(folder.path(), &version("1.0.0"))];
    let rig = Rig::with(Setting { factory, ..Setting::default() }).await;
    rig.install(&version("1.1.0")).await.unwrap();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let setting = refusing(rig.setting(), first.path(), Moody::new(2));
    let rig = rig.restarted_with(setting).await;
    rig.assert_live("1.1.0").await;
    assert_eq!(rig.summary().trouble, None);

    // One that stays is waited for a moment, and then the next version has its turn.
    let setting = refusing(rig.setting(), second.path(), Moody::new(4));
    let rig = rig.restarted_with(setting).await;
    rig.assert_live("1.0.0").await;
    let trouble = rig.summary().trouble.unwrap();
    assert!(trouble.starts_with("version 1.1.0 does not load: "), "{trouble}");
    assert!(trouble.contains("the compiler cannot be talked to: out of memory"), "{trouble}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_in_which_nothing_can_be_compiled_decides_nothing_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let factory = vec![image_file(folder.path(), &version("1.0.0"))];
    let rig = Rig::with(Setting { factory, ..Setting::default() }).await;
    rig.install(&version("1.1.0")).await.unwrap();
    let before = rig.setting();
    let cache = tempfile::tempdir().unwrap();
    // It is asked once more than it refuses: nothing else may take the place.
    let setting = refusing(rig.setting(), cache.path(), Moody { is_gone: true, ..Moody::new(1) });
    let rig = rig.restarted_with(setting).await;
    assert_eq!((rig.ask().await.0, rig.state().as_str()), (404, "absent"));
    assert!(rig.broken[0].reason.contains("no plugin can be compiled any more"), "{:?}", rig.broken);
    let rig = rig.restarted_with(before).await;
    rig.assert_live("1.1.0").await;
    assert_eq!(rig.summary().trouble, None);
}
