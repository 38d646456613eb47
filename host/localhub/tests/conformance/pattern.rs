//! Comparing what came with what is expected.

use std::collections::HashMap;

use serde_json::Value;

/// A text with `<?>` for anything and `<?name>` for anything to keep. What is kept ends at the text that follows.
pub(crate) fn text(pattern: &str, found: &str, kept: &mut HashMap<String, String>) -> Result<(), String> {
    let wrong = || format!("expected {pattern}\n    but found {found}");
    let (mut pattern_rest, mut rest) = (pattern, found);
    while let Some((before, after)) = pattern_rest.split_once("<?") {
        rest = rest.strip_prefix(before).ok_or_else(wrong)?;
        let (name, after) = after.split_once('>').ok_or_else(|| format!("{pattern} has an open <?"))?;
        let until = after.split("<?").next().unwrap_or_default();
        let taken = if until.is_empty() { Some(rest.len()) } else { rest.find(until) };
        let (value, remains) = rest.split_at(taken.ok_or_else(wrong)?);
        if !name.is_empty() {
            kept.insert(name.to_owned(), value.to_owned());
        }
        (pattern_rest, rest) = (after, remains);
    }
    if pattern_rest == rest { Ok(()) } else { Err(wrong()) }
}

/// A body: `~part`, `text:whole`, or a JSON pattern; nothing stands for anything.
pub(crate) fn body(pattern: &str, found: &str, kept: &mut HashMap<String, String>) -> Result<(), String> {
    if pattern.is_empty() {
        return Ok(());
    }
    if let Some(part) = pattern.strip_prefix('~') {
        return if found.contains(part) { Ok(()) } else { Err(format!("{part} is not in {found}")) };
    }
    if let Some(whole) = pattern.strip_prefix("text:") {
        return text(whole, found, kept);
    }
    let wanted: Value = serde_json::from_str(pattern).map_err(|error| format!("{pattern}: {error}"))?;
    let value: Value = serde_json::from_str(found).map_err(|_| format!("{found:?} is not JSON"))?;
    json(&wanted, &value, "$", kept)
}

fn json(wanted: &Value, found: &Value, at: &str, kept: &mut HashMap<String, String>) -> Result<(), String> {
    match (wanted, found) {
        (Value::String(pattern), _) if pattern == "<any>" => Ok(()),
        (Value::String(pattern), Value::String(value)) => {
            text(pattern, value, kept).map_err(|error| format!("{at}: {error}"))
        }
        (Value::String(pattern), value) if pattern.starts_with("<?") && !value.is_object() => {
            text(pattern, &value.to_string(), kept).map_err(|error| format!("{at}: {error}"))
        }
        (Value::Object(wanted), Value::Object(members)) => {
            for (key, wanted) in wanted {
                let at = format!("{at}.{key}");
                match (wanted.as_str(), members.get(key)) {
                    (Some("<absent>"), None) => {}
                    (Some("<absent>"), Some(value)) => return Err(format!("{at} is there: {value}")),
                    (_, None) => return Err(format!("{at} is not there: {found}")),
                    (_, Some(value)) => json(wanted, value, &at, kept)?,
                }
            }
            Ok(())
        }
        (Value::Array(wanted), Value::Array(values)) => {
            if wanted.len() != values.len() {
                return Err(format!("{at} has {} entries, not {}: {found}", values.len(), wanted.len()));
            }
            let mut pairs = wanted.iter().zip(values).enumerate();
            pairs
                .try_for_each(|(index, (wanted, value))| json(wanted, value, &format!("{at}[{index}]"), kept))
        }
        _ if wanted == found => Ok(()),
        _ => Err(format!("{at}: expected {wanted}, found {found}")),
    }
}

/// IoT Hub's error forms: `A:Name` or `B:code:Name`, with the header beside them.
pub(crate) fn form(form: &str, header: Option<&str>, found: &str) -> Result<(), String> {
    let body: Value = serde_json::from_str(found).map_err(|_| format!("{found:?} is not JSON"))?;
    let message = body["Message"].as_str().ok_or_else(|| format!("no Message in {found}"))?;
    let name = form.rsplit(':').next().unwrap_or_default();
    if header != Some(name) {
        return Err(format!("iothub-errorcode is {header:?}, not {name}: {found}"));
    }
    match form.split(':').collect::<Vec<_>>().as_slice() {
        ["A", name] => {
            let begins = message.starts_with(&format!("ErrorCode:{name};"));
            let tracking =
                body["ExceptionMessage"].as_str().is_some_and(|text| text.starts_with("Tracking ID:"));
            (begins && tracking).then_some(()).ok_or_else(|| format!("not form A of {name}: {found}"))
        }
        ["B", code, _] => {
            let inner: Value = serde_json::from_str(message).map_err(|_| format!("not form B: {found}"))?;
            let whole = inner["errorCode"].as_u64() == code.parse().ok()
                && ["trackingId", "message", "timestampUtc"].iter().all(|key| inner[*key].is_string())
                && inner["info"].is_object()
                && body["ExceptionMessage"] == "";
            whole.then_some(()).ok_or_else(|| format!("not form B of {code}: {found}"))
        }
        _ => Err(format!("there is no form {form}")),
    }
}
