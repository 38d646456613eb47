//! A release that is native code in memory, ready to be called.

use std::sync::Arc;

use hotshoe_core::digest::Digest;

use super::health::Watch;
use crate::plugin::Plugin;

/// A loaded release. Cheap to clone.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) digest: Digest,
    pub(super) plugin: Plugin,
    pub(super) watch: Arc<Watch>,
}
