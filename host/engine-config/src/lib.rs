//! How plugins are compiled.
//!
//! Code that `hotshoe-aot` makes loads in `hotshoed` only when both were set up alike, down to each WebAssembly
//! proposal. So the settings stand here once, in a crate that both use, and nowhere else. What concerns running
//! alone (the pooling allocator, limits, deadlines) is `hotshoed`'s and does not belong here.
//!
//! Everything that the first-party toolchains do not need is off: each proposal that is on is code of the engine
//! in reach of a hostile plugin, and most of the engine's security advisories concern the newest proposals.

use std::num::NonZeroUsize;

use wasmparser_engine::WasmFeatures;
use wasmtime::{Config, ModuleVersionStrategy, Result, WasmBacktraceDetails};

/// The name of this build of the engine, written into each compiled file and compared when one is loaded.
///
/// The engine compares only its major version by itself, and would load code that an older patch release
/// with a known compiler bug has made. The first figure is raised with each change of [`config`].
pub const BUILD: &str = "hotshoe-2/wasmtime-48.0.8";

/// The most that a guest may put on its stack, in bytes: deep recursion ends in a trap there.
pub const WASM_STACK: usize = 512 * 1024;

/// The size of the stack on which a guest and the host functions it calls run, in bytes. What is above
/// [`WASM_STACK`] is left to the host.
pub const FIBRE_STACK: usize = 1024 * 1024;

/// The most functions that are named of a guest that trapped.
const FRAMES: usize = 32;

/// The proposals that the toolchains of plugins use, WebAssembly 2.0 and the component model. Threads, exceptions, garbage
/// collection and the component model's async are not even linked: their cargo features are off.
const ON: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

/// The settings that decide what compiled code looks like.
///
/// # Errors
/// When the engine does not take [`BUILD`] as a version, which a test rules out.
pub fn config() -> Result<Config> {
    let mut config = Config::new();
    // A guest is stopped at loop heads and function entries once its processor time is up.
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK);
    config.async_stack_size(FIBRE_STACK);
    // Backtraces name functions; reading debug sections of a hostile file is not worth more than that.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // One call per instance: nothing runs concurrently within a store.
    config.concurrency_support(false);
    // A list of what is on, so that nothing comes with a new release of the engine by itself.
    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(ON, true);
    // What a trap says is for a person; a guest that recursed until its stack was full has frames enough.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES));

    config.module_version(ModuleVersionStrategy::Custom(BUILD.into()))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_takes_the_settings() {
        wasmtime::Engine::new(&config().unwrap()).unwrap();
    }

    #[test]
    fn the_build_names_the_engine_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        let version = lock
            .split("[[package]]")
            .find(|package| package.contains("name = \"wasmtime\"\n"))
            .and_then(|package| package.split("version = \"").nth(1))
            .and_then(|rest| rest.split('"').next())
            .unwrap();
        assert_eq!(BUILD.split('/').nth(1).unwrap(), format!("wasmtime-{version}"));
    }
}
