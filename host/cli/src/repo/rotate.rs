//! `hotshoe repo rotate-root`: the next root, signed by the old one's keys and by its own.
//!
//! Devices walk from the root they trust to the newest, one version at a time, so every root stays where it is. The new
//! key is written before the root that names it: broken off between, there is a key that nobody uses.
//!
//! What devices see now and the replaced key signed (targets, snapshot, timestamp) is signed by the new one right after
//! the root is written, and nothing else becomes visible by it. Broken off between, devices refuse the repository until
//! it was signed anew: `hotshoe repo refresh --role targets`, `hotshoe repo publish`.

use std::path::{Path, PathBuf};

use serde_json::json;
use tough::schema::{RoleType, Root};

use super::{
    Desk, YEAR,
    add::List,
    keys::{self, KeyId, Signer},
    publish, sign,
    store::{Published, Store},
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
    let (mut made, mut stale) = (None, None);
    if let Some(name) = &rotate.replace {
        let (retired, _) = keys::load_public(&keys::public_file(&store.keys.join(format!("{name}.pem"))))?;
        let roles = roles_of(&root, &retired, name)?;
        // Which keys are missing is told before a new one is made.
        sign::suffice("the root", &old, &signers)?;
        stale = Stale::of(&store, &root, &roles, &signers)?;
        let file = free(&store.keys, name)?;
        let fresh = Signer::generate(&file)?;
        root.keys.remove(&retired);
        root.keys.insert(fresh.id.clone(), fresh.public.clone());
        for id in root.roles.values_mut().flat_map(|holder| &mut holder.keyids).filter(|id| **id == retired) {
            *id = fresh.id.clone();
        }
        signers.push(fresh);
        made = Some(file);
    }
    let version = sign::next(root.version);
    (root.version, root.expires) = (version, desk.in_days(YEAR)?);
    let new = publish::holder(&root, RoleType::Root)?.clone();
    let signed = sign::sign(root.clone(), "the root", &[&old, &new], &signers)?;
    let file = format!("{version}.root.json");
    store.write(&file, version, &signed)?;

    let mut lines = vec![format!("signed root {version}; it holds until {}", root.expires)];
    if let Some(stale) = stale {
        let seen = stale.sign(&store, desk, &root, &signers)?;
        lines.push(format!("signed what devices see anew; it holds until {} as before", seen.expires));
    }
    if let (Some(name), Some(made)) = (&rotate.replace, &made) {
        lines.push(format!("{name} counts no more; {} takes its place", made.display()));
        lines.push(format!("destroy {}/{name}.pem", store.keys.display()));
        if old.keyids != new.keyids {
            lines.push(format!("take {} off this machine", made.display()));
        }
    }
    lines.push("devices that trust an older root follow by themselves".to_owned());
    desk.told(
        &lines,
        json!({"root": store.metadata(&file), "version": version, "replaced": rotate.replace, "newKey": made}),
    )
}

/// What devices see and the replaced key signed.
struct Stale {
    published: Published,
    targets: bool,
}

impl Stale {
    /// None where the key signs roots alone, or nothing was published yet. Refuses where a key for the rest is missing,
    /// and where signing the list of targets anew would show devices what was not published.
    fn of(
        store: &Store,
        root: &Root,
        roles: &[RoleType],
        signers: &[Signer],
    ) -> Result<Option<Self>, Failure> {
        let Some(published) = store.published()?.filter(|_| roles.iter().any(|role| *role != RoleType::Root))
        else {
            return Ok(None);
        };
        for (role, what) in [(RoleType::Snapshot, "the snapshot"), (RoleType::Timestamp, "the timestamp")] {
            if !roles.contains(&role) {
                sign::suffice(what, publish::holder(root, role)?, signers)?;
            }
        }
        let targets = roles.contains(&RoleType::Targets);
        let seen = published.snapshot.meta.get("targets.json").map(|meta| meta.version);
        if targets && seen != store.version("targets") {
            let text = "the list of targets has changes that devices do not see yet, and they would see them";
            return Err(Failure::new(Exit::TempFail, text).hint("hotshoe repo publish, then this again"));
        }
        Ok(Some(Stale { published, targets }))
    }

    fn sign(
        self,
        store: &Store,
        desk: &Desk<'_>,
        root: &Root,
        signers: &[Signer],
    ) -> Result<publish::Published, Failure> {
        let mut meta = self.published.snapshot.meta;
        if self.targets {
            let (list, _) = List::unproven(store, root, "targets")?;
            let version = list.write(store, desk, list.targets.clone(), signers)?;
            meta.insert("targets.json".to_owned(), store.metafile("targets", version)?);
        }
        publish::seal(store, desk, root, signers, meta, self.published.timestamp.expires)
    }
}

/// The roles that a key signs for.
fn roles_of(root: &Root, key: &KeyId, name: &str) -> Result<Vec<RoleType>, Failure> {
    let roles: Vec<RoleType> =
        root.roles.iter().filter(|(_, holder)| holder.keyids.contains(key)).map(|(role, _)| *role).collect();
    if roles.is_empty() {
        let known: Vec<String> = root.keys.keys().map(keys::short).collect();
        let text = format!("{name}, {}, is none of the root's keys {}", keys::short(key), known.join(", "));
        return Err(Failure::new(Exit::Usage, text).hint(
            "a vendor's key is replaced by delegating to the new one: hotshoe repo delegate ROLE --key KEY.pub",
        ));
    }
    Ok(roles)
}

/// A name for the key that takes another's place: root-4 for root-1, snapshot-1 for snapshot.
fn free(keys: &Path, name: &str) -> Result<PathBuf, Failure> {
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches('-');
    (1..=u16::MAX)
        .map(|number| keys.join(format!("{stem}-{number}.pem")))
        .find(|file| !file.exists() && !keys::public_file(file).exists())
        .ok_or_else(|| Failure::new(Exit::CantCreate, format!("there is no name left for a key {stem}-N")))
}
