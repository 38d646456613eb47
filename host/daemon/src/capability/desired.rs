//! `desired`: the plugin's section of the desired properties, as last seen.

use serde_json::Value;

use super::Context;
use super::bindings::hotshoe::plugin::desired;
use super::bindings::hotshoe::plugin::types::Document;

impl desired::Host for Context {
    async fn current(&mut self) -> wasmtime::Result<Option<Document>> {
        self.entered("desired.current");
        let Some(section) = &self.tenant.desired else { return Ok(None) };
        let Some((version, document)) = self.services.desired.current() else { return Ok(None) };
        Ok(Some(Document { version, properties: own(&document, section).to_string() }))
    }
}

/// The section as a plugin sees it: an object, empty where the hub has none, without the hub's own keys.
fn own(document: &Value, section: &str) -> Value {
    let mut members = document.get(section).and_then(Value::as_object).cloned().unwrap_or_default();
    members.retain(|key, _| !key.starts_with('$'));
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::own;

    #[test]
    fn a_plugin_sees_its_own_section_and_an_object_always() {
        let document = json!({"firmware": {"url": "x", "$version": 3}, "other": {"secret": 1}, "odd": 7});
        assert_eq!(own(&document, "firmware"), json!({"url": "x"}));
        assert_eq!(own(&document, "odd"), json!({}));
        assert_eq!(own(&document, "missing"), json!({}));
    }
}
