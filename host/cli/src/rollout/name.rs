//! A rollout's name, and what at the hub is called after it.

use std::{fmt, str::FromStr};

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::failure::{Exit, Failure};

/// What the ids of the configurations that hold rollouts begin with.
pub(super) const PREFIX: &str = "hotshoe-rollout-";

/// A rollout's name: a letter, then letters, digits and `-`; all lower-case, 40 at most.
///
/// With it the ids of jobs and configurations keep within what the hub takes, and none of them, nor the tag, needs
/// quotes in a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name(String);

impl Name {
    /// The id of the configuration that holds the plan and how far it has come.
    pub(super) fn configuration(&self) -> String {
        format!("{PREFIX}{self}")
    }

    /// The id of the job that calls the devices of a wave, counted from 1. Rollouts of before there were words have none.
    pub(super) fn job(&self, word: Option<&Word>, wave: usize) -> String {
        match word {
            Some(word) => format!("hotshoe-{self}-{word}-wave-{wave}"),
            None => format!("hotshoe-{self}-wave-{wave}"),
        }
    }

    /// The id of a job that writes or takes away the tag of some devices.
    pub(super) fn tag_job(&self, word: &Word) -> String {
        format!("hotshoe-{self}-tag-{word}")
    }

    /// The key below `tags.hotshoe.rollout` that says which wave a device belongs to.
    pub(super) fn key(&self) -> String {
        self.0.replace('-', "_")
    }

    /// The tag, as queries name it.
    pub(super) fn tag(&self) -> String {
        format!("tags.hotshoe.rollout.{}", self.key())
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if begins && text.len() <= 40 && text.bytes().all(fits) {
            Ok(Name(text.to_owned()))
        } else {
            Err("a rollout's name is a letter, then letters, digits and `-`; all lower-case, 40 at most"
                .to_owned())
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A random word in the ids of jobs.
///
/// The hub takes each id once and remembers ended jobs for 30 days. A rollout keeps its word for as long as it stands
/// there, so all who go on with it hand over the same job; one of the same name that comes after it has another word,
/// and does not take the jobs of the former one for its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Word(String);

impl Word {
    const LENGTH: usize = 6;
    /// 32 of them; without most vowels, so that no word says anything.
    const LETTERS: &str = "0123456789bcdfghjklmnpqrstuvwxyz";

    /// One of a thousand million.
    pub(super) fn draw() -> Result<Word, Failure> {
        let mut bytes = [0; Self::LENGTH];
        SystemRandom::new().fill(&mut bytes).map_err(|_| {
            Failure::new(Exit::OsError, "the system gives no random bytes for the ids of the rollout's jobs")
        })?;
        let letter = |byte: u8| Self::LETTERS.chars().nth(usize::from(byte) % Self::LETTERS.len());
        Ok(Word(bytes.into_iter().filter_map(letter).collect()))
    }
}

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == Self::LENGTH && text.chars().all(|letter| Self::LETTERS.contains(letter)) {
            Ok(Word(text.to_owned()))
        } else {
            Err(format!("{text:?} is not {} of the letters {}", Self::LENGTH, Self::LETTERS))
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_called_after_them() {
        let name: Name = "spring-2".parse().unwrap();
        let word: Word = "7bcdfg".parse().unwrap();
        assert_eq!(name.tag(), "tags.hotshoe.rollout.spring_2");
        assert_eq!(name.job(Some(&word), 3), "hotshoe-spring-2-7bcdfg-wave-3");
        assert_eq!(name.job(None, 3), "hotshoe-spring-2-wave-3", "as it was called before there were words");
        assert_eq!(name.tag_job(&word), "hotshoe-spring-2-tag-7bcdfg");
        let longest: Name = "x".repeat(40).parse().unwrap();
        assert!(longest.job(Some(&word), 100).len() <= 64 && longest.tag_job(&word).len() <= 64);
        for text in ["", "-a", "2a", "A", "a_b", "a.b", "é", &"x".repeat(41)] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_word_is_drawn_anew_each_time_and_read_again() {
        let words: std::collections::BTreeSet<String> =
            (0..100).map(|_| Word::draw().unwrap().to_string()).collect();
        assert_eq!(words.len(), 100);
        assert!(words.iter().all(|word| word.parse::<Word>().unwrap().to_string() == *word));
        for text in ["", "7bcdf", "7bcdfgh", "7bcdfG", "7b-dfg"] {
            assert!(text.parse::<Word>().is_err(), "{text}");
        }
    }
}
