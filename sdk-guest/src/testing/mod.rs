pub use crate::bindings::hotshoe::plugin as host;
