//! (skeleton)

pub mod job;
