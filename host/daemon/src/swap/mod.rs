//! The plugins of the device: which version of each is live, and how another one comes in its place.
//!
//! Promise: calls are never held up by a swap, and each is answered once, by a version that is live or was when the call
//! began. A candidate that is refused at any step (`install`) leaves everything as it was. What is live is written down
//! before it is called (`seat` performs the effects of `hotshoe_core::swap` in their order), so that after a power cut
//! exactly one version of each plugin is live, the recorded one. A new version that fails is replaced by the one before it
//! *before* the caller whose call failed is answered (`health`).
//!
//! Components stand on the `shelf` under their digest; compiled code is the engine's own affair and can be lost. What
//! stands in the device's image (`factory`) is always there to fall back to (`start`).
//!
//! What it does not do: fetch anything, or believe a repository; whoever asks for an install has the bytes and says who
//! vouches for them (`hotshoe_core::swap::Origin`).

mod adopt;
mod error;
mod factory;
mod health;
mod install;
mod loaded;
mod mount;
mod operate;
mod patience;
mod plugins;
mod seat;
mod settings;
mod shelf;
mod start;

pub use error::{InstallError, SwapError};
pub use factory::Broken;
pub use plugins::{Candidate, Installed, Plugins};
pub use settings::{Factory, LeftOut, SwapSettings};
pub use shelf::Shelf;
