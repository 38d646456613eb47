//! Jobs over a change of their plugin's version.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const ONE: Version = Version::new(1, 0, 0);
const TWO: Version = Version::new(2, 0, 0);

/// A device whose plugin has versions 1 and 2.
struct Swapping {
    life: Life,
    told: mpsc::UnboundedSender<JobRun>,
}

/// Runs until it is asked to suspend, having said where it stands.
fn works(run: JobRun) -> Ending {
    Box::pin(async move {
        let phase = format!("of {}", run.version);
        run.handle.save(Checkpoint { phase, schema: 1, bytes: vec![] }).await.unwrap();
        while !run.handle.should_suspend() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        RunEnd::Suspended
    })
}

impl Swapping {
    fn start(disk: &Disk) -> Swapping {
        let mut life = disk.start_with("one", None, vec!["true".into()]);
        let (told, runs) = mpsc::unbounded_channel();
        life.runs = runs;
        Swapping { life, told }
    }

    /// Version 1 is live and runs a job, which has saved a checkpoint.
    fn with_job(disk: &Disk, adopt: fn(Version, Option<Checkpoint>) -> Adoption) -> Swapping {
        let mut device = Swapping::start(disk);
        device.live(ONE, &[], adopt);
        device.life.accept(None).unwrap().start();
        assert_eq!(device.next(), (ONE, None));
        device.until_saved("of 1.0.0");
        device
    }

    /// Makes a version live; each version runs its own script, and 2 answers so when it is offered a job.
    fn live(&self, live: Version, bad: &[Version], adopt: fn(Version, Option<Checkpoint>) -> Adoption) {
        let guest =
            |script| -> Arc<dyn Guest> { Arc::new(Scripted { told: self.told.clone(), script, adopt }) };
        let guests = BTreeMap::from([(ONE, guest(works)), (TWO, guest(works))]);
        let stand = Stand { live: Some(live), guests, bad: BTreeSet::from_iter(bad.iter().cloned()) };
        self.life.jobs.mount(Guests::from([("acme.update".parse().unwrap(), stand)]));
    }

    fn next(&mut self) -> (Version, Option<String>) {
        let run = self.life.run();
        (run.version, run.checkpoint.map(|checkpoint| checkpoint.phase))
    }

    fn until_saved(&self, phase: &str) {
        self.life.until(|jobs| jobs.iter().any(|job| job.phase.as_deref() == Some(phase)));
    }
}

fn takes(_: Version, checkpoint: Option<Checkpoint>) -> Adoption {
    Adoption::Taken(checkpoint.map(|checkpoint| Checkpoint { phase: "taken over".into(), ..checkpoint }))
}

fn refuses(_: Version, _: Option<Checkpoint>) -> Adoption {
    Adoption::Refused("another layout".into())
}

#[test]
fn a_job_goes_over_to_the_version_that_adopts_it() {
    let disk = Disk::new();
    let mut device = Swapping::with_job(&disk, takes);

    device.live(TWO, &[], takes);
    assert_eq!(device.next(), (TWO, Some("taken over".into())), "it was asked to suspend, and goes on in 2");
    device.until_saved("of 2.0.0");
    let stored = disk.stored();
    let stored = stored.first().unwrap();
    assert_eq!(stored["version"], "2.0.0");
    assert_eq!(stored["before"]["checkpoint"]["phase"], "of 1.0.0");
    assert_eq!(device.life.jobs.pinned(&"acme.update".parse().unwrap()), BTreeSet::from([TWO]));
}

#[test]
fn a_job_that_is_refused_stays_with_its_version_and_is_left_alone() {
    let disk = Disk::new();
    let mut device = Swapping::with_job(&disk, refuses);

    device.live(TWO, &[], refuses);
    assert_eq!(device.next(), (ONE, Some("of 1.0.0".into())), "it was asked, refused, and goes on in 1");
    assert_eq!(device.life.jobs.pinned(&"acme.update".parse().unwrap()), BTreeSet::from([ONE]));
    device.life.runtime.block_on(device.life.jobs.drain(Duration::from_secs(10)));
    assert!(device.life.runs.try_recv().is_err(), "and is not asked to suspend again and again");
}

#[test]
fn a_job_of_a_version_that_was_rolled_back_is_what_it_was_before() {
    let disk = Disk::new();
    let mut device = Swapping::with_job(&disk, takes);
    device.live(TWO, &[], takes);
    assert_eq!(device.next(), (TWO, Some("taken over".into())));
    device.until_saved("of 2.0.0");

    device.live(ONE, &[TWO], refuses);
    assert_eq!(device.next(), (ONE, Some("of 1.0.0".into())), "1 does not read what 2 wrote");
}

#[test]
fn the_version_that_runs_a_job_survives_a_kill() {
    let disk = Disk::new();
    let mut device = Swapping::with_job(&disk, takes);
    device.live(TWO, &[], takes);
    device.next();
    device.until_saved("of 2.0.0");
    device.life.kill();

    let mut device = Swapping::start(&disk);
    device.live(TWO, &[], |_, _| Adoption::Failed("it is not asked again".into()));
    assert_eq!(device.next(), (TWO, Some("of 2.0.0".into())));
}
