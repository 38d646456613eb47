//! The machine as a table: what each event does in each state.

use std::time::Duration;

use serde_json::json;

use super::testing::{ended, job};
use super::*;

const NOW: u64 = 1_800_000_000_000;

fn at_now(job: Job, event: Event) -> (Job, Vec<Effect>) {
    step(job, event, Moment { now: NOW, random: 0 }, &Settings::default())
}

fn states() -> Vec<State> {
    vec![
        State::Accepted,
        State::Ready { wake: Wake::Due },
        State::Running { boot_id: "one".into() },
        State::Waiting { until: NOW + 500, pause: 1_000, wake: Wake::Due },
        State::Restarting { boot_id: "one".into(), wanted: Some("b".into()) },
        ended(Ended::Done(json!(1))),
    ]
}

fn events() -> Vec<Event> {
    let run_ended = |end| Event::RunEnded { end, wanted: Some("b".into()) };
    vec![
        Event::Replied,
        Event::Start { boot_id: "one".into() },
        Event::Saved(Checkpoint { phase: "p".into(), schema: 1, bytes: vec![] }),
        run_ended(RunEnd::Done(json!("ok"))),
        run_ended(RunEnd::Later(Duration::from_secs(5))),
        run_ended(RunEnd::Restart),
        run_ended(RunEnd::Suspended),
        run_ended(RunEnd::Transient("t".into())),
        run_ended(RunEnd::Permanent("p".into())),
        run_ended(RunEnd::Trapped("x".into())),
        run_ended(RunEnd::TimedOut),
        Event::Cut,
        Event::TimerDue,
        Event::RestartFailed("r".into()),
        Event::Booted { boot_id: "one".into(), running: "a".into(), expected: false },
        Event::Booted { boot_id: "two".into(), running: "b".into(), expected: true },
    ]
}

/// One letter a state, and the effects: short enough to be read as a table.
fn told((job, effects): &(Job, Vec<Effect>)) -> String {
    let wake = |wake: &Wake| match wake {
        Wake::Started => "started".to_owned(),
        Wake::Due => "due".to_owned(),
        Wake::Interrupted => "interrupted".to_owned(),
        Wake::Restarted(boot) => format!("restarted {} {}", boot.slot, boot.expected),
    };
    let state = match &job.state {
        State::Accepted => "accepted".to_owned(),
        State::Ready { wake: why } => format!("ready({})", wake(why)),
        State::Running { boot_id } => format!("running({boot_id})"),
        State::Waiting { pause, wake: why, .. } => format!("waiting({pause} {})", wake(why)),
        State::Restarting { boot_id, .. } => format!("restarting({boot_id})"),
        State::Ended { outcome: Ended::Done(_), .. } => "done".to_owned(),
        State::Ended { outcome: Ended::Failed(_), .. } => "failed".to_owned(),
        State::Ended { outcome: Ended::Cancelled, .. } => "cancelled".to_owned(),
    };
    let effects: Vec<String> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Store => "store".to_owned(),
            Effect::Reply => "reply".to_owned(),
            Effect::Run { wake: why } => format!("run({})", wake(why)),
            Effect::Wake { after } => format!("wake({after})"),
            Effect::FlushOutbox => "flush".to_owned(),
            Effect::Restart => "restart".to_owned(),
            Effect::Release => "release".to_owned(),
            Effect::Revert => "revert".to_owned(),
        })
        .collect();
    format!("{state}: {}", effects.join(", "))
}

#[test]
fn each_event_in_each_state() {
    // Rows are states, columns are events; "" says that nothing changes and nothing is done.
    let table: [[&str; 16]; 6] = [
        [
            "ready(started): ",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "ready(started): ",
            "ready(started): ",
        ],
        ["", "running(one): store, run(due)", "", "", "", "", "", "", "", "", "", "", "", "", "", ""],
        [
            "",
            "",
            "running(one): store",
            "done: store, release",
            "waiting(5000 due): store, wake(5000)",
            "restarting(one): store, flush, restart",
            "waiting(1000 interrupted): store, wake(1000)",
            "waiting(1000 due): store, wake(1000)",
            "failed: store, release",
            "waiting(1000 interrupted): store, wake(1000)",
            "waiting(1000 interrupted): store, wake(1000)",
            "ready(interrupted): store",
            "",
            "",
            "ready(interrupted): ",
            "ready(interrupted): ",
        ],
        [
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "ready(due): ",
            "",
            "waiting(1000 due): wake(500)",
            "waiting(1000 due): wake(500)",
        ],
        [
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "restarting(one): flush, restart",
            "restarting(one): store, wake(1000)",
            "restarting(one): store, flush, restart",
            "ready(restarted b true): ",
        ],
        ["", "", "", "", "", "", "", "", "", "", "", "", "", "", "done: release", "done: release"],
    ];
    for (state, row) in states().into_iter().zip(table) {
        for (event, wanted) in events().into_iter().zip(row) {
            let before = job(state.clone());
            let after = at_now(before.clone(), event.clone());
            if wanted.is_empty() {
                assert_eq!(after, (before, vec![]), "{event:?} in {state:?}");
            } else {
                assert_eq!(told(&after), wanted, "{event:?} in {state:?}");
            }
        }
    }
}

#[test]
fn accepting_stores_before_it_tells() {
    assert_eq!(accept(), vec![Effect::Store, Effect::Reply]);
}

#[test]
fn a_boot_loader_that_fell_back_is_told() {
    let asked = job(State::Restarting { boot_id: "one".into(), wanted: Some("b".into()) });
    let booted = Event::Booted { boot_id: "two".into(), running: "a".into(), expected: false };
    let (after, _) = at_now(asked, booted);
    assert_eq!(
        after.state,
        State::Ready { wake: Wake::Restarted(Boot { slot: "a".into(), expected: false }) }
    );
}

#[test]
fn attempts_count_from_the_last_run_that_ended_well() {
    let running = |attempt| Job { attempt, ..job(State::Running { boot_id: "one".into() }) };
    let after = |end| at_now(running(4), Event::RunEnded { end, wanted: None }).0.attempt;
    assert_eq!(after(RunEnd::Transient("t".into())), 4);
    assert_eq!(after(RunEnd::Trapped("t".into())), 4);
    assert_eq!(after(RunEnd::Later(Duration::ZERO)), 0);
    assert_eq!(after(RunEnd::Restart), 0);
    let (started, _) = at_now(
        Job { attempt: 4, ..job(State::Ready { wake: Wake::Due }) },
        Event::Start { boot_id: "one".into() },
    );
    assert_eq!(started.attempt, 5);
}

#[test]
fn strikes_without_progress_end_the_job_and_a_new_checkpoint_clears_them() {
    let one = Checkpoint { phase: "one".into(), schema: 1, bytes: vec![1] };
    let running =
        Job { strikes: 27, checkpoint: Some(one.clone()), ..job(State::Running { boot_id: "one".into() }) };
    let trap = || Event::RunEnded { end: RunEnd::Trapped("unreachable".into()), wanted: None };
    let (failed, effects) = at_now(running.clone(), trap());
    assert_eq!(effects, vec![Effect::Store, Effect::Release]);
    assert!(
        matches!(&failed.state, State::Ended { outcome: Ended::Failed(why), .. }
        if why.contains("28 runs") && why.contains("unreachable")),
        "{failed:?}"
    );

    let (same, _) = at_now(running.clone(), Event::Saved(one));
    assert_eq!(same.strikes, 27, "the same checkpoint again is no progress");
    let (further, _) =
        at_now(running, Event::Saved(Checkpoint { phase: "two".into(), schema: 1, bytes: vec![] }));
    assert_eq!(further.strikes, 0);
    assert!(!at_now(further, trap()).0.has_ended());
}

#[test]
fn a_crash_of_the_host_goes_on_at_once_three_times_then_pauses() {
    let booted = || Event::Booted { boot_id: "one".into(), running: "a".into(), expected: true };
    for (strikes, at_once) in [(0, true), (1, true), (2, true), (3, false), (20, false)] {
        let running = Job { strikes, ..job(State::Running { boot_id: "one".into() }) };
        let (after, _) = at_now(running, booted());
        assert_eq!(matches!(after.state, State::Ready { .. }), at_once, "{strikes}");
        assert_eq!(after.strikes, strikes + 1);
    }
}

#[test]
fn power_cuts_are_no_strikes_but_not_without_end() {
    let booted = || Event::Booted { boot_id: "two".into(), running: "a".into(), expected: true };
    let running = |setbacks| Job { strikes: 27, setbacks, ..job(State::Running { boot_id: "one".into() }) };
    let (after, _) = at_now(running(100), booted());
    assert_eq!((after.strikes, after.setbacks), (27, 101));
    assert_eq!(after.state, State::Ready { wake: Wake::Interrupted });
    assert!(at_now(running(279), booted()).0.has_ended());
}

#[test]
fn a_job_that_saves_something_new_and_traps_each_time_ends_too() {
    let settings = Settings::default();
    let mut job = job(State::Accepted);
    for run in 0..10_000_u32 {
        let checkpoint = Checkpoint { phase: "p".into(), schema: run, bytes: vec![] };
        for event in [
            Event::Replied,
            Event::TimerDue,
            Event::Start { boot_id: "one".into() },
            Event::Saved(checkpoint),
            Event::RunEnded { end: RunEnd::Trapped("unreachable".into()), wanted: None },
        ] {
            job = step(job, event, Moment::default(), &settings).0;
        }
        if job.has_ended() {
            assert_eq!(run + 1, settings.setbacks);
            return;
        }
    }
    panic!("it goes on for ever: {job:?}");
}

#[test]
fn a_loop_of_restarts_is_broken() {
    let running = Job { restarts: 16, ..job(State::Running { boot_id: "one".into() }) };
    let (after, effects) = at_now(running, Event::RunEnded { end: RunEnd::Restart, wanted: None });
    assert!(after.has_ended());
    assert!(!effects.contains(&Effect::Restart));
}

#[test]
fn pauses_stay_within_their_bounds() {
    let pause = |asked| {
        let running = job(State::Running { boot_id: "one".into() });
        match at_now(running, Event::RunEnded { end: RunEnd::Later(asked), wanted: None }).0.state {
            State::Waiting { pause, .. } => pause,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(pause(Duration::ZERO), 1_000);
    assert_eq!(pause(Duration::MAX), 30 * 24 * 3600 * 1000);
}

#[test]
fn every_state_survives_its_file() {
    for state in states() {
        let before = job(state);
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), before);
    }
}

#[test]
fn a_job_changes_its_version_between_runs_and_finds_the_way_back() {
    let ready = Job { strikes: 3, ..job(State::Ready { wake: Wake::Interrupted }) };
    let old = Some(Checkpoint { phase: "old".into(), schema: 1, bytes: vec![] });
    let new = Some(Checkpoint { phase: "new".into(), schema: 2, bytes: vec![7] });
    let before = Job { checkpoint: old.clone(), ..ready };
    let adopt = Event::Adopted { version: "2.0.0".parse().unwrap(), checkpoint: new.clone() };

    let (after, effects) = at_now(before.clone(), adopt.clone());
    assert_eq!(effects, [Effect::Store]);
    assert_eq!((after.version.to_string(), &after.checkpoint, after.strikes), ("2.0.0".into(), &new, 0));
    assert_eq!(after.state, before.state, "it is woken as it would have been");

    let (back, effects) = at_now(after, Event::Returned);
    assert_eq!(effects, [Effect::Store]);
    assert_eq!(back, Job { strikes: 0, ..before.clone() });
    assert_eq!(at_now(before.clone(), Event::Returned), (before, vec![]), "nowhere to go back to");

    for state in states().into_iter().filter(|state| !matches!(state, State::Ready { .. })) {
        let job = job(state);
        assert_eq!(at_now(job.clone(), adopt.clone()), (job, vec![]), "only between runs");
    }
}

#[test]
fn a_cancel_in_each_state() {
    let expected = [
        "accepted: store",
        "ready(due): store",
        "running(one): store",
        "ready(interrupted): store",
        "ready(interrupted): store",
        "done: ",
    ];
    for (state, wanted) in states().into_iter().zip(expected) {
        let after = at_now(job(state.clone()), Event::Cancel);
        assert_eq!(told(&after), wanted, "{state:?}");
        assert_eq!(after.0.cancel.is_some(), !after.0.has_ended());
        assert_eq!(at_now(after.0.clone(), Event::Cancel), (after.0.clone(), vec![]), "again is well");
    }
}

#[test]
fn a_cancelled_job_gives_up_then_tells_then_ends() {
    let start = || Event::Start { boot_id: "one".into() };
    let ordered = Job {
        cancel: Some(Cancel::Ordered),
        armed: Some("b".into()),
        ..job(State::Ready { wake: Wake::Interrupted })
    };
    assert!(ordered.must_give_up());
    let asked = at_now(ordered.clone(), start());
    assert_eq!(told(&asked), "ready(interrupted): revert");
    assert_eq!(at_now(ordered.clone(), Event::Unattended).1, vec![], "not before it is given up");
    let reverted = |on_trial| Event::Reverted { boot_id: "one".into(), on_trial };
    assert_eq!(told(&at_now(ordered.clone(), reverted(true))), "restarting(one): store, flush, restart");
    let (given_up, effects) = at_now(ordered, reverted(false));
    assert_eq!((effects, given_up.must_give_up()), (vec![Effect::Store], false));
    assert_eq!(told(&at_now(given_up.clone(), Event::Unattended)), "cancelled: store, release");
    let (running, _) = at_now(given_up, start());
    assert_eq!(running.cancel, Some(Cancel::Told));
    assert_eq!(at_now(running.clone(), Event::Arming("b".into())), (running.clone(), vec![]), "never again");
    for end in [RunEnd::Restart, RunEnd::Done(json!(1)), RunEnd::TimedOut, RunEnd::Permanent("x".into())] {
        let after = at_now(running.clone(), Event::RunEnded { end, wanted: None });
        assert_eq!(told(&after), "cancelled: store, release");
    }
}

#[test]
fn a_cancelled_job_that_brings_the_host_down_to_its_last_strike_gives_up_its_trial_first() {
    let start = || Event::Start { boot_id: "one".into() };
    let running = Job {
        cancel: Some(Cancel::Ordered),
        armed: Some("b".into()),
        strikes: Settings::default().strikes - 1,
        ..job(State::Running { boot_id: "one".into() })
    };
    let booted = Event::Booted { boot_id: "one".into(), running: "a".into(), expected: true };
    let settled = at_now(running, booted);
    assert_eq!(told(&settled), "ready(interrupted): store");
    assert_eq!(told(&at_now(settled.0.clone(), start())), "ready(interrupted): revert");
    let reverted = Event::Reverted { boot_id: "one".into(), on_trial: false };
    let given_up = at_now(settled.0, reverted);
    assert_eq!(told(&given_up), "ready(interrupted): store");
    assert_eq!(told(&at_now(given_up.0, start())), "cancelled: store, release");
}

#[test]
fn a_run_that_began_before_the_cancel_is_not_the_last() {
    let running = Job { cancel: Some(Cancel::Ordered), ..job(State::Running { boot_id: "one".into() }) };
    let after = at_now(running, Event::RunEnded { end: RunEnd::Done(json!(1)), wanted: None });
    assert_eq!(told(&after), "ready(interrupted): store");
}

#[test]
fn what_the_device_puts_off_is_no_attempt() {
    let running = Job { attempt: 7, ..job(State::Running { boot_id: "one".into() }) };
    let held = RunEnd::Held(Duration::from_secs(3600), "the window opens at 01:00".into());
    let (after, _) = at_now(running.clone(), Event::RunEnded { end: held, wanted: None });
    assert_eq!(after.attempt, 0);
    assert_eq!(after.trouble.as_deref(), Some("the window opens at 01:00"));
    assert!(matches!(after.state, State::Waiting { pause: 3_600_000, wake: Wake::Due, .. }));
    let (postponed, effects) = at_now(running, Event::Postponed);
    assert_eq!((postponed.postponed, effects), (1, vec![Effect::Store]));
    assert_eq!(at_now(postponed, Event::Arming("b".into())).0.postponed, 0);
}
