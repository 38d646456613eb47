//! Bugs that are planted in the device's code, one after the other: each must be caught.
//!
//! `planted.txt` keeps for each bug a life in which it was caught. That one is lived first, which takes a moment; where it
//! does not lead there any more (a seed counts operations, and the code under it changes) lives around it are tried, and
//! then one is looked for in all worlds. A bug that the table knows must be caught.

use std::{collections::BTreeMap, sync::Arc};

use hotshoe_core::planted::{self, Bug};

use crate::{
    explore::{Violation, hunt},
    life::replay,
    plan::Seed,
    world::{self, World, watch_for_panics},
};

/// How many must be caught in any case.
const LEAST: usize = 40;

/// How many other ways of the last step of a known life are tried.
const WAYS: u64 = 400;
/// How far a step of a known life is moved.
const AROUND: i64 = 12;

const TABLE: &str = include_str!("../planted.txt");

/// How a bug was caught.
#[derive(Clone, Debug)]
pub struct Caught {
    /// The life.
    pub seed: Seed,
    /// What was wrong in it.
    pub words: String,
    /// How many lives it took to find; none where it was known.
    pub lives: Option<u64>,
}

/// The bugs and the lives that catch them.
fn table() -> Result<BTreeMap<&'static str, Seed>, String> {
    let lines = TABLE.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (bug, seed) =
                line.split_once(' ').ok_or_else(|| format!("{line:?} is not a bug and a seed"))?;
            Ok((bug, seed.trim().parse()?))
        })
        .collect()
}

/// Lives like this one: with one of its steps a little earlier or later, and its last one in other ways.
fn around(seed: &Seed) -> impl Iterator<Item = Seed> + '_ {
    let moved = (0..seed.steps.len()).flat_map(move |number| {
        let by = (1..=AROUND).flat_map(|by| [by, -by]);
        by.filter_map(move |by| {
            let mut other = seed.clone();
            let step = other.steps.get_mut(number)?;
            *step = step.later(by)?;
            Some(other)
        })
    });
    let last = seed.steps.last().filter(|step| step.is_random());
    let ways = last.into_iter().flat_map(move |step| {
        let mut before = seed.clone();
        before.steps.pop();
        (0..WAYS).map(move |way| before.then(step.in_way(way)))
    });
    moved.chain(ways)
}

/// Plants a bug and looks whether anything goes wrong, in so many lives.
fn caught(
    bug: Bug,
    known: Option<&Seed>,
    worlds: &[Arc<World>],
    lives: u64,
    threads: usize,
) -> Option<Caught> {
    planted::plant(Some(bug));
    let again = known.and_then(|seed| {
        let world = worlds.iter().find(|world| world.name == seed.world)?;
        let mut lived = std::iter::once(seed.clone()).chain(around(seed)).enumerate();
        lived.find_map(|(lives, seed)| {
            let words = replay(world, &seed, &mut |_| ()).ok()?.into_iter().next()?;
            Some(Caught { seed, words, lives: Some(lives as u64).filter(|lives| *lives > 0) })
        })
    });
    let caught = again.or_else(|| {
        let (found, lived) = hunt(worlds, lives, threads);
        found.map(|Violation { seed, words }| Caught { seed, words, lives: Some(lived) })
    });
    planted::plant(None);
    // What goes wrong without it as well catches nothing.
    caught.filter(|caught| {
        let world = worlds.iter().find(|world| world.name == caught.seed.world);
        let without = world.map(|world| replay(world, &caught.seed, &mut |_| ()));
        // A life that has become shorter goes well as far as it leads.
        without.is_some_and(|lived| lived.unwrap_or_default().is_empty())
    })
}

/// Plants the bug of this name, for all that is lived from now on.
pub fn plant(name: &str) -> Result<(), String> {
    let bug = Bug::ALL.iter().find(|bug| bug.name() == name);
    let bug =
        bug.ok_or_else(|| format!("there is no bug {name:?}; `hotshoe-simulator planted` names them"))?;
    planted::plant(Some(*bug));
    Ok(())
}

/// Plants these bugs, or all; tells of each, and returns whether enough were caught. Looks near that life first, or near
/// the one that is known.
pub fn run(
    only: &[String],
    near: Option<Seed>,
    lives: u64,
    threads: usize,
    tell: &mut dyn FnMut(&str),
) -> Result<bool, String> {
    let table = table()?;
    let wanted = |bug: &&Bug| only.is_empty() || only.iter().any(|name| name == bug.name());
    let bugs: Vec<Bug> = Bug::ALL.iter().filter(wanted).copied().collect();
    let worlds: Vec<Arc<World>> = world::all().into_iter().filter(|world| !world.lying).collect();
    watch_for_panics();
    // What is before a story is lived without bugs.
    worlds.iter().for_each(|world| drop(world.begin()));
    let (mut count, mut missed) = (0, Vec::new());
    for bug in &bugs {
        let known = near.as_ref().or_else(|| table.get(bug.name()));
        match caught(*bug, known, &worlds, lives, threads) {
            Some(Caught { seed, words, lives }) => {
                count += 1;
                let how = lives.map_or_else(String::new, |lives| format!(" (found in {lives} lives)"));
                tell(&format!("caught      {:<24} {seed}{how}\n            {words}", bug.name()));
            }
            None => {
                missed.push(bug.name());
                tell(&format!("NOT CAUGHT  {:<24} {}", bug.name(), bug.words()));
            }
        }
    }
    tell(&format!("planted: {count} of {} caught", bugs.len()));
    let lost: Vec<_> = missed.iter().filter(|name| table.contains_key(**name)).copied().collect();
    if !lost.is_empty() {
        tell(&format!("planted: caught before, and not now: {}", lost.join(", ")));
    }
    Ok(lost.is_empty() && count >= LEAST.min(bugs.len()))
}
