//! Who wants to know which plugin is being called.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Told before a guest is entered. What it gives back is dropped when the guest was left, however that was; a process
/// that dies in between never drops it.
pub trait Witness: fmt::Debug + Send + Sync {
    /// The plugin of this name is about to be entered.
    fn enter(self: Arc<Self>, plugin: &str) -> Box<dyn Any + Send>;
}
