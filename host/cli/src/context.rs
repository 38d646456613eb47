//! What every command is given.

use jiff::Timestamp;

use crate::{hub::Hub, output::Output};

/// The hub to ask, the place to print to, and the clock.
pub(crate) struct Context<'a> {
    /// The hub.
    pub(crate) hub: Hub,
    /// Where results go.
    pub(crate) output: &'a Output,
    /// The time.
    pub(crate) clock: fn() -> Timestamp,
}
