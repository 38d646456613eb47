//! `hotshoe repo refresh`: for a timer. What would expire is signed anew, and nothing else becomes visible by it.

use serde_json::json;
use tough::schema::Role as _;

use super::{
    Desk,
    add::List,
    keys, publish,
    store::{Store, delegations},
};
use crate::{
    args::Refresh,
    failure::{Exit, Failure},
};

/// How many days before its end a list or the root is spoken of: others have its key.
const NOTICE: u16 = 30;

pub(super) fn run(desk: &Desk<'_>, refresh: &Refresh) -> Result<(), Failure> {
    let store = Store::open(&refresh.place)?;
    let signers = keys::load_all(&store.keys, &refresh.signers.key)?;
    let root = store.root()?.signed;
    if let Some(role) = &refresh.role {
        let (list, proven) = List::unproven(&store, &root, role)?;
        if !proven {
            let text = format!(
                "the newest list of {role} was not signed by its present keys: look at it before you publish"
            );
            desk.output.note(&text);
        }
        let version = list.write(&store, desk, list.targets.clone(), &signers)?;
        let lines = [
            format!("signed the list of {role} anew, version {version}"),
            "devices see it after: hotshoe repo publish".to_owned(),
        ];
        return desk.told(&lines, json!({ "role": role, "version": version }));
    }
    let Some(published) = store.published()? else {
        let text = format!("{} was never published", store.directory.display());
        return Err(Failure::new(Exit::NoInput, text).hint("hotshoe repo publish"));
    };
    notice(desk, &store)?;
    let first = published.timestamp.expires.min(published.snapshot.expires);
    if first > desk.in_days(refresh.within)? {
        let lines = [format!("nothing to do: snapshot and timestamp hold until {first}")];
        return desk.told(&lines, json!({ "refreshed": false, "expires": first.to_string() }));
    }
    let expires = desk.in_days(refresh.days)?;
    let meta = published.snapshot.meta;
    publish::seal(&store, desk, &root, &signers, meta, expires)?.tell(desk, "signed anew")
}

/// Says which of the roles with other keys end soon.
fn notice(desk: &Desk<'_>, store: &Store) -> Result<(), Failure> {
    let soon = desk.in_days(NOTICE)?;
    let root = store.root()?.signed;
    let targets = store.targets(&root)?.signed;
    let mut ends = vec![
        ("the root".to_owned(), root.expires(), "hotshoe repo rotate-root --renew".to_owned()),
        (
            "the list of targets".to_owned(),
            targets.expires(),
            "hotshoe repo refresh --role targets".to_owned(),
        ),
    ];
    let all = delegations(&targets);
    for role in &all.roles {
        if let Ok(Some(list)) = store.delegated(&all, &role.name) {
            let cure = format!("hotshoe repo refresh --role {} --key KEY", role.name);
            ends.push((format!("the list of {}", role.name), list.signed.expires(), cure));
        }
    }
    for (what, end, cure) in ends.iter().filter(|(_, end, _)| *end < soon) {
        desk.output.note(&format!("{what} ends at {end}: {cure}"));
    }
    Ok(())
}
