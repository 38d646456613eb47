//! Who is told how a plugin's calls go, and may keep calls out.
//!
//! The one door ([`super::call`]) knows whether a call trapped; what follows from it is decided elsewhere (`swap`). This
//! is what stands between the two. Calls that only try a plugin out (its start code, the adoption of a job) are not told:
//! nobody was answered by them.

use futures_util::future::BoxFuture;

/// Watches the calls into one loaded version of a plugin.
pub trait Health: Send + Sync {
    /// Why nothing may enter now; `None` where calls may. Asked before each call: must not block.
    fn barred(&self) -> Option<String>;

    /// A call came back, whatever it answered. Called after each call: must not block.
    fn returned(&self);

    /// A call trapped or ran out of time. Awaited before the caller is answered; what the future does, it must do even
    /// where it is dropped.
    fn struck(&self, why: &str) -> BoxFuture<'static, ()>;
}
