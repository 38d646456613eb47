//! What is wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// What is wrong with a configuration: all that was found, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The configuration.
    pub file: PathBuf,
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} cannot be used", self.file.display())?;
        for problem in &self.problems {
            write!(formatter, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
