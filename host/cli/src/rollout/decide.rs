//! What comes next in a rollout: a pure function of its plan, of how far it has come, and of what became of devices.
//!
//! The rules, in the order in which they are asked:
//!
//! 1. What was aborted or is completed stays so.
//! 2. A wave in which more than the limit's part of its devices have failed aborts the rollout: at once, not at its end.
//!    That holds for the waves before as well, so an update that goes wrong while it soaks, or later, counts.
//! 3. A wave ends when its job has ended and every one of its devices has come to an end.
//! 4. After a wave in which no device completed nothing is proven: the rollout pauses, and an operator may go on.
//! 5. The next wave begins when the one before has been over for the soaking time, and nobody has paused the rollout.
//! 6. After the last wave the rollout is completed; it does not soak.

use jiff::{SignedDuration, Timestamp};

use super::{
    outcome::Outcome,
    plan::Plan,
    progress::{Progress, State, Wave},
};

/// How many devices of a wave have come to which end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Not at an end.
    pub(crate) waiting: usize,
    /// Run what was rolled out.
    pub(crate) completed: usize,
    /// Failed, rolled back, cancelled, refused or lost.
    pub(crate) failed: usize,
    /// Were not called.
    pub(crate) unreachable: usize,
}

impl Counts {
    /// One device more.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let count = match outcome {
            Outcome::Waiting(_) => &mut self.waiting,
            Outcome::Completed => &mut self.completed,
            Outcome::Unreachable(_) => &mut self.unreachable,
            _ => &mut self.failed,
        };
        *count += 1;
    }

    /// How many count against the limit.
    pub(crate) fn failures(&self, plan: &Plan) -> usize {
        self.failed + if plan.count_unreachable { self.unreachable } else { 0 }
    }
}

/// What comes next.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Step {
    /// Begin this wave, counted from 0.
    Begin(usize),
    /// This wave is over.
    End(usize),
    /// Look again later.
    Wait(Why),
    /// Pause, because of this.
    Pause(String),
    /// Abort, because of this.
    Abort(String),
    /// All is done.
    Complete,
    /// There is nothing to do: it is paused between waves, aborted or completed.
    Stop,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// Devices of this wave.
    Devices(usize),
    /// This wave soaks until then.
    Soaking(usize, Timestamp),
}

/// What comes next. `counts` has an entry for each wave that was begun; `over` says whether the last one's job has ended.
pub(crate) fn next(plan: &Plan, progress: &Progress, counts: &[Counts], over: bool, now: Timestamp) -> Step {
    if progress.state.is_over() {
        return Step::Stop;
    }
    let paused = progress.state == State::Paused;
    if let Some(reason) = exceeded(plan, progress, counts) {
        return Step::Abort(reason);
    }
    let Some((current, wave)) =
        progress.current().and_then(|current| Some((current, progress.waves.get(current)?)))
    else {
        return if paused { Step::Stop } else { Step::Begin(0) };
    };
    let counted = counts.get(current).copied().unwrap_or_default();
    let Some(ended) = wave.ended else {
        return if over && counted.waiting == 0 {
            Step::End(current)
        } else {
            Step::Wait(Why::Devices(current))
        };
    };
    if current + 1 == progress.waves.len() {
        return Step::Complete;
    }
    if paused {
        return Step::Stop;
    }
    if counted.completed == 0 && !wave.accepted {
        return Step::Pause(unproven(current, wave, &counted));
    }
    let soak = SignedDuration::from_secs(i64::try_from(plan.soak).unwrap_or(i64::MAX));
    match ended.checked_add(soak) {
        Ok(until) if now < until => Step::Wait(Why::Soaking(current, until)),
        _ => Step::Begin(current + 1),
    }
}

fn exceeded(plan: &Plan, progress: &Progress, counts: &[Counts]) -> Option<String> {
    progress.waves.iter().zip(counts).enumerate().find_map(|(number, (wave, counts))| {
        let failures = counts.failures(plan);
        plan.abort_over.is_exceeded(failures, wave.devices).then(|| {
            format!(
                "{failures} of the {} devices of wave {} failed, more than {}",
                wave.devices,
                number + 1,
                plan.abort_over
            )
        })
    })
}

fn unproven(number: usize, wave: &Wave, counts: &Counts) -> String {
    format!(
        "wave {} proves nothing: of its {} devices none completed and {} were not reached",
        number + 1,
        wave.devices,
        counts.unreachable
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rollout::plan::{What, waves};

    fn plan() -> Plan {
        Plan {
            what: What::Plugin { key: "a/b".into(), entry: json!({}) },
            condition: "*".into(),
            waves: waves("1%,10%,100%").unwrap(),
            abort_over: "5%".parse().unwrap(),
            soak: 600,
            timeout: 3600,
            count_unreachable: false,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// A rollout over 1000 devices of which so many waves were begun and ended, each at a second of its own.
    fn progress(state: State, started: usize, ended: usize) -> Progress {
        let wave = |(number, devices): (usize, usize)| Wave {
            devices,
            started: (number < started).then(|| at(number as i64 * 1000)),
            ended: (number < ended).then(|| at(number as i64 * 1000 + 100)),
            accepted: false,
        };
        Progress { state, reason: None, waves: [10, 90, 900].into_iter().enumerate().map(wave).collect() }
    }

    fn counts(waiting: usize, completed: usize, failed: usize, unreachable: usize) -> Counts {
        Counts { waiting, completed, failed, unreachable }
    }

    const RUNNING: State = State::Running;
    const FIRST: Counts = Counts { waiting: 0, completed: 10, failed: 0, unreachable: 0 };

    #[test]
    fn from_the_first_wave_to_the_last() {
        let plan = plan();
        assert_eq!(next(&plan, &progress(RUNNING, 0, 0), &[], false, at(0)), Step::Begin(0));
        let moving = [counts(3, 7, 0, 0)];
        assert_eq!(next(&plan, &progress(RUNNING, 1, 0), &moving, true, at(1)), Step::Wait(Why::Devices(0)));
        assert_eq!(next(&plan, &progress(RUNNING, 1, 0), &[FIRST], true, at(1)), Step::End(0));
        let soaking = Step::Wait(Why::Soaking(0, at(700)));
        assert_eq!(next(&plan, &progress(RUNNING, 1, 1), &[FIRST], true, at(699)), soaking);
        assert_eq!(next(&plan, &progress(RUNNING, 1, 1), &[FIRST], true, at(700)), Step::Begin(1));
        let all = [FIRST, counts(0, 86, 4, 0), counts(0, 855, 45, 0)];
        assert_eq!(next(&plan, &progress(RUNNING, 3, 2), &all, true, at(5000)), Step::End(2));
        assert_eq!(
            next(&plan, &progress(RUNNING, 3, 3), &all, true, at(5000)),
            Step::Complete,
            "without soaking"
        );
        for state in [State::Completed, State::Aborted] {
            assert_eq!(next(&plan, &progress(state, 3, 3), &all, true, at(5000)), Step::Stop);
        }
    }

    #[test]
    fn a_wave_is_not_over_while_its_job_runs() {
        // Nobody waits because the hub has not come to the others yet.
        assert_eq!(
            next(&plan(), &progress(RUNNING, 1, 0), &[FIRST], false, at(1)),
            Step::Wait(Why::Devices(0))
        );
    }

    #[test]
    fn too_many_failures_abort_at_once() {
        let plan = plan();
        let told = next(&plan, &progress(RUNNING, 2, 1), &[FIRST, counts(85, 0, 5, 0)], false, at(1001));
        assert_eq!(told, Step::Abort("5 of the 90 devices of wave 2 failed, more than 5%".into()));
        let within = [FIRST, counts(86, 0, 4, 0)];
        assert_eq!(
            next(&plan, &progress(RUNNING, 2, 1), &within, false, at(1001)),
            Step::Wait(Why::Devices(1))
        );
        let told = next(&plan, &progress(RUNNING, 1, 0), &[counts(9, 0, 1, 0)], false, at(1));
        assert!(matches!(told, Step::Abort(_)), "of ten devices one is more than 5 %");
    }

    #[test]
    fn a_failure_while_it_soaks_or_later_counts() {
        let late = [counts(0, 9, 1, 0)];
        assert!(matches!(next(&plan(), &progress(RUNNING, 1, 1), &late, true, at(300)), Step::Abort(_)));
        let later = [counts(0, 9, 1, 0), counts(90, 0, 0, 0)];
        assert!(matches!(next(&plan(), &progress(RUNNING, 2, 1), &later, false, at(1300)), Step::Abort(_)));
        assert!(matches!(
            next(&plan(), &progress(State::Paused, 1, 1), &late, true, at(300)),
            Step::Abort(_)
        ));
    }

    #[test]
    fn who_was_not_reached_counts_only_where_that_is_asked_for() {
        let away = [counts(0, 9, 0, 1)];
        assert_eq!(next(&plan(), &progress(RUNNING, 1, 0), &away, true, at(1)), Step::End(0));
        let strict = Plan { count_unreachable: true, ..plan() };
        assert!(matches!(next(&strict, &progress(RUNNING, 1, 0), &away, true, at(1)), Step::Abort(_)));
    }

    #[test]
    fn a_wave_that_proves_nothing_pauses_until_somebody_goes_on() {
        let nobody = [counts(0, 0, 0, 10)];
        let mut progress = progress(RUNNING, 1, 1);
        assert!(
            matches!(next(&plan(), &progress, &nobody, true, at(5000)), Step::Pause(why) if why.contains("10 were not reached"))
        );
        progress.waves[0].accepted = true;
        assert_eq!(next(&plan(), &progress, &nobody, true, at(5000)), Step::Begin(1));
    }

    #[test]
    fn a_pause_lets_the_wave_end_and_begins_no_other() {
        let paused = State::Paused;
        assert_eq!(next(&plan(), &progress(paused, 0, 0), &[], false, at(0)), Step::Stop);
        let moving = [counts(3, 7, 0, 0)];
        assert_eq!(next(&plan(), &progress(paused, 1, 0), &moving, true, at(1)), Step::Wait(Why::Devices(0)));
        assert_eq!(next(&plan(), &progress(paused, 1, 0), &[FIRST], true, at(1)), Step::End(0));
        assert_eq!(next(&plan(), &progress(paused, 1, 1), &[FIRST], true, at(5000)), Step::Stop);
    }
}
