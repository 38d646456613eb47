//! `hotshoe repo rotate-root`: the next root, signed by the old one's keys and by its own.
//!
//! Devices walk from the root they trust to the newest, one version at a time, so every root stays where it is. The new
//! key is written before the root that names it: broken off between, there is a key that nobody uses.

use serde_json::json;
use tough::schema::RoleType;

use super::{
    Desk, YEAR,
    keys::{self, Signer},
    publish, sign,
    store::Store,
};
use crate::{
    args::RotateRoot,
    failure::{Exit, Failure},
};

pub(super) fn run(desk: &Desk<'_>, rotate: &RotateRoot) -> Result<(), Failure> {
    let store = Store::open(&rotate.place)?;
    let mut signers = keys::load_all(&store.keys, &rotate.signers.key)?;
    let mut root = store.root()?.signed;
    let old = publish::holder(&root, RoleType::Root)?.clone();
    root.version = sign::next(root.version);
    root.expires = desk.in_days(YEAR)?;
    let mut made = None;
    if let Some(name) = &rotate.replace {
        let (retired, _) = keys::load_public(&keys::public_file(&store.keys.join(format!("{name}.pem"))))?;
        if !old.keyids.contains(&retired) {
            let text = format!("{name} is none of the root keys {}", shorts(&old.keyids));
            return Err(Failure::new(Exit::Usage, text));
        }
        // Whether the old root's keys suffice is told before a new key is made.
        sign::sign(root.clone(), "the root", &[&old], &signers)?;
        let file = (1..=u16::MAX)
            .map(|number| store.keys.join(format!("root-{number}.pem")))
            .find(|file| !file.exists() && !keys::public_file(file).exists())
            .ok_or_else(|| Failure::new(Exit::CantCreate, "there is no name left for a root key"))?;
        let fresh = Signer::generate(&file)?;
        let shared =
            root.roles.iter().any(|(role, it)| *role != RoleType::Root && it.keyids.contains(&retired));
        if !shared {
            root.keys.remove(&retired);
        }
        root.keys.insert(fresh.id.clone(), fresh.public.clone());
        if let Some(holder) = root.roles.get_mut(&RoleType::Root) {
            for id in holder.keyids.iter_mut().filter(|id| **id == retired) {
                *id = fresh.id.clone();
            }
        }
        signers.push(fresh);
        made = Some(file);
    }
    let version = root.version;
    let new = publish::holder(&root, RoleType::Root)?.clone();
    let root = sign::sign(root, "the root", &[&old, &new], &signers)?;
    let file = format!("{version}.root.json");
    store.write(&file, version, &root)?;

    let mut lines = vec![format!("signed root {version}; it holds until {}", root.signed.expires)];
    if let (Some(name), Some(made)) = (&rotate.replace, &made) {
        lines.push(format!("{name} counts no more; {} takes its place", made.display()));
        lines.push(format!(
            "destroy {}/{name}.pem, and take the new key off this machine",
            store.keys.display()
        ));
    }
    lines.push("devices that trust an older root follow by themselves".to_owned());
    desk.told(
        &lines,
        json!({"root": store.metadata(&file), "version": version, "replaced": rotate.replace, "newKey": made}),
    )
}

fn shorts(ids: &[keys::KeyId]) -> String {
    ids.iter().map(keys::short).collect::<Vec<_>>().join(", ")
}
