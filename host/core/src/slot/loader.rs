//! What the memories of real boot loaders hold, as text: names and values, and names of files.
//!
//! U-Boot and GRUB both remember variables, so the three are the same for both: `hotshoe_good` boots where there is no
//! trial, `hotshoe_trial` is booted as long as `hotshoe_tries` is not 0, and the boot loader's script lowers that and
//! saves it *before* it boots. Neither remembers what it booted last: the kernel's command line says that.
//!
//! systemd-boot remembers in the names of its entries (Boot Loader Specification, "Boot counting"):
//! `hotshoe-GENERATION-SLOT+LEFT-DONE.conf`. It prefers the newer of two names by their numbers, puts those that have
//! no tries left behind all others, and lowers LEFT by renaming before it boots.

use super::{BootRecord, NAME_LIMIT, Trial};

/// Which slot boots without a trial.
pub const GOOD: &str = "hotshoe_good";
/// Which slot is on trial; not set without one.
pub const TRIAL: &str = "hotshoe_trial";
/// How many boots the trial has left.
pub const TRIES: &str = "hotshoe_tries";

/// The record that variables hold; `None` where they hold none. What ran last is not among them.
pub fn from_variables<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Option<BootRecord> {
    let name = |variable| value(variable).filter(|name| (1..=NAME_LIMIT).contains(&name.len()));
    let good = name(GOOD)?.to_owned();
    let trial = name(TRIAL).map(|slot| Trial {
        slot: slot.to_owned(),
        // What is no number is no try.
        tries: value(TRIES).and_then(|tries| tries.parse().ok()).unwrap_or(0),
    });
    Some(BootRecord { sequence: 0, good, running: String::new(), trial })
}

/// The variables that hold a record; those without a value are not to be set.
pub fn variables(record: &BootRecord) -> [(&'static str, Option<String>); 3] {
    let trial = record.trial.as_ref();
    [
        (GOOD, Some(record.good.clone())),
        (TRIAL, trial.map(|trial| trial.slot.clone())),
        (TRIES, trial.map(|trial| trial.tries.to_string())),
    ]
}

/// What an entry's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName {
    /// Of two entries the one with the greater number is preferred.
    pub generation: u64,
    /// The slot that it boots.
    pub slot: String,
    /// Tries that are left, and boots that were tried; `None` for one that boots without being counted.
    pub counter: Option<(u32, u32)>,
}

const PREFIX: &str = "hotshoe-";
const SUFFIX: &str = ".conf";

impl EntryName {
    /// Reads a file's name; `None` for another's entry.
    pub fn parse(file: &str) -> Option<Self> {
        let (generation, rest) = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-')?;
        let (slot, counter) = match rest.split_once('+') {
            Some((slot, counter)) => {
                let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
                (slot, Some((number(left)?, number(done)?)))
            }
            None => (rest, None),
        };
        let named = (1..=NAME_LIMIT).contains(&slot.len());
        named.then_some(Self { generation: number(generation)?, slot: slot.to_owned(), counter })
    }

    /// The file's name.
    pub fn file(&self) -> String {
        let counter = match self.counter {
            Some((left, 0)) => format!("+{left}"),
            Some((left, done)) => format!("+{left}-{done}"),
            None => String::new(),
        };
        format!("{PREFIX}{}-{}{counter}{SUFFIX}", self.generation, self.slot)
    }
}

/// Digits alone: the names are compared by what the boot loader reads, which knows no signs.
fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The record that entries hold; `None` where none of them boots without being counted.
///
/// The newest that is not counted is good; one that is newer and counted is on trial. What has no tries left and was
/// never tried is spare.
pub fn from_entries(entries: &[EntryName]) -> Option<BootRecord> {
    let good = newest(entries.iter().filter(|entry| entry.counter.is_none()))?;
    let on_trial = |entry: &&EntryName| {
        entry.generation > good.generation && entry.counter.is_some_and(|counter| counter != (0, 0))
    };
    let trial = newest(entries.iter().filter(on_trial)).map(|entry| Trial {
        slot: entry.slot.clone(),
        tries: entry.counter.and_then(|(left, _)| u8::try_from(left).ok()).unwrap_or(u8::MAX),
    });
    Some(BootRecord { sequence: 0, good: good.slot.clone(), running: String::new(), trial })
}

/// What to rename, in this order and each durable before the next, so that the entries hold a record. `None` where the
/// slot that it names has no entry.
pub fn renames(entries: &[EntryName], record: &BootRecord) -> Option<Vec<(String, String)>> {
    let mut next = entries.iter().map(|entry| entry.generation).max()?.checked_add(1)?;
    let of = |slot: &str| newest(entries.iter().filter(|entry| entry.slot == slot));
    let good = of(&record.good)?;
    let mut steps = Vec::new();
    let mut step = |entry: &EntryName, changed: EntryName| {
        if *entry != changed {
            steps.push((entry.file(), changed.file()));
        }
    };
    // First what boots.
    let newer = |entry: &EntryName| entry.counter.is_none() && entry.generation > good.generation;
    let mut generation = good.generation;
    if entries.iter().any(newer) {
        generation = next;
        next = next.checked_add(1)?;
    }
    step(good, EntryName { generation, slot: good.slot.clone(), counter: None });
    for entry in entries.iter().filter(|entry| *entry != good) {
        match record.trial.as_ref().filter(|trial| trial.slot == entry.slot) {
            Some(trial) if of(&trial.slot) == Some(entry) => {
                let tried = entry.counter.is_some_and(|(_, done)| done > 0) && entry.generation > generation;
                let counter = match (u32::from(trial.tries), tried) {
                    (0, true) => entry.counter,
                    (0, false) => Some((0, 1)),
                    (left, _) => Some((left, 0)),
                };
                let armed = entry.counter == counter && entry.generation > generation;
                let generation = if armed || tried && trial.tries == 0 { entry.generation } else { next };
                step(entry, EntryName { generation, slot: entry.slot.clone(), counter });
            }
            _ => step(entry, EntryName { counter: Some((0, 0)), ..entry.clone() }),
        }
    }
    Some(steps)
}

fn newest<'a>(entries: impl Iterator<Item = &'a EntryName>) -> Option<&'a EntryName> {
    entries.max_by_key(|entry| entry.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::Event;

    fn entries(names: &[String]) -> Vec<EntryName> {
        names.iter().filter_map(|name| EntryName::parse(name)).collect()
    }

    fn rename(names: &mut [String], record: &BootRecord) {
        for (from, to) in renames(&entries(names), record).unwrap() {
            *names.iter_mut().find(|name| **name == from).unwrap() = to;
        }
    }

    /// As systemd-boot chooses and counts; says which slot it boots.
    fn boot(names: &mut [String]) -> String {
        let mut sorted = entries(names);
        let order = |entry: &EntryName| {
            (entry.counter.is_some_and(|(left, _)| left == 0), std::cmp::Reverse(entry.generation))
        };
        sorted.sort_by_key(order);
        let chosen = sorted[0].clone();
        if let Some((left, done)) = chosen.counter {
            let counter = Some((left.saturating_sub(1), done + 1));
            let counted = EntryName { counter, ..chosen.clone() };
            *names.iter_mut().find(|name| **name == chosen.file()).unwrap() = counted.file();
        }
        chosen.slot
    }

    #[test]
    fn names_of_entries() {
        let cases = [
            ("hotshoe-7-a.conf", Some((7, "a", None))),
            ("hotshoe-12-a-b.1+1.conf", Some((12, "a-b.1", Some((1, 0))))),
            ("hotshoe-12-b+0-1.conf", Some((12, "b", Some((0, 1))))),
            ("hotshoe-b.conf", None),
            ("hotshoe-1-.conf", None),
            ("hotshoe-+1-b.conf", None),
            ("hotshoe-1-b+x.conf", None),
            ("hotshoe-1-b+1-.conf", None),
            ("debian-1-b.conf", None),
            ("hotshoe-1-b.conf.new", None),
            ("hotshoe-99999999999999999999-b.conf", None),
        ];
        for (file, expected) in cases {
            let parsed = EntryName::parse(file);
            let parts = parsed.as_ref().map(|name| (name.generation, name.slot.as_str(), name.counter));
            assert!(parts == expected || parsed.is_none() && expected.is_none(), "{file}: {parsed:?}");
            assert!(parsed.is_none_or(|parsed| parsed.file() == file), "{file}");
        }
    }

    #[test]
    fn lives_of_entries() {
        let mut names = vec!["hotshoe-2-a.conf".to_owned(), "hotshoe-1-b+0.conf".to_owned()];
        let read =
            |names: &[String], running: &str| from_entries(&entries(names)).unwrap().with_running(running);
        assert_eq!(boot(&mut names), "a");
        for (good, other) in [("a", "b"), ("b", "a"), ("a", "b")] {
            // Lapsed, given up before and while it runs, and then confirmed.
            for end in ["lapse", "revert", "give up", "confirm"] {
                let armed = read(&names, good).after(Event::Activate(other)).unwrap();
                rename(&mut names, &armed);
                assert_eq!(read(&names, good).trial, armed.trial, "{names:?}");
                if end == "revert" {
                    rename(&mut names, &armed.after(Event::Revert).unwrap());
                    assert_eq!((boot(&mut names).as_str(), read(&names, good).trial), (good, None));
                    continue;
                }
                assert_eq!(boot(&mut names), other, "{names:?}");
                let running = read(&names, other);
                assert!(running.on_trial(), "{names:?}");
                match end {
                    "confirm" => rename(&mut names, &running.after(Event::Confirm).unwrap()),
                    "give up" => rename(&mut names, &running.after(Event::Revert).unwrap()),
                    _ => {}
                }
                let next = if end == "confirm" { other } else { good };
                assert_eq!(boot(&mut names), next, "{end}: {names:?}");
                let record = read(&names, next);
                assert_eq!((record.good.as_str(), &record.trial), (next, &None), "{end}: {names:?}");
            }
        }
    }

    #[test]
    fn every_rename_alone_leaves_one_of_the_two_states() {
        let names = vec!["hotshoe-2-a.conf".to_owned(), "hotshoe-3-b+0-1.conf".to_owned()];
        let running = from_entries(&entries(&names)).unwrap().with_running("b");
        let confirmed = running.after(Event::Confirm).unwrap();
        let steps = renames(&entries(&names), &confirmed).unwrap();
        assert_eq!(steps.len(), 2, "b becomes good, then a spare");
        for cut in 0..=steps.len() {
            let mut cut_names = names.clone();
            for (from, to) in steps.iter().take(cut) {
                *cut_names.iter_mut().find(|name| *name == from).unwrap() = to.clone();
            }
            assert_eq!(boot(&mut cut_names), if cut == 0 { "a" } else { "b" }, "{cut_names:?}");
        }
        assert_eq!(from_entries(&entries(&["hotshoe-1-b+0.conf".to_owned()])), None);
        assert_eq!(renames(&entries(&names), &BootRecord::fresh("c")), None);
    }

    #[test]
    fn variables_and_back() {
        let armed = BootRecord::fresh("a").after(Event::Activate("b")).unwrap();
        for record in [BootRecord::fresh("a"), armed] {
            let set = variables(&record);
            let read = from_variables(|name| {
                set.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.as_deref())
            });
            assert_eq!(read.unwrap().with_running("a"), BootRecord { sequence: 0, ..record });
        }
        let value = |name: &str| (name != TRIES).then_some("x");
        assert_eq!(from_variables(value).unwrap().trial.unwrap().tries, 0, "no number is no try");
        assert_eq!(from_variables(|_| None), None);
        assert_eq!(from_variables(|_| Some("")), None);
    }
}
