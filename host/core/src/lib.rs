//! What Hotshoe decides, without doing anything.
//!
//! Everything here is a function of its arguments: no runtime, engine, file, clock or randomness. Time comes
//! in as a number, whose name says its unit. That is what makes the decisions cheap to test exhaustively, and
//! what lets the device process, the embedded hub and the operator's tool share one reading of the protocol.

#![forbid(unsafe_code)]

pub mod connection_string;
pub mod digest;
pub mod grants;
pub mod image;
pub mod imports;
pub mod job;
pub mod manifest;
pub mod method;
pub mod package;
pub mod planted;
pub mod policy;
pub mod reach;
pub mod sas;
pub mod slot;
pub mod strict;
pub mod swap;
pub mod target;
pub mod topic;
pub mod twin;
pub mod units;
pub mod window;
