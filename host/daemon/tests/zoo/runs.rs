//! A job of a plugin, run as the device runs it.

use std::sync::{Arc, Mutex};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use hotshoe_core::method::{MethodResponse, Refusal};
use hotshoed::job::{
    Adoption, Checkpoint, Doing, Guest, Guests, JobRun, JobSettings, JobSpec, Jobs, RestartCommand, RunEnd,
    Stand,
};
use hotshoed::plugin::{Plugin, Reply};
use hotshoed::state::StateDir;
use semver::Version;
use serde_json::Value;
use tokio::sync::oneshot;

use super::stage::Stage;

/// Tells of the end of its first run.
struct Watched {
    plugin: Plugin,
    end: Mutex<Option<oneshot::Sender<RunEnd>>>,
}

impl Guest for Watched {
    fn run(&self, run: JobRun) -> Doing<RunEnd> {
        let (plugin, end) = (self.plugin.clone(), self.end.lock().unwrap().take());
        Box::pin(async move {
            let ended = plugin.run_job(run).await;
            if let Some(end) = end {
                let _ = end.send(ended.clone());
            }
            ended
        })
    }

    fn adopt(&self, from: Version, checkpoint: Option<Checkpoint>) -> Doing<Adoption> {
        Guest::adopt(&self.plugin, from, checkpoint)
    }
}

/// Has the plugin do this in a job; how its first run ended, in the terms of a call.
pub(crate) async fn run(stage: &Stage, plugin: &Plugin, input: Value) -> Result<Reply, Refusal> {
    let path = stage.directory.path().join("jobs");
    std::fs::create_dir_all(&path).unwrap();
    let dir = Dir::open_ambient_dir(path, ambient_authority()).unwrap();
    let restart = RestartCommand::new(vec!["/bin/true".into()], &[]);
    let settings = JobSettings::new("boot-1".into(), restart, Arc::new(|| 1_795_348_800_000));
    let slots = Arc::new(stage.services.flash.clone());
    let jobs = Jobs::new(settings, StateDir::new(dir), stage.services.outbox.clone(), slots);
    let (sender, ended) = oneshot::channel();
    let watched = Watched { plugin: plugin.clone(), end: Mutex::new(Some(sender)) };
    let manifest = plugin.manifest();
    let stand = Stand::of(manifest.version.clone(), Arc::new(watched));
    jobs.mount(Guests::from([(manifest.name.clone(), stand)]));
    let spec = JobSpec { kind: "try".into(), input, lane: None };
    let accepted = jobs.accept(&manifest.name, &manifest.version, spec).await.unwrap();
    let id = accepted.id().clone();
    accepted.start();
    let ended = ended.await.unwrap();
    // One that would run again keeps its slot.
    let _ = jobs.cancel(&id).await;
    let mut moves = jobs.moves();
    while !jobs.open(&manifest.name).is_empty() {
        moves.changed().await.unwrap();
    }
    jobs.drain(std::time::Duration::ZERO).await;
    match ended {
        RunEnd::Done(payload) => Ok(Reply::Done(MethodResponse { status: 200, payload })),
        RunEnd::TimedOut => Err(Refusal::TimedOut),
        other => Err(Refusal::PluginFailed { text: format!("{other:?}") }),
    }
}
