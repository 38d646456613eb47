//! What the outbox keeps: the patch on its way and the patches that wait. Pure; no disk, no hub.
//!
//! Patches compose (RFC 7396), so any number of reports becomes one that waits, but for the rare pair that one patch
//! cannot say: a key that is deleted and then made an object again. Those wait one after the other, and are put
//! together with their neighbours as soon as that is possible, so that their number stays small whatever is
//! reported. The order `known ← inflight ← pending` is the order of the reports.

use hotshoe_core::planted::{self, Bug};
use hotshoe_core::twin;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Reported state that the hub has not acknowledged. Stands on disk in this shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    inflight: Option<Value>,
    pending: Vec<Value>,
}

impl Kept {
    /// What was in flight when the process ended may or may not have arrived: it goes again, with what came after.
    pub(super) fn after_restart(mut self) -> Kept {
        let inflight = self.inflight.take().filter(|_| !planted::on(Bug::OutboxLostAtStart));
        self.pending.splice(0..0, inflight);
        self.compact();
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inflight.is_none() && self.pending.is_empty()
    }

    /// How much is kept, as the hub counts it.
    pub(super) fn size(&self) -> usize {
        self.inflight.iter().chain(&self.pending).map(twin::size).sum()
    }

    /// Adds a report. What is in flight stays as it is.
    pub(super) fn add(&mut self, patch: &Value) {
        if planted::on(Bug::OutboxOverwrites) {
            self.pending.clear();
        }
        if !self.pending.last_mut().is_some_and(|last| twin::compose(last, patch)) {
            self.pending.push(patch.clone());
            self.compact();
        }
    }

    /// `document` with everything that waits merged in.
    pub(super) fn over(&self, mut document: Value) -> Value {
        for patch in self.inflight.iter().chain(&self.pending) {
            twin::merge(&mut document, patch);
        }
        document
    }

    /// The patch to send: the one in flight again, else the first that waits.
    pub(super) fn send(&mut self) -> Option<&Value> {
        if planted::on(Bug::OutboxForgets) {
            self.inflight = None;
        }
        if self.inflight.is_none() && !self.pending.is_empty() {
            self.inflight = Some(self.pending.remove(0));
        }
        self.inflight.as_ref()
    }

    /// The patch in flight has arrived.
    pub(super) fn acknowledge(&mut self) -> Option<Value> {
        self.inflight.take()
    }

    /// The patch in flight was called wrong. Keeps its first half in flight and puts the second before what waits;
    /// a patch of one single value cannot be halved, is dropped and returned.
    pub(super) fn halve(&mut self) -> Option<Value> {
        let (first, rest) = halves(self.inflight.take()?);
        let Some(rest) = rest else { return Some(first) };
        self.inflight = Some(first);
        self.pending.insert(0, rest);
        self.compact();
        None
    }

    /// Composes neighbours as far as they compose.
    fn compact(&mut self) {
        let mut compact: Vec<Value> = Vec::with_capacity(self.pending.len());
        for patch in self.pending.drain(..) {
            if !compact.last_mut().is_some_and(|last| twin::compose(last, &patch)) {
                compact.push(patch);
            }
        }
        self.pending = compact;
    }
}

/// Two patches that together mean `patch`, split at the first object with more than one member.
fn halves(patch: Value) -> (Value, Option<Value>) {
    let Value::Object(mut members) = patch else { return (patch, None) };
    if members.len() == 1 {
        let Some((key, inner)) = std::mem::take(&mut members).into_iter().next() else {
            return (empty_object(), None);
        };
        let (first, rest) = halves(inner);
        let under = |value: Value| Value::Object(Map::from_iter([(key.clone(), value)]));
        return (under(first), rest.map(under));
    }
    let middle = members.len() / 2;
    let (mut first, mut rest) = (Map::new(), Map::new());
    for (index, (key, value)) in members.into_iter().enumerate() {
        let half = if index < middle { &mut first } else { &mut rest };
        half.insert(key, value);
    }
    let rest = if first.is_empty() { None } else { Some(Value::Object(rest)) };
    (Value::Object(first), rest)
}

/// The way down to the first place where `patch` branches or ends, as `iothubDM.firmwareUpdate`.
pub(super) fn path(patch: &Value) -> String {
    let mut keys = Vec::new();
    let mut place = patch;
    while let Value::Object(members) = place
        && members.len() == 1
        && let Some((key, inner)) = members.iter().next()
    {
        keys.push(key.as_str());
        place = inner;
    }
    keys.join(".")
}

pub(super) fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

pub(super) fn empty_object() -> Value {
    Value::Object(Map::new())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_while_a_patch_is_on_its_way_goes_next() {
        let mut kept = Kept::default();
        kept.add(&json!({"a": 1, "b": {"c": 1}}));
        assert_eq!(kept.send(), Some(&json!({"a": 1, "b": {"c": 1}})));
        kept.add(&json!({"a": null}));
        kept.add(&json!({"b": {"d": 2}}));
        assert_eq!(kept.send(), Some(&json!({"a": 1, "b": {"c": 1}})), "the same again until acknowledged");
        kept.acknowledge();
        assert_eq!(kept.send(), Some(&json!({"a": null, "b": {"d": 2}})));
        kept.acknowledge();
        assert!(kept.is_empty());
    }

    #[test]
    fn a_key_deleted_and_made_again_keeps_nothing_of_before() {
        let mut kept = Kept::default();
        for round in 0..100 {
            kept.add(&json!({"job": null}));
            kept.add(&json!({"job": {"id": round}}));
            assert!(kept.pending.len() <= 2, "{:?}", kept.pending);
        }
        let mut hub = json!({"job": {"old": true}});
        assert_eq!(kept.over(hub.clone()), json!({"job": {"id": 99}}));
        while let Some(patch) = kept.send() {
            twin::merge(&mut hub, patch);
            kept.acknowledge();
        }
        assert_eq!(hub, json!({"job": {"id": 99}}));
    }

    #[test]
    fn restart_sends_both_as_one() {
        let mut kept = Kept::default();
        kept.add(&json!({"a": 1, "b": {"c": 1}}));
        kept.send();
        kept.add(&json!({"a": null, "b": {"d": 2}}));
        let stored = serde_json::to_string(&kept).unwrap();
        let mut again = serde_json::from_str::<Kept>(&stored).unwrap().after_restart();
        assert_eq!(again.send(), Some(&json!({"a": null, "b": {"c": 1, "d": 2}})));
    }

    /// A hub that refuses one value: everything else must arrive, and in its last state.
    #[test]
    fn one_wrong_value_does_not_hold_up_the_others() {
        let mut kept = Kept::default();
        kept.add(&json!({"a": 1, "b": {"bad": "x", "good": 2, "fine": 3}, "c": 4, "d": 5}));
        kept.send();
        kept.add(&json!({"c": 6, "e": null}));
        let (mut hub, mut refused) = (json!({"e": 1}), Vec::new());
        while let Some(patch) = kept.send().cloned() {
            if patch.pointer("/b/bad").is_some() {
                refused.extend(kept.halve());
            } else {
                twin::merge(&mut hub, &patch);
                kept.acknowledge();
            }
        }
        assert_eq!(hub, json!({"a": 1, "b": {"good": 2, "fine": 3}, "c": 6, "d": 5}));
        assert_eq!(refused, [json!({"b": {"bad": "x"}})]);
        assert_eq!(path(&refused[0]), "b.bad");
    }
}
