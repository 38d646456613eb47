//! `hotshoe repo add`: a file becomes a target, signed by whoever is in charge of its name.
//!
//! The file is copied before the list that names it is written, and no device sees that list before `publish`. A name
//! never changes its content: a device may be reading it.

mod file;

use std::{num::NonZeroU64, path::Path};

use hotshoe_core::target;
use serde_json::json;
use tough::schema::{Delegations, RoleKeys, RoleType, Root, Signed, Target, Targets};

use self::file::{Facts, digests};
use super::{
    Desk, YEAR, keys, publish, sign,
    store::{SPECIFICATION, Store, delegation, delegations},
};
use crate::{
    args::Add,
    failure::{Exit, Failure},
    files,
};

pub(super) fn run(desk: &Desk<'_>, add: &Add) -> Result<(), Failure> {
    let store = Store::open(&add.place)?;
    let Facts { name, custom } = file::facts(add)?;
    let wrong = |error: target::TargetError| Failure::new(Exit::Data, error.to_string());
    custom.check().map_err(wrong)?;
    target::check(&name, &custom).map_err(wrong)?;
    let (mut target, blake3) = digests(&add.file)?;
    let custom = target::Custom { digests: vec![blake3], ..custom };
    target.custom = custom.members().into_iter().collect();

    let root = store.root()?.signed;
    let list = List::open(&store, &root, &add.role)?;
    let key = tough::TargetName::new(name.to_string())
        .map_err(|error| Failure::new(Exit::Data, format!("{name} cannot be a target: {error}")))?;
    list.check_path(&key)?;
    let unchanged = known(&store, &root, &list, &key, &target)?;
    let place = store.target(&name);
    put(&add.file, &place, &target)?;
    let version = if unchanged {
        list.targets.version
    } else {
        let mut targets = list.targets.clone();
        targets.targets.insert(key, target.clone());
        list.write(&store, desk, targets, &keys::load_all(&store.keys, &add.signers.key)?)?
    };
    let lines = [
        if unchanged {
            format!("{name} is in the list of {} already, with the same bytes", add.role)
        } else {
            format!("added {name}, {} bytes, signed by {}", target.length, add.role)
        },
        "devices see it after: hotshoe repo publish".to_owned(),
    ];
    desk.told(
        &lines,
        json!({
            "target": name.to_string(), "file": place, "length": target.length,
            "sha256": target.hashes.sha256, "custom": custom, "role": add.role, "version": version,
            "added": !unchanged,
        }),
    )
}

/// The list of targets of a role, and who may sign it.
pub(super) struct List {
    pub(super) role: String,
    pub(super) targets: Targets,
    holder: RoleKeys,
    /// The role's own delegation, where it is not the outermost list.
    delegation: Option<Delegations>,
}

impl List {
    /// The newest list of a role; an empty one for a delegated role that has signed nothing yet.
    pub(super) fn open(store: &Store, root: &Root, role: &str) -> Result<Self, Failure> {
        let outermost = store.targets(root)?.signed;
        if role == "targets" {
            let holder = publish::holder(root, RoleType::Targets)?.clone();
            return Ok(List { role: role.to_owned(), targets: outermost, holder, delegation: None });
        }
        let all = delegations(&outermost);
        delegation(&all, role)?;
        let targets = store.delegated(&all, role)?;
        List::of_role(&outermost, role, targets)
    }

    /// The newest list of a role whoever signed it: for signing it anew with a key that has taken another's place. The
    /// second value says whether its present keys did sign it.
    pub(super) fn unproven(store: &Store, root: &Root, role: &str) -> Result<(Self, bool), Failure> {
        let outermost = store.targets(root)?.signed;
        if role == "targets" || store.delegated(&delegations(&outermost), role).is_ok() {
            return Ok((List::open(store, root, role)?, true));
        }
        Ok((List::of_role(&outermost, role, store.unproven(role)?)?, false))
    }

    fn of_role(outermost: &Targets, role: &str, targets: Option<Signed<Targets>>) -> Result<Self, Failure> {
        let all = delegations(outermost);
        let delegated = delegation(&all, role)?.clone();
        let targets = targets.map_or_else(
            || {
                let mut empty = Targets::new(SPECIFICATION.to_owned(), NonZeroU64::MIN, outermost.expires);
                empty.delegations = None;
                empty
            },
            |targets| targets.signed,
        );
        let holder = delegated.keys();
        let delegation = Some(Delegations { keys: all.keys, roles: vec![delegated] });
        Ok(List { role: role.to_owned(), targets, holder, delegation })
    }

    /// Refuses a name outside of what was delegated.
    fn check_path(&self, name: &tough::TargetName) -> Result<(), Failure> {
        let Some(delegation) = self.delegation.as_ref().filter(|it| !it.target_is_delegated(name)) else {
            return Ok(());
        };
        let paths =
            delegation.roles.first().map(|role| super::delegate::paths(&role.paths)).unwrap_or_default();
        let text = format!("{} may sign {paths}; {} is outside of that", self.role, name.raw());
        Err(Failure::new(Exit::NoPermission, text)
            .hint("the operator of the repository widens it: hotshoe repo delegate"))
    }

    /// Signs the next version of the list and writes it; no device sees it yet.
    pub(super) fn write(
        &self,
        store: &Store,
        desk: &Desk<'_>,
        mut targets: Targets,
        signers: &[keys::Signer],
    ) -> Result<NonZeroU64, Failure> {
        let version = store.next(&self.role);
        targets.version = version;
        targets.expires = desk.in_days(YEAR)?;
        let what = format!("the list of {}", self.role);
        let signed = sign::sign(targets, &what, &[&self.holder], signers)?;
        store.write(&format!("{version}.{}.json", self.role), version, &signed)?;
        Ok(version)
    }
}

/// Whether this role has the very target already; refuses a name that stands for other bytes, in whatever role.
fn known(
    store: &Store,
    root: &Root,
    list: &List,
    name: &tough::TargetName,
    target: &Target,
) -> Result<bool, Failure> {
    let outermost = store.targets(root)?.signed;
    let all = delegations(&outermost);
    let mut lists = vec![("targets".to_owned(), Some(outermost))];
    for role in &all.roles {
        lists.push((role.name.clone(), store.delegated(&all, &role.name).ok().flatten().map(|it| it.signed)));
    }
    for (role, targets) in lists {
        let Some(found) = targets.as_ref().and_then(|targets| targets.targets.get(name)) else { continue };
        if found.hashes.sha256 != target.hashes.sha256 {
            return Err(taken(name.raw(), &format!("the list of {role}")));
        }
        if role == list.role && found.custom == target.custom {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies the file to its place; one that lies there already must have the same bytes.
fn put(file: &Path, place: &Path, target: &Target) -> Result<(), Failure> {
    if place.exists() {
        let (found, _) = digests(place)?;
        if found.hashes.sha256 != target.hashes.sha256 {
            return Err(taken(&place.display().to_string(), "the directory"));
        }
        return Ok(());
    }
    files::copy(file, place)?;
    let (copied, _) = digests(place)?;
    if copied.hashes.sha256 != target.hashes.sha256 {
        let text = format!("{} changed while it was copied", file.display());
        return Err(
            Failure::new(Exit::TempFail, text).hint("add it again when it is whole; it is not in the list")
        );
    }
    Ok(())
}

fn taken(name: &str, place: &str) -> Failure {
    let text = format!("{name} stands in {place} already, with other bytes");
    Failure::new(Exit::Data, text)
        .hint("a name never changes its content: raise the version, or choose another --path")
}
