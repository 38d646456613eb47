//! The one place where bytes become native code.

// Loading compiled code cannot be checked by the engine: whoever chooses the bytes chooses what the processor runs.
// Everything else in the workspace goes without `unsafe`; here it is what the API demands, and the one caller is the
// cache, which hands over bytes that carry this device's own seal.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::Sealed;

/// Loads compiled code.
///
/// Takes [`Sealed`], which only the cache makes: of what `hotshoe-aot` has just compiled for it, or of a file whose
/// seal by the device's key it has verified in these very bytes. They are in memory already and are copied from
/// there, so nobody can change them between the check and the use.
///
/// # Errors
/// When the code was made for another build of the engine, other settings or another processor.
pub(super) fn load(engine: &Engine, code: &Sealed) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were made by `Engine::precompile_component` in our own compiler and not changed since, which
    // is what `Sealed` stands for; the engine itself compares version, settings and processor features.
    unsafe { Component::deserialize(engine, code.bytes()) }
}
