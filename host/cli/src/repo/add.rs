//! `hotshoe repo add`: a file becomes a target, signed by whoever is in charge of its name.
//!
//! The file is copied, and what belongs beside an image written, before the list that names it is written, and no device sees that list before `publish`. A name
//! never changes its content: a device may be reading it.

mod beside;
mod file;
mod reading;

use std::{fs::File, io::Read as _, num::NonZeroU64, path::Path};

use hotshoe_core::target::{self, Custom, Kind, TargetName};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tough::schema::{Delegations, RoleKeys, RoleType, Root, Signed, Target, Targets};

use self::{file::Facts, reading::Reading};
use super::{
    Desk, YEAR, keys, publish, sign,
    store::{SPECIFICATION, Store, delegation, delegations},
};
use crate::{
    args::Add,
    failure::{Exit, Failure},
    files::{self, Draft},
    output::Bar,
};

pub(super) fn run(desk: &Desk<'_>, add: &Add) -> Result<(), Failure> {
    let store = Store::open(&add.place)?;
    let Facts { name, mut custom } = file::facts(add)?;
    let bar = Bar::new(desk.output, "reading", add.file.metadata().map_or(0, |metadata| metadata.len()));
    let Reading { mut target, blake3, outboard } = reading::read(&add.file, &bar)?;
    drop(bar);
    custom.digests = vec![blake3];
    check(&name, &custom)?;

    let root = store.root()?.signed;
    let list = List::open(&store, &root, &add.role)?;
    let key = tough::TargetName::new(name.to_string())
        .map_err(|error| Failure::new(Exit::Data, format!("{name} cannot be a target: {error}")))?;
    list.check_path(&key)?;
    let known = known(&store, &root, &list, &name, &target)?;
    let place = store.target(&name);
    put(desk, &add.file, &place, &target)?;
    let beside = Beside::put(desk, add, &mut custom, &place, &outboard)?;
    check(&name, &custom)?;
    target.custom = custom.members().into_iter().collect();
    let unchanged = known.is_some_and(|known| known.custom == target.custom);
    let version = if unchanged {
        list.targets.version
    } else {
        let mut targets = list.targets.clone();
        targets.targets.insert(key, target.clone());
        list.write(&store, desk, targets, &keys::load_all(&store.keys, &add.signers.key)?)?
    };
    let mut lines = vec![if unchanged {
        format!("{name} is in the list of {} already, with the same bytes", add.role)
    } else {
        format!("added {name}, {} bytes, signed by {}", target.length, add.role)
    }];
    lines.extend(beside.lines());
    lines.push("devices see it after: hotshoe repo publish".to_owned());
    desk.told(
        &lines,
        json!({
            "target": name.to_string(), "file": place, "length": target.length,
            "sha256": target.hashes.sha256, "custom": custom, "role": add.role, "version": version,
            "added": !unchanged, "outboard": beside.outboard, "zstd": beside.zstd,
        }),
    )
}

fn check(name: &TargetName, custom: &Custom) -> Result<(), Failure> {
    let wrong = |error: target::TargetError| Failure::new(Exit::Data, error.to_string());
    custom.check().map_err(wrong)?;
    target::check(name, custom).map_err(wrong)
}

/// The files beside an image, by their bytes.
#[derive(Default)]
struct Beside {
    outboard: Option<u64>,
    zstd: Option<u64>,
}

impl Beside {
    /// Writes what belongs beside an image, and says in `custom` what is there. Beside a plugin there is nothing.
    fn put(
        desk: &Desk<'_>,
        add: &Add,
        custom: &mut Custom,
        image: &Path,
        outboard: &[u8],
    ) -> Result<Self, Failure> {
        let mut beside = Beside::default();
        if custom.kind != Kind::Firmware {
            return Ok(beside);
        }
        if !add.no_outboard {
            beside::outboard(image, outboard)?;
            beside.outboard = Some(outboard.len() as u64);
        }
        if let Some(level) = add.zstd {
            beside.zstd = beside::zstd(desk.output, image, level)?;
            if beside.zstd.is_none() {
                desk.output.note("the image does not get smaller by compression; it stands there as it is");
            }
        }
        (custom.outboard, custom.zstd) = (beside.outboard.is_some(), beside.zstd.is_some());
        Ok(beside)
    }

    fn lines(&self) -> Vec<String> {
        let line = |what: &str, bytes: Option<u64>| Some(format!("beside it {what}, {} bytes", bytes?));
        [line("its hash tree", self.outboard), line("a compressed copy", self.zstd)]
            .into_iter()
            .flatten()
            .collect()
    }
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
            return List::outermost(root, outermost);
        }
        let all = delegations(&outermost);
        delegation(&all, role)?;
        let targets = store.delegated(&all, role)?;
        List::of_role(&outermost, role, targets)
    }

    /// The newest list of a role whoever signed it: for signing it anew with a key that has taken another's place. The
    /// second value says whether its present keys did sign it.
    pub(super) fn unproven(store: &Store, root: &Root, role: &str) -> Result<(Self, bool), Failure> {
        if role == "targets" {
            let proven = store.targets(root);
            let unproven = store.unproven(role)?.filter(|_| proven.is_err());
            return match unproven {
                Some(targets) => Ok((List::outermost(root, targets.signed)?, false)),
                None => Ok((List::outermost(root, proven?.signed)?, true)),
            };
        }
        let outermost = store.targets(root)?.signed;
        if store.delegated(&delegations(&outermost), role).is_ok() {
            return Ok((List::open(store, root, role)?, true));
        }
        Ok((List::of_role(&outermost, role, store.unproven(role)?)?, false))
    }

    fn outermost(root: &Root, targets: Targets) -> Result<Self, Failure> {
        let holder = publish::holder(root, RoleType::Targets)?.clone();
        Ok(List { role: "targets".to_owned(), targets, holder, delegation: None })
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

/// What this role says of the target already; refuses a name that stands for other bytes, in whatever role, and one
/// that is in the way of what stands beside an image.
fn known(
    store: &Store,
    root: &Root,
    list: &List,
    name: &TargetName,
    target: &Target,
) -> Result<Option<Target>, Failure> {
    let outermost = store.targets(root)?.signed;
    let all = delegations(&outermost);
    let mut lists = vec![("targets".to_owned(), Some(outermost))];
    for role in &all.roles {
        lists.push((role.name.clone(), store.delegated(&all, &role.name).ok().flatten().map(|it| it.signed)));
    }
    let text = name.to_string();
    let mut known = None;
    for (role, targets) in lists {
        let Some(targets) = targets else { continue };
        if let Some(other) = beside::in_the_way(name, &targets) {
            let text = format!("{name} and {other} of the list of {role} are in each other's way");
            return Err(Failure::new(Exit::Data, text).hint("choose another --path"));
        }
        let found = targets.targets.iter().find(|(name, _)| name.raw() == text);
        let Some((_, found)) = found else { continue };
        if found.hashes.sha256 != target.hashes.sha256 {
            return Err(taken(&text, &format!("the list of {role}")));
        }
        if role == list.role {
            known = Some(found.clone());
        }
    }
    Ok(known)
}

/// Copies the file to its place; one that lies there already must have the same bytes.
fn put(desk: &Desk<'_>, file: &Path, place: &Path, target: &Target) -> Result<(), Failure> {
    if place.exists() {
        let found = reading::read(place, &Bar::new(desk.output, "comparing", target.length))?;
        if found.target.hashes.sha256 != target.hashes.sha256 {
            return Err(taken(&place.display().to_string(), "the directory"));
        }
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        Failure::new(Exit::NoInput, format!("could not read {}: {error}", file.display()))
    };
    let bar = Bar::new(desk.output, "copying", target.length);
    let mut source = File::open(file).map_err(failed)?;
    let mut draft = Draft::begin(place, files::READABLE)?;
    let (mut buffer, mut sha256) = (vec![0; 1 << 18], Sha256::new());
    loop {
        let count = source.read(&mut buffer).map_err(failed)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        sha256.update(bytes);
        draft.write(bytes)?;
        bar.done(count);
    }
    if sha256.finalize().as_slice() != &*target.hashes.sha256 {
        let text = format!("{} changed while it was copied", file.display());
        return Err(
            Failure::new(Exit::TempFail, text).hint("add it again when it is whole; nothing was added")
        );
    }
    draft.place()
}

fn taken(name: &str, place: &str) -> Failure {
    let text = format!("{name} stands in {place} already, with other bytes");
    Failure::new(Exit::Data, text)
        .hint("a name never changes its content: raise the version, or choose another --path")
}
