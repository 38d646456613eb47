//! `hotshoe repo init`: keys, the first root, an empty list of targets, published.

use std::{collections::HashMap, num::NonZeroU64};

use serde_json::json;
use tough::schema::{Delegations, RoleKeys, RoleType, Root, Targets};

use super::{
    Desk, YEAR,
    keys::{self, Signer},
    publish, sign,
    store::{SPECIFICATION, Store},
};
use crate::{
    args::Init,
    failure::{Exit, Failure},
};

/// The roles with one key each, which the machine that publishes holds.
const ONLINE: [(&str, RoleType); 3] =
    [("targets", RoleType::Targets), ("snapshot", RoleType::Snapshot), ("timestamp", RoleType::Timestamp)];

pub(super) fn run(desk: &Desk<'_>, init: &Init) -> Result<(), Failure> {
    if init.threshold.get() > u64::from(init.root_keys) {
        let text = format!("{} of {} root keys can never sign", init.threshold, init.root_keys);
        return Err(Failure::new(Exit::Usage, text).hint("make --threshold at most as large as --root-keys"));
    }
    let store = Store::at(&init.place)?;
    if store.version("root").is_some() {
        let text = format!("{} is a repository already", store.directory.display());
        return Err(Failure::new(Exit::CantCreate, text));
    }
    keys::make_directory(&store.keys)?;
    let root_names = (1..=init.root_keys).map(|number| (format!("root-{number}"), RoleType::Root));
    let names = root_names.chain(ONLINE.map(|(name, role)| (name.to_owned(), role)));
    let mut root = Root {
        spec_version: SPECIFICATION.to_owned(),
        // Metadata by version, so that publishing never takes a file from under a device that is reading. Targets have
        // names that say their version, and are served by these.
        consistent_snapshot: true,
        version: NonZeroU64::MIN,
        expires: desk.in_days(YEAR)?,
        keys: HashMap::new(),
        roles: HashMap::new(),
        _extra: HashMap::new(),
    };
    let mut signers = Vec::new();
    for (name, role) in names {
        let signer = Signer::generate(&store.keys.join(format!("{name}.pem")))?;
        root.keys.insert(signer.id.clone(), signer.public.clone());
        let threshold = if role == RoleType::Root { init.threshold } else { NonZeroU64::MIN };
        let holder = root.roles.entry(role).or_insert_with(|| RoleKeys {
            keyids: Vec::new(),
            threshold,
            _extra: HashMap::new(),
        });
        holder.keyids.push(signer.id.clone());
        signers.push(signer);
    }
    let holder = publish::holder(&root, RoleType::Root)?.clone();
    let targets_holder = publish::holder(&root, RoleType::Targets)?.clone();
    let mut targets = Targets::new(SPECIFICATION.to_owned(), NonZeroU64::MIN, desk.in_days(YEAR)?);
    targets.delegations = Some(Delegations::new());
    let targets = sign::sign(targets, "the list of targets", &[&targets_holder], &signers)?;
    let root = sign::sign(root, "the root", &[&holder], &signers)?;
    std::fs::create_dir_all(store.directory.join("targets")).map_err(|error| {
        Failure::new(Exit::CantCreate, format!("could not write in {}: {error}", store.directory.display()))
    })?;
    store.write("1.targets.json", NonZeroU64::MIN, &targets)?;
    // The root comes before what it vouches for is published, and makes the directory a repository.
    store.write("1.root.json", NonZeroU64::MIN, &root)?;
    publish::publish(&store, desk, &signers, desk.in_days(init.days)?)?;

    let root_file = store.metadata("1.root.json");
    let lines = [
        format!("made the repository {}", store.directory.display()),
        format!(
            "made {} root key(s), {} of which must sign, and keys for targets, snapshot and timestamp in {}",
            init.root_keys,
            init.threshold,
            store.keys.display()
        ),
        format!("give the devices {}", root_file.display()),
        format!("take {}/root-*.pem off this machine", store.keys.display()),
    ];
    desk.told(
        &lines,
        json!({
            "repository": store.directory, "keys": store.keys, "root": root_file,
            "rootKeys": init.root_keys, "threshold": init.threshold,
        }),
    )
}
