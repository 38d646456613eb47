//! What a repository says of a target: its name, the member `custom`, and the prefixes that keys are bound to.

use hotshoe_core::target::{Custom, DelegatedPath, TargetName, check};
use serde_json::Value;

use crate::pieces::sections;

/// A target's name or prefix, and its `custom`.
pub(super) fn run(data: &[u8]) {
    let Some(mut texts) = sections(data) else { return };
    let name = texts.next().unwrap_or_default();
    if let Ok(path) = name.parse::<DelegatedPath>() {
        assert_eq!(path.to_string(), name);
        assert!(path.patterns().iter().all(|pattern| pattern.starts_with(name)));
    }
    let name = name.parse::<TargetName>();
    if let Ok(name) = &name {
        let written = name.to_string();
        assert_eq!(written.parse::<TargetName>().as_ref(), Ok(name));
        assert!(!written.contains("..") || !written.split('/').any(|part| part == ".."), "{written}");
    }
    let Some(Ok(Value::Object(members))) = texts.next().map(serde_json::from_str) else { return };
    let Ok(custom) = Custom::from_members(members) else { return };
    assert_eq!(Custom::from_members(custom.members()).as_ref(), Ok(&custom), "what was read is written");
    if let Ok(name) = &name
        && check(name, &custom).is_ok()
    {
        assert_eq!(name.kind(), custom.kind);
    }
}
