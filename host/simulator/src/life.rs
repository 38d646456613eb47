//! One life: stretches between cuts, each with what fails in it, judged while it lasts and in the end.

use std::sync::Arc;

use crate::{
    disk::Loss,
    machine::{Lived, Machine, Moment},
    plan::{Fault, Seed, Step},
    random::Random,
    world::{self, End, State, World},
};

/// What a stretch came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was lived, moments and log included where they were asked for.
    pub lived: Lived,
    /// All that was wrong, the judgement at the end included.
    pub violations: Vec<String>,
}

/// What is kept of a stretch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Only how it ended.
    Nothing,
    /// How things stood at each operation.
    Moments,
    /// That, and the log.
    Log,
}

/// Lives the last stretch of a life to its end, from this state: the one after the seed's last cut.
pub fn stretch(state: State, seed: &Seed, keep: Keep) -> Outcome {
    let killed = last_cut(seed).is_some_and(|step| matches!(step, Step::Cut { loss: Loss::Kill, .. }));
    let lying = state.world.lying;
    let plan =
        seed.steps.iter().rev().take_while(|step| matches!(step, Step::Fault { .. })).copied().collect();
    let mut machine = Machine::new(state, plan);
    if keep != Keep::Nothing {
        machine = machine.recording();
    }
    if keep == Keep::Log {
        machine = machine.logging();
    }
    if lying {
        machine = machine.lying();
    }
    let end = world::live(&machine, killed);
    let mut lived = machine.ended();
    let mut violations = std::mem::take(&mut lived.violations);
    if end == End::Quiet {
        violations.extend(world::at_the_end(&lived.state, seed));
    }
    if seed.steps.iter().any(|step| matches!(step, Step::Fault { fault: Fault::Rot, .. })) {
        // What rots was told in good faith; what boots is still no matter of faith.
        violations.retain(|words| !["the twin", "job"].iter().any(|about| words.starts_with(about)));
    }
    violations.extend(world::panics().into_iter().map(|panic| format!("panic: {panic}")));
    Outcome { lived, violations }
}

fn last_cut(seed: &Seed) -> Option<&Step> {
    seed.steps.iter().rev().find(|step| matches!(step, Step::Cut { .. }))
}

/// What is left at a moment after the cut that `seed` ends with.
pub fn cut(moment: &Moment, seed: &Seed) -> State {
    let mut state = moment.state.clone();
    if let Some(Step::Cut { loss, .. }) = seed.steps.last() {
        let mut random = Random::of(&seed.to_string());
        state.disk.cut(*loss, &mut random);
        state.random = random;
    }
    state
}

/// Lives a whole life and tells of it: the log of each stretch, and what was wrong.
pub fn replay(world: &Arc<World>, seed: &Seed, tell: &mut dyn FnMut(&str)) -> Result<Vec<String>, String> {
    let mut state = world.begin();
    let mut so_far = Seed::of(&seed.world);
    let mut steps = seed.steps.iter().peekable();
    loop {
        while let Some(step @ Step::Fault { .. }) = steps.peek() {
            so_far = so_far.then(**step);
            steps.next();
        }
        tell(&format!("== {so_far}"));
        let outcome = stretch(state, &so_far, Keep::Log);
        let next = steps.next();
        let until = match next {
            Some(Step::Cut { at, .. }) => *at,
            _ => u64::MAX,
        };
        let mut number = 0;
        for line in &outcome.lived.log {
            number =
                line.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(number);
            if number <= until {
                tell(line);
            }
        }
        let Some(step) = next else { return Ok(outcome.violations) };
        so_far = so_far.then(*step);
        let moment = outcome.lived.moments.iter().find(|moment| moment.at == until);
        let moment = moment
            .ok_or_else(|| format!("{so_far}: that stretch has only {} operations", outcome.lived.ops))?;
        state = cut(moment, &so_far);
    }
}
