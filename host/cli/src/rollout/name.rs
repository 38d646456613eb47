//! A rollout's name, and what at the hub is called after it.

use std::{fmt, str::FromStr};

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

    /// The id of the job that calls the devices of a wave, counted from 1.
    pub(super) fn job(&self, wave: usize) -> String {
        format!("hotshoe-{self}-wave-{wave}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_called_after_them() {
        let name: Name = "spring-2".parse().unwrap();
        assert_eq!(
            (name.tag(), name.job(3)),
            ("tags.hotshoe.rollout.spring_2".into(), "hotshoe-spring-2-wave-3".into())
        );
        assert!("x".repeat(40).parse::<Name>().unwrap().job(100).len() <= 64);
        for text in ["", "-a", "2a", "A", "a_b", "a.b", "é", &"x".repeat(41)] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
