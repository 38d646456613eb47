//! `hotshoe repo delegate`: a vendor's key, limited to the beginnings of names.
//!
//! A delegation is terminating: what a vendor's prefix covers comes from that vendor or from the operator, never from
//! another vendor whose prefix overlaps.

use std::collections::HashMap;

use serde_json::json;
use tough::schema::{DelegatedRole, PathPattern, PathSet};

use super::{
    Desk,
    add::List,
    keys,
    store::{Store, delegation},
};
use crate::{
    args::Delegate,
    failure::{Exit, Failure},
};

pub(super) fn run(desk: &Desk<'_>, delegate: &Delegate) -> Result<(), Failure> {
    let store = Store::open(&delegate.place)?;
    let root = store.root()?.signed;
    let list = List::open(&store, &root, "targets")?;
    let mut targets = list.targets.clone();
    let mut delegations = targets.delegations.take().unwrap_or_default();
    let name = &delegate.name;
    let before = delegations.roles.iter().position(|role| role.name == *name);
    if delegate.remove {
        delegation(&delegations, name)?;
        delegations.roles.retain(|role| role.name != *name);
    } else {
        let role = role(delegate, &mut delegations.keys)?;
        match before.and_then(|index| delegations.roles.get_mut(index)) {
            Some(older) => *older = role,
            None => delegations.roles.push(role),
        }
    }
    // Keys that no role has any more.
    let roles = &delegations.roles;
    delegations.keys.retain(|id, _| roles.iter().any(|role| role.keyids.contains(id)));
    targets.delegations = Some(delegations);
    let version = list.write(&store, desk, targets, &keys::load_all(&store.keys, &[])?)?;

    let shown: Vec<String> = delegate.paths.iter().map(ToString::to_string).collect();
    let lines = if delegate.remove {
        vec![
            format!("took {name} back, and all that it signed"),
            "devices see it after: hotshoe repo publish".to_owned(),
        ]
    } else {
        vec![
            format!("{name} may sign {}", shown.join(", ")),
            format!(
                "they sign with: hotshoe repo add FILE --role {name} --key KEY; then: hotshoe repo publish"
            ),
        ]
    };
    desk.told(&lines, json!({ "role": name, "paths": shown, "removed": delegate.remove, "version": version }))
}

fn role(
    delegate: &Delegate,
    known: &mut HashMap<keys::KeyId, tough::schema::key::Key>,
) -> Result<DelegatedRole, Failure> {
    let mut keyids = Vec::new();
    for file in &delegate.key {
        let (id, key) = keys::load_public(file)?;
        if !keyids.contains(&id) {
            keyids.push(id.clone());
        }
        known.insert(id, key);
    }
    if (keyids.len() as u64) < delegate.threshold.get() {
        let text = format!("{} of {} keys can never sign", delegate.threshold, keyids.len());
        return Err(
            Failure::new(Exit::Usage, text).hint("give as many different --key as --threshold asks for")
        );
    }
    let patterns: Result<Vec<PathPattern>, _> =
        delegate.paths.iter().flat_map(|path| path.patterns()).map(PathPattern::new).collect();
    let patterns = patterns.map_err(|error| Failure::new(Exit::Usage, format!("not a path: {error}")))?;
    Ok(DelegatedRole {
        name: delegate.name.clone(),
        keyids,
        threshold: delegate.threshold,
        paths: PathSet::Paths(patterns),
        terminating: true,
        targets: None,
    })
}

/// What a role may sign, in words.
pub(super) fn paths(paths: &PathSet) -> String {
    match paths {
        PathSet::Paths(patterns) => {
            let patterns: Vec<&str> = patterns.iter().map(PathPattern::value).collect();
            patterns.join(", ")
        }
        PathSet::PathHashPrefixes(_) => "names whose hash begins as agreed".to_owned(),
    }
}
