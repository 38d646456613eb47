//! A plugin that asks the host for all that it should not.
//!
//! It stands on the bare bindings and checks nothing of what it hands over. Most of it is data: `try` makes the calls of
//! its payload and answers what the host said to each, `storm` makes one for a time, and a job of any kind does with its
//! input as `try` with its payload; see `calls` for the calls. What no call of the host does is a method of its own, see
//! `methods`.

#[cfg(target_arch = "wasm32")]
mod calls;
#[cfg(target_arch = "wasm32")]
mod component;
#[cfg(target_arch = "wasm32")]
mod methods;
#[cfg(target_arch = "wasm32")]
mod raw;
