//! `hotshoe twin set` and `tags`: a patch out of single paths.

use serde_json::{Map, Value};

use super::{
    leaves::leaves,
    patch::{body, checked, send},
};
use crate::{
    args::{Set, Tags},
    context::Context,
    failure::{Exit, Failure},
    output::Table,
};

pub(super) async fn run(context: &Context<'_>, set: &Set) -> Result<(), Failure> {
    let (mut tags, mut desired) = (None, None);
    for text in &set.values {
        let (path, value) = pair(text)?;
        let (part, rest) = path.split_once('.').unwrap_or((path, ""));
        let section = match part {
            "tags" => &mut tags,
            "desired" => &mut desired,
            _ => {
                let hint = "reported properties are the device's own; only desired. and tags. can be set";
                return Err(wrong(text, "the path begins with neither `desired.` nor `tags.`").hint(hint));
            }
        };
        put(section.get_or_insert_with(Map::new), rest, value).map_err(|reason| wrong(text, reason))?;
    }
    let tags = tags.map(|tags| checked(Value::Object(tags), "the tags")).transpose()?;
    let desired =
        desired.map(|desired| checked(Value::Object(desired), "the desired properties")).transpose()?;
    send(context, set.of.of(), body(tags, desired), set.if_match.as_deref()).await
}

pub(super) async fn tags(context: &Context<'_>, tags: &Tags) -> Result<(), Failure> {
    if tags.values.is_empty() {
        return show(context, tags).await;
    }
    let mut section = Map::new();
    for text in &tags.values {
        let (path, value) = pair(text)?;
        put(&mut section, path, value).map_err(|reason| wrong(text, reason))?;
    }
    let section = checked(Value::Object(section), "the tags")?;
    send(context, tags.of.of(), body(Some(section), None), tags.if_match.as_deref()).await
}

async fn show(context: &Context<'_>, tags: &Tags) -> Result<(), Failure> {
    let twin = context.hub.twin(tags.of.of()).await?;
    let tags = twin.get("tags").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    if context.output.json() {
        return context.output.document(&tags);
    }
    let mut table = Table::plain(0);
    for (path, value) in leaves(&tags) {
        table.row([&path, &value.to_string()]);
    }
    context.output.table(&table)
}

/// The path and the value: JSON, or else the text itself.
fn pair(text: &str) -> Result<(&str, Value), Failure> {
    let (path, value) = text.split_once('=').ok_or_else(|| wrong(text, "there is no `=`"))?;
    Ok((path, serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
}

/// Puts a value at a dotted path; two values may not stand at one place.
fn put(section: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), &'static str> {
    let (key, rest) = match path.split_once('.') {
        Some((key, rest)) => (key, Some(rest)),
        None => (path, None),
    };
    if key.is_empty() {
        return Err("the path has an empty part");
    }
    match (rest, section.get_mut(key)) {
        (None, None) => drop(section.insert(key.to_owned(), value)),
        (Some(rest), None) => {
            let mut below = Map::new();
            put(&mut below, rest, value)?;
            section.insert(key.to_owned(), Value::Object(below));
        }
        (Some(rest), Some(Value::Object(below))) => put(below, rest, value)?,
        _ => return Err("it is set twice"),
    }
    Ok(())
}

fn wrong(text: &str, reason: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{text}: {reason}"))
        .hint("such as desired.interval=30 or tags.plant=Redmond43")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_become_one_patch() {
        let mut section = Map::new();
        for text in ["a.b=1", "a.c=x y", "d=null", "e={\"f\": [true]}", "g=a=b", "h=\"2.1\"", "i="] {
            let (path, value) = pair(text).unwrap();
            put(&mut section, path, value).unwrap();
        }
        assert_eq!(
            Value::Object(section.clone()),
            json!({"a": {"b": 1, "c": "x y"}, "d": null, "e": {"f": [true]}, "g": "a=b", "h": "2.1", "i": ""})
        );
        for path in ["a", "a.b", "a.b.c", "d.e", "", "x..y", "x."] {
            assert!(put(&mut section, path, json!(1)).is_err(), "{path}");
        }
        assert!(pair("a.b").is_err());
    }
}
