//! Progress: reported state for people watching, and for nobody else.
//!
//! It is never written to disk (a percent per second would wear the flash out), patches of a moment become one,
//! and it goes when the link goes. The one thing it must not do is outlive what is durable: once a durable patch
//! has spoken about a path, older progress about that path is forgotten, or a finished job would come back to life
//! in the twin.

use hotshoe_core::twin;
use serde_json::Value;

/// Progress that waits to be sent.
#[derive(Debug, Default)]
pub(super) struct Progress(Option<Value>);

impl Progress {
    pub(super) fn add(&mut self, patch: Value) {
        match &mut self.0 {
            Some(waiting) => {
                if !twin::compose(waiting, &patch) {
                    // One patch cannot say both; the newer one counts.
                    subtract(waiting, &patch);
                    let _composed = twin::compose(waiting, &patch);
                }
            }
            None => self.0 = Some(patch),
        }
    }

    /// Forgets what `durable` speaks about.
    pub(super) fn overridden_by(&mut self, durable: &Value) {
        if let Some(waiting) = &mut self.0 {
            subtract(waiting, durable);
            if waiting.as_object().is_none_or(serde_json::Map::is_empty) {
                self.0 = None;
            }
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn take(&mut self) -> Option<Value> {
        self.0.take()
    }
}

/// Removes from `target` every path that `by` sets or deletes.
fn subtract(target: &mut Value, by: &Value) {
    let (Value::Object(target), Value::Object(by)) = (target, by) else { return };
    for (key, value) in by {
        let Some(inner) = target.get_mut(key) else { continue };
        if inner.is_object() && value.is_object() {
            subtract(inner, value);
            if inner.as_object().is_some_and(|object| !object.is_empty()) {
                continue;
            }
        }
        target.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_of_a_moment_become_one() {
        let mut progress = Progress::default();
        progress.add(json!({"jobs": {"a": {"done": 1, "phase": "downloading"}}}));
        progress.add(json!({"jobs": {"a": {"done": 2}, "b": {"done": 7}}}));
        assert_eq!(
            progress.take(),
            Some(json!({"jobs": {"a": {"done": 2, "phase": "downloading"}, "b": {"done": 7}}}))
        );
        assert!(!progress.is_waiting());
    }

    #[test]
    fn durable_state_silences_older_progress_about_the_same_path() {
        let mut progress = Progress::default();
        progress.add(json!({"jobs": {"a": {"done": 99}, "b": {"done": 1}}}));
        progress.overridden_by(&json!({"jobs": {"a": null}, "other": 1}));
        assert_eq!(progress.take(), Some(json!({"jobs": {"b": {"done": 1}}})));

        progress.add(json!({"jobs": {"a": {"done": 99}}}));
        progress.overridden_by(&json!({"jobs": {"a": {"done": 100}}}));
        assert!(!progress.is_waiting());
    }

    #[test]
    fn unrelated_durable_state_leaves_progress_alone() {
        let mut progress = Progress::default();
        progress.add(json!({"jobs": {"a": {"done": 1}}}));
        progress.overridden_by(&json!({"firmwareStatus": "downloading", "jobs": {"b": null}}));
        assert_eq!(progress.take(), Some(json!({"jobs": {"a": {"done": 1}}})));
    }
}
