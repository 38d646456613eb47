//! Rollouts: one order for many devices, in waves, with a limit to what may go wrong.
//!
//! There is no scheduler here. The hub's own jobs call the devices, one job a wave; which device belongs to which wave
//! stands in its tags; the plan and how far it has come stand in a configuration (see [`record`]). This program only
//! looks, decides (see [`decide`], which is pure) and hands the next job over. It may be killed at any point and run
//! again, here or elsewhere, or twice at the same time:
//!
//! - that a wave begins is written down before its job is handed over, and a job's id is made of the rollout's name, a
//!   word that stands in its record, and the wave's number; the hub takes it only once: no device is called twice;
//! - who aborts writes that down and then cancels the job, or takes its id where it is still to come: nobody who looked
//!   before can hand it over;
//! - what became of a device is read from its twin every time, not remembered.

mod act;
mod command;
mod decide;
mod display;
mod look;
mod members;
mod name;
mod outcome;
mod plan;
mod progress;
mod record;
mod report;
mod run;
mod tag;

pub(crate) use command::{firmware, plugin, run};
pub(crate) use name::Name;
pub(crate) use plan::Percent;
