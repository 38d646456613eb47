//! Swap: which version of a plugin is live, and what makes another one so.
//!
//! A plugin's durable side is one [`Record`]: the release that is live, the one before it, one that waits for more
//! rights, what was rolled back. Everything that can happen to it is an [`Event`]; [`step`] is the one place that says
//! what follows, as a new record and the [`Effect`]s to perform in order. Nothing is done here: the host's `swap` module
//! performs the effects, and the tests of this module cut the power between any two of them.
//!
//! What a candidate goes through before it may go live (is it trusted, does it compile, does it link, does it adopt the
//! open jobs) changes nothing here: a candidate that is refused leaves the record as it was.

mod machine;
mod moves;
mod record;
mod release;
mod summary;

pub use machine::{Admission, Effect, Event, Refused, Settings, admit, step};
pub use record::{Bad, Held, LastEvent, Record, Standing};
pub use release::{Demand, Origin, Phase, Release, Untrusted, trusted};
pub use summary::{BadSummary, HeldSummary, MethodSummary, PluginDetail, PluginSummary, QuotaSummary};

#[cfg(test)]
mod explorer;
#[cfg(test)]
mod table;
#[cfg(test)]
mod testing;
