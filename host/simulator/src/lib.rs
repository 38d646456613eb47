//! The device's real code in a simulated world: power cuts at every operation, disks that fail, links that break.
//!
//! Or a whole fleet of real sessions with made-up machines behind them, to try rollouts on: [`fleet`].
//!
//! Of one device, real are the job runner, the outbox, the slots with their boot control and boot loader, and the state files;
//! simulated are the disk under them, the hub, the server, init, and the images. A life is told again from its seed.
//!
//! | File | Question it answers |
//! |---|---|
//! | [`disk`] | what does a cut leave of what was written |
//! | [`machine`] | what is an operation, and what can be done to it |
//! | [`world`] | what is around the device, what runs on it, and what must hold |
//! | [`plan`] | what goes wrong in a life, and how is that written down |
//! | [`life`] | how is one life lived |
//! | [`power`] | what does a real file system leave of what was acknowledged |
//! | [`fleet`] | how do many devices look to a hub |
//! | [`explore`] | which lives are lived, and what came of them |
//! | `planted` | which mistakes in the device's code are noticed |
//!
//! What it does not simulate: the network below the hub and the server, the plugin's own code (its steps are written
//! again, see `world/guest.rs`), and the artifact store.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test tool: where its own world makes no sense it must stop"
)]

pub mod disk;
pub mod explore;
pub mod fleet;
pub mod life;
pub mod machine;
pub mod plan;
#[cfg(feature = "planted")]
pub mod planted;
pub mod power;
pub mod progress;
pub mod random;
pub mod world;
