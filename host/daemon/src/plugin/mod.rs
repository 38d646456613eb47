//! Plugins: loaded from a file, kept within bounds, called.
//!
//! A plugin is a stranger's code that the device runs with real rights, so each step is one file that argues what it
//! keeps out: `load` (what is let in at all), `compile` and `cache` (where its native code comes from), `link` (what
//! it can reach), `admission` (who comes in, and whose turn it is), `call` (what one call may take), `health` (who is told
//! how it went), `answer` (what of its answer is believed), `routes` (what is whose). `engine` sets the bounds for all of them together.

mod admission;
mod answer;
mod backtrace;
mod cache;
mod call;
mod compile;
mod engine;
mod health;
mod link;
mod load;
mod meter;
mod metrics;
#[allow(clippy::module_inception)] // The thing itself has the name that everybody gives it.
mod plugin;
mod precompiled;
mod routes;
mod seal;
mod ticker;
mod witness;

pub use admission::INSTANCES;
pub use answer::{Decision, Reply};
pub use cache::CODE_LIMIT;
pub use compile::{Compile, CompileError, Compiler};
pub use engine::{Engine, EngineError, EngineSettings};
pub use health::Health;
pub use load::{LoadError, Loading};
pub use metrics::Metrics;
pub use plugin::Plugin;
pub use routes::{RouteError, Routes};
pub use seal::Key as SealKey;
pub use witness::Witness;

pub(crate) use routes::agree;
