//! Two merge patches as one.
//!
//! The outbox sends one patch at a time and keeps the rest as one, so patches must compose. Most do; one case does
//! not: when the first patch makes a key something other than an object (or deletes it) and the second makes it an
//! object, no single patch says the same, for a patch cannot both empty an object and fill it. `{"a": null}` and
//! then `{"a": {"b": 1}}` leaves `{"b": 1}` whatever `a` held before, while `{"a": {"b": 1}}` alone keeps the rest.
//! [`compose`] then says so and changes nothing, and the caller sends the two one after the other.

use serde_json::Value;

/// Adds a second patch to a first, so that merging the result is merging the one and then the other.
///
/// `null` is kept: it must still delete at the hub. Returns whether the two could be composed; when not, `first` is
/// unchanged and must reach the hub before `second` does.
#[must_use = "false: the two could not be composed, and must be merged one after the other"]
pub fn compose(first: &mut Value, second: &Value) -> bool {
    if !composable(first, second) {
        return false;
    }
    append(first, second);
    true
}

fn composable(first: &Value, second: &Value) -> bool {
    match (first, second) {
        (Value::Object(members), Value::Object(changes)) => changes
            .iter()
            .all(|(key, change)| members.get(key).is_none_or(|member| composable(member, change))),
        (_, Value::Object(_)) => false,
        _ => true,
    }
}

fn append(first: &mut Value, second: &Value) {
    match (first, second) {
        (Value::Object(members), Value::Object(changes)) => {
            for (key, change) in changes {
                match members.get_mut(key) {
                    Some(member) => append(member, change),
                    None => {
                        members.insert(key.clone(), change.clone());
                    }
                }
            }
        }
        (first, second) => *first = second.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::twin::merge;

    /// A small generator, the same on every run (Marsaglia's xorshift).
    struct Generator(u64);

    impl Generator {
        fn next(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }

        fn value(&mut self, depth: u32, nulls: bool) -> Value {
            match self.next(if depth == 0 { 4 } else { 8 }) {
                0 if nulls => Value::Null,
                0 | 1 => json!(self.next(3)),
                2 => json!("text"),
                3 => json!([1, {"a": 2}]),
                _ => self.object(depth - 1, nulls),
            }
        }

        fn object(&mut self, depth: u32, nulls: bool) -> Value {
            let mut members = Map::new();
            for _ in 0..self.next(4) {
                let key = ["a", "b", "c"][self.next(3) as usize];
                members.insert(key.to_owned(), self.value(depth, nulls));
            }
            Value::Object(members)
        }
    }

    #[test]
    fn composing_and_merging_is_merging_twice() {
        let mut generator = Generator(0x9E37_79B9_7F4A_7C15);
        let (mut composed, mut refused) = (0, 0);
        for _ in 0..50_000 {
            let document = generator.object(4, false);
            let first = generator.object(4, true);
            let second = generator.object(4, true);
            let mut patch = first.clone();
            if !compose(&mut patch, &second) {
                assert_eq!(patch, first, "a refusal changes nothing");
                refused += 1;
                continue;
            }
            composed += 1;
            let mut once = document.clone();
            merge(&mut once, &patch);
            let mut twice = document.clone();
            merge(&mut twice, &first);
            merge(&mut twice, &second);
            assert_eq!(once, twice, "{document} with {first} and {second} composed as {patch}");
        }
        assert!(composed > 20_000, "{composed}");
        assert!(refused > 1_000, "{refused}");
    }

    #[test]
    fn a_deletion_stays_in_the_patch() {
        let mut patch = json!({"a": 1, "b": {"c": 2}});
        assert!(compose(&mut patch, &json!({"a": null, "b": {"c": null}})));
        assert_eq!(patch, json!({"a": null, "b": {"c": null}}));
    }

    #[test]
    fn an_object_after_something_else_needs_two_patches() {
        for first in [json!({"a": null}), json!({"a": 1}), json!({"a": []}), json!({"a": "x"})] {
            let mut patch = first.clone();
            assert!(!compose(&mut patch, &json!({"a": {"b": 1}})), "{first}");
            assert_eq!(patch, first);
        }
        let mut patch = json!({"deep": {"a": null}});
        assert!(!compose(&mut patch, &json!({"other": 1, "deep": {"a": {}}})));
        assert_eq!(patch, json!({"deep": {"a": null}}));
    }
}
