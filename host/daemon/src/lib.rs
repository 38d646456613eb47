//! The device process: mounts update logic as sandboxed WebAssembly components.
//!
//! Who may import what: `core ← {state, artifact, fetch, flash, hub, trust} ← {job, receive} ← capability ← plugin ←
//! swap ← {config, admin, fence, daemon} ← main`.
//! Below all stands `disk`. `artifact` stands on `state`; `fetch` and `flash` stand on both, `trust` on `state` and
//! `fetch`.

pub mod admin;
pub mod artifact;
pub mod capability;
pub mod config;
pub mod daemon;
pub mod disk;
pub mod fence;
pub mod fetch;
pub mod flash;
pub mod gate;
pub mod hub;
pub mod job;
pub mod plugin;
pub mod receive;
pub mod state;
pub mod swap;
pub mod trust;
